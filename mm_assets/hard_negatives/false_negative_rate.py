# pyright: strict
"""How many kept negatives are true of their picture after all, with an interval.

Where people have looked at enough of a strategy's kept negatives, they alone tell; and with fewer verdicts, too, if
those leave no doubt that the rate is higher than estimated. Else the rate follows from what the
verdicts found: they find a share ``c`` of all true texts (measured once on planted ones, see ``verdict_caught`` in the
policy), so that of ``f`` found ones ``f (1 - c) / c`` slipped through, as in counting animals by marked ones. It is
never taken to be lower than among the negatives that were labelled once (``labelled_true`` of ``labelled``).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mm_assets.gates.binomial_interval import clopper_pearson
from mm_assets.hard_negatives.negatives import Outcome, Strategy
from mm_assets.hard_negatives.verdicts import BELIEVED_RULES, REVIEWED, Judged
from mm_assets.policy import HardNegativePolicy

Outcomes = Mapping[str, int]
"""Negatives by strategy, outcome and rule, as ``strategy/outcome/rule``."""
_KEPT: Final = Outcome.KEPT.value


@dataclass(frozen=True)
class FalseNegativeRate:
    """An estimated rate.

    Attributes:
        value: share of true texts among kept negatives; NaN if none is kept.
        low: lower end of the interval.
        high: upper end.
        kept: negatives kept.
        found: true texts the verdicts found and took out.
        reviewed: kept negatives, or ones that were to be kept, with a human verdict.
        basis: ``people`` or ``planted``.
    """

    value: float
    low: float
    high: float
    kept: int
    found: int
    reviewed: int
    basis: str


def count_outcomes(judged: Iterable[Judged]) -> Outcomes:
    """Negatives by strategy, outcome and rule."""
    return dict(sorted(Counter(one.told for one in judged).items()))


def estimate_rate(outcomes: Outcomes, policy: HardNegativePolicy) -> FalseNegativeRate:
    """The rate among the kept of some negatives.

    Args:
        outcomes: their counts after all verdicts.
        policy: the policy.
    """
    kept = found = reviewed = rejected = confirmed = believed = 0
    for counted, count in outcomes.items():
        _, outcome, rule = counted.split("/", 2)
        kept += count * (outcome == _KEPT)
        believed += count * (outcome == _KEPT or rule in BELIEVED_RULES)
        reviewed += count * (rule == REVIEWED)
        confirmed += count * (rule == REVIEWED and outcome == _KEPT)
        rejected += count * (rule == REVIEWED and outcome == Outcome.FALSE_NEGATIVE.value)
        found += count * (rule != REVIEWED and outcome == Outcome.FALSE_NEGATIVE.value)
    if kept == 0:
        return FalseNegativeRate(math.nan, math.nan, math.nan, 0, found, reviewed, "planted")
    told = _rate_by_people(rejected, reviewed, (kept - confirmed) / kept, policy)
    if reviewed >= policy.min_reviewed:
        return FalseNegativeRate(*told, kept, found, reviewed, "people")
    # Those left out since were as likely to have slipped through as those that stayed.
    doubtful = 1.0 - confirmed / kept
    spread = clopper_pearson(found, found + believed, policy.confidence)
    ends = clopper_pearson(policy.verdict_caught, policy.verdict_planted, policy.confidence)
    cases = (
        (found / (found + believed), policy.verdict_caught / policy.verdict_planted),
        (spread[0], ends[1]),
        (spread[1], ends[0]),
    )
    value, low, high = (doubtful * slipped_share(share, caught) for share, caught in cases)
    # What is put in by a word net passes the rules by construction; only labels tell how often it is true all the same.
    seen = doubtful * policy.labelled_true / policy.labelled
    ceiling = doubtful * clopper_pearson(policy.labelled_true, policy.labelled, policy.confidence)[1]
    value, high = max(value, seen), max(high, ceiling)
    if told[1] > high:
        return FalseNegativeRate(*told, kept, found, reviewed, "people")
    return FalseNegativeRate(value, low, high, kept, found, reviewed, "planted")


def _rate_by_people(
    rejected: int, reviewed: int, unseen: float, policy: HardNegativePolicy
) -> tuple[float, float, float]:
    """Rate with its interval by what people saw; it says nothing, 0 to 0, where they saw nothing.

    They saw a random part: of those they accepted none is true, of the rest as many as they rejected.
    """
    if reviewed == 0:
        return 0.0, 0.0, 0.0
    low, high = clopper_pearson(rejected, reviewed, policy.confidence)
    return rejected / reviewed * unseen, low * unseen, high * unseen


def slipped_share(found: float, caught: float) -> float:
    """Share of true texts among those believed false.

    Args:
        found: share of all candidates that were found true.
        caught: share of true texts that are found.

    >>> round(slipped_share(0.3, 0.9), 4), slipped_share(0.0, 0.9)
    (0.0476, 0.0)
    """
    if caught <= 0.0 or found >= 1.0:
        return 1.0
    return min(1.0, found * (1.0 - caught) / caught / (1.0 - found))


def rates_by_strategy(outcomes: Outcomes, policy: HardNegativePolicy) -> Mapping[Strategy, FalseNegativeRate]:
    """The rate of each strategy that made any."""
    strategies = sorted({told.partition("/")[0] for told in outcomes})
    return {
        Strategy(strategy): estimate_rate(
            {told: count for told, count in outcomes.items() if told.startswith(f"{strategy}/")}, policy
        )
        for strategy in strategies
    }
