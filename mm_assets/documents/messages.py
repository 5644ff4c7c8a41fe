"""What the process that runs PDFium is asked and what it answers: one answer to each request."""

import msgspec

from mm_assets.documents.pages import Box, FigureKind


class Limits(msgspec.Struct, frozen=True):
    """Bounds a document is read within; over them it is refused, never cut."""

    max_pages: int
    max_page_pt: float
    max_objects: int
    max_segments: int
    max_characters: int
    max_links: int
    max_outline_entries: int
    max_image_pixels: int
    max_render_pixels: int
    min_figure_pt: float
    max_rule_pt: float
    image_gap_pt: float
    drawing_gap_pt: float
    min_drawing_strokes: int
    max_drawing_text: float
    page_image_share: float


class OpenDocument(msgspec.Struct, frozen=True, tag=True):
    """Take another document; the file travels with it as an open descriptor."""

    limits: Limits


class ReadPage(msgspec.Struct, frozen=True, tag=True):
    """Read a page, numbered from 1."""

    number: int


class Render(msgspec.Struct, frozen=True, tag=True):
    """Render a page or a region of it, in points of the page as shown."""

    number: int
    box: Box | None
    dpi: float


Request = OpenDocument | ReadPage | Render


class DocumentInfo(msgspec.Struct, frozen=True, tag=True):
    """What a document states of itself; empty texts where it does not."""

    pages: int
    title: str
    author: str
    subject: str


class LinkFound(msgspec.Struct, frozen=True):
    """A link as `mm_assets.documents.pages.PageLink` has it."""

    box: Box
    page: int | None
    y: float | None
    address: str | None


class PageFound(msgspec.Struct, frozen=True, tag=True):
    """A page. Arrays are little endian: boxes and rules float32 (N, 4), sizes float32 (N,), styles uint8 (N,)."""

    number: int
    width: float
    height: float
    texts: list[str]
    boxes: bytes
    sizes: bytes
    styles: bytes
    figures: list[tuple[Box, FigureKind]]
    rules: bytes
    links: list[LinkFound]
    label: str | None
    outline: list[str]
    image_share: float


class Pixels(msgspec.Struct, frozen=True, tag=True):
    """Pixels: uint8 RGB, shape (height, width, 3), row major; ``dpi`` is the resolution they came out at."""

    width: int
    height: int
    dpi: float
    content: bytes


class Fault(msgspec.Struct, frozen=True, tag=True):
    """Why there is no answer."""

    code: str
    reason: str


Answer = DocumentInfo | PageFound | Pixels | Fault
