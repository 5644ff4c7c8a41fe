# pyright: strict
"""Evidence for shifted labels: does a row's label belong to the crop of another row?

If the label of a box stands k boxes further, every row has the label of the box k before it. Most often that box has a
label of its own, and the two crops decide whose label it is. If it has the same one, the row may be a copy, or two
boxes may naturally show the same kind of thing: neighbours in one picture, or a delivery sorted by class. Such rows
are evidence only where labels repeat across pictures at that distance and at no other, which no natural order does.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from mm_assets.aligned.objects.gate.gate_boxes import GateBoxes
from mm_assets.aligned.objects.gate.hypotheses import Hypothesis
from mm_assets.aligned.objects.gate.region_evidence import LabelScale
from mm_assets.gates.recall_input import Booleans, Floats, Integers, Singles

_TIMES_AS_OFTEN: Final = 2.0
_DEVIATIONS: Final = 4.0
_LAGS: Final = 10


@dataclass(frozen=True, eq=False)
class ShiftedMatch:
    """What K shifts say about n rows.

    Attributes:
        surprise: shape (K, n), of each row's label and the crop it belongs to; NaN where that says nothing.
        copied: shape (K, n), rows whose label is also that box's own.
    """

    surprise: Floats
    copied: Booleans


def match_shifted(
    boxes: GateBoxes,
    shifts: tuple[Hypothesis, ...],
    rows: Integers,
    crops: Singles,
    labels: Singles,
    label_scale: LabelScale,
) -> ShiftedMatch:
    """Compare every row's label with the crop each shift takes it from.

    Args:
        boxes: n boxes.
        shifts: K shifts.
        rows: rows whose crop was encoded, m of them.
        crops: their embeddings, shape (m, D).
        labels: embeddings of the distinct labels.
        label_scale: what similarities are by chance.
    """
    crop_of = np.full(len(boxes), -1, dtype=np.int64)
    crop_of[rows] = np.arange(len(rows))
    surprise = np.full((len(shifts), len(boxes)), np.nan)
    copied = np.zeros((len(shifts), len(boxes)), dtype=np.bool_)
    for place, shift in enumerate(shifts):
        source = boxes.neighbours(-shift.shift)
        told = (source >= 0) & (crop_of[source] >= 0) & (crop_of >= 0)
        equal = told & (boxes.label_of[source] == boxes.label_of)
        if _is_out_of_order(boxes, shift.shift):
            copied[place] = equal
        else:
            told &= ~equal
        if told.any():
            surprise[place, told] = label_scale.surprise(crops[crop_of[source[told]]], labels[boxes.label_of[told]])
    return ShiftedMatch(surprise, copied)


def _is_out_of_order(boxes: GateBoxes, k: int) -> bool:
    """Whether labels repeat across pictures at this distance far more often than at others."""
    pairs, count = _repetition(boxes, abs(k))
    others = np.array([_repetition(boxes, lag) for lag in range(1, _LAGS + 1) if lag != abs(k)])
    expected = pairs * float(others[:, 1].sum()) / max(float(others[:, 0].sum()), 1.0)
    return count > _TIMES_AS_OFTEN * expected + _DEVIATIONS * math.sqrt(expected) + _DEVIATIONS / 2.0


def _repetition(boxes: GateBoxes, lag: int) -> tuple[int, int]:
    """Boxes with one ``lag`` before them in another picture, and how many of them have its label."""
    source = boxes.neighbours(-lag)
    across = (source >= 0) & (boxes.image_of[source] != boxes.image_of)
    equal = across & (boxes.label_of[source] == boxes.label_of)
    return int(np.count_nonzero(across)), int(np.count_nonzero(equal))
