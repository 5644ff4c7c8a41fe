"""Blocks: the parts of a document in reading order, whatever it was read from."""

from dataclasses import dataclass
from typing import Literal

from mm_assets.documents.pages import Box

BlockType = Literal["heading", "paragraph", "list", "table", "figure", "caption", "formula", "code", "footnote"]
PictureKind = Literal["raster", "vector", "file"]


@dataclass(frozen=True, slots=True)
class Picture:
    """Where the pixels of a figure lie: a region of a page, or a file beside the document.

    Attributes:
        kind: ``raster`` and ``vector`` are regions of a page, rendered; ``file`` is a file of its own.
        file: file beside the document, relative to ``documents/``; None for a region of a page.
        page: page of the region, from 1; None for a file.
        box: the region, in the page's unit; None for a file.
        alt: text that stands for the picture, as delivered.
    """

    kind: PictureKind
    file: str | None
    page: int | None
    box: Box | None
    alt: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A link in a block's text: characters ``start`` to ``end`` lead to an anchor or page of this document."""

    start: int
    end: int
    anchor: str | None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One part of a document.

    Attributes:
        position: place in reading order, from 0.
        page: page it starts on, from 1; 1 in a document without pages.
        type: what it is.
        text: its text; a table's cells joined by tabs and newlines, a figure's ``alt`` text or nothing.
        box: where it stands on its first page; None without pages.
        level: depth of a heading, from 1; None for other types.
        cells: rows of a table; None for other types.
        picture: the pixels of a figure; None for other types.
        label: number it is known by, such as ``Figure 3``, ``Table 2`` or ``4.1``; None without one.
        anchors: names under which links reach it.
        links: links in its text.
        of: position of the figure or table that the source itself says this caption belongs to.
        last_page: page it ends on, from 1, if joined across pages; else its page.
        figure_missing: of a caption: whether the source gives it an element made for a figure that holds nothing else,
            or one in which the element of a further figure is empty. False: it belongs to code, a drawing or a film,
            or to a table; None: the source does not say, or its figure is there.
    """

    position: int
    page: int
    type: BlockType
    text: str
    box: Box | None = None
    level: int | None = None
    cells: tuple[tuple[str, ...], ...] | None = None
    picture: Picture | None = None
    label: str | None = None
    anchors: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    of: int | None = None
    last_page: int | None = None
    figure_missing: bool | None = None
