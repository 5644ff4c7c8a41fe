# pyright: strict
"""What a page says about its own place: numbers and sentences at its edges, links, and the hash of its words."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from mm_assets.documents.pages import Page, Words
from mm_assets.schemas import TABLES

_EDGE_LINES: Final = 4
_MAX_CHARACTERS: Final = 160
_TABLE: Final = TABLES["document_pages"]
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class PageMarks:
    """What is kept of a page.

    Attributes:
        number: from 1.
        label: page number as the file states it.
        words: words on it.
        digest: hash of its words in order, without case and marks.
        top: its first lines, at most four, from the edge inward.
        bottom: its last lines, from the edge inward.
        links: pages its links lead to, in their order.
    """

    number: int
    label: str | None
    words: int
    digest: str
    top: tuple[str, ...]
    bottom: tuple[str, ...]
    links: tuple[int, ...] = ()


def mark_page(page: Page) -> PageMarks:
    """Keep of a page what tells its place."""
    lines = _edge_lines(page.words)
    words = " ".join(_WORD.findall(" ".join(page.words.texts).casefold()))
    return PageMarks(
        number=page.number,
        label=page.label,
        words=len(page.words.texts),
        digest=hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        top=tuple(lines[:_EDGE_LINES]),
        bottom=tuple(lines[::-1][:_EDGE_LINES]),
        links=tuple(link.page for link in page.links if link.page is not None),
    )


def to_frame(batch: str, document_id: str, marks: Iterable[PageMarks]) -> pl.DataFrame:
    """Rows of ``document_pages``."""
    rows = [
        {
            "batch": batch,
            "document_id": document_id,
            "page": mark.number,
            "label": mark.label,
            "words": mark.words,
            "digest": mark.digest,
            "top": list(mark.top),
            "bottom": list(mark.bottom),
            "links": list(mark.links),
        }
        for mark in marks
    ]
    return pl.DataFrame(rows, schema=_TABLE.schema)


def from_frame(rows: pl.DataFrame) -> tuple[PageMarks, ...]:
    """The pages of one document, by number, from rows of ``document_pages``."""
    columns = ("page", "label", "words", "digest", "top", "bottom", "links")
    return tuple(
        PageMarks(number, label, words, digest, tuple(top), tuple(bottom), tuple(links))
        for number, label, words, digest, top, bottom, links in rows.sort("page").select(columns).iter_rows()
    )


def _edge_lines(words: Words) -> list[str]:
    """The lines of a page from top to bottom; words of one line overlap in height."""
    if not words.texts:
        return []
    tops, bottoms = words.boxes[:, 1], words.boxes[:, 3]
    middles = (tops + bottoms) / 2
    height = max(float(np.median(bottoms - tops)), 1e-3)
    order = np.argsort(middles, kind="stable")
    starts = np.flatnonzero(np.diff(middles[order], prepend=-np.inf) > height / 2)
    pieces = np.split(order, starts[1:])
    if len(pieces) > 2 * _EDGE_LINES:
        pieces = [*pieces[:_EDGE_LINES], *pieces[-_EDGE_LINES:]]
    told: list[str] = []
    for piece in pieces:
        by_place = piece[np.argsort(words.boxes[piece, 0], kind="stable")]
        told.append(" ".join(words.texts[int(at)] for at in by_place)[-_MAX_CHARACTERS:])
    return told
