# pyright: strict
"""The gate: does a batch's share of captions that invent objects, or contradict their siblings, exceed what is allowed?

A batch fails when either share is *significantly* above its baseline: were it as clean as the baseline allows, so many
would be found in fewer than one batch of two hundred, for each of the two. What the evidence's own blindness explains
is allowed on top: a detector that misses one object in five makes honest captions look inventive.

The codes are the gate's own. Of the seven cross-modal codes none fits: ``ERR_CROSS_MDL_FUSION`` names a diverging loss
and its cure by clipping, while these captions want an annotator, a reviewer or a rewrite.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl

from mm_assets.aligned.objects.claims.faithfulness_baseline import FaithfulnessBaseline
from mm_assets.aligned.objects.claims.faithfulness_evidence import (
    SHOWN,
    break_down,
    count_pictures,
    show_examples,
)
from mm_assets.aligned.objects.claims.rates import Rate, excess_p_value, measure_rate
from mm_assets.display.counts import tell_count
from mm_assets.gates.verdicts import GateVerdict, finite, stored_verdict
from mm_assets.identifiers import make_id
from mm_assets.policy import FaithfulnessPolicy

GATE: Final = "faithfulness"
CAPTIONS_INVENT: Final = "CAPTIONS_INVENT"
CAPTIONS_CONFLICT: Final = "CAPTIONS_CONFLICT"
GATE_VERSION: Final = "1"
"""Raised when the statistics change: a verdict's id depends on it."""
FIXES: Final[Mapping[str, str]] = {
    CAPTIONS_INVENT: "Have the captions of the worst source or annotator reviewed or rewritten from their pictures; "
    "recaptioning that drifts wants a stricter image-text similarity.",
    CAPTIONS_CONFLICT: "Settle the annotation guide, sample the worst source and annotator again, and drop the "
    "captions their siblings outvote.",
}
_DECISIVE: Final = {
    *("invention_ceiling", "conflict_ceiling", "baseline_tolerance", "baseline_floor"),
    *("min_captions", "min_pairs", "false_hold_rate", "confidence"),
}


@dataclass(frozen=True, eq=False)
class FaithfulnessVerdict:
    """What the gate found.

    Attributes:
        digest: hash of everything the verdict depends on.
        chair_instance: CHAIR-i, weighted.
        invention: CHAIR-s, weighted; over captions with an object that could be checked.
        blindness: share of true captions that the evidence takes for inventions, expected.
        allowed_invention: share it must not be significantly above, blindness included.
        invention_p_value: p-value of being above.
        conflict: contradicting pairs over pairs.
        conflict_p_value: p-value of being above the baseline.
        baseline: what it was held against.
        judged: which of the two shares had enough to count.
        passed: whether the batch meets the gate; True where nothing was judged.
        code: code of a failure.
        reason: the verdict in a sentence or two.
        groups: both shares by source and annotator, the worst first.
        examples: captions to look at, the worst first.
        for_review: captions a person should decide on, the surest fault first.
        actions: captions by what is to become of them.
    """

    digest: str
    chair_instance: float
    invention: Rate
    blindness: float
    allowed_invention: float
    invention_p_value: float
    conflict: Rate
    conflict_p_value: float
    baseline: FaithfulnessBaseline
    judged: tuple[str, ...]
    passed: bool
    code: str | None
    reason: str
    groups: tuple[Mapping[str, Any], ...]
    examples: tuple[Mapping[str, Any], ...]
    for_review: tuple[Mapping[str, Any], ...]
    actions: Mapping[str, int]

    def evaluation_id(self, batch: str) -> str:
        """Id of this verdict on this batch."""
        return make_id("eval", GATE, batch, self.digest)

    def to_json(self) -> dict[str, Any]:
        """Breakdown and examples, JSON-able."""
        return {
            "judged": list(self.judged),
            "chair_instance": finite(self.chair_instance),
            "blindness": self.blindness,
            "pictures": {"invention": self.invention.clusters, "conflict": self.conflict.clusters},
            "rates": self.rates(),
            "groups": [dict(group) for group in self.groups],
            "for_review": [dict(row) for row in self.for_review],
            "actions": dict(self.actions),
            "examples": [dict(example) for example in self.examples],
            "fix": FIXES[self.code] if self.code else None,
        }

    def rates(self) -> list[dict[str, Any]]:
        """Both shares with interval, threshold, baseline and p-value; None where nothing could be counted."""
        kinds = {"baseline_kind": self.baseline.kind, "baseline_batches": len(self.baseline.batches)}
        return [
            {
                "rate": name,
                "measured": finite(rate.value),
                "low": finite(rate.low),
                "high": finite(rate.high),
                "threshold": threshold,
                "baseline": baseline,
                **kinds,
                "p_value": p_value,
                "counted": rate.count,
                "pictures": rate.clusters,
                "judged": judged in self.judged,
            }
            for name, judged, rate, threshold, baseline, p_value in (
                (
                    "captions that invent an object",
                    "invention",
                    self.invention,
                    self.allowed_invention,
                    self.baseline.invention,
                    self.invention_p_value,
                ),
                (
                    "pairs that contradict each other",
                    "conflict",
                    self.conflict,
                    self.baseline.conflict,
                    self.baseline.conflict,
                    self.conflict_p_value,
                ),
            )
        ]

    def to_row(self, batch: str, source: str) -> dict[str, Any]:
        """One row of ``caption_faithfulness``; NaN where nothing could be counted."""
        return {
            "batch": batch,
            "evaluation_id": self.evaluation_id(batch),
            "source": source,
            "captions": self.invention.count,
            "images": self.invention.clusters,
            "chair_instance": self.chair_instance,
            "chair_sentence": self.invention.value,
            "chair_low": self.invention.low,
            "chair_high": self.invention.high,
            "chair_blindness": self.blindness,
            "pairs": self.conflict.count,
            "conflict_rate": self.conflict.value,
            "conflict_low": self.conflict.low,
            "conflict_high": self.conflict.high,
            "chair_baseline": self.allowed_invention,
            "chair_p_value": self.invention_p_value,
            "conflict_baseline": self.baseline.conflict,
            "conflict_p_value": self.conflict_p_value,
            "baseline_kind": self.baseline.kind,
            "baseline_batches": list(self.baseline.batches),
            "passed": self.passed,
            "code": self.code,
            "reason": self.reason,
            "breakdown_json": json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True),
        }


def verdict_of_row(row: Mapping[str, Any]) -> GateVerdict:
    """The verdict that a row of ``caption_faithfulness`` states: on the share that failed, else on the invented one."""
    conflicting = row["code"] == CAPTIONS_CONFLICT
    return stored_verdict(
        row,
        GATE,
        measured=row["conflict_rate" if conflicting else "chair_sentence"],
        threshold=row["conflict_baseline" if conflicting else "chair_baseline"],
        diagnosis="breakdown_json",
    )


def evaluate_faithfulness(
    claims: pl.DataFrame,
    baseline: FaithfulnessBaseline,
    policy: FaithfulnessPolicy,
    *,
    texts: Mapping[str, str] | None = None,
    review: pl.DataFrame | None = None,
) -> FaithfulnessVerdict:
    """Measure, compare and explain.

    Args:
        claims: rows of ``caption_claims`` of one batch.
        baseline: from `trusted_baseline` or `ceiling_baseline`.
        policy: thresholds.
        texts: captions by id, for the examples.
        review: from `write_back.list_for_review`, for the evidence.
    """
    per_picture = count_pictures(claims)
    invention = measure_rate(per_picture["inventions"].to_numpy(), per_picture["checked"].to_numpy(), policy.confidence)
    conflict = measure_rate(per_picture["conflicts"].to_numpy(), per_picture["pairs"].to_numpy(), policy.confidence)
    checked = claims.filter(pl.col("checked").list.len() > 0)
    blindness = float(checked["blindness"].mean() or 0.0) if checked.height else 0.0  # pyright: ignore[reportArgumentType] - a mean of floats
    allowed = min(1.0, baseline.invention + (1.0 - baseline.invention) * blindness)
    invention_p, conflict_p = excess_p_value(invention, allowed), excess_p_value(conflict, baseline.conflict)
    judged = [
        *(["invention"] if invention.count >= policy.min_captions else []),
        *(["conflict"] if conflict.count >= policy.min_pairs else []),
    ]
    failed: dict[str, float] = {}
    if "invention" in judged and invention_p < policy.false_hold_rate:
        failed[CAPTIONS_INVENT] = invention_p
    if "conflict" in judged and conflict_p < policy.false_hold_rate:
        failed[CAPTIONS_CONFLICT] = conflict_p
    code = min(failed, key=lambda name: (failed[name], name)) if failed else None
    groups = break_down(claims, policy)
    return FaithfulnessVerdict(
        digest=_digest(claims, baseline, policy),
        chair_instance=_chair_instance(checked),
        invention=invention,
        blindness=blindness,
        allowed_invention=allowed,
        invention_p_value=invention_p,
        conflict=conflict,
        conflict_p_value=conflict_p,
        baseline=baseline,
        judged=tuple(judged),
        passed=not failed,
        code=code,
        reason=_tell(invention, allowed, conflict, baseline, judged, failed, groups, policy),
        groups=groups,
        examples=show_examples(claims, texts or {}),
        for_review=tuple(() if review is None else review.head(SHOWN).iter_rows(named=True)),
        actions=dict(claims.group_by("action").len().sort("action").iter_rows()),
    )


def _chair_instance(checked: pl.DataFrame) -> float:
    mentions = int(checked["checked"].list.len().sum()) if checked.height else 0
    return float(checked["weights"].list.sum().sum()) / mentions if mentions else math.nan


def _tell(
    invention: Rate,
    allowed: float,
    conflict: Rate,
    baseline: FaithfulnessBaseline,
    judged: list[str],
    failed: Mapping[str, float],
    groups: tuple[Mapping[str, Any], ...],
    policy: FaithfulnessPolicy,
) -> str:
    """The verdict in a sentence or two."""
    origin = "the policy's ceiling"
    if baseline.batches:
        origin = tell_count(len(baseline.batches), "trusted batch", "trusted batches")
    parts = [
        _tell_rate(
            "captions name an object nobody knows of", invention, allowed, policy.min_captions, "invention" in judged
        ),
        _tell_rate("pairs contradict each other", conflict, baseline.conflict, policy.min_pairs, "conflict" in judged),
    ]
    told = "; ".join(parts)
    if not failed:
        return f"{told}; baseline from {origin}." if judged else f"Not judged, passed: {told}."
    codes = " and ".join(f"{name} (p {p:.2g})" for name, p in sorted(failed.items(), key=lambda item: item[1]))
    worst = groups[0]
    who = (
        f" Worst: source {worst['source']}" + (f", annotator {worst['annotator']}" if worst["annotator"] else "") + "."
    )
    return f"{codes}: {told}; baseline from {origin}.{who} {FIXES[min(failed, key=lambda name: failed[name])]}"


def _tell_rate(what: str, rate: Rate, allowed: float, least: int, judged: bool) -> str:
    if not rate.count:
        return f"nothing to count where {what}"
    told = f"{rate.value:.1%} of {rate.count} {what} ({rate.low:.1%} to {rate.high:.1%}; {allowed:.1%} allowed)"
    return told if judged else f"{told}, fewer than the {least} a verdict needs"


def _digest(claims: pl.DataFrame, baseline: FaithfulnessBaseline, policy: FaithfulnessPolicy) -> str:
    """Hash of everything the verdict depends on, whatever the order of the rows."""
    columns = (
        "caption_id",
        "image_id",
        "source",
        "annotator",
        "read",
        "checked",
        "weights",
        "blindness",
        "conflicts_with",
    )
    rows = claims.select(*columns).sort("caption_id")
    document = {
        "version": GATE_VERSION,
        "baseline": asdict(baseline),
        "policy": policy.model_dump(mode="json", include=_DECISIVE),
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    digest.update(rows.write_ndjson().encode())
    return digest.hexdigest()
