"""What a reader finds on a page: words, figures, ruling lines, links, and the regions a layout model sees.

Boxes are float32 ``x1 y1 x2 y2``, origin top left of the page as it is shown (rotation applied), in the page's own
unit: points (1/72 inch) for PDF, pixels of the stored image for pictures of pages.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Unit = Literal["pt", "px"]
TextOrigin = Literal["layer", "ocr", "none"]
FigureKind = Literal["raster", "vector"]

BOLD, ITALIC, MONOSPACE = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a page, in the order in which the file states them.

    Attributes:
        texts: N words without white space.
        boxes: float32, shape (N, 4).
        sizes: float32, shape (N,): font size, in the page's unit.
        styles: uint8, shape (N,): sum of `BOLD`, `ITALIC` and `MONOSPACE`.
        confidences: float32, shape (N,): 1 for a text layer, else what the recogniser says, 0 to 1.
    """

    texts: tuple[str, ...]
    boxes: NDArray[np.float32]
    sizes: NDArray[np.float32]
    styles: NDArray[np.uint8]
    confidences: NDArray[np.float32]

    @classmethod
    def none(cls) -> "Words":
        """No words."""
        empty = np.zeros(0, np.float32)
        return cls((), np.zeros((0, 4), np.float32), empty, np.zeros(0, np.uint8), empty)


@dataclass(frozen=True, slots=True)
class PageFigure:
    """A picture on a page: an image object, or vector drawing that belongs together."""

    box: Box
    kind: FigureKind


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link on a page, to a page of the same document (from 1) and a height on it, or to an address."""

    box: Box
    page: int | None
    y: float | None
    address: str | None


@dataclass(frozen=True, slots=True)
class PageRegion:
    """What a layout model sees: title, text, list, table, figure, caption, header, footer, formula and more."""

    box: Box
    type: str
    score: float


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        number: from 1.
        width: in the page's unit.
        height: in the page's unit.
        unit: ``pt`` or ``px``.
        words: its words.
        figures: its pictures, in the order of the file.
        rules: float32, shape (R, 4): ruling lines and edges of filled boxes, as thin boxes; tables are drawn with them.
        links: its links.
        regions: from the layout model; empty where none was asked.
        text_from: where the words come from.
        label: the page number as printed or as the file states it.
        outline: titles of the document's outline that point at this page.
    """

    number: int
    width: float
    height: float
    unit: Unit
    words: Words
    figures: tuple[PageFigure, ...]
    rules: NDArray[np.float32]
    links: tuple[PageLink, ...] = ()
    regions: tuple[PageRegion, ...] = ()
    text_from: TextOrigin = "layer"
    label: str | None = None
    outline: tuple[str, ...] = ()
