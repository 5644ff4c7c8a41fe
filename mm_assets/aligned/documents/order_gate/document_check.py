# pyright: strict
"""Look through one document for signs that its order is broken, and weigh them."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.documents.order_gate.caption_pairing import FigureWords, judge_pairing
from mm_assets.aligned.documents.order_gate.columns import ColumnOrder
from mm_assets.aligned.documents.order_gate.document_findings import DocumentCheck
from mm_assets.aligned.documents.order_gate.explanations import explain
from mm_assets.aligned.documents.order_gate.lost_captions import FigureGroup
from mm_assets.aligned.documents.order_gate.number_series import (
    LETTERS,
    Key,
    SeriesFinding,
    judge_sections,
    judge_series,
    read_number,
)
from mm_assets.aligned.documents.order_gate.page_marks import PageMarks
from mm_assets.aligned.documents.order_gate.page_order import judge_pages
from mm_assets.documents.blocks import Block
from mm_assets.policy.order import OrderGatePolicy

_CONTEXT_CHARACTERS = 400


@dataclass(frozen=True)
class BoundCaption:
    """A figure or table and its caption; None without one."""

    position: int
    caption_position: int | None
    score: float | None = None


@dataclass(frozen=True)
class FoundReference:
    """A reference in the text: what kind of thing it names, as written, and where it leads; None: nowhere."""

    position: int
    kind: str
    text: str
    refers_to: int | None


@dataclass(frozen=True)
class ObservedDocument:
    """What the gate is told of a document.

    Attributes:
        document_id: its id.
        file_name: its name, for people.
        blocks: its blocks in reading order; read once.
        bindings: captions of its figures and tables.
        references: references in its text, unresolved ones included.
        pages: what its pages say; empty without pages.
        similarity: likeness of embeddings of the figures that have a caption (rows, in reading order) and of their
            captions (columns, in the order of the figures); None without any.
        lost_pictures: positions of figures whose picture could not be read.
        ocr_disagreement: by page, share of words that recognition and text layer do not share, of sampled pages.
        window_cuts: figures, tables and captions that windows cut or part.
        language: ISO 639-1 code of its text, None if unknown.
    """

    document_id: str
    file_name: str
    blocks: Iterable[Block]
    bindings: Sequence[BoundCaption] = ()
    references: Sequence[FoundReference] = ()
    pages: Sequence[PageMarks] = ()
    similarity: NDArray[np.float32] | None = None
    lost_pictures: Sequence[int] = ()
    ocr_disagreement: Mapping[int, float] = field(default_factory=dict[int, float])
    window_cuts: int = 0
    language: str | None = "en"


def check_document(document: ObservedDocument, policy: OrderGatePolicy) -> DocumentCheck:
    """Look through a document once and weigh what was found.

    In memory are its figures with the text around them, its numbers and its pages' marks, not its text.

    Args:
        document: blocks, captions, references, pages.
        policy: rates and weights.
    """
    seen = _Reading(document, policy)
    for block in document.blocks:
        seen.add(block)
    seen.close()
    shorter = {
        kind: judge_sections(keys) if kind == "section" else judge_series(keys) for kind, keys in seen.numbers.items()
    }
    series = {kind: finding for kind, finding in shorter.items() if finding.count >= policy.min_numbered}
    figure_numbers = set(seen.numbers.get("figure", ()))
    unresolved = [reference for reference in document.references if reference.refers_to is None]
    named = {number[1] for r in unresolved if r.kind == "figure" and (number := read_number(r.text)) is not None}
    known = shorter.get("figure")
    found = DocumentCheck(
        document_id=document.document_id,
        file_name=document.file_name,
        figures=seen.figures,
        captioned=len(seen.captioned),
        adjacent=seen.adjacent,
        pairing=judge_pairing(seen.figure_words(), document.similarity, policy),
        lost_captions=tuple(seen.lost_captions),
        lost_pictures=tuple(document.lost_pictures),
        missing_figures=tuple(_written(key) for key in (known.missing if known else ())),
        series=series,
        references=len(document.references),
        unresolved=len(unresolved),
        unknown_figures=tuple(sorted(_written(key) for key in named if figure_numbers and _near(key, figure_numbers))),
        pages=judge_pages(document.pages, policy) if len(document.pages) > 1 else None,
        columns=seen.columns,
        ocr_disagreement=max(document.ocr_disagreement.values(), default=None),
        window_cuts=document.window_cuts,
    )
    return _with_faults(found, shorter, policy)


def _with_faults(found: DocumentCheck, series: Mapping[str, SeriesFinding], policy: OrderGatePolicy) -> DocumentCheck:
    values = {name: getattr(found, name) for name in DocumentCheck.__dataclass_fields__ if name != "faults"}
    return DocumentCheck(**values, faults=explain(found, series, policy))


class _Reading:
    """What is kept while the blocks pass."""

    def __init__(self, document: ObservedDocument, policy: OrderGatePolicy) -> None:
        self.columns = ColumnOrder(policy, document.language)
        self.numbers: dict[str, list[Key]] = {}
        self.figures = 0
        self.adjacent = 0
        self.captioned: dict[int, int] = {}
        self.lost_captions: list[int] = []
        self._bound = {b.position: b.caption_position for b in document.bindings if b.caption_position is not None}
        self._captions = set(self._bound.values())
        self._group = FigureGroup(self._captions)
        self._own: dict[int, tuple[str, str]] = {}
        self._context: dict[int, list[str]] = {}
        self._open: list[tuple[int, int]] = []
        self._texts: dict[int, str] = {}
        self._recent: deque[str] = deque(maxlen=policy.context_blocks)
        self._heading = ""
        self._blocks = policy.context_blocks

    def add(self, block: Block) -> None:
        """Take the next block."""
        self.columns.add(block)
        self._group.add(block)
        if block.type in ("heading", "caption") and (number := read_number(block.label or block.text)) is not None:
            kind = number[0] or ("section" if block.type == "heading" else "")
            if kind:
                self.numbers.setdefault(kind, []).append(number[1])
        if block.type == "figure":
            self._add_figure(block)
        elif block.type == "caption":
            if block.position in self._captions:
                self._texts[block.position] = block.text
        else:
            self._add_text(block)

    def close(self) -> None:
        """End the document."""
        self.columns.close()
        self._group.close()
        others = self._group.others if self.captioned else []
        self.lost_captions = sorted([*self._group.certain, *others])
        self.adjacent = sum(self._is_adjacent(figure, caption) for figure, caption in self.captioned.items())

    def figure_words(self) -> list[FigureWords]:
        """Figures with their captions, in reading order."""
        return [
            FigureWords(figure, *self._own[figure], " ".join(self._context[figure]), self._texts.get(caption, ""))
            for figure, caption in self.captioned.items()
        ]

    def _add_figure(self, block: Block) -> None:
        self.figures += 1
        caption = self._bound.get(block.position)
        if caption is None:
            return
        self.captioned[block.position] = caption
        picture = block.picture
        self._own[block.position] = (block.text, "" if picture is None else picture.file or "")
        self._context[block.position] = [self._heading, *self._recent]
        self._open.append((block.position, self._blocks))

    def _add_text(self, block: Block) -> None:
        text = block.text[:_CONTEXT_CHARACTERS]
        if block.type == "heading":
            self._heading = text
        for figure, _ in self._open:
            self._context[figure].append(text)
        self._open = [(figure, left - 1) for figure, left in self._open if left > 1]
        self._recent.append(text)

    def _is_adjacent(self, figure: int, caption: int) -> bool:
        low, high = sorted((figure, caption))
        return all(between in self.captioned or between in self._captions for between in range(low + 1, high))


def _near(key: Key, known: set[Key]) -> bool:
    """Whether a number has the shape of those that are there, so that it names a figure of this document."""
    return any(key[:-1] == other[:-1] for other in known)


def _written(key: Key) -> str:
    return ".".join(str(part) if part < LETTERS else chr(part - LETTERS) for part in key)
