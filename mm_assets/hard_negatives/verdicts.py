"""Which negatives are kept: a band of similarity first, then rules, a model of entailment and people.

A person's word wins over every rule. What is left is cut to a few per positive, each positive's strategies in turn and
the hardest first; both halves of an exchange stay together where they can, so that words keep their balance.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mm_assets.aligned.objects.claims.interfaces import Entailment
from mm_assets.hard_negatives.measures import Measures
from mm_assets.hard_negatives.negatives import Negative, Outcome, Positive, Strategy
from mm_assets.hard_negatives.truth_rules import TruthRules
from mm_assets.policy import HardNegativePolicy

ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
IMPROPER: Final = "improper"
"""Rejected for how it reads."""
NO_CAPTION: Final = "No proper caption"
"""What people say of such a text."""
OVER_CAP: Final = "over_cap"
LONE_HALF: Final = "lone_half"
BLIND_READER: Final = "blind_reader"
"""Rules by which negatives that are false are left out."""
BELIEVED_RULES: Final = frozenset({OVER_CAP, LONE_HALF, BLIND_READER})
REVIEWED: Final = "review"
_DECIDED: Final = {ACCEPTED: Outcome.KEPT, IMPROPER: Outcome.SHORTCUT}


@dataclass(frozen=True, slots=True)
class Judged:
    """A negative with its verdict.

    Attributes:
        negative: the negative.
        outcome: what became of it.
        reason: the rule that decided, and what it saw.
        similarity: picture and false text; NaN if not measured.
        positive_similarity: picture and true text; NaN if not measured.
        text_similarity: false and true text; NaN if not measured.
        reviewed: whether a person decided.
    """

    negative: Negative
    outcome: Outcome
    reason: str
    similarity: float
    positive_similarity: float
    text_similarity: float
    reviewed: bool = False

    @property
    def told(self) -> str:
        """Strategy, outcome and rule, as they are counted."""
        return f"{self.negative.strategy.value}/{self.outcome.value}/{self.reason.partition(':')[0]}"

    @property
    def difficulty(self) -> float:
        """Similarity of the negative less that of its positive; higher is harder."""
        return self.similarity - self.positive_similarity


def judge(
    negatives: Sequence[Negative],
    positives: Mapping[str, Positive],
    measures: Measures,
    rules: TruthRules,
    policy: HardNegativePolicy,
    *,
    entailment: Entailment | None = None,
    decisions: Mapping[str, str] | None = None,
) -> list[Judged]:
    """Verdicts of negatives, in their order, before any balancing.

    Args:
        negatives: of any strategy.
        positives: what they were made from, by id.
        measures: their similarities.
        rules: what finds them true.
        policy: the policy.
        entailment: model asked about texts that the rules keep; None for none.
        decisions: ``accepted``, ``rejected`` or ``improper`` by negative id, the latest of each.
    """
    judged: list[Judged] = []
    for place, negative in enumerate(negatives):
        similarity, own, text, picture = (
            float(values[place])
            for values in (
                measures.similarity,
                measures.positive_similarity,
                measures.text_similarity,
                measures.picture_similarity,
            )
        )
        decision = decisions.get(negative.negative_id) if decisions else None
        if decision is not None:
            outcome = _DECIDED.get(decision, Outcome.FALSE_NEGATIVE)
            judged.append(Judged(negative, outcome, f"{REVIEWED}: {decision}", similarity, own, text, reviewed=True))
            continue
        outcome, reason = _band(negative, similarity, own, text, policy)
        if outcome is Outcome.KEPT:
            finding = rules.find(negative, positives[negative.positive_id], picture)
            if finding is not None:
                outcome, reason = Outcome.FALSE_NEGATIVE, finding.tell()
        judged.append(Judged(negative, outcome, reason, similarity, own, text))
    return judged if entailment is None else _ask(judged, entailment, policy)


def _band(
    negative: Negative, similarity: float, own: float, text: float, policy: HardNegativePolicy
) -> tuple[Outcome, str]:
    """Stage one. What was not measured passes."""
    if own < policy.min_similarity:
        return Outcome.TOO_EASY, f"corrupted_positive: the true pair's score is {own:.2f}"
    if similarity > policy.max_similarity:
        return Outcome.FALSE_NEGATIVE, f"band: {similarity:.2f} similar to the picture"
    if negative.strategy is Strategy.IN_BATCH and text > policy.max_similarity:
        return Outcome.FALSE_NEGATIVE, f"band: {text:.2f} similar to the true text"
    if similarity < policy.min_similarity:
        return Outcome.TOO_EASY, f"band: {similarity:.2f} similar to the picture only"
    return Outcome.KEPT, "false as far as is known"


def _ask(judged: Sequence[Judged], entailment: Entailment, policy: HardNegativePolicy) -> list[Judged]:
    """Have the model read the texts that the rules keep; what it sees no contradiction in is not kept."""
    asked = [
        place
        for place, one in enumerate(judged)
        if one.outcome is Outcome.KEPT and not one.reviewed and one.negative.media is None
    ]
    if not asked:
        return list(judged)
    said = entailment.contradiction([(judged[i].negative.positive_text, judged[i].negative.text) for i in asked])
    answers = dict(zip(asked, np.asarray(said).tolist(), strict=True))
    return [
        replace(one, outcome=Outcome.FALSE_NEGATIVE, reason=f"not_contradicted: {answers[place]:.2f}")
        if answers.get(place, 1.0) < policy.min_contradiction
        else one
        for place, one in enumerate(judged)
    ]


def balance(judged: Sequence[Judged], policy: HardNegativePolicy) -> list[Judged]:
    """Keep whole exchanges only, and at most ``max_per_positive`` of each positive.

    Args:
        judged: with verdicts.
        policy: the policy.

    Returns:
        All of them, in order: halves whose other half fell are ``shortcut``, those over the cap ``too_easy``.
    """
    units: dict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(judged):
        if one.outcome is Outcome.KEPT:
            units[one.negative.mirror_id or one.negative.negative_id].append(place)
    lone = {unit[0] for unit in units.values() if _is_lone(judged, unit)}
    whole = [unit for unit in units.values() if unit[0] not in lone]
    kept = _under_cap(judged, sorted(whole, key=lambda unit: _rank(judged, unit)), policy)
    return [_left(one, place in lone, place in kept, policy) for place, one in enumerate(judged)]


def _left(one: Judged, lone: bool, kept: bool, policy: HardNegativePolicy) -> Judged:
    if one.outcome is not Outcome.KEPT or kept:
        return one
    if lone:
        return replace(one, outcome=Outcome.SHORTCUT, reason=f"{LONE_HALF}: the other half of its exchange fell")
    return replace(
        one, outcome=Outcome.TOO_EASY, reason=f"{OVER_CAP}: {policy.max_per_positive} of its positive are kept"
    )


def _under_cap(judged: Sequence[Judged], order: Sequence[Sequence[int]], policy: HardNegativePolicy) -> set[int]:
    """Places that stay: each positive's strategies in turn first, then whatever there is room for."""
    counts: Counter[str] = Counter()
    by_strategy: Counter[tuple[str, Strategy]] = Counter()
    kept: set[int] = set()
    for fresh_strategy in (True, False):
        for unit in order:
            own = [(judged[i].negative.positive_id, judged[i].negative.strategy) for i in unit]
            room = all(counts[positive] < policy.max_per_positive for positive, _ in own)
            if kept.issuperset(unit) or not room or (fresh_strategy and any(by_strategy[key] for key in own)):
                continue
            kept.update(unit)
            counts.update(positive for positive, _ in own)
            by_strategy.update(own)
    return kept


def _is_lone(judged: Sequence[Judged], unit: Sequence[int]) -> bool:
    one = judged[unit[0]]
    return len(unit) == 1 and one.negative.mirror_id is not None and not one.reviewed


def _rank(judged: Sequence[Judged], unit: Sequence[int]) -> tuple[bool, float, int]:
    """Accepted by people first, then the hardest."""
    return not any(judged[i].reviewed for i in unit), -_hardness(judged, unit), unit[0]


def _hardness(judged: Sequence[Judged], unit: Sequence[int]) -> float:
    values = [judged[i].difficulty for i in unit]
    return float(np.mean([value if np.isfinite(value) else 0.0 for value in values]))
