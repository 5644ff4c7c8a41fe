# pyright: strict
"""Cues that run into one another, or that tell the clip in another order than it happens.

Direction is told by warping: a matrix of distances between what is seen or heard and what is told has a cheap path from
corner to corner if both run the same way. The path through the mirrored matrix is that of a clip told backwards, and
paths through matrices with shuffled rows are those of a clip told in no order.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks, Floats, TimedTexts
from mm_assets.aligned.segments.offsets.word_matches import WordMatches, measure_order
from mm_assets.aligned.segments.warping import warp_distances
from mm_assets.policy import OffsetGatePolicy, WarpingPolicy

_SHUFFLES = 99
_LEVEL = 0.01
_LEAST_MATCHES = 4
_LEAST_SIDE = 3


class Disorder(StrEnum):
    """What is wrong with the order of a clip's cues."""

    NONE = "none"
    OVERLAPPING = "overlapping_cues"
    UNORDERED = "unordered_cues"
    REVERSED = "reversed_cues"
    LOST = "order_lost"


@dataclass(frozen=True)
class Direction:
    """Which way a path runs.

    Attributes:
        forward: cost of the path as told, a step.
        backward: cost of the path with one side reversed, a step.
        forward_p: share of shuffled orders that are told as cheaply.
        backward_p: the same of the reversed one.
    """

    forward: float
    backward: float
    forward_p: float
    backward_p: float

    @property
    def is_reversed(self) -> bool:
        """Whether the reversed order is no chance, and the given one no better than chance."""
        return self.backward_p <= _LEVEL < self.forward_p and self.backward < self.forward


@dataclass(frozen=True)
class CueOrder:
    """What was found about the order of one clip's cues.

    Attributes:
        clip_id: the clip.
        disorder: what is wrong, the gravest first: reversed, lost, unordered, overlapping.
        overlapping: share of cues that run into the next.
        unordered: share of cues that start before the one they follow in the file.
        order: rank correlation of cues and the words they show; NaN without words.
        direction: which way the path of frames and sentences runs; None without their distances.
    """

    clip_id: str
    disorder: Disorder
    overlapping: float
    unordered: float
    order: float
    direction: Direction | None

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "clip_id": self.clip_id,
            "disorder": self.disorder.value,
            "overlapping_cues": round(self.overlapping, 4),
            "unordered_cues": round(self.unordered, 4),
            "order": round(self.order, 4) if math.isfinite(self.order) else None,
        }


def judge_order(
    clip: ClipTracks, matches: WordMatches | None, policy: OffsetGatePolicy, warping: WarpingPolicy
) -> CueOrder:
    """Look at the order of a clip's cues.

    Args:
        clip: the clip.
        matches: its cues found in its transcript; None without one.
        policy: shares that are allowed.
        warping: band and memory of the paths.
    """
    overlapping, unordered = measure_overlap(clip.cues) if clip.cues is not None else (0.0, 0.0)
    order = measure_order(matches) if matches is not None and len(matches) >= _LEAST_MATCHES else math.nan
    direction = None
    if clip.sentence_distances is not None and min(clip.sentence_distances.shape) >= _LEAST_SIDE:
        direction = measure_direction(clip.sentence_distances, warping, policy.seed)
    if order <= -policy.min_order or (direction is not None and direction.is_reversed):
        disorder = Disorder.REVERSED
    elif order < policy.min_order:
        disorder = Disorder.LOST
    elif unordered > policy.max_disordered_cues:
        disorder = Disorder.UNORDERED
    elif overlapping > policy.max_overlapping_cues:
        disorder = Disorder.OVERLAPPING
    else:
        disorder = Disorder.NONE
    return CueOrder(clip.clip_id, disorder, overlapping, unordered, order, direction)


def measure_overlap(cues: TimedTexts) -> tuple[float, float]:
    """Share of cues that run into the next one by time, and of those that start before the one they follow.

    >>> times = np.array([0, 4, 2]), np.array([1, 5, 5])
    >>> measure_overlap(TimedTexts(("a", "b", "c"), *times))
    (0.5, 0.5)
    """
    if len(cues) < 2:  # noqa: PLR2004 - one cue follows none
        return 0.0, 0.0
    order = np.argsort(cues.start_us, kind="stable")
    overlapping = cues.end_us[order][:-1] > cues.start_us[order][1:]
    unordered = np.diff(cues.start_us) < 0
    return float(overlapping.mean()), float(unordered.mean())


def measure_direction(distances: Floats, warping: WarpingPolicy, seed: int) -> Direction:
    """Which way the cheapest path through a matrix of distances runs.

    Args:
        distances: shape (frames, sentences), 3 or more of each, not negative.
        warping: band and memory of each path.
        seed: of the shuffled orders.

    Raises:
        InputError: a distance is negative or not finite.
        MemoryQuotaError: the matrix is too large for the quota.
    """
    generator = np.random.default_rng(seed)
    columns = distances.shape[1]
    forward = _cost(distances, warping)
    backward = _cost(distances[:, ::-1], warping)
    shuffled = np.array([_cost(distances[:, generator.permutation(columns)], warping) for _ in range(_SHUFFLES)])
    as_cheap = [(1 + int((shuffled <= cost).sum())) / (1 + _SHUFFLES) for cost in (forward, backward)]
    return Direction(forward, backward, as_cheap[0], as_cheap[1])


def _cost(distances: Floats, warping: WarpingPolicy) -> float:
    found = warp_distances(np.ascontiguousarray(distances), warping)
    return found.cost / len(found.path)
