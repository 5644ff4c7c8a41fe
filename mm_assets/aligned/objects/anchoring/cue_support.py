# pyright: strict
"""How well boxes fit what a caption says about place and size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mm_assets.aligned.objects.anchoring.cues import Axis, Cue
from mm_assets.policy import AnchoringPolicy

Floats: TypeAlias = npt.NDArray[np.float64]
Booleans: TypeAlias = npt.NDArray[np.bool_]

_LARGER_BY: Final = 1.1
_ENOUGH_TO_COMPARE: Final = 2


@dataclass(frozen=True)
class Placed:
    """Boxes that compete in one caption, in shares of the picture's sides.

    Attributes:
        x: float64, shape (B,): centres, 0 left to 1 right.
        y: float64, shape (B,): centres, 0 top to 1 bottom.
        area: float64, shape (B,).
    """

    x: Floats
    y: Floats
    area: Floats

    @classmethod
    def of(cls, corners: Floats, width: float, height: float) -> "Placed":
        """Of corners x1 y1 x2 y2 in pixels, shape (B, 4), in a picture of a size."""
        x1, y1, x2, y2 = corners.T
        return cls(
            (x1 + x2) / (2 * width), (y1 + y2) / (2 * height), (x2 - x1) * (y2 - y1) / (float(width) * float(height))
        )

    def along(self, axis: Axis) -> Floats:
        """Positions on an axis; of areas the logarithm, so that a gap is a ratio."""
        return np.log(self.area) if axis == "area" else (self.x if axis == "x" else self.y)


def support_cues(
    placed: Placed, allowed: Booleans, plural: Sequence[bool], cues: Sequence[Cue], policy: AnchoringPolicy
) -> Floats:
    """How well each box fits the cues of each phrase, among the boxes that compete for it.

    Args:
        placed: the B boxes.
        allowed: bool, shape (B, P): which box may go to which of the P phrases.
        plural: whether a phrase names several things.
        cues: cues of the phrases.
        policy: how far apart centres must be.

    Returns:
        float64, shape (B, P), 0 to 1: mean over the cues of the phrase that tell its boxes apart; 0 without any.
    """
    total = np.zeros(allowed.shape)
    told = np.zeros(allowed.shape[1])
    for cue in cues:
        mine = np.flatnonzero(allowed[:, cue.phrase])
        values = _fit(placed.along(cue.axis), mine, allowed, cue, policy, plural=plural[cue.phrase])
        if values is not None:
            total[mine, cue.phrase] += values
            told[cue.phrase] += 1
    return total / np.maximum(told, 1)


def _fit(
    along: Floats, mine: npt.NDArray[np.intp], allowed: Booleans, cue: Cue, policy: AnchoringPolicy, *, plural: bool
) -> Floats | None:
    """Values of the boxes ``mine``, or None where the cue tells nothing apart."""
    gap = np.log(_LARGER_BY) if cue.axis == "area" else policy.min_gap
    if cue.other is not None:
        return _fit_relation(along, mine, np.flatnonzero(allowed[:, cue.other]), -cue.side, gap)
    if len(mine) < _ENOUGH_TO_COMPARE:
        return None
    if plural and cue.axis != "area":
        return ((along[mine] - 0.5) * cue.side > 0).astype(np.float64)
    if cue.side == 0:
        distance = np.abs(along[mine] - (along[mine].min() + along[mine].max()) / 2)
        return (distance <= distance.min() + gap / 2).astype(np.float64)
    ordered = along[mine] * -cue.side
    if cue.rank is not None:
        return (np.argsort(np.argsort(ordered, kind="stable"), kind="stable") == cue.rank).astype(np.float64)
    return (ordered <= ordered.min() + gap).astype(np.float64)


def _fit_relation(
    along: Floats, mine: npt.NDArray[np.intp], others: npt.NDArray[np.intp], direction: int, gap: float
) -> Floats | None:
    """Share of the other phrase's boxes that lie where the caption says, seen from each of mine."""
    ahead = (along[others][None, :] - along[mine][:, None]) * direction > gap
    differs = mine[:, None] != others[None, :]
    if not differs.any():
        return None
    return (ahead & differs).sum(axis=1) / np.maximum(differs.sum(axis=1), 1)


def contradict_cues(placed: Placed, allowed: Booleans, cues: Sequence[Cue], policy: AnchoringPolicy) -> Booleans:
    """Which box lies where the caption says that its phrase does not.

    Only a phrase with a single box is judged, and only by left, right, top and bottom of the picture or by left and
    right of a phrase that has a single box, too.

    Returns:
        bool, shape (B, P).
    """
    contradicted = np.zeros_like(allowed)
    single = allowed.sum(axis=0) == 1
    for cue in cues:
        if not single[cue.phrase] or cue.axis == "area" or cue.rank is not None or cue.side == 0:
            continue
        box = int(np.flatnonzero(allowed[:, cue.phrase])[0])
        along = placed.along(cue.axis)
        if cue.other is None:
            wrong = (along[box] - 0.5) * -cue.side > policy.contradiction - 0.5
        elif single[cue.other] and cue.axis == "x":
            other = int(np.flatnonzero(allowed[:, cue.other])[0])
            wrong = (along[box] - along[other]) * -cue.side > policy.min_gap
        else:
            continue
        contradicted[box, cue.phrase] |= bool(wrong)
    return contradicted
