"""Words of a page from its text layer.

PDFium states characters with places in the order of the content; white space it takes from the file or makes up where
letters stand apart. A word ends at white space, where the next character stands on another line, and where it is
raised or lowered (a mark of a footnote is a word of its own).

The box of an upright word is as wide as its letters advance and as high as its font size, from the font's descent
below the base line: the same height for "ace" and "Apt". That is what pdfminer states, too. Turned words have the box
of their letters.
"""

import ctypes
import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pypdfium2 import PdfTextPage, raw

from mm_assets.documents.geometry import PageFrame
from mm_assets.documents.pages import BOLD, ITALIC, MONOSPACE, Words

_UNMAPPED: Final = "\ufffd"
_HYPHEN_AT_LINE_END: Final = 2  # how PDFium codes it
_FIXED_PITCH, _SLANTED, _FORCE_BOLD = 1, 1 << 6, 1 << 18  # PDF 32000-1, table 123
_BOLD_WEIGHT: Final = 600
_NAME_BYTES: Final = 256
_BOLD_NAMES: Final = ("bold", "black", "heavy", "semibold", "demi", "cmbx", "cmb10", "nimbusromno9l-medi", "-medi")
_ITALIC_NAMES: Final = ("italic", "oblique", "slanted", "cmti", "cmsl", "-ital", "obli")
_MONOSPACE_NAMES: Final = ("mono", "courier", "typewriter", "consol", "cmtt", "sftt", "ectt", "menlo", "nimbusmonl")
_RAISED: Final = 0.2  # of the font size: how far a base line may lie apart inside a word
_BACKWARD: Final = 0.5  # of the font size: how far a letter may stand before the end of the last one
_LIGATURES: Final = {chr(code): unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_STANDARD_DESCENTS: Final = {"times": -0.217, "helvetica": -0.207, "courier": -0.157}
"""Of the font size, for standard fonts that are not in the file: Adobe's own measures, not those of a stand-in."""
_DEFAULT_DESCENT: Final = -0.21  # of the font size, where a font states none; Helvetica's


@dataclass(frozen=True, slots=True)
class _Run:
    """What the characters of one text object have in common."""

    size: float
    descent: float
    upright: bool
    style: int


def read_words(page: PdfTextPage, frame: PageFrame) -> Words:
    """The words of a page, in the order of the file; their boxes as the page is shown."""
    count = page.count_chars()
    texts: list[str] = []
    spans: list[tuple[int, int]] = []
    runs: list[_Run] = []
    boxes = (raw.FS_RECTF * max(count, 1))()
    origins = np.zeros((max(count, 1), 2))
    reader = _Characters(page)
    x, y = ctypes.c_double(), ctypes.c_double()
    get_code, get_box, get_origin = raw.FPDFText_GetUnicode, raw.FPDFText_GetLooseCharBox, raw.FPDFText_GetCharOrigin
    letters: list[str] = []
    start = last = -1
    run: _Run | None = None

    def end_word() -> None:
        if letters and run is not None:
            texts.append(_whole("".join(letters)))
            spans.append((start, last + 1))
            runs.append(run)
        letters.clear()

    for index in range(count):
        code = get_code(page, index)
        letter = _UNMAPPED if code == 0 else "-" if code == _HYPHEN_AT_LINE_END else chr(code)
        if letter.isspace() or (not letter.isprintable() and unicodedata.category(letter) == "Cc"):
            end_word()
            continue
        get_box(page, index, boxes[index])
        get_origin(page, index, x, y)
        origins[index] = x.value, y.value
        now = reader.run(index)
        if letters and run is not None and _apart(boxes, origins, last, index, run):
            end_word()
        if not letters:
            start, run = index, now
        letters.append(_LIGATURES.get(letter, letter))
        last = index
    end_word()
    return _placed(texts, np.asarray(spans, np.int64).reshape(-1, 2), runs, boxes, origins, frame)


def _apart(boxes: "ctypes.Array[raw.FS_RECTF]", origins: NDArray[np.float64], last: int, index: int, run: _Run) -> bool:
    if not run.upright:
        return False
    step = origins[index] - origins[last]
    if abs(step[1]) > _RAISED * run.size:
        return True
    return bool(boxes[index].left < boxes[last].left - _BACKWARD * run.size)


def _whole(text: str) -> str:
    r"""Letters that PDFium gives as two surrogates as one; a lone surrogate is no letter.

    >>> _whole("\ud835\udc4e\ud835") == "\U0001d44e\ufffd"
    True
    """
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _placed(
    texts: list[str],
    spans: NDArray[np.int64],
    runs: list[_Run],
    boxes: "ctypes.Array[raw.FS_RECTF]",
    origins: NDArray[np.float64],
    frame: PageFrame,
) -> Words:
    if not texts:
        return Words.none()
    corners = np.frombuffer(memoryview(boxes), np.float32).reshape(-1, 4).astype(np.float64)  # left, top, right, bottom
    unseen = np.all(corners == 0, axis=1)
    corners[unseen] = np.tile(origins[unseen], 2)
    # Characters between words have no place; they may not widen any.
    inside = np.zeros(len(corners), bool)
    for start, end in spans:
        inside[start:end] = True
    low, high = np.where(inside[:, None], corners, np.inf), np.where(inside[:, None], corners, -np.inf)
    starts = spans[:, 0]
    left = np.minimum.reduceat(low[:, 0], starts)
    bottom = np.minimum.reduceat(low[:, 3], starts)
    right = np.maximum.reduceat(high[:, 2], starts)
    top = np.maximum.reduceat(high[:, 1], starts)
    sizes = np.asarray([run.size for run in runs])
    descents = np.asarray([run.descent for run in runs])
    upright = np.asarray([run.upright for run in runs])
    base = origins[starts, 1]
    bottom = np.where(upright, base + descents * sizes, bottom)
    top = np.where(upright, bottom + sizes, top)
    shown = frame.shown(np.stack((left, bottom, right, top), axis=1))
    styles = np.asarray([run.style for run in runs], np.uint8)
    return Words(tuple(texts), shown, sizes.astype(np.float32), styles, np.ones(len(texts), np.float32))


class _Characters:
    """Fonts and sizes of a page's characters; each text object and font is asked once."""

    def __init__(self, page: PdfTextPage) -> None:
        self._page = page
        self._runs: dict[int, _Run] = {}
        self._fonts: dict[int, tuple[float, int]] = {}
        self._matrix = raw.FS_MATRIX()

    def run(self, index: int) -> _Run:
        text = raw.FPDFText_GetTextObject(self._page, index)
        key = ctypes.addressof(text.contents) if text else 0
        if key not in self._runs or not key:
            self._runs[key] = self._describe(index, text)
        return self._runs[key]

    def _describe(self, index: int, text: object) -> _Run:
        stated = raw.FPDFText_GetFontSize(self._page, index)
        matrix = self._matrix
        size, upright = stated, True
        if raw.FPDFText_GetMatrix(self._page, index, matrix):
            scale = float(np.hypot(matrix.c, matrix.d))
            size = stated * scale
            upright = matrix.a > 0 and matrix.d > 0 and max(abs(matrix.b), abs(matrix.c)) < 0.5 * scale
        descent, style = _DEFAULT_DESCENT, 0
        if text and (font := raw.FPDFTextObj_GetFont(text)):
            key = ctypes.addressof(font.contents)
            if key not in self._fonts:
                self._fonts[key] = _describe_font(font)
            descent, style = self._fonts[key]
        return _Run(size if size > 0 else 1.0, descent, upright, style)


def _describe_font(font: object) -> tuple[float, int]:
    content = ctypes.create_string_buffer(_NAME_BYTES)
    raw.FPDFFont_GetBaseFontName(font, content, _NAME_BYTES)
    name = content.value.decode("utf-8", "replace").lower()
    flags = raw.FPDFFont_GetFlags(font)
    weight = raw.FPDFFont_GetWeight(font)
    told = {
        BOLD: (flags > 0 and bool(flags & _FORCE_BOLD))
        or weight >= _BOLD_WEIGHT
        or any(n in name for n in _BOLD_NAMES),
        ITALIC: (flags > 0 and bool(flags & _SLANTED)) or any(n in name for n in _ITALIC_NAMES),
        MONOSPACE: (flags > 0 and bool(flags & _FIXED_PITCH)) or any(n in name for n in _MONOSPACE_NAMES),
    }
    family = _STANDARD_DESCENTS.get(name.split("-")[0])
    if family is not None and raw.FPDFFont_GetIsEmbedded(font) == 0:
        return family, sum(style for style, is_so in told.items() if is_so)
    descent = ctypes.c_float()
    stated = raw.FPDFFont_GetDescent(font, 1.0, descent)
    return descent.value if stated and -1 < descent.value < 0 else _DEFAULT_DESCENT, sum(
        style for style, is_so in told.items() if is_so
    )
