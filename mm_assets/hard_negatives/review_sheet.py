"""Random negatives for people to look at: rows of a table, and the picture with both texts, the edit marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np

from mm_assets.hard_negatives.negatives import Outcome, edited_spans
from mm_assets.hard_negatives.verdicts import Judged

COLUMNS: Final = ("negative_id", "strategy", "kind", "positive", "negative", "similarity", "verdict", "reason")
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

    def to_row(self) -> dict[str, Any]:
        """Columns of the sheet."""
        negative = self.judged.negative
        return {
            "negative_id": negative.negative_id,
            "strategy": negative.strategy.value,
            "kind": None if negative.kind is None else negative.kind.value,
            "positive": self.positive_marked,
            "negative": self.negative_marked,
            "similarity": None if np.isnan(self.judged.similarity) else round(self.judged.similarity, 3),
            "verdict": self.judged.outcome.value,
            "reason": self.judged.reason,
        }


def mark(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A text with spans in brackets.

    >>> mark("A red car", [(2, 5)])
    'A ⟦red⟧ car'
    """
    parts, place = list[str](), 0
    for start, end in sorted(spans):
        parts += [text[place:start], _OPENING, text[start:end], _CLOSING]
        place = end
    return "".join([*parts, text[place:]])


def mark_html(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A text as HTML with spans marked.

    >>> mark_html("A <b> car", [(2, 5)])
    'A <mark>&lt;b&gt;</mark> car'
    """
    parts, place = list[str](), 0
    for start, end in sorted(spans):
        parts += [escape(text[place:start]), "<mark>", escape(text[start:end]), "</mark>"]
        place = end
    return "".join([*parts, escape(text[place:])])


def choose_for_review(judged: Sequence[Judged], per_strategy: int, *, seed: int) -> list[ReviewItem]:
    """Random kept negatives of each strategy that nobody has looked at, in the order of their ids.

    Args:
        judged: with verdicts.
        per_strategy: how many of each.
        seed: of the choice.
    """
    items: list[ReviewItem] = []
    for strategy in sorted({one.negative.strategy for one in judged}):
        open_ = sorted(
            (
                one
                for one in judged
                if one.negative.strategy is strategy and one.outcome is Outcome.KEPT and not one.reviewed
            ),
            key=lambda one: one.negative.negative_id,
        )
        picked = np.random.default_rng(seed).permutation(len(open_))[:per_strategy]
        items += [_item(open_[place]) for place in sorted(picked.tolist())]
    return items


def _item(one: Judged) -> ReviewItem:
    edits = one.negative.edits
    before = mark(one.negative.positive_text, [(edit.start, edit.end) for edit in edits])
    return ReviewItem(one, before, mark(one.negative.text, edited_spans(edits)))
