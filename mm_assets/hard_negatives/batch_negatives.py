"""All negatives of one batch: made, measured, judged, cut to a few per positive and freed of shortcuts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mm_assets.aligned.objects.claims.interfaces import Entailment
from mm_assets.hard_negatives.measures import Measures
from mm_assets.hard_negatives.negatives import Negative, Outcome, Positive, Strategy
from mm_assets.hard_negatives.rows import to_rows
from mm_assets.hard_negatives.shortcut_audit import AuditResult, BalancingReport, audit, drop_shortcuts
from mm_assets.hard_negatives.truth_rules import TruthRules
from mm_assets.hard_negatives.verdicts import BLIND_READER, Judged, balance, judge
from mm_assets.policy import HardNegativePolicy


@dataclass(frozen=True)
class BatchNegatives:
    """What became of a batch's negatives.

    Attributes:
        judged: all that were made, with their final verdicts.
        audits: by strategy, how blind readers did on what is kept.
        whole: the same over all strategies.
        balancing: by strategy, what the balancer did.
        positives: true pairs worked from.
    """

    judged: tuple[Judged, ...]
    audits: Mapping[Strategy, AuditResult]
    whole: AuditResult
    balancing: Mapping[Strategy, BalancingReport]
    positives: int

    def kept(self) -> list[Judged]:
        """Those that are kept."""
        return [one for one in self.judged if one.outcome is Outcome.KEPT]

    def rows(self, batch: str, positions: Mapping[str, int]) -> pl.DataFrame:
        """Rows of ``hard_negatives``; ``positions`` gives each positive's place in the delivery."""
        return to_rows(batch, self.judged, positions)


def unique(negatives: Iterable[Negative]) -> list[Negative]:
    """The first of each id: strategies may come to the same text."""
    found: dict[tuple[str, str, str], Negative] = {}
    for negative in negatives:
        media = "" if negative.media is None else negative.negative_id
        found.setdefault((negative.positive_id, negative.text.lower(), media), negative)
    return list(found.values())


def settle(
    negatives: Sequence[Negative],
    positives: Sequence[Positive],
    measures: Measures,
    rules: TruthRules,
    policy: HardNegativePolicy,
    *,
    entailment: Entailment | None = None,
    decisions: Mapping[str, str] | None = None,
) -> BatchNegatives:
    """Verdicts of all negatives of a batch.

    Args:
        negatives: of any strategy, each once.
        positives: what they were made from.
        measures: their similarities.
        rules: what finds them true.
        policy: the policy.
        entailment: model asked about texts that the rules keep; None for none.
        decisions: people's verdicts by negative id; they win over everything, the balancer included.
    """
    by_id = {positive.positive_id: positive for positive in positives}
    judged = judge(negatives, by_id, measures, rules, policy, entailment=entailment, decisions=decisions)
    judged = balance(judged, policy)
    balancing: dict[Strategy, BalancingReport] = {}
    for strategy in sorted({one.negative.strategy for one in judged}):
        own = [one.negative for one in judged if one.negative.strategy is strategy and one.outcome is Outcome.KEPT]
        balancing[strategy] = drop_shortcuts(own, policy, seed=policy.seed)
        judged = _without(judged, balancing[strategy])
    kept = [one.negative for one in judged if one.outcome is Outcome.KEPT]
    audits = {strategy: report.after for strategy, report in balancing.items()}
    whole = audit(kept, policy, seed=policy.seed)
    return BatchNegatives(tuple(judged), audits, whole, balancing, len(positives))


def _without(judged: Sequence[Judged], report: BalancingReport) -> list[Judged]:
    return [
        replace(one, outcome=Outcome.SHORTCUT, reason=f"{BLIND_READER}: {report.dropped[one.negative.negative_id]}")
        if one.outcome is Outcome.KEPT and not one.reviewed and one.negative.negative_id in report.dropped
        else one
        for one in judged
    ]


def outcomes(judged: Iterable[Judged]) -> dict[str, int]:
    """Negatives by strategy, outcome and rule, as ``strategy/outcome/rule``."""
    return dict(
        sorted(
            Counter(
                f"{one.negative.strategy.value}/{one.outcome.value}/{one.reason.partition(':')[0]}" for one in judged
            ).items()
        )
    )


def difficulty_quantiles(judged: Iterable[Judged]) -> dict[str, dict[str, float]]:
    """Deciles of how much less similar a kept negative is than its positive, by strategy; 0 is as similar."""
    found: dict[str, list[float]] = {}
    for one in judged:
        if one.outcome is Outcome.KEPT and np.isfinite(one.difficulty):
            found.setdefault(one.negative.strategy.value, []).append(one.difficulty)
    marks = (0.1, 0.25, 0.5, 0.75, 0.9)
    return {
        strategy: {f"q{round(100 * mark)}": round(float(np.quantile(values, mark)), 4) for mark in marks}
        for strategy, values in sorted(found.items())
    }
