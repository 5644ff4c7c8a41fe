from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mm_assets.documents.pages import BOLD, MONOSPACE, Page, PageFigure, Words
from mm_assets.documents.pdf import PdfProcess, PdfReader
from mm_assets.policy import DocumentReadingPolicy

BOOK = Path(__file__).parents[5] / "demo" / "data" / "landing" / "history-14" / "documents" / "project-history.en.pdf"
Written = tuple[float, float, str] | tuple[float, float, str, float] | tuple[float, float, str, float, int]


def set_page(
    number: int,
    lines: Sequence[Written],
    *,
    size: tuple[float, float] = (400.0, 600.0),
    figures: Sequence[tuple[float, float, float, float]] = (),
    rules: Sequence[tuple[float, float, float, float]] = (),
    **more: object,
) -> Page:
    """A page set in a font whose letters are half as wide as high.

    Args:
        number: of the page, from 1.
        lines: left, top, text, and where they differ font size (10) and style (0).
        size: width and height.
        figures: boxes of pictures.
        rules: boxes of rules.
        more: other attributes of the page.
    """
    texts: list[str] = []
    boxes: list[tuple[float, float, float, float]] = []
    sizes: list[float] = []
    styles: list[int] = []
    for line in lines:
        at, top, text = line[:3]
        height = float(line[3]) if len(line) > 3 else 10.0  # type: ignore[misc]
        style = int(line[4]) if len(line) > 4 else 0  # type: ignore[misc]
        for word in text.split(" "):
            wide = len(word) * height / 2
            if word:
                texts.append(word)
                boxes.append((at, top, at + wide, top + height))
                sizes.append(height)
                styles.append(style)
            at += wide + height / 2
    words = Words(
        tuple(texts),
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(sizes, np.float32),
        np.asarray(styles, np.uint8),
        np.ones(len(texts), np.float32),
    )
    drawn = np.asarray(rules, np.float32).reshape(-1, 4)
    shown = tuple(PageFigure(box, "raster") for box in figures)
    return Page(number, *size, "pt", words, shown, drawn, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def typeset() -> Callable[..., Page]:
    """Write a page by hand."""
    return set_page


@pytest.fixture(scope="session")
def styles() -> tuple[int, int]:
    """Bold, and set in a monospaced font."""
    return BOLD, MONOSPACE


@pytest.fixture(scope="module")
def book() -> Iterator[PdfReader]:
    """A book of 27 pages, as its authors published it."""
    with (
        PdfProcess(DocumentReadingPolicy()) as process,
        BOOK.open("rb") as stream,
        process.open(stream, BOOK.name) as reader,
    ):
        yield reader
