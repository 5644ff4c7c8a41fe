"""The gate ``hard_negatives``: true texts among the negatives, and negatives that give themselves away."""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from mm_assets.errors import CrossModalCode
from mm_assets.gates.verdicts import GateVerdict, finite
from mm_assets.hard_negatives.batch_negatives import Audits, BatchSummary
from mm_assets.hard_negatives.false_negative_rate import FalseNegativeRate, estimate_rate, rates_by_strategy
from mm_assets.hard_negatives.negatives import Strategy
from mm_assets.hard_negatives.shortcut_audit import AuditResult
from mm_assets.identifiers import make_id
from mm_assets.policy import HardNegativePolicy

GATE: Final = "hard_negatives"


def audit_row(batch: str, result: BatchSummary, policy: HardNegativePolicy) -> dict[str, Any]:
    """The row of ``hard_negative_audit`` of a batch, its verdict included.

    The batch fails if the estimated share of true texts is over the limit in all or in any strategy with enough kept
    negatives, or if a blind reader tells more than allowed in any strategy.

    Args:
        batch: the batch.
        result: what is known of its negatives.
        policy: the policy.
    """
    rates = rates_by_strategy(result.outcomes, policy)
    whole = estimate_rate(result.outcomes, policy)
    worst = _worst_rate(whole, rates, policy)
    telling = _most_telling(result.audits)
    passed, reason, measured, threshold = _decide(worst, telling, result.kept, policy)
    reason += _tell_refused(result.audits)
    diagnosis = {
        "rates": [
            {"strategy": name} | _tell_rate(rate)
            for name, rate in (("all", whole), *((strategy.value, rate) for strategy, rate in rates.items()))
        ],
        "blind_readers": {
            strategy.value: {r.reader: round(r.accuracy, 4) for r in found.readers}
            for strategy, found in result.audits.by_strategy.items()
        }
        | {"all": {r.reader: round(r.accuracy, 4) for r in result.audits.whole.readers}},
        "balancing": {
            strategy.value: {
                "dropped": len(report.dropped),
                "rounds": report.rounds,
                "before": _number(report.before.accuracy),
                "after": _number(report.after.accuracy),
                "refused": None if report.refused is None else _number(report.refused.accuracy),
            }
            for strategy, report in result.audits.balancing.items()
        },
        "difficulty": result.difficulty,
        "outcomes": result.outcomes,
    }
    return {
        "batch": batch,
        "evaluation_id": _evaluation_id(batch, result, policy),
        "positives": result.positives,
        "made": result.made,
        "kept": result.kept,
        "false_negative_rate": whole.value,
        "rate_low": whole.low,
        "rate_high": whole.high,
        "reviewed": whole.reviewed,
        "blind_accuracy": telling[1].accuracy if telling else math.nan,
        "dropped_by_balancer": sum(len(report.dropped) for report in result.audits.balancing.values()),
        "passed": passed,
        "code": None if passed else CrossModalCode.HARD_NEG.value,
        "reason": reason,
        "measured": measured,
        "threshold": threshold,
        "diagnosis_json": json.dumps(diagnosis, ensure_ascii=False, sort_keys=True),
    }


def verdict_of_row(row: Mapping[str, Any]) -> GateVerdict:
    """The gate's verdict as a row of ``hard_negative_audit`` states it."""
    return GateVerdict(
        evaluation_id=row["evaluation_id"],
        batch=row["batch"],
        gate=GATE,
        passed=row["passed"],
        code=row["code"],
        reason=row["reason"],
        measured=finite(row["measured"]),
        threshold=finite(row["threshold"]),
        diagnosis=json.loads(row["diagnosis_json"]),
    )


def _worst_rate(
    whole: FalseNegativeRate, rates: Mapping[Strategy, FalseNegativeRate], policy: HardNegativePolicy
) -> tuple[str, FalseNegativeRate] | None:
    """The highest rate among all and each strategy with enough negatives; None if too few are kept."""
    judged = [("all strategies", whole), *((s.value, rate) for s, rate in rates.items())]
    enough = [(name, rate) for name, rate in judged if rate.kept >= policy.min_negatives]
    return max(enough, key=lambda named: named[1].value) if enough else None


def _most_telling(audits: Audits) -> tuple[str, AuditResult] | None:
    """The audit that fails, or else the one whose best reader does best; None if nothing was read."""
    read = [(s.value, found) for s, found in audits.by_strategy.items() if found.readers]
    if audits.whole.readers:
        read.append(("all strategies", audits.whole))
    return max(read, key=lambda named: (not named[1].passed, named[1].accuracy)) if read else None


def _tell_refused(audits: Audits) -> str:
    """Which strategies the balancer could not free of a shortcut, and left out whole."""
    return "".join(
        f" What {strategy.value} made is left out: {report.before.reader} tells {report.before.accuracy:.1%} of it, "
        "and dropping the plainest did not help."
        for strategy, report in audits.balancing.items()
        if report.refused is not None
    )


def _decide(
    worst: tuple[str, FalseNegativeRate] | None,
    telling: tuple[str, AuditResult] | None,
    kept: int,
    policy: HardNegativePolicy,
) -> tuple[bool, str, float, float]:
    limit, ceiling = policy.max_false_negative_rate, policy.max_blind_accuracy
    if worst is not None and worst[1].value > limit:
        name, rate = worst
        reason = (
            f"{rate.value:.1%} of the kept negatives of {name} are estimated to be true of their pictures "
            f"({rate.low:.1%} to {rate.high:.1%}, by {rate.basis}), over {limit:.0%}; lower the similarity band, "
            "review a sample or leave the strategy out."
        )
        return False, reason, rate.value, limit
    if telling is not None and not telling[1].passed:
        name, found = telling
        reason = (
            f"the {found.reader} reader tells {found.accuracy:.1%} of the pairs of {name} apart without a picture, "
            f"over {ceiling:.0%}; the balancer could not free them of the shortcut."
        )
        return False, reason, found.accuracy, ceiling
    if worst is None:
        return True, f"{kept} negatives are kept, too few to judge.", math.nan, math.nan
    accuracy = ""
    if telling is not None:
        luck = ", no more than luck gives so few" if telling[1].accuracy > ceiling else ""
        accuracy = f"; blind readers tell {telling[1].accuracy:.1%} of {telling[1].pairs} pairs{luck}"
    rate = worst[1]
    reason = f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%}) true texts among {kept} kept negatives{accuracy}."
    return True, reason, rate.value, limit


def _tell_rate(rate: FalseNegativeRate) -> dict[str, Any]:
    return {
        "rate": _number(rate.value),
        "low": _number(rate.low),
        "high": _number(rate.high),
        "kept": rate.kept,
        "found": rate.found,
        "reviewed": rate.reviewed,
        "basis": rate.basis,
    }


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _evaluation_id(batch: str, result: BatchSummary, policy: HardNegativePolicy) -> str:
    return make_id("eval", GATE, batch, result.digest, json.dumps(policy.model_dump(mode="json")))
