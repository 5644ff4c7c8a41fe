# pyright: strict
"""What the recall gate found, and the forms in which it is stored."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from mm_assets.errors import CrossModalCode
from mm_assets.gates.diagnosis import Diagnosis
from mm_assets.gates.recall_baseline import Baseline
from mm_assets.gates.recall_evidence import EvidencePair
from mm_assets.gates.recall_input import Floats
from mm_assets.gates.recall_null import Null
from mm_assets.gates.verdicts import GateVerdict, finite, stored_verdict
from mm_assets.identifiers import make_id

GATE: Final = "recall"


@dataclass(frozen=True)
class DirectionScores:
    """Expected scores of one direction, averaged over its queries."""

    r1: float
    r5: float
    mrr: float


@dataclass(frozen=True, eq=False)
class RecallVerdict:
    """What the gate found.

    Attributes:
        digest: hash of everything the verdict depends on.
        pairs: pairs evaluated.
        available_pairs: pairs before sampling.
        pool_size: candidates per query.
        image_to_text: scores of images asking for captions.
        text_to_image: scores of captions asking for images.
        recall_at_1: mean R@1 of both directions.
        interval: its bootstrap interval.
        null: its null under re-pairing.
        baseline: what it was held against.
        required: R@1 on this batch's pools it must not be significantly below.
        shortfall_p_value: p-value of being below.
        judged: whether there were pairs enough.
        passed: whether the batch meets the gate; True if it was not judged.
        code: cross-modal code of a failure.
        reason: the verdict in one sentence.
        diagnosis: explanation and evidence; None if the batch was not judged.
        examples: pairs to look at, the most telling first.
        matched: shape (pairs,), similarity of each delivered pair.
        mismatched: similarities of image-caption pairs that were not delivered together, a seeded sample.
        restored: similarities of the pairs under the best order hypothesis; empty without one.
    """

    digest: str
    pairs: int
    available_pairs: int
    pool_size: int
    image_to_text: DirectionScores
    text_to_image: DirectionScores
    recall_at_1: float
    interval: tuple[float, float]
    null: Null
    baseline: Baseline
    required: float
    shortfall_p_value: float
    judged: bool
    passed: bool
    code: CrossModalCode | None
    reason: str
    diagnosis: Diagnosis | None
    examples: tuple[EvidencePair, ...]
    matched: Floats
    mismatched: Floats
    restored: Floats

    def evaluation_id(self, batch: str) -> str:
        """Id of this verdict on this batch."""
        return make_id("eval", GATE, batch, self.digest)

    def to_json(self) -> dict[str, Any]:
        """Diagnosis and examples, JSON-able."""
        found: dict[str, Any] = {} if self.diagnosis is None else self.diagnosis.to_json()
        return found | {
            "judged": self.judged,
            "available_pairs": self.available_pairs,
            "shortfall_p_value": finite(self.shortfall_p_value),
            "null_high": finite(self.null.high),
            "examples": [asdict(example) for example in self.examples],
        }

    def to_row(self, batch: str, source: str) -> dict[str, Any]:
        """One row of ``image_text_recall``; NaN where a batch of fewer than two pairs has no value."""
        named = self.diagnosis is not None and self.diagnosis.kind != "in_place"
        return {
            "batch": batch,
            "evaluation_id": self.evaluation_id(batch),
            "source": source,
            "pairs": self.pairs,
            "pool_size": self.pool_size,
            "image_to_text_r1": self.image_to_text.r1,
            "image_to_text_r5": self.image_to_text.r5,
            "image_to_text_mrr": self.image_to_text.mrr,
            "text_to_image_r1": self.text_to_image.r1,
            "text_to_image_r5": self.text_to_image.r5,
            "text_to_image_mrr": self.text_to_image.mrr,
            "recall_at_1": self.recall_at_1,
            "recall_low": self.interval[0],
            "recall_high": self.interval[1],
            "null_mean": self.null.mean,
            "null_p_value": self.null.p_value,
            "baseline": self.required,
            "baseline_kind": self.baseline.kind,
            "baseline_batches": list(self.baseline.batches),
            "passed": self.passed,
            "code": self.code.value if self.code else None,
            "reason": self.reason,
            "hypothesis": self.diagnosis.best.hypothesis if self.diagnosis and named else None,
            "rows_explained": self.diagnosis.best.rows_explained if self.diagnosis and named else None,
            "diagnosis_json": json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True),
        }


def verdict_of_row(row: Mapping[str, Any]) -> GateVerdict:
    """The verdict that a row of ``image_text_recall`` states."""
    return stored_verdict(row, GATE, measured=row["recall_at_1"], threshold=row["baseline"])
