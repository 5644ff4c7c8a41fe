# pyright: strict
"""Bind captions to figures and tables: by markup, by number, by place, and by what they say and show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mm_assets.aligned.documents.structure.caption_evidence import (
    Evidence,
    Layout,
    Pair,
    Similarity,
    kind_of,
    logit,
    weigh_pairs,
)
from mm_assets.aligned.documents.structure.caption_matching import match_pairs
from mm_assets.documents.blocks import Block
from mm_assets.policy.document_captions import DocumentCaptionPolicy

BoundBy = Literal["markup", "number", "place", "similarity", "none"]
_NUMBERED: Final = 0.01  # evidence by number, log-odds, that counts as such
_ALIKE: Final = 0.9  # a picture in a row has the caption of its neighbour, if less surely


@dataclass(frozen=True, slots=True)
class CaptionBinding:
    """What caption a figure or table has.

    Attributes:
        position: of the figure or table.
        type: ``figure`` or ``table``.
        caption_position: of its caption; None without one.
        bound_by: what decided.
        score: how surely they belong together, 0 to 1; None without a caption.
    """

    position: int
    type: Literal["figure", "table"]
    caption_position: int | None
    bound_by: BoundBy
    score: float | None


@dataclass(frozen=True, slots=True)
class _Bound:
    caption: int
    by: BoundBy
    score: float


def bind_captions(
    blocks: Sequence[Block], similarity: Similarity | None, policy: DocumentCaptionPolicy
) -> list[CaptionBinding]:
    """Bind the captions of a document.

    A caption that the markup gives to a figure stays there. The others are matched so that the sum of their log-odds
    is largest: place (blocks, headings, pages, white space between, and the document's habit of captions above or
    below), equal numbers, words shared with alt text and file name, and embeddings. Captions with a number and those
    without are matched apart: a figure can have one of each, and then the one with a number is its caption.

    Args:
        blocks: of one document, by ascending position: figures, tables and captions; headings and text around them
            sharpen the judgement and may hold no text.
        similarity: cosine of embeddings of a figure and a caption, None where unknown.
        policy: weights.

    Returns:
        A binding for every figure, and for every table with a caption, by ascending position.
    """
    layout = Layout(blocks, policy)
    weighed = weigh_pairs(layout, similarity, policy)
    bound: dict[int, _Bound] = {}
    for numbered in (False, True):
        pairs = {
            pair: evidence for pair, evidence in weighed.items() if (kind_of(layout.block(pair[0])) != "") == numbered
        }
        bound.update(_match(pairs, policy))
    bound.update(_by_markup(layout))
    _share_in_rows(layout, bound)
    found: list[CaptionBinding] = []
    for block in layout.shown:
        one = bound.get(block.position)
        shown: Literal["figure", "table"] = "table" if block.type == "table" else "figure"
        if one is not None:
            found.append(CaptionBinding(block.position, shown, one.caption, one.by, one.score))
        elif shown == "figure":
            found.append(CaptionBinding(block.position, shown, None, "none", None))
    return found


def _by_markup(layout: Layout) -> dict[int, _Bound]:
    """Of several captions of a figure the one with a number, then the nearest."""
    own: dict[int, list[Block]] = {}
    for caption in layout.captions:
        if caption.of is not None and layout.is_shown(caption.of):
            own.setdefault(caption.of, []).append(caption)
    return {
        place: _Bound(min(found, key=lambda one: (not one.label, abs(one.position - place))).position, "markup", 1.0)
        for place, found in own.items()
    }


def _match(weighed: dict[Pair, Evidence], policy: DocumentCaptionPolicy) -> dict[int, _Bound]:
    """One caption for each figure, at most."""
    totals = {pair: evidence.total for pair, evidence in weighed.items()}
    nearest: dict[int, tuple[float, int]] = {}
    for (caption, shown), evidence in weighed.items():
        nearest[caption] = max(nearest.get(caption, (-math.inf, shown)), (evidence.place, shown))
    bound: dict[int, _Bound] = {}
    for caption, shown in match_pairs(totals, logit(policy.min_score)):
        evidence = weighed[caption, shown]
        if evidence.number > _NUMBERED:
            by: BoundBy = "number"
        else:
            by = "place" if evidence.place >= nearest[caption][0] else "similarity"
        bound[shown] = _Bound(caption, by, 1.0 / (1.0 + math.exp(-evidence.total)))
    return bound


def _share_in_rows(layout: Layout, bound: dict[int, _Bound]) -> None:
    """Pictures in a row, with one caption between them: each of them has it."""
    for order in (layout.shown, layout.shown[::-1]):
        before: Block | None = None
        for block in order:
            if (
                before is not None
                and block.position not in bound
                and before.position in bound
                and layout.in_one_row(before, block)
            ):
                own = bound[before.position]
                bound[block.position] = _Bound(own.caption, "place", own.score * _ALIKE)
            before = block
