# pyright: strict
"""What is said about a box and a caption, collected caption by caption."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from mm_assets.aligned.objects.anchoring.assignment import NOWHERE
from mm_assets.aligned.objects.anchoring.caption_board import CaptionPairs
from mm_assets.aligned.objects.anchoring.caption_problem import Outcome

ANCHORED: Final = "anchored"
LABEL_ONLY: Final = "label_only"
AMBIGUOUS: Final = "ambiguous"
MISMATCHED: Final = "mismatched"
VERDICTS: Final = (ANCHORED, LABEL_ONLY, AMBIGUOUS, MISMATCHED)

VERDICT_SCHEMA: Final = pl.Schema({"box": pl.UInt32, "phrase": pl.UInt32, "verdict": pl.Enum(VERDICTS)})


class VerdictList:
    """Rows of `VERDICT_SCHEMA`, one per box and caption that names it."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, str]] = []

    def add_decided(self, pairs: CaptionPairs, outcome: Outcome) -> None:
        """Boxes with a single near choice: anchored, or mismatched if the caption says otherwise of the phrase."""
        against = pairs.clash | outcome.contradicted
        for box in np.flatnonzero(outcome.decided & (outcome.phrase_of != NOWHERE)):
            self._add(pairs, box, outcome, MISMATCHED if against[box, outcome.phrase_of[box]] else ANCHORED)

    def add_ambiguous(self, pairs: CaptionPairs, outcome: Outcome, boxes: npt.NDArray[np.int64]) -> None:
        """Boxes with several near choices, under the best of them."""
        for box in boxes:
            self._add(pairs, box, outcome, AMBIGUOUS)

    def add_crowd(self, pairs: CaptionPairs) -> None:
        """All boxes of a caption where too many compete, each under the phrase that suits it best."""
        best = np.nanargmax(pairs.problem.weights, axis=1)
        for box, phrase in zip(pairs.boxes, pairs.phrases[best], strict=True):
            self._rows.append((int(box), int(phrase), AMBIGUOUS))

    def frame(self) -> pl.DataFrame:
        """The rows, in the order they came."""
        return pl.DataFrame(self._rows, schema=VERDICT_SCHEMA, orient="row")

    def _add(self, pairs: CaptionPairs, box: np.int64, outcome: Outcome, verdict: str) -> None:
        phrase = pairs.phrases[outcome.phrase_of[box]]
        self._rows.append((int(pairs.boxes[box]), int(phrase), verdict))
