# pyright: strict
"""The captions of some images, each laid out as a problem of boxes and phrases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from mm_assets.aligned.objects.anchoring.caption_problem import CaptionProblem
from mm_assets.aligned.objects.anchoring.cue_support import Placed
from mm_assets.aligned.objects.anchoring.cues import Cue, find_cues

Booleans: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BoardPhrase:
    """A phrase on the board; see `mm_assets.aligned.objects.anchoring.phrases.Phrase`."""

    start: int
    end: int
    head: str
    modifiers: Sequence[str]
    plural: bool
    capacity: int


@dataclass(frozen=True)
class CaptionPairs:
    """Pairs of one caption.

    Attributes:
        boxes: int64, shape (B,): numbers of the boxes, ascending.
        phrases: int64, shape (P,): numbers of the phrases, ascending.
        problem: the weights of the pairs, with what else counts.
        clash: bool, shape (B, P): label and phrase name different colours.
        labels: labels of the boxes.
        named: the phrases.
    """

    boxes: Integers
    phrases: Integers
    problem: CaptionProblem
    clash: Booleans
    labels: list[str | None]
    named: list[BoardPhrase]

    def labels_of(self, boxes: Integers) -> list[str | None]:
        """Labels of boxes by their row."""
        rows: list[int] = boxes.tolist()
        return [self.labels[row] for row in rows]

    def descriptions_of(self, phrases: Integers) -> list[tuple[str, Sequence[str]]]:
        """Heads and modifiers of phrases by their column."""
        columns: list[int] = phrases.tolist()
        return [(self.named[column].head, self.named[column].modifiers) for column in columns]


class CaptionBoard:
    """Boxes and phrases by number.

    Args:
        boxes: columns ``box`` (0 to N - 1, ascending), ``label``, corners and image size.
        phrases: columns ``phrase`` (0 to M - 1, ascending), ``caption``, place, head, modifiers, number and capacity.
        texts: text of each caption, by its number.
    """

    def __init__(self, boxes: pl.DataFrame, phrases: pl.DataFrame, texts: Sequence[str]) -> None:
        self._corners = boxes.select("x1", "y1", "x2", "y2").to_numpy().astype(np.float64)
        self._sizes = boxes.select("image_width", "image_height").to_numpy().astype(np.float64)
        self._labels = boxes["label"].to_list()
        self._texts = texts
        self._phrases = phrases
        self._first_of = np.searchsorted(phrases["caption"].to_numpy(), np.arange(len(texts) + 1))

    def lay_out(self, pairs: pl.DataFrame, taken: pl.DataFrame | None = None) -> Iterator[CaptionPairs]:
        """One problem per caption that has pairs.

        Args:
            pairs: columns ``caption``, ``box``, ``phrase``, ``weight`` and ``colors_clash``.
            taken: column ``phrase``: one row per box that has a phrase already.
        """
        ordered = pairs.sort("caption", "box", "phrase")
        caption = ordered["caption"].to_numpy()
        bounds = [0, *(np.flatnonzero(caption[1:] != caption[:-1]) + 1).tolist(), len(caption)] if len(caption) else []
        numbers = ordered["box"].to_numpy().astype(np.int64), ordered["phrase"].to_numpy().astype(np.int64)
        weight, clash = ordered["weight"].to_numpy(), ordered["colors_clash"].to_numpy()
        used = dict(taken.group_by("phrase").len().iter_rows()) if taken is not None else {}
        for start, end in pairwise(bounds):
            rows = slice(start, end)
            yield self._one(int(caption[start]), numbers[0][rows], numbers[1][rows], weight[rows], clash[rows], used)

    def _one(
        self,
        caption: int,
        box: Integers,
        phrase: Integers,
        weight: npt.NDArray[np.float64],
        clash: Booleans,
        used: dict[int, int],
    ) -> CaptionPairs:
        boxes, row = np.unique(box, return_inverse=True)
        phrases, column = np.unique(phrase, return_inverse=True)
        weights = np.full((len(boxes), len(phrases)), np.nan)
        weights[row, column] = weight
        clashes = np.zeros(weights.shape, dtype=np.bool_)
        clashes[row, column] = clash
        first = int(self._first_of[caption])
        everything = self._read(first, int(self._first_of[caption + 1]))
        numbers: list[int] = phrases.tolist()
        rows: list[int] = boxes.tolist()
        named = [everything[number - first] for number in numbers]
        place_of = {number - first: place for place, number in enumerate(numbers)}
        cues = [
            Cue(place_of[cue.phrase], cue.axis, cue.side, cue.rank, None if cue.other is None else place_of[cue.other])
            for cue in find_cues(self._texts[caption], everything)
            if cue.phrase in place_of and (cue.other is None or cue.other in place_of)
        ]
        width, height = self._sizes[boxes[0]]
        problem = CaptionProblem(
            weights,
            [max(0, one.capacity - used.get(number, 0)) for one, number in zip(named, numbers, strict=True)],
            [one.plural for one in named],
            Placed.of(self._corners[boxes], width, height),
            cues,
        )
        return CaptionPairs(boxes, phrases, problem, clashes, [self._labels[number] for number in rows], named)

    def _read(self, first: int, behind: int) -> list[BoardPhrase]:
        rows = self._phrases.slice(first, behind - first)
        columns = ("start", "end", "head", "modifiers", "number", "capacity")
        return [
            BoardPhrase(start, end, head, modifiers, number == "plural", capacity)
            for start, end, head, modifiers, number, capacity in rows.select(columns).iter_rows()
        ]
