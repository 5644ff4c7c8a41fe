# pyright: strict
"""Boxes to phrases, one to one but for phrases that several boxes may share, and how firm each choice is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

NOWHERE: Final = -1
_FORBIDDEN: Final = -1e6


@dataclass(frozen=True)
class Assignment:
    """The best assignment of B boxes to P phrases.

    Attributes:
        phrase_of: int64, shape (B,): phrase of each box, -1 for none.
        losses: float64, shape (B, P + 1): by how much the total falls short of the best if the box is forced to the
            phrase, or in the last column to none; infinite where that is not allowed.
    """

    phrase_of: Integers
    losses: Floats


def assign_boxes(weights: Floats, capacities: Sequence[int]) -> Assignment:
    """Choose the phrase of each box so that the sum of weights is largest.

    Args:
        weights: float64, shape (B, P): worth of a box at a phrase, above 0; NaN where they do not go together.
        capacities: how many boxes each phrase takes.

    Returns:
        The assignment, and what every other choice would cost. The same input gives the same assignment.

    Source: Kuhn 1955 for the assignment; the losses are shortest paths over exchanges of boxes (Floyd 1962).
    """
    boxes, phrases = weights.shape
    allowed = ~np.isnan(weights)
    worth = np.where(allowed, weights, _FORBIDDEN)
    places = np.minimum(np.asarray(capacities, dtype=np.int64), allowed.sum(axis=0))
    column_phrase: Integers = np.repeat(np.arange(phrases, dtype=np.int64), places)
    table = np.concatenate([worth[:, column_phrase], np.zeros((boxes, boxes))], axis=1)
    rows, columns = cast("tuple[Integers, Integers]", linear_sum_assignment(table, maximize=True))
    phrase_of = np.full(boxes, NOWHERE, dtype=np.int64)
    placed = columns < len(column_phrase)
    phrase_of[rows[placed]] = column_phrase[columns[placed]]
    losses = _losses(np.concatenate([worth, np.zeros((boxes, 1))], axis=1), phrase_of, places)
    losses[:, :phrases][~allowed] = np.inf
    return Assignment(phrase_of, losses)


def _losses(worth: Floats, phrase_of: Integers, places: Integers) -> Floats:
    """Shape (B, P + 1); the last phrase is none, which takes every box.

    A box that is forced elsewhere pushes others along a chain until one finds room or the place that became free; the
    cheapest chain is a shortest path. Phrases are its nodes, and one more node stands for room: a phrase with room
    leads to it, and it leads to every phrase that could give up a box.
    """
    boxes, none = worth.shape[0], worth.shape[1] - 1
    room = none + 1
    current = np.where(phrase_of == NOWHERE, none, phrase_of)
    occupied = np.bincount(current, minlength=room)
    moves = worth[np.arange(boxes), current][:, None] - worth
    step = np.full((room + 1, room + 1), np.inf)
    np.minimum.at(step[:, :room], current, moves)
    np.fill_diagonal(step, 0.0)
    step[:none, room] = np.where(occupied[:none] < places, 0.0, np.inf)
    step[none, room] = 0.0
    step[room, :room] = np.where(occupied > 0, 0.0, np.inf)
    for middle in range(room + 1):
        step = np.minimum(step, step[:, middle, None] + step[None, middle])
    losses = moves + step[:room, current].T
    losses[np.arange(boxes), current] = 0.0
    return np.maximum(losses, 0.0)
