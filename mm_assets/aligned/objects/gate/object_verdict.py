# pyright: strict
"""What the object gate found, and the forms in which it is stored."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.gates.recall_baseline import Baseline
from mm_assets.gates.recall_input import Floats
from mm_assets.gates.recall_null import Null
from mm_assets.gates.verdicts import GateVerdict, finite, stored_verdict
from mm_assets.identifiers import make_id

GATE: Final = "objects"
LABELS_PERMUTED: Final = "labels_permuted"
MISPLACED: Final = "misplaced_boxes"
WEAKLY_RELATED: Final = "weakly_related"


@dataclass(frozen=True)
class Diagnosis:
    """The best explanation of a batch.

    Attributes:
        hypothesis: its name, such as ``mirror_x`` or ``label_shift(+1)``; ``as_given`` if nothing is wrong.
        kind: kind of correction that undoes it. None undoes ``labels_permuted`` (boxes hold things, but others than
            named), ``misplaced_boxes`` (they hold nothing, and no known fault says why), ``weakly_related`` and
            ``as_given``.
        parameters: of that correction.
        code: cross-modal code, None for ``as_given``.
        log_ratio: natural logarithm of its likelihood over that of the boxes as given; None without one.
        p_value: bound on the probability of such evidence, or more, for any hypothesis while nothing is wrong.
        share: share of boxes it explains, 0 to 1.
        structure: scattered, images or runs: how the rows are hit.
        restored_recall: region R@1 of the judged boxes with the named rows corrected.
        affected: ids of the boxes named that a correction sets right, in delivery order.
        lost: ids of boxes whose label is wrong and whose right label no box has.
        confidence: posterior of each of them.
        evidence: every hypothesis, by falling evidence.
        examples: boxes to look at, the most telling first.
    """

    hypothesis: str
    kind: str
    parameters: Mapping[str, float | str]
    code: CrossModalCode | None
    log_ratio: float | None
    p_value: float | None
    share: float
    structure: str | None
    restored_recall: float | None
    affected: tuple[str, ...]
    lost: tuple[str, ...]
    confidence: tuple[float, ...]
    evidence: tuple[Mapping[str, Any], ...]
    examples: tuple[Mapping[str, Any], ...]

    @property
    def is_repairable(self) -> bool:
        """Whether a correction can undo it."""
        return bool(self.affected)

    def to_json(self) -> dict[str, Any]:
        """JSON-able form for the ledger and the UI."""
        return {
            "hypothesis": self.hypothesis,
            "kind": self.kind,
            "parameters": dict(self.parameters),
            "code": None if self.code is None else self.code.value,
            "fix": None if self.code is None else REMEDIES[self.code].fix,
            "likelihood_ratio": rounded(self.log_ratio),
            "p_value": None if self.p_value is None else float(f"{self.p_value:.3g}"),
            "rows_explained": rounded(self.share),
            "structure": self.structure,
            "restored_recall": rounded(self.restored_recall),
            "repairable": self.is_repairable,
            "affected_boxes": len(self.affected),
            "boxes_without_label": list(self.lost),
            "evidence": [dict(item) for item in self.evidence],
            "examples": [dict(item) for item in self.examples],
        }


@dataclass(frozen=True, eq=False)
class ObjectVerdict:
    """What the gate found.

    Attributes:
        digest: hash of everything the verdict depends on.
        boxes: labelled boxes judged, refused ones among them.
        available_boxes: labelled boxes before sampling.
        images: images they lie in.
        labels: distinct labels among them.
        pool_size: labels per query.
        recall_at_1: region R@1; NaN if it cannot be measured.
        interval: its bootstrap interval.
        hard_recall_at_1: the same among the labels of the crop's own image.
        hard_interval: its bootstrap interval.
        null: region R@1 under permuted labels.
        baseline: what it was held against.
        required: R@1 on this batch's pools it must not be significantly below.
        shortfall_p_value: p-value of being below.
        judged: whether there were boxes enough.
        passed: whether the batch meets the gate; True if it was not judged.
        code: cross-modal code of a failure.
        reason: the verdict in one sentence.
        diagnosis: explanation and evidence; None if the batch was not judged.
        encoder_calls: crops encoded.
        calls_saved: crops of boxes and readings that were never encoded.
        given: similarity of crops and labels as given.
        mismatched: similarity of crops and labels of other boxes, a seeded sample.
        mirrored: similarity of crops mirrored in x, of the boxes that were probed.
        restored: similarity under the best hypothesis of the rows it moves; empty without one.
    """

    digest: str
    boxes: int
    available_boxes: int
    images: int
    labels: int
    pool_size: int
    recall_at_1: float
    interval: tuple[float, float]
    hard_recall_at_1: float
    hard_interval: tuple[float, float]
    null: Null
    baseline: Baseline
    required: float
    shortfall_p_value: float
    judged: bool
    passed: bool
    code: CrossModalCode | None
    reason: str
    diagnosis: Diagnosis | None
    encoder_calls: int
    calls_saved: int
    given: Floats
    mismatched: Floats
    mirrored: Floats
    restored: Floats

    def evaluation_id(self, batch: str) -> str:
        """Id of this verdict on this batch."""
        return make_id("eval", GATE, batch, self.digest)

    def to_json(self) -> dict[str, Any]:
        """Diagnosis and cost, JSON-able."""
        found: dict[str, Any] = {} if self.diagnosis is None else self.diagnosis.to_json()
        return found | {
            "judged": self.judged,
            "available_boxes": self.available_boxes,
            "shortfall_p_value": finite(self.shortfall_p_value),
            "null_high": finite(self.null.high),
            "encoder_calls": self.encoder_calls,
            "encoder_calls_saved": self.calls_saved,
        }

    def to_row(self, batch: str, source: str) -> dict[str, Any]:
        """One row of ``object_recall``; NaN where there was nothing to measure."""
        found = self.diagnosis
        named = found is not None and found.code is not None
        return {
            "batch": batch,
            "evaluation_id": self.evaluation_id(batch),
            "source": source,
            "boxes": self.boxes,
            "images": self.images,
            "labels": self.labels,
            "pool_size": self.pool_size,
            "region_r1": self.recall_at_1,
            "region_low": self.interval[0],
            "region_high": self.interval[1],
            "hard_r1": self.hard_recall_at_1,
            "hard_low": self.hard_interval[0],
            "hard_high": self.hard_interval[1],
            "null_mean": self.null.mean,
            "null_p_value": self.null.p_value,
            "baseline": self.required,
            "baseline_kind": self.baseline.kind,
            "baseline_batches": list(self.baseline.batches),
            "passed": self.passed,
            "code": self.code.value if self.code else None,
            "reason": self.reason,
            "hypothesis": found.hypothesis if found and named else None,
            "likelihood_ratio": found.log_ratio if found and named else None,
            "rows_explained": found.share if found and named else None,
            "affected_boxes": list(found.affected) if found else [],
            "affected_confidence": list(found.confidence) if found else [],
            "encoder_calls": self.encoder_calls,
            "diagnosis_json": json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True),
        }


def rounded(value: float | None) -> float | None:
    """Four decimals for documents that people read; None for what is not finite."""
    return None if value is None or not math.isfinite(value) else round(value, 4)


def verdict_of_row(row: Mapping[str, Any]) -> GateVerdict:
    """The verdict that a row of ``object_recall`` states."""
    return stored_verdict(row, GATE, measured=row["region_r1"], threshold=row["baseline"])
