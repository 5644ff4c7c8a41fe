"""Random negatives for people to look at: rows of a table, and the picture with both texts, the edit marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
import polars as pl

from mm_assets.hard_negatives.negatives import Outcome, edited_spans
from mm_assets.hard_negatives.rows import from_row
from mm_assets.hard_negatives.verdicts import REVIEWED, Judged

COLUMNS: Final = ("negative_id", "strategy", "kind", "positive", "negative", "seen", "similarity", "verdict", "reason")
_SECOND_US: Final = 1_000_000
_OPENING, _CLOSING = "⟦", "⟧"


@dataclass(frozen=True)
class ReviewItem:
    """One negative to look at.

    Attributes:
        judged: the negative and its verdict.
        positive_marked: the true text with what was changed in brackets.
        negative_marked: the false text with what is new in brackets.
    """

    judged: Judged
    positive_marked: str
    negative_marked: str

    @property
    def edited_picture(self) -> str | None:
        """Where the picture lies in the lake that the text is to be false of; None if it is the positive's own."""
        path = (self.judged.negative.media or {}).get("path")
        return path if isinstance(path, str) else None

    @property
    def window_us(self) -> tuple[int, int] | None:
        """Times of the clip that the text is to be false of, microseconds; None if there are none."""
        media = self.judged.negative.media or {}
        return (media["start_us"], media["end_us"]) if "start_us" in media else None

    @property
    def seen(self) -> str:
        """What to judge the false text by, in words.

        A text without times of its own is said of the whole picture or clip.
        """
        media = self.judged.negative.media or {}
        if self.edited_picture is not None:
            done = "turned to" if media["form"] == "recolored" else "exchanged with"
            return f"edited picture: {media['before']} {done} {media['after']}"
        if self.window_us is not None:
            start_s, end_s = (at / _SECOND_US for at in self.window_us)
            return f"clip from {start_s:.2f} s to {end_s:.2f} s"
        return "picture or clip as delivered"

    def to_row(self) -> dict[str, Any]:
        """Columns of the sheet."""
        negative = self.judged.negative
        return {
            "negative_id": negative.negative_id,
            "strategy": negative.strategy.value,
            "kind": None if negative.kind is None else negative.kind.value,
            "positive": self.positive_marked,
            "negative": self.negative_marked,
            "seen": self.seen,
            "similarity": None if np.isnan(self.judged.similarity) else round(self.judged.similarity, 3),
            "verdict": self.judged.outcome.value,
            "reason": self.judged.reason,
        }


def mark(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A text with spans in brackets; a span without characters is where something is gone, and is not marked.

    >>> mark("A red car", [(2, 5), (9, 9)])
    'A ⟦red⟧ car'
    """
    parts, place = list[str](), 0
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        parts += [text[place:start], _OPENING, text[start:end], _CLOSING]
        place = end
    return "".join([*parts, text[place:]])


def mark_html(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A text as HTML with spans marked, as `mark` does.

    >>> mark_html("A <b> car", [(2, 5)])
    'A <mark>&lt;b&gt;</mark> car'
    """
    parts, place = list[str](), 0
    for start, end in sorted(spans):
        parts += [escape(text[place:start]), "<mark>", escape(text[start:end]), "</mark>"]
        place = end
    return "".join([*parts, escape(text[place:])])


def choose_for_review(rows: pl.LazyFrame, per_strategy: int, *, seed: int) -> list[ReviewItem]:
    """Random kept negatives of each strategy that nobody has looked at, in the order of their ids.

    Args:
        rows: of ``hard_negatives``; only those chosen are read whole.
        per_strategy: how many of each.
        seed: of the choice.
    """
    open_ = (pl.col("verdict") == Outcome.KEPT.value) & ~pl.col("verdict_reason").str.starts_with(f"{REVIEWED}:")
    ids = rows.filter(open_).select("strategy", "negative_id").sort("strategy", "negative_id").collect()
    chosen: list[str] = []
    for own in ids.partition_by("strategy", maintain_order=True):
        picked = np.random.default_rng(seed).permutation(own.height)[:per_strategy]
        chosen += own["negative_id"].gather(np.sort(picked)).to_list()
    found = rows.filter(pl.col("negative_id").is_in(chosen)).sort("strategy", "negative_id").collect()
    return [_item(from_row(row)) for row in found.iter_rows(named=True)]


def _item(one: Judged) -> ReviewItem:
    edits = one.negative.edits
    before = mark(one.negative.positive_text, [(edit.start, edit.end) for edit in edits])
    return ReviewItem(one, before, mark(one.negative.text, edited_spans(edits)))
