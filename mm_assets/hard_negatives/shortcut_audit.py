"""Whether negatives give themselves away to readers who never see a picture, and what to leave out until they do not.

A pair is a true text and its negative. Each reader learns on some folds which of the two is true and is tested on
another, without the captions of that one; halves of one exchange lie in one fold, for a reader who saw one half in
training would be wrong about the other for no reason of its own. The gate wants accuracy at most
``max_blind_accuracy`` wherever it is more than luck.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import bdtrc

from mm_assets.hard_negatives.blind_readers import READERS, Matrix, PairFeatures
from mm_assets.hard_negatives.negatives import Negative
from mm_assets.policy import HardNegativePolicy

Margins = NDArray[np.float64]
_DROPPED_AT_ONCE: Final = 0.1
_MOST_ROUNDS: Final = 20
_WORTH_A_ROUND: Final = 0.1
"""Chance of luck below which the balancer acts; dropping some for nothing costs less than a gate that fails."""
_CHANCE: Final = 0.5
_BOTH_SIDES: Final = 2
_STRENGTH: Final = 2.0
"""Inverse of the penalty; each pair stands for itself and for its reverse."""


@dataclass(frozen=True, slots=True)
class TextPair:
    """A true text and its negative, as blind readers get them.

    Attributes:
        negative_id: the negative.
        unit: the same for both halves of an exchange, which stay or fall together.
        true: the true text.
        false: the false one.
    """

    negative_id: str
    unit: str
    true: str
    false: str


def text_pairs(negatives: Iterable[Negative]) -> list[TextPair]:
    """Pairs of the negatives whose text is false; a true text beside a false picture is not read."""
    found: list[TextPair] = []
    for negative in negatives:
        if negative.text != negative.positive_text:
            own = negative.negative_id
            found.append(TextPair(own, negative.mirror_id or own, negative.positive_text, negative.text))
    return found


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


def audit(pairs: Sequence[TextPair], policy: HardNegativePolicy, *, seed: int) -> AuditResult:
    """Test all readers on a set of negatives.

    Args:
        pairs: of one strategy or of several.
        policy: the policy.
        seed: of the folds.
    """
    if len(pairs) < policy.min_audited:
        return AuditResult((), len(pairs), passed=True)
    read = _sample(pairs, policy, seed)
    return _judge(_Readers(read).margins(range(len(read)), policy, seed), policy)


def _sample(pairs: Sequence[TextPair], policy: HardNegativePolicy, seed: int) -> list[TextPair]:
    """As many as the policy reads, whole exchanges."""
    if len(pairs) <= policy.max_audited:
        return list(pairs)
    units = _units(pairs)
    order = np.random.default_rng(seed).permutation(len(units))
    taken: list[int] = []
    for place in order.tolist():
        if len(taken) >= policy.max_audited:
            break
        taken += units[place]
    return [pairs[place] for place in sorted(taken)]


def _units(pairs: Sequence[TextPair]) -> list[list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        found[pair.unit].append(place)
    return list(found.values())


class _Readers:
    """All readers of a set of pairs: what each sees is found once, whatever part is judged how often.

    Args:
        pairs: the pairs.
    """

    def __init__(self, pairs: Sequence[TextPair]) -> None:
        self.pairs = pairs
        self._places = {pair.negative_id: place for place, pair in enumerate(pairs)}
        self._features = PairFeatures([(pair.true, pair.false) for pair in pairs])

    def places(self, pairs: Sequence[TextPair]) -> list[int] | None:
        """Where pairs stand in the set; None if not all do."""
        found = [self._places.get(pair.negative_id, -1) for pair in pairs]
        return None if -1 in found else found

    def margins(self, part: Sequence[int], policy: HardNegativePolicy, seed: int) -> dict[str, Margins]:
        """By reader, how surely it takes each held-out true text for true; negative where it is wrong.

        Args:
            part: places of the pairs to judge; the readers know no others.
            policy: the policy.
            seed: of the folds.
        """
        pairs, at = [self.pairs[place] for place in part], np.asarray(part, np.int64)
        units = _units(pairs)
        fold_of = np.zeros(len(pairs), np.int64)
        unit_of = np.zeros(len(pairs), np.int64)
        for rank, unit in enumerate(np.random.default_rng(seed).permutation(len(units)).tolist()):
            fold_of[units[unit]] = rank % policy.audit_folds
            unit_of[units[unit]] = unit
        texts = np.unique(np.asarray([pair.true for pair in pairs], dtype=object), return_inverse=True)[1]
        margins = {reader: np.zeros(len(pairs)) for reader in READERS}
        for fold in range(policy.audit_folds):
            held = np.flatnonzero(fold_of == fold)
            # A reader who knows a caption by heart tells its negatives, and learnt nothing about negatives.
            seen = unit_of[np.isin(texts, texts[held])]
            learnt = np.flatnonzero((fold_of != fold) & ~np.isin(unit_of, seen))
            if len(held) and len(learnt) > 1:
                for reader in READERS:
                    margins[reader][held] = _fit(*self._features.split(reader, at[learnt], at[held]))
        return margins


def _fit(learnt: Matrix, held: Matrix) -> Margins:
    """Margins of held-out pairs from a linear classifier without a constant: sides carry no meaning.

    Turning a pair around turns its side, too, and changes nothing; every other one is, for the classifier wants both.
    """
    from sklearn import config_context  # noqa: PLC0415 - takes a second to load
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - as above

    if learnt.nnz == 0 or learnt.get_shape()[0] < _BOTH_SIDES:
        return np.zeros(held.get_shape()[0])
    most = np.zeros(learnt.get_shape()[1])
    np.maximum.at(most, learnt.indices, np.abs(learnt.data))
    scale = 1.0 / np.where(most > 0.0, most, 1.0)
    side = np.resize([1.0, -1.0], learnt.get_shape()[0])
    turned = csr_matrix(
        (learnt.data * scale[learnt.indices] * np.repeat(side, np.diff(learnt.indptr)), learnt.indices, learnt.indptr),
        shape=learnt.get_shape(),
    )
    model = LogisticRegression(fit_intercept=False, C=_STRENGTH, solver="liblinear", random_state=0)
    with config_context(assume_finite=True, skip_parameter_validation=True):
        model.fit(turned, side)
    return held @ (scale * model.coef_[0])


def _judge(margins: dict[str, Margins], policy: HardNegativePolicy) -> AuditResult:
    results = []
    pairs = 0
    for reader, values in margins.items():
        pairs = len(values)
        right = float((values > 0).sum() + _CHANCE * (values == 0).sum())
        p_value = float(bdtrc(int(right) - 1, pairs, _CHANCE)) if right else 1.0
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
        dropped: by negative id, what gave it away.
        before: audit of the negatives as they came.
        after: audit of what is left, in fresh folds.
        rounds: rounds of dropping.
        refused: audit of what dropping had left, where it failed and the rest fell with it; None where it stayed.
    """

    dropped: dict[str, str]
    before: AuditResult
    after: AuditResult
    rounds: int
    refused: AuditResult | None = None


def drop_shortcuts(pairs: Sequence[TextPair], policy: HardNegativePolicy, *, seed: int) -> BalancingReport:
    """Leave out the negatives that readers tell most surely, until they tell no more than the policy aims at.

    Adversarial filtering (Le Bras et al. 2020): each is judged by readers that did not learn from it, and exchanges
    fall as a whole. The result is audited in folds that the dropping never saw; if it fails there, or too few are left
    of a set that failed, only whole exchanges are tried, and if they fail, too, nothing of the set stays.

    Args:
        pairs: of one strategy.
        policy: the policy.
        seed: of the folds.
    """
    if len(pairs) < policy.min_audited:
        nothing = audit(pairs, policy, seed=seed)
        return BalancingReport({}, nothing, nothing, 0)
    left, dropped = list(pairs), dict[str, str]()
    allowed = int(policy.max_balancing_share * len(left))
    readers, judged = None, list[AuditResult]()
    while True:
        read = _sample(left, policy, seed + len(judged))
        part = readers.places(read) if readers is not None else None
        if readers is None or part is None:
            readers, part = _Readers(read), list(range(len(read)))
        margins = readers.margins(part, policy, seed + len(judged))
        judged.append(_judge(margins, policy))
        reader = _telling(judged[-1], policy)
        gone = _surest(read, margins[reader], allowed - len(dropped)) if reader else []
        dropped |= dict.fromkeys(gone, reader)
        left = [pair for pair in left if pair.negative_id not in dropped]
        full = len(judged) >= _MOST_ROUNDS or len(dropped) >= allowed or len(left) < policy.min_audited
        if not gone or full:
            break
    rounds = len(judged) - (not gone)
    after = audit(left, policy, seed=seed + 2 * _MOST_ROUNDS) if dropped else judged[0]
    if not _is_clear(judged[0], after):
        halves = [pair for pair in left if pair.unit != pair.negative_id]
        if 0 < len(halves) < len(left):
            lone = (pair.negative_id for pair in left if pair.unit == pair.negative_id)
            dropped |= dict.fromkeys(lone, f"{_tell_rest(after)}; no half of an exchange")
            left, after = halves, audit(halves, policy, seed=seed + 2 * _MOST_ROUNDS + 1)
    if _is_clear(judged[0], after):
        return BalancingReport(dropped, judged[0], after, rounds)
    dropped |= dict.fromkeys((pair.negative_id for pair in left), _tell_rest(after))
    return BalancingReport(dropped, judged[0], audit([], policy, seed=seed), rounds, after)


def _is_clear(before: AuditResult, after: AuditResult) -> bool:
    """Whether what is left may stay: it passes, and if it failed at first, enough is left to know."""
    return after.passed and bool(after.readers or before.passed)


def _tell_rest(after: AuditResult) -> str:
    return f"{after.reader} tells {after.accuracy:.1%} of the rest" if after.readers else "too few left to clear"


def _telling(result: AuditResult, policy: HardNegativePolicy) -> str:
    """The reader that tells most of what is worth a round; empty if none does."""
    for reader in result.readers:
        if reader.accuracy > policy.target_blind_accuracy and reader.p_value < _WORTH_A_ROUND:
            return reader.reader
    return ""


def _surest(pairs: Sequence[TextPair], margins: Margins, most: int) -> list[str]:
    """Ids of the negatives a reader tells most surely, whole exchanges."""
    at_once = min(most, max(1, int(_DROPPED_AT_ONCE * len(pairs))))
    gone: list[str] = []
    surest = sorted(((float(margins[unit].mean()), unit) for unit in _units(pairs)), key=lambda ranked: -ranked[0])
    for margin, unit in surest:
        if len(gone) >= at_once or margin <= 0.0:
            break
        gone += [pairs[place].negative_id for place in unit]
    return gone
