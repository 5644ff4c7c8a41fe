"""All negatives of one batch: made, measured, judged, cut to a few per positive and freed of shortcuts.

Judging looks at one positive at a time, and is done chunk by chunk; whether negatives give themselves away shows over
the whole batch only. So the texts of kept negatives are gathered while chunks go by, and what readers tell is left out
of the rows afterwards.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from mm_assets.aligned.objects.claims.interfaces import Entailment
from mm_assets.hard_negatives.false_negative_rate import Outcomes
from mm_assets.hard_negatives.measures import Measures
from mm_assets.hard_negatives.negatives import Negative, Outcome, Positive, Strategy
from mm_assets.hard_negatives.rows import to_rows
from mm_assets.hard_negatives.shortcut_audit import (
    AuditResult,
    BalancingReport,
    TextPair,
    audit,
    drop_shortcuts,
    text_pairs,
)
from mm_assets.hard_negatives.truth_rules import TruthRules
from mm_assets.hard_negatives.verdicts import BLIND_READER, Judged, balance, judge
from mm_assets.policy import HardNegativePolicy

_MARKS: Final = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Audits:
    """What blind readers told, and what was left out for it.

    Attributes:
        by_strategy: how they did on what is kept of each.
        whole: the same over all strategies.
        balancing: by strategy, what the balancer did.
    """

    by_strategy: Mapping[Strategy, AuditResult]
    whole: AuditResult
    balancing: Mapping[Strategy, BalancingReport]

    @property
    def dropped(self) -> dict[str, str]:
        """By negative id, what gave it away."""
        return {id_: reader for report in self.balancing.values() for id_, reader in report.dropped.items()}

    def settle(self, judged: Iterable[Judged]) -> list[Judged]:
        """Verdicts with the balancer's; what people accepted stays."""
        dropped = self.dropped
        return [
            replace(one, outcome=Outcome.SHORTCUT, reason=f"{BLIND_READER}: {dropped[own]}")
            if (own := one.negative.negative_id) in dropped and one.outcome is Outcome.KEPT
            else one
            for one in judged
        ]

    def settle_rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The same of rows of ``hard_negatives``."""
        dropped = pl.DataFrame(
            {"negative_id": list(self.dropped), "reader": list(self.dropped.values())},
            schema={"negative_id": pl.String, "reader": pl.String},
        )
        gone = pl.col("reader").is_not_null() & (pl.col("verdict") == Outcome.KEPT.value)
        reason = pl.format(f"{BLIND_READER}: {{}}", "reader")
        return (
            rows.join(dropped, on="negative_id", how="left", maintain_order="left")
            .with_columns(
                verdict=pl.when(gone).then(pl.lit(Outcome.SHORTCUT.value)).otherwise("verdict"),
                verdict_reason=pl.when(gone).then(reason).otherwise("verdict_reason"),
            )
            .drop("reader")
        )


class KeptTexts:
    """Texts of the kept negatives of a batch, gathered chunk by chunk for the readers."""

    def __init__(self) -> None:
        self._pairs: dict[Strategy, list[TextPair]] = {}
        self._reviewed: set[str] = set()

    def add(self, judged: Iterable[Judged]) -> None:
        """Take in a chunk."""
        kept = [one for one in judged if one.outcome is Outcome.KEPT]
        self._reviewed.update(one.negative.negative_id for one in kept if one.reviewed)
        for strategy in sorted({one.negative.strategy for one in judged}):
            pairs = text_pairs(one.negative for one in kept if one.negative.strategy is strategy)
            self._pairs.setdefault(strategy, []).extend(pairs)

    def audit(self, policy: HardNegativePolicy) -> Audits:
        """Leave out what readers tell, strategy by strategy, and see what they tell of the rest."""
        balancing = {
            strategy: self._without_reviewed(drop_shortcuts(pairs, policy, seed=policy.seed))
            for strategy, pairs in sorted(self._pairs.items())
        }
        left = {
            strategy: [pair for pair in pairs if pair.negative_id not in balancing[strategy].dropped]
            for strategy, pairs in sorted(self._pairs.items())
        }
        by_strategy = {
            strategy: report.after if report.refused is None else audit(left[strategy], policy, seed=policy.seed)
            for strategy, report in balancing.items()  # of what was refused, that which people accepted is left
        }
        whole = [pair for pairs in left.values() for pair in pairs]
        return Audits(by_strategy, audit(whole, policy, seed=policy.seed), balancing)

    def _without_reviewed(self, report: BalancingReport) -> BalancingReport:
        return replace(report, dropped={i: r for i, r in report.dropped.items() if i not in self._reviewed})


@dataclass(frozen=True)
class BatchSummary:
    """What is known of a batch's negatives without looking at each.

    Attributes:
        positives: true pairs worked from.
        outcomes: counts by strategy, outcome and rule.
        difficulty: by strategy, quantiles of `Judged.difficulty` of the kept.
        digest: hash of all ids and verdicts.
        audits: what blind readers told.
    """

    positives: int
    outcomes: Outcomes
    difficulty: Mapping[str, Mapping[str, float]]
    digest: str
    audits: Audits

    @property
    def made(self) -> int:
        """Negatives made."""
        return sum(self.outcomes.values())

    @property
    def kept(self) -> int:
        """Negatives kept."""
        return sum(count for told, count in self.outcomes.items() if told.split("/")[1] == Outcome.KEPT.value)


class Tally:
    """Counts settled rows of ``hard_negatives`` as they go by."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._difficulty: dict[str, list[pl.Series]] = {}
        self._verdicts: list[pl.Series] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Count a chunk."""
        rule = pl.col("verdict_reason").str.split(":").list.first()
        told = rows.select(told=pl.concat_str("strategy", "verdict", rule, separator="/"))["told"]
        self._outcomes.update(dict(told.value_counts().iter_rows()))
        self._verdicts.append(rows.select(pl.concat_str("negative_id", "verdict"))["negative_id"])
        kept = rows.filter((pl.col("verdict") == Outcome.KEPT.value) & pl.col("difficulty").is_not_null())
        for (strategy,), own in kept.partition_by("strategy", as_dict=True).items():
            self._difficulty.setdefault(str(strategy), []).append(own["difficulty"])

    def summary(self, positives: int, audits: Audits) -> BatchSummary:
        """What was counted.

        Args:
            positives: true pairs worked from.
            audits: what blind readers told.
        """
        digest = hashlib.sha256()
        if self._verdicts:
            for verdict in pl.concat(self._verdicts).sort():
                digest.update(verdict.encode())
        difficulty = {strategy: _quantiles(pl.concat(parts)) for strategy, parts in sorted(self._difficulty.items())}
        return BatchSummary(positives, dict(sorted(self._outcomes.items())), difficulty, digest.hexdigest(), audits)


def _quantiles(values: pl.Series) -> dict[str, float]:
    """Deciles of how much less similar a kept negative is than its positive; 0 is as similar."""
    found = np.quantile(values.to_numpy(), _MARKS)
    return {f"q{round(100 * mark)}": round(float(value), 4) for mark, value in zip(_MARKS, found, strict=True)}


@dataclass(frozen=True)
class BatchNegatives:
    """What became of a batch's negatives, where there are few enough to hold them all.

    Attributes:
        judged: all that were made, with their final verdicts.
        audits: what blind readers told.
        positives: true pairs worked from.
    """

    judged: tuple[Judged, ...]
    audits: Audits
    positives: int

    def kept(self) -> list[Judged]:
        """Those that are kept."""
        return [one for one in self.judged if one.outcome is Outcome.KEPT]

    def rows(self, batch: str, positions: Mapping[str, int]) -> pl.DataFrame:
        """Rows of ``hard_negatives``; ``positions`` gives each positive's place in the delivery."""
        return to_rows(batch, self.judged, positions)

    def summary(self, batch: str) -> BatchSummary:
        """What the gate wants to know."""
        tally = Tally()
        tally.add(self.rows(batch, dict.fromkeys((one.negative.positive_id for one in self.judged), 0)))
        return tally.summary(self.positives, self.audits)


def unique(negatives: Iterable[Negative]) -> list[Negative]:
    """The first of each id: strategies may come to the same text."""
    found: dict[tuple[str, str, str], Negative] = {}
    for negative in negatives:
        media = "" if negative.media is None else negative.negative_id
        found.setdefault((negative.positive_id, negative.text.lower(), media), negative)
    return list(found.values())


def judge_chunk(
    negatives: Sequence[Negative],
    positives: Sequence[Positive],
    measures: Measures,
    rules: TruthRules,
    policy: HardNegativePolicy,
    *,
    entailment: Entailment | None = None,
    decisions: Mapping[str, str] | None = None,
) -> list[Judged]:
    """Verdicts of the negatives of some positives, cut to a few per positive.

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
    return balance(judged, policy)


def settle(judged: Sequence[Judged], positives: int, policy: HardNegativePolicy) -> BatchNegatives:
    """Verdicts with those of blind readers, of negatives held all at once.

    Args:
        judged: as `judge_chunk` left them.
        positives: true pairs they were made from.
        policy: the policy.
    """
    texts = KeptTexts()
    texts.add(judged)
    audits = texts.audit(policy)
    return BatchNegatives(tuple(audits.settle(judged)), audits, positives)
