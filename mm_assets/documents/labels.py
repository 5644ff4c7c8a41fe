"""Numbers by which headings, figures and tables are known, as their own texts state them."""

import re
from typing import Final

_NAMES: Final = {
    "figure": "Figure", "fig": "Figure", "figura": "Figure", "abbildung": "Figure", "abb": "Figure", "schema": "Figure",
    "рис": "Figure", "рисунок": "Figure", "图": "Figure", "図": "Figure", "그림": "Figure", "afbeelding": "Figure",
    "table": "Table", "tab": "Table", "tabelle": "Table", "tableau": "Table", "tabla": "Table", "tabela": "Table",
    "tabella": "Table", "таблица": "Table", "表": "Table", "표": "Table",
    "example": "Example", "listing": "Listing", "algorithm": "Algorithm", "plate": "Plate", "chart": "Chart",
}  # fmt: skip
_CAPTION: Final = re.compile(
    rf"\W*({'|'.join(_NAMES)})\.?\s*((?:[A-Z]{{1,2}}[.\-]?)?\d{{1,4}}(?:[.\-]\d{{1,4}}){{0,4}})(?![\d%])", re.IGNORECASE
)
_STOP: Final = re.compile(r"\s*(?:[:\uff1a|]|[.)\u2013\u2014-](?:\s|$)|$)")
_HEADING: Final = re.compile(
    r"(?:(?:chapter|section|appendix|part)\s+)?((?:[A-Z]|\d{1,3})(?:\.\d{1,3}){1,5}\.?|[A-Z]\.|\d{1,2}\.?)(?=\s)",
    re.IGNORECASE,
)
_APPENDIX: Final = re.compile(r"(?:appendix|part|chapter)\s+([A-Z]|[IVXL]{1,6}|\d{1,3})\b", re.IGNORECASE)


def label_of_caption(text: str) -> str | None:
    """The label a caption starts with, its kind in English.

    >>> label_of_caption("Fig. 3.2: A cat"), label_of_caption("Abbildung 4: x"), label_of_caption("In figure 3")
    ('Figure 3.2', 'Figure 4', None)
    """
    found = _CAPTION.match(text)
    return f"{_NAMES[found[1].lower()]} {found[2]}" if found else None


def starts_caption(text: str) -> bool:
    """Whether a line starts with a number as captions do, not as sentences do.

    >>> starts_caption("Figure 3: A cat"), starts_caption("Fig. 3. A cat"), starts_caption("Table 2")
    (True, True, True)
    >>> starts_caption("Figure 3 shows a cat"), starts_caption("Figure 3.5")
    (False, True)
    """
    found = _CAPTION.match(text)
    return found is not None and _STOP.match(text, found.end()) is not None


def label_of_heading(text: str) -> str | None:
    """The number a heading starts with.

    >>> label_of_heading("3.4.1. Activating"), label_of_heading("Appendix A. Licence"), label_of_heading("2001 was")
    ('3.4.1', 'A', None)
    """
    found = _APPENDIX.match(text) or _HEADING.match(text)
    return found[1].rstrip(".") if found else None
