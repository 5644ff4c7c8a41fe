# pyright: strict
"""One caption: which of its phrases each of some boxes is, and which choices stay open."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mm_assets.aligned.objects.anchoring.assignment import NOWHERE, assign_boxes
from mm_assets.aligned.objects.anchoring.cue_support import Placed, contradict_cues, support_cues
from mm_assets.aligned.objects.anchoring.cues import SIZES, Cue
from mm_assets.aligned.objects.anchoring.lexical import split_words
from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.policy import AnchoringPolicy

Floats: TypeAlias = npt.NDArray[np.float64]
Booleans: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.int64]

_LEXICON: Final = read_lexicon()


@dataclass(frozen=True)
class CaptionProblem:
    """B boxes and P phrases of one caption.

    Attributes:
        weights: float64, shape (B, P): worth of a box at a phrase; NaN where they do not go together.
        capacities: boxes each phrase takes.
        plural: whether a phrase names several things.
        placed: where the boxes lie.
        cues: what the caption says about place and size, by number of the phrase.
    """

    weights: Floats
    capacities: Sequence[int]
    plural: Sequence[bool]
    placed: Placed
    cues: Sequence[Cue]


@dataclass(frozen=True)
class Outcome:
    """What the weights say.

    Attributes:
        phrase_of: int64, shape (B,): the phrase chosen, -1 for none; of an open box its best phrase.
        near: bool, shape (B, P + 1): choices that are hardly worse than the best; the last is no phrase.
        contradicted: bool, shape (B, P): the caption says that the phrase lies elsewhere.
    """

    phrase_of: Integers
    near: Booleans
    contradicted: Booleans

    @property
    def decided(self) -> Booleans:
        """Shape (B,): boxes with a single near choice."""
        return self.near.sum(axis=1) == 1


def solve_caption(problem: CaptionProblem, policy: AnchoringPolicy) -> Outcome:
    """Assign the boxes of a caption by weight and by the cues about place and size."""
    allowed = ~np.isnan(problem.weights)
    support = support_cues(problem.placed, allowed, problem.plural, problem.cues, policy)
    weights = problem.weights + policy.place_weight * support
    assignment = assign_boxes(weights, problem.capacities)
    near = assignment.losses <= policy.min_margin
    best = np.where(np.isnan(weights), np.inf, assignment.losses[:, :-1]).argmin(axis=1)
    open_box = near.sum(axis=1) > 1
    phrase_of = np.where((assignment.phrase_of == NOWHERE) & open_box, best, assignment.phrase_of)
    return Outcome(phrase_of, near, contradict_cues(problem.placed, allowed, problem.cues, policy))


def split_open(near: Booleans) -> Iterator[tuple[Integers, Integers]]:
    """Boxes and phrases that are open together: connected parts of the near choices of open boxes.

    Args:
        near: bool, shape (B, P + 1), as in `Outcome`.

    Yields:
        Boxes and phrases, int64, ascending.
    """
    phrases = near[:, :-1]
    waiting = list(np.flatnonzero(near.sum(axis=1) > 1))
    while waiting:
        boxes, found = {waiting[0]}, set[int]()
        while True:
            found = set(np.flatnonzero(phrases[sorted(boxes)].any(axis=0)).tolist())
            joined = {box for box in waiting if phrases[box, sorted(found)].any()} | boxes
            if joined == boxes:
                break
            boxes = joined
        waiting = [box for box in waiting if box not in boxes]
        yield np.array(sorted(boxes), dtype=np.int64), np.array(sorted(found), dtype=np.int64)


def crops_tell_apart(labels: Sequence[str | None], phrases: Sequence[tuple[str, Sequence[str]]]) -> bool:
    """Whether looking at the crops can settle what is open among some boxes and phrases.

    It cannot where boxes of one label compete for phrases that describe them alike, as "a duck and another duck".

    Args:
        labels: labels of the boxes.
        phrases: head and modifiers of the phrases.

    >>> crops_tell_apart(["duck", "duck"], [("duck", []), ("duck", ["left"])])
    False
    >>> crops_tell_apart(["duck", "duck"], [("duck", ["yellow"])])
    True
    """
    told = {(head, _described(modifiers)) for head, modifiers in phrases}
    if len(told) > 1 or len(set(labels)) > 1:
        return True
    named = set(split_words(labels[0])) if labels[0] else set[str]()
    return any(described - named for _, described in told)


def _described(modifiers: Sequence[str]) -> frozenset[str]:
    return frozenset(modifiers) - _LEXICON.positional - frozenset(SIZES)
