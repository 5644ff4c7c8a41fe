"""What every gate says about a batch."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mm_assets.identifiers import make_id


@dataclass(frozen=True)
class GateVerdict:
    """One verdict of one gate on one batch.

    Attributes:
        evaluation_id: hash of everything the verdict depends on.
        batch: the batch.
        gate: gate name.
        passed: whether the batch meets the gate.
        code: cross-modal or gate code of a failure.
        reason: the verdict in one sentence.
        measured: measured value.
        threshold: the value it had to reach.
        diagnosis: explanation with evidence, JSON-able.
    """

    evaluation_id: str
    batch: str
    gate: str
    passed: bool
    code: str | None
    reason: str
    measured: float | None
    threshold: float | None
    diagnosis: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_row(self) -> dict[str, Any]:
        """Columns of ``gate_evaluations`` except the time."""
        return {
            "evaluation_id": self.evaluation_id,
            "batch": self.batch,
            "gate": self.gate,
            "passed": self.passed,
            "code": self.code,
            "reason": self.reason,
            "measured": self.measured,
            "threshold": self.threshold,
            "diagnosis_json": json.dumps(dict(self.diagnosis), ensure_ascii=False, sort_keys=True),
        }


def finite(value: float) -> float | None:
    """The value, or None if it is not finite: JSON has no NaN."""
    return value if math.isfinite(value) else None


def stored_verdict(
    row: Mapping[str, Any], gate: str, *, measured: float, threshold: float, diagnosis: str = "diagnosis_json"
) -> GateVerdict:
    """The verdict that a row of a gate's measurement table states.

    Args:
        row: the row.
        gate: gate name.
        measured: the value of the row that was judged; NaN if nothing could be.
        threshold: what it had to reach; NaN if nothing could be judged.
        diagnosis: column of the diagnosis, JSON.
    """
    return GateVerdict(
        evaluation_id=row["evaluation_id"],
        batch=row["batch"],
        gate=gate,
        passed=row["passed"],
        code=row["code"],
        reason=row["reason"],
        measured=finite(measured),
        threshold=finite(threshold),
        diagnosis=json.loads(row[diagnosis]),
    )


def budget_verdict(
    batch: str, asset: str, *, estimate: float, spent: float, budget: float, currency: str
) -> GateVerdict:
    """Whether a step of this estimated price fits what the batch has left.

    The evaluation id leaves out what was spent, so that one waiver covers the retries of one step.

    >>> budget_verdict("b", "images", estimate=1.0, spent=4.5, budget=5.0, currency="USD").passed
    False
    """
    remaining = budget - spent
    passed = estimate <= remaining
    relation = "fits" if passed else "would overspend"
    return GateVerdict(
        evaluation_id=make_id("eval", "budget", batch, asset, f"{estimate:.9g}", f"{budget:.9g}"),
        batch=batch,
        gate="budget",
        passed=passed,
        code=None if passed else "BUDGET_EXCEEDED",
        reason=(
            f"{asset} is estimated at {estimate:.6g} {currency} and {relation} the {remaining:.6g} {currency} "
            f"left of {budget:.6g}; raise [budget] per_batch in the policy or release the hold."
        ),
        measured=estimate,
        threshold=remaining,
        diagnosis={"asset": asset, "estimate": estimate, "spent": spent, "budget": budget, "currency": currency},
    )
