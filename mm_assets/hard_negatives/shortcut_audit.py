"""Whether negatives give themselves away to readers who never see a picture, and what to leave out until they do not.

A pair is a true text and its negative. Each reader learns on some folds which of the two is true and is tested on
another, without the captions of that one; halves of one exchange lie in one fold, for a reader who saw one half in
training would be wrong about the other for no reason of its own. The gate wants accuracy at most
``max_blind_accuracy`` wherever it is more than luck.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import vstack
from scipy.stats import binomtest

from mm_assets.hard_negatives.blind_readers import READERS, Matrix, read_pairs
from mm_assets.hard_negatives.negatives import Negative
from mm_assets.policy import HardNegativePolicy

Margins = NDArray[np.float64]
_DROPPED_AT_ONCE: Final = 0.1
_MOST_ROUNDS: Final = 20
_WORTH_A_ROUND: Final = 0.1
"""Chance of luck below which the balancer acts; dropping some for nothing costs less than a gate that fails."""
_CHANCE: Final = 0.5


@dataclass(frozen=True)
class ReaderResult:
    """How one reader did.

    Attributes:
        reader: its name.
        accuracy: share of held-out pairs it told apart; ties count half.
        p_value: chance of so much or more by luck.
        pairs: pairs it was tested on.
    """

    reader: str
    accuracy: float
    p_value: float
    pairs: int


@dataclass(frozen=True)
class AuditResult:
    """How all readers did on one set of negatives.

    Attributes:
        readers: every reader, the best first.
        pairs: pairs that were read.
        passed: whether no reader tells more than the policy allows, beyond luck.
    """

    readers: tuple[ReaderResult, ...]
    pairs: int
    passed: bool

    @property
    def accuracy(self) -> float:
        """Of the best reader; NaN if there were too few pairs."""
        return self.readers[0].accuracy if self.readers else float("nan")

    @property
    def reader(self) -> str:
        """The best reader; empty if there were too few pairs."""
        return self.readers[0].reader if self.readers else ""


def audit(negatives: Sequence[Negative], policy: HardNegativePolicy, *, seed: int) -> AuditResult:
    """Test all readers on a set of negatives.

    Args:
        negatives: of one strategy or of several; those whose text is true are not read.
        policy: the policy.
        seed: of the folds.
    """
    read = _sample([n for n in negatives if n.text != n.positive_text], policy, seed)
    if len(read) < policy.min_audited:
        return AuditResult((), len(read), passed=True)
    margins = _margins(read, policy, seed)
    return _judge(margins, policy)


def _sample(negatives: Sequence[Negative], policy: HardNegativePolicy, seed: int) -> list[Negative]:
    """As many as the policy reads, whole exchanges."""
    units = _units(negatives)
    order = np.random.default_rng(seed).permutation(len(units))
    taken: list[int] = []
    for place in order.tolist():
        if len(taken) >= policy.max_audited:
            break
        taken += units[place]
    return [negatives[place] for place in sorted(taken)]


def _units(negatives: Sequence[Negative]) -> list[list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for place, negative in enumerate(negatives):
        found[negative.mirror_id or negative.negative_id].append(place)
    return list(found.values())


def _margins(negatives: Sequence[Negative], policy: HardNegativePolicy, seed: int) -> dict[str, Margins]:
    """By reader, how surely it takes each held-out true text for true; negative where it is wrong."""
    pairs = [(negative.positive_text, negative.text) for negative in negatives]
    fold_of = np.zeros(len(pairs), np.int64)
    units = _units(negatives)
    for rank, unit in enumerate(np.random.default_rng(seed).permutation(len(units)).tolist()):
        fold_of[units[unit]] = rank % policy.audit_folds
    unit_of = {place: unit for unit, members in enumerate(units) for place in members}
    texts_of: dict[str, set[int]] = defaultdict(set)
    for place, (true, _) in enumerate(pairs):
        texts_of[true].add(unit_of[place])
    margins = {reader: np.zeros(len(pairs)) for reader in READERS}
    for fold in range(policy.audit_folds):
        held = np.flatnonzero(fold_of == fold)
        # A reader who knows a caption by heart tells its negatives, and learnt nothing about negatives.
        seen = {unit for i in held.tolist() for unit in texts_of[pairs[i][0]]}
        learnt = np.asarray([i for i in np.flatnonzero(fold_of != fold).tolist() if unit_of[i] not in seen], np.int64)
        if not len(held) or not len(learnt):
            continue
        texts = [pairs[i][0] for i in learnt]
        for reader in READERS:
            # The fluency of texts a model learnt from says nothing: it learns on one half and reads the other.
            half = texts[::2] if reader == "fluency" else texts
            known = learnt[1::2] if reader == "fluency" else learnt
            features = read_pairs(reader, [pairs[i] for i in known], half)
            margins[reader][held] = _fit(features, read_pairs(reader, [pairs[i] for i in held], half))
    return margins


def _fit(learnt: Matrix, held: Matrix) -> Margins:
    """Margins of held-out pairs from a linear classifier without a constant: sides carry no meaning."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - takes a second to load
    from sklearn.preprocessing import MaxAbsScaler  # noqa: PLC0415 - as above

    scaler = MaxAbsScaler().fit(learnt)
    x = cast("Matrix", scaler.transform(learnt))
    if x.nnz == 0:
        return np.zeros(held.get_shape()[0])
    both = vstack([x, -x])
    side = np.repeat([1, 0], x.get_shape()[0])
    model = LogisticRegression(fit_intercept=False, C=1.0, solver="liblinear", random_state=0).fit(both, side)
    return np.asarray(model.decision_function(scaler.transform(held)), np.float64)


def _judge(margins: dict[str, Margins], policy: HardNegativePolicy) -> AuditResult:
    results = []
    pairs = 0
    for reader, values in margins.items():
        pairs = len(values)
        right = float((values > 0).sum() + _CHANCE * (values == 0).sum())
        p_value = float(binomtest(int(right), pairs, _CHANCE, alternative="greater").pvalue)
        results.append(ReaderResult(reader, right / pairs, p_value, pairs))
    results.sort(key=lambda result: -result.accuracy)
    passed = not any(_tells(result, policy.max_blind_accuracy, policy) for result in results)
    return AuditResult(tuple(results), pairs, passed)


def _tells(result: ReaderResult, limit: float, policy: HardNegativePolicy) -> bool:
    return result.accuracy > limit and result.p_value < policy.audit_significance / len(READERS)


@dataclass(frozen=True)
class BalancingReport:
    """What the balancer did.

    Attributes:
        dropped: by negative id, the reader that gave it away.
        before: audit of the negatives as they came.
        after: audit of what is left, in fresh folds.
        rounds: rounds of dropping.
    """

    dropped: dict[str, str]
    before: AuditResult
    after: AuditResult
    rounds: int


def drop_shortcuts(negatives: Sequence[Negative], policy: HardNegativePolicy, *, seed: int) -> BalancingReport:
    """Leave out the negatives that readers tell most surely, until they tell no more than the policy aims at.

    Adversarial filtering (Le Bras et al. 2020): each is judged by readers that did not learn from it, and exchanges
    fall as a whole. The result is audited in folds that the dropping never saw.

    Args:
        negatives: of one strategy.
        policy: the policy.
        seed: of the folds.
    """
    before = audit(negatives, policy, seed=seed)
    left = [negative for negative in negatives if negative.text != negative.positive_text]
    dropped: dict[str, str] = {}
    allowed = int(policy.max_balancing_share * len(left))
    rounds = 0
    while rounds < _MOST_ROUNDS and len(left) >= policy.min_audited and len(dropped) < allowed:
        read = _sample(left, policy, seed + rounds)
        margins = _margins(read, policy, seed + rounds)
        reader = _telling(_judge(margins, policy), policy)
        if not reader:
            break
        rounds += 1
        gone = _surest(read, margins[reader], allowed - len(dropped))
        if not gone:
            break
        dropped |= dict.fromkeys(gone, reader)
        left = [negative for negative in left if negative.negative_id not in dropped]
    after = audit(left, policy, seed=seed + 2 * _MOST_ROUNDS) if dropped else before
    return BalancingReport(dropped, before, after, rounds)


def _telling(result: AuditResult, policy: HardNegativePolicy) -> str:
    """The reader that tells most of what is worth a round; empty if none does."""
    for reader in result.readers:
        if reader.accuracy > policy.target_blind_accuracy and reader.p_value < _WORTH_A_ROUND:
            return reader.reader
    return ""


def _surest(negatives: Sequence[Negative], margins: Margins, most: int) -> list[str]:
    """Ids of the negatives a reader tells most surely, whole exchanges."""
    at_once = min(most, max(1, int(_DROPPED_AT_ONCE * len(negatives))))
    gone: list[str] = []
    for unit in sorted(_units(negatives), key=lambda unit: -float(margins[unit].mean())):
        if len(gone) >= at_once or margins[unit].mean() <= 0.0:
            break
        gone += [negatives[place].negative_id for place in unit]
    return gone
