"""Read a document whole: its blocks, pages and references as rows, and what is told of it."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.aligned.documents.order_gate.page_marks import PageMarks, mark_page, to_frame
from mm_assets.aligned.documents.structure.page_blocks import page_blocks
from mm_assets.aligned.documents.structure.references import ReferenceFinder
from mm_assets.documents.block_rows import block_rows
from mm_assets.documents.blocks import Block, Picture
from mm_assets.documents.figures import FigureBounds, FigurePictures
from mm_assets.documents.html import HtmlReader
from mm_assets.documents.html_pictures import inside_picture
from mm_assets.documents.pages import Page
from mm_assets.documents.reading import DocumentReader, Models, read_html
from mm_assets.documents.text_layers import is_sampled
from mm_assets.errors import DecodeError
from mm_assets.landing import Landing
from mm_assets.policy import DocumentRecognitionPolicy, Policy
from mm_assets.schemas import TABLES

STAGE: Final = "documents"
_LANGUAGE_CHARACTERS: Final = 4_000
_PROSE: Final = frozenset({"paragraph", "list"})
Row = dict[str, Any]
Sink = Callable[[str, pl.DataFrame], None]


@dataclass
class _Told:
    """What the blocks and pages of a document tell of it as they pass."""

    finder: ReferenceFinder
    marks: list[PageMarks] = field(default_factory=list[PageMarks])
    origins: dict[int, str] = field(default_factory=dict[int, str])
    heading: str | None = None
    words: int = 0
    figures: int = 0
    blocks: int = 0
    characters: int = 0
    read_characters: int = 0
    sample: str = ""
    sampled: list[int] = field(default_factory=list[int])
    apart: dict[int, float | None] = field(default_factory=dict[int, float | None])

    def pages(self, pages: Iterable[Page], document_id: str, policy: DocumentRecognitionPolicy) -> Iterator[Page]:
        """Hand the pages on."""
        for page in pages:
            self.marks.append(mark_page(page))
            if len(self.sampled) < policy.max_sampled_pages and is_sampled(document_id, page, policy):
                self.sampled.append(page.number)
            self.origins[page.number] = page.text_from
            self.finder.add_page_label(page.number, page.label)
            yield page

    def origin(self, block: Block) -> str:
        """Where a block has its text from."""
        return self.origins.get(block.page, "layer") if self.origins else "markup"

    def taken(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Hand the blocks on."""
        for block in blocks:
            self.finder.add(block)
            self.blocks += 1
            self.words += len(block.text.split())
            self.figures += block.type == "figure"
            self.characters += len(block.text)
            self.read_characters += len(block.text) * (self.origin(block) == "ocr")
            if block.type == "heading" and self.heading is None:
                self.heading = block.text
            if block.type in _PROSE and len(self.sample) < _LANGUAGE_CHARACTERS:
                self.sample = f"{self.sample} {block.text}"[:_LANGUAGE_CHARACTERS]
            yield block


@dataclass(frozen=True)
class ReadDocument:
    """A document that was read.

    Attributes:
        row: row of ``documents``; the language is the declared one, or what the markup states.
        sample: text to name the language by.
    """

    row: Row
    sample: str


def clean_document(row: Row, reader: DocumentReader, landing: Landing, policy: Policy, sink: Sink) -> ReadDocument:
    """Read a document; its rows go to the sink chunk by chunk.

    Args:
        row: row of ``raw_documents``.
        reader: opens documents with pages.
        landing: where it lies.
        policy: bounds, recognition and structure.
        sink: takes rows of ``document_blocks``, ``document_pages`` and ``document_references``.

    Raises:
        InputError: it cannot be read, or holds nothing; what the sink was given is void.
        ModelError: a model failed.
    """
    told = _Told(ReferenceFinder(policy.document_captions))
    title, language = row["title"], row["language"]
    if row["form"] == "html":
        html = read_html(row, landing, policy.document_reading)
        _store_blocks(row, told, html.blocks(), sink)
        title, language = title or html.title, language or html.language
        pages = 1
    else:
        with reader.open(row) as document:
            pages_read = told.pages(document.pages(), row["document_id"], policy.document_recognition)
            _store_blocks(row, told, page_blocks(pages_read, policy.document_structure), sink)
            title, pages = title or document.title, len(document)
            for number in told.sampled:
                told.apart[number] = document.compare(number)
    if not told.blocks:
        raise DecodeError("EMPTY_DOCUMENT", f"{row['record_ref']}: no text and no figure was found; see its file")
    marks = to_frame(row["batch"], row["document_id"], told.marks)
    apart = pl.Series([told.apart.get(page) for page in marks["page"]], dtype=pl.Float64)
    sink("document_pages", marks.with_columns(ocr_disagreement=apart))
    sink("document_references", _references(row, told.finder))
    described = row | {
        "title": title or told.heading,
        "language": language,
        "pages": pages,
        "pages_by_ocr": sum(origin == "ocr" for origin in told.origins.values()),
        "words": told.words,
        "figures": told.figures,
        "image_text_share": told.read_characters / told.characters if told.characters else None,
    }
    return ReadDocument(described, told.sample)


def _store_blocks(row: Row, told: _Told, blocks: Iterable[Block], sink: Sink) -> None:
    for frame in block_rows(told.taken(blocks), row["batch"], row["document_id"], row["source_ref"], told.origin):
        sink("document_blocks", frame)


def _references(row: Row, finder: ReferenceFinder) -> pl.DataFrame:
    table = TABLES["document_references"]
    rows = [
        {
            "batch": row["batch"],
            "document_id": row["document_id"],
            "position": found.position,
            "start": found.start,
            "end": found.end,
            "kind": found.kind,
            "text": found.text,
            "refers_to": found.refers_to,
            "reason": found.reason,
        }
        for found in finder.resolve()
    ]
    return table.conform(pl.DataFrame(rows, schema=table.schema))


class BatchFigures:
    """Reads the figures of a batch's documents; the document of the last figure stays open. From `open_figures`."""

    def __init__(self, landing: Landing, documents: pl.DataFrame, reader: DocumentReader, policy: Policy) -> None:
        self._landing = landing
        self._rows = {row["document_id"]: row for row in documents.iter_rows(named=True)}
        self._reader = reader
        self._policy = policy
        reading = policy.document_reading
        self._bounds = FigureBounds(reading.max_picture_bytes, reading.max_image_pixels, reading.figure_dpi)
        self._open = ExitStack()
        self._document: str | None = None
        self._current: FigurePictures | _HtmlFigures | None = None

    def of(self, document_id: str) -> "FigurePictures | _HtmlFigures":
        """What reads the figures of a document.

        Raises:
            InputError: the document can no longer be opened.
        """
        if document_id != self._document or self._current is None:
            self.close()
            row = self._rows[document_id]
            if row["form"] == "html":
                beside = FigurePictures(self._landing, row["batch"], None, self._bounds)
                self._current = _HtmlFigures(row, self._landing, self._policy, beside)
            else:
                pages = self._open.enter_context(self._reader.open(row))
                self._current = FigurePictures(self._landing, row["batch"], pages, self._bounds)
            self._document = document_id
        return self._current

    def close(self) -> None:
        """Close the open document."""
        self._open.close()
        self._document = self._current = None


class _HtmlFigures:
    """Pictures beside an HTML page, and those inside it."""

    def __init__(self, row: Row, landing: Landing, policy: Policy, beside: FigurePictures) -> None:
        self._row = row
        self._landing = landing
        self._policy = policy
        self._beside = beside
        self._html: HtmlReader | None = None

    def read(self, picture: Picture) -> NDArray[np.uint8]:
        """The figure as uint8 RGB (H, W, 3). Raises as `FigurePictures.read`."""
        index = None if picture.file is None else inside_picture(picture.file)
        if index is None:
            return self._beside.read(picture)
        if self._html is None:
            self._html = read_html(self._row, self._landing, self._policy.document_reading)
        return self._beside.decode(self._html.picture(index), picture.file or "")


@contextmanager
def open_figures(landing: Landing, documents: pl.DataFrame, policy: Policy) -> Generator[BatchFigures]:
    """Read figures of a batch's documents inside a ``with`` statement.

    Args:
        landing: where they lie.
        documents: rows of ``documents``.
        policy: bounds.
    """
    with DocumentReader(landing, Models(), policy.document_reading, policy.document_recognition) as reader:
        figures = BatchFigures(landing, documents, reader, policy)
        try:
            yield figures
        finally:
            figures.close()
