"""Read a document of any form that has pages: PDF by its text layer, scans and pictures of pages by their pixels."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from mm_assets.documents.html import HtmlReader
from mm_assets.documents.interfaces import PageLayout, PageOcr
from mm_assets.documents.page_pictures import PagePictures
from mm_assets.documents.pages import Box, Page, Words
from mm_assets.documents.pdf import PdfProcess, PdfReader
from mm_assets.documents.recognition import needs_recognition, recognise_pages
from mm_assets.documents.text_layers import disagreement, sampled_band, within
from mm_assets.errors import ContractError
from mm_assets.landing import Landing
from mm_assets.policy import DocumentReadingPolicy, DocumentRecognitionPolicy
from mm_assets.raw_pools.document_folders import list_pages

_LEAST_HEIGHT_PX: Final = 736  # detectors of lines enlarge a picture until its shorter side has this length
_NO_RULES: Final = np.zeros((0, 4), np.float32)
Pixels = NDArray[np.uint8]
Row = Mapping[str, Any]
"""A row of ``raw_documents`` or ``documents``: ``form``, ``file_name`` and ``source_ref`` are read."""


@dataclass(frozen=True)
class Models:
    """What reads pixels; without ``ocr`` scans stay without words.

    Attributes:
        ocr: reads words.
        layout: finds regions.
    """

    ocr: PageOcr | None = None
    layout: PageLayout | None = None


class PagedDocument:
    """One document with pages, from `DocumentReader.open`; lives until its context ends."""

    def __init__(
        self,
        source: PdfReader | PagePictures,
        models: Models,
        reading: DocumentReadingPolicy,
        recognition: DocumentRecognitionPolicy,
    ) -> None:
        self._source = source
        self._models = models
        self._reading = reading
        self._recognition = recognition

    @property
    def title(self) -> str | None:
        """The title the file states."""
        return (self._source.info.title or None) if isinstance(self._source, PdfReader) else None

    def __len__(self) -> int:
        """Pages."""
        return self._source.info.pages if isinstance(self._source, PdfReader) else len(self._source)

    def pages(self) -> Iterator[Page]:
        """Every page in order; at most the policy's pages are held while models look at them.

        Raises:
            DecodeError: as `mm_assets.documents.pdf.PdfReader.page` and
                `mm_assets.documents.page_pictures.PagePictures.page`.
            ModelError: a model failed.
        """
        waiting: list[tuple[Page, Pixels | None]] = []
        for number in range(1, len(self) + 1):
            waiting.append(self._look(number))
            if len(waiting) >= self._recognition.pages_at_once or waiting[0][1] is None:
                yield from self._recognised(waiting)
                waiting = []
        yield from self._recognised(waiting)

    def compare(self, number: int) -> float | None:
        """How far text layer and recognition are apart in a band of a page, 0 to 1; None without a model or words.

        Raises as `pages`.
        """
        ocr, policy = self._models.ocr, self._recognition
        if ocr is None or isinstance(self._source, PagePictures):
            return None
        page = self._source.page(number)
        words = page.words
        if not words.texts:
            return None
        band = sampled_band(f"{number}#{words.texts[0]}", words, policy)
        margin = float(np.median(words.boxes[:, 3] - words.boxes[:, 1]))
        upper, lower = max(band[0] - margin, 0.0), min(band[1] + margin, page.height)
        pixels = self._source.render_region(number, (0.0, upper, page.width, lower), policy.dpi)
        (read,) = ocr.read_pages([_with_white_below(pixels)])
        scale = (lower - upper) / pixels.shape[0]
        places = np.asarray([word.box for word in read], np.float32).reshape(-1, 4) * scale + upper
        layer = (words.texts[index] for index in np.flatnonzero(within(band, words.boxes)))
        return disagreement(layer, (read[index].text for index in np.flatnonzero(within(band, places))))

    def render_page(self, number: int, dpi: float) -> Pixels:
        """A page, from 1, as uint8 RGB (H, W, 3); a picture in its own pixels. Raises as `pages`."""
        if isinstance(self._source, PdfReader):
            return self._source.render_page(number, dpi)
        return self._source.page(number)

    def render_region(self, number: int, box: Box, dpi: float) -> Pixels:
        """A region of a page, in the page's unit. Otherwise as `render_page`."""
        return self._source.render_region(number, box, dpi)

    def _look(self, number: int) -> tuple[Page, Pixels | None]:
        """A page, with its pixels if they are to be read."""
        source, policy = self._source, self._recognition
        if isinstance(source, PagePictures):
            pixels = source.page(number)
            height, width, _ = pixels.shape
            page = Page(number, float(width), float(height), "px", Words.none(), (), _NO_RULES, text_from="none")
            return page, pixels if self._models.ocr is not None else None
        page = source.page(number)
        share = source.image_share
        if self._models.ocr is None or not needs_recognition(page, share, self._reading.page_image_share, policy):
            return page, None
        return page, source.render_page(number, policy.dpi)

    def _recognised(self, waiting: list[tuple[Page, Pixels | None]]) -> Iterator[Page]:
        seen = [(page, pixels) for page, pixels in waiting if pixels is not None]
        if seen and self._models.ocr is None:
            raise ContractError("pixels were taken for a model that is not there; repair the reader")
        read: dict[int, Page] = {}
        if seen and self._models.ocr is not None:
            pages, pixels = [page for page, _ in seen], [one for _, one in seen]
            found = recognise_pages(
                pages, pixels, self._models.ocr, self._models.layout, self._reading.page_image_share, self._recognition
            )
            read = {page.number: page for page in found}
        for page, _ in waiting:
            yield read.get(page.number, page)


class DocumentReader:
    """Opens documents one after the other; use it in a ``with`` statement, from one thread."""

    def __init__(
        self,
        landing: Landing,
        models: Models,
        reading: DocumentReadingPolicy,
        recognition: DocumentRecognitionPolicy,
    ) -> None:
        self._landing = landing
        self._models = models
        self._reading = reading
        self._recognition = recognition
        self._process = PdfProcess(reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    @contextmanager
    def open(self, row: Row) -> Generator[PagedDocument]:
        """Open a PDF or pictures of pages.

        Raises:
            DecodeError: as `mm_assets.documents.pdf.PdfProcess.open` and
                `mm_assets.documents.page_pictures.PagePictures`.
            RecordError, UnsafePathError: the file is gone since it was registered.
        """
        key = self._landing.key(row["source_ref"]["uri"])
        if row["form"] == "page_image":
            files = list_pages(self._landing, key)
            pictures = PagePictures(self._landing, files, self._reading, key)
            yield PagedDocument(pictures, self._models, self._reading, self._recognition)
        elif row["form"] == "pdf":
            with self._landing.open(key) as stream, self._process.open(stream, key) as reader:
                yield PagedDocument(reader, self._models, self._reading, self._recognition)
        else:
            raise ContractError(f"{key}: a document of form {row['form']} has no pages; read it with read_html")


def read_document(row: Row, reader: DocumentReader) -> Iterator[Page]:
    """Pages of one PDF or of one document of pictures. Raises as `DocumentReader.open` and `PagedDocument.pages`."""
    with reader.open(row) as document:
        yield from document.pages()


def read_html(row: Row, landing: Landing, policy: DocumentReadingPolicy) -> HtmlReader:
    """The reader of one HTML document; its pictures are named relative to ``documents/``.

    Raises:
        DecodeError: as `mm_assets.documents.html.HtmlReader`.
        RecordError, UnsafePathError: the file is gone since it was registered.
    """
    key = landing.key(row["source_ref"]["uri"])
    content = landing.read(key, 0, policy.max_html_bytes + 1)
    return HtmlReader(content, row["file_name"].rstrip("/"), policy)


def _with_white_below(pixels: Pixels) -> Pixels:
    height, width, channels = pixels.shape
    if height >= _LEAST_HEIGHT_PX:
        return pixels
    white = np.full((_LEAST_HEIGHT_PX - height, width, channels), 255, np.uint8)
    return np.concatenate([pixels, white])
