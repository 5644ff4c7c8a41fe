"""One PDF as PDFium reads it, inside the process that may die of it."""

import ctypes
import itertools
from contextlib import closing
from typing import BinaryIO, Final

import numpy as np
from pypdfium2 import PdfDocument, PdfiumError, PdfPage, raw

from mm_assets.documents.geometry import PageFrame
from mm_assets.documents.messages import (
    Answer,
    DocumentInfo,
    Limits,
    LinkFound,
    OpenDocument,
    PageFound,
    Pixels,
    ReadPage,
    Render,
    Request,
)
from mm_assets.documents.pages import Box
from mm_assets.documents.pdf_drawings import find_figures
from mm_assets.documents.pdf_objects import read_objects
from mm_assets.documents.pdf_words import read_words

_POINTS_PER_INCH: Final = 72.0
_MAX_TEXT: Final = 2_000
_MAX_ADDRESS: Final = 8_192
_ENCRYPTED: Final = frozenset({raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY})


class PdfFaultError(Exception):
    """The document is refused."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class OpenPdf:
    """A document on the way to being read; loaded when it is first asked about."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._document: PdfDocument | None = None
        self._outline: dict[int, list[str]] = {}

    def close(self) -> None:
        """Let go of the document and its file."""
        if self._document is not None:
            self._document.close()
        self._file.close()

    def answer(self, request: Request) -> Answer:
        """Do what is asked.

        Raises:
            PdfFaultError: code ``ENCRYPTED_PDF``, ``BROKEN_PDF``, ``TOO_MANY_PAGES``, ``PAGE_TOO_LARGE`` or
                ``PAGE_TOO_COMPLEX``.
        """
        try:
            if isinstance(request, OpenDocument):
                return self._load()
            with closing(self._page(request.number)) as page:
                return self._read(page, request) if isinstance(request, ReadPage) else self._render(page, request)
        except (PdfiumError, OverflowError) as error:
            raise _broken(str(error)) from error

    def _load(self) -> DocumentInfo:
        try:
            self._document = document = PdfDocument(self._file)
        except PdfiumError as error:
            if getattr(error, "err_code", None) in _ENCRYPTED:
                raise PdfFaultError(
                    "ENCRYPTED_PDF", "it opens with a password only; deliver it without encryption"
                ) from error
            raise _broken(str(error)) from error
        pages = len(document)
        if pages == 0:
            raise _broken("it has no page")
        if pages > self._limits.max_pages:
            raise PdfFaultError(
                "TOO_MANY_PAGES",
                f"it has {pages} pages, more than {self._limits.max_pages}; divide it or raise "
                "[document_reading] max_pages",
            )
        self._read_outline(document)
        told = document.get_metadata_dict(skip_empty=True)
        title, author, subject = (_clean(told.get(key, "")) for key in ("Title", "Author", "Subject"))
        return DocumentInfo(pages, title, author, subject)

    def _read_outline(self, document: PdfDocument) -> None:
        for bookmark in itertools.islice(document.get_toc(), self._limits.max_outline_entries):
            target = bookmark.get_dest()
            page = None if target is None else target.get_index()
            if page is not None and (title := _clean(bookmark.get_title())):
                self._outline.setdefault(page + 1, []).append(title)

    def _page(self, number: int) -> PdfPage:
        if self._document is None:
            raise _broken("it was not opened")
        if not 1 <= number <= len(self._document):
            raise _broken(f"it has no page {number}")
        try:
            return self._document[number - 1]
        except PdfiumError as error:
            raise _broken(f"page {number}: {error}") from error

    def _frame(self, page: PdfPage, number: int) -> PageFrame:
        frame = PageFrame.of(page.get_bbox(), page.get_rotation())
        sides = (frame.width, frame.height)
        if not (min(sides) > 0 and max(sides) <= self._limits.max_page_pt):
            raise PdfFaultError(
                "PAGE_TOO_LARGE",
                f"page {number} measures {sides[0]:g} x {sides[1]:g} points, outside 0 to "
                f"{self._limits.max_page_pt:g}; deliver it at its printed size",
            )
        return frame

    def _read(self, page: PdfPage, request: ReadPage) -> PageFound:
        number, limits = request.number, self._limits
        frame = self._frame(page, number)
        objects = read_objects(page, frame, limits)
        if isinstance(objects, str):
            raise PdfFaultError("PAGE_TOO_COMPLEX", f"page {number} {objects}; divide or simplify the page")
        text = page.get_textpage()
        try:
            characters = text.count_chars()
            if characters > limits.max_characters:
                raise PdfFaultError(
                    "PAGE_TOO_COMPLEX",
                    f"page {number} has {characters} characters, more than {limits.max_characters}; divide the page",
                )
            words = read_words(text, frame)
        finally:
            text.close()
        found = find_figures(objects, words, frame, limits)
        return PageFound(
            number=number,
            width=frame.width,
            height=frame.height,
            texts=list(words.texts),
            boxes=words.boxes.tobytes(),
            sizes=words.sizes.tobytes(),
            styles=words.styles.tobytes(),
            figures=[(figure.box, figure.kind) for figure in found.figures],
            rules=found.rules.tobytes(),
            links=self._links(page, frame),
            label=_clean(self._document.get_page_label(number - 1) or "") or None if self._document else None,
            outline=self._outline.get(number, []),
            image_share=found.image_share,
        )

    def _links(self, page: PdfPage, frame: PageFrame) -> list[LinkFound]:
        found: list[LinkFound] = []
        position, link = ctypes.c_int(0), raw.FPDF_LINK()
        rectangle = raw.FS_RECTF()
        while len(found) < self._limits.max_links and raw.FPDFLink_Enumerate(page, position, link):
            if not raw.FPDFLink_GetAnnotRect(link, rectangle):
                continue
            corners = (rectangle.left, rectangle.bottom, rectangle.right, rectangle.top)
            box = frame.shown(np.asarray([corners], np.float64))[0]
            left, upper, right, lower = (float(value) for value in box)
            target, y = self._target(link, frame)
            address = None if target is not None else self._address(link)
            if target is not None or address:
                found.append(LinkFound((left, upper, right, lower), target, y, address))
        return found

    def _target(self, link: object, frame: PageFrame) -> tuple[int | None, float | None]:
        document = self._document
        destination = raw.FPDFLink_GetDest(document, link)
        if not destination:
            action = raw.FPDFLink_GetAction(link)
            if not action or raw.FPDFAction_GetType(action) != raw.PDFACTION_GOTO:
                return None, None
            destination = raw.FPDFAction_GetDest(document, action)
            if not destination:
                return None, None
        page = raw.FPDFDest_GetDestPageIndex(document, destination)
        if page < 0:
            return None, None
        has = [raw.FPDF_BOOL() for _ in range(3)]
        x, y, zoom = (ctypes.c_float() for _ in range(3))
        told = raw.FPDFDest_GetLocationInPage(destination, *has, x, y, zoom)
        size = raw.FS_SIZEF()
        if not (told and has[1].value and frame.plain and raw.FPDF_GetPageSizeByIndexF(document, page, size)):
            return page + 1, None  # turned or cropped pages would have to be loaded to place it
        return page + 1, min(max(size.height - y.value, 0.0), size.height)

    def _address(self, link: object) -> str | None:
        action = raw.FPDFLink_GetAction(link)
        if not action or raw.FPDFAction_GetType(action) != raw.PDFACTION_URI:
            return None
        length = raw.FPDFAction_GetURIPath(self._document, action, None, 0)
        if not 1 < length <= _MAX_ADDRESS:
            return None
        content = ctypes.create_string_buffer(length)
        raw.FPDFAction_GetURIPath(self._document, action, content, length)
        return content.value.decode("utf-8", "replace")

    def _render(self, page: PdfPage, request: Render) -> Pixels:
        frame = self._frame(page, request.number)
        left, upper, right, lower = request.box or (0.0, 0.0, frame.width, frame.height)
        left, right = max(left, 0.0), min(right, frame.width)
        upper, lower = max(upper, 0.0), min(lower, frame.height)
        if not (left < right and upper < lower):
            raise _broken(f"the region lies outside page {request.number}")
        scale = request.dpi / _POINTS_PER_INCH
        wanted = (right - left) * (lower - upper) * scale * scale
        if wanted > self._limits.max_render_pixels:
            scale *= (self._limits.max_render_pixels / wanted) ** 0.5
        crop: Box = (left, frame.height - lower, frame.width - right, upper)
        try:
            bitmap = page.render(scale, crop=crop, rev_byteorder=True)  # pyright: ignore[reportArgumentType] - any number will do
        except ValueError as error:
            raise _broken(f"a region of page {request.number} is thinner than a pixel") from error
        pixels = np.ascontiguousarray(bitmap.to_numpy()[:, :, :3])
        height, width, _ = pixels.shape
        return Pixels(width, height, scale * _POINTS_PER_INCH, pixels.tobytes())


def _broken(cause: str) -> PdfFaultError:
    return PdfFaultError("BROKEN_PDF", f"PDFium cannot read it ({cause}); write the file again")


def _clean(text: str) -> str:
    kept = "".join(character if character.isprintable() else " " for character in text[:_MAX_TEXT])
    return " ".join(kept.split())
