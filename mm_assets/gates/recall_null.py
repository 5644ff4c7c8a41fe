# pyright: strict
"""How far a measured recall can be trusted: its null under re-pairing and its interval.

Pairs are not independent: each is a query and, for all others, a candidate. The interval therefore resamples influence
values, the exact change of the batch's recall when one pair leaves in both roles, and not the bare scores.

Source: Efron and Tibshirani 1993, chapters 11 and 15 (jackknife influence, permutation tests).
"""

from dataclasses import dataclass

import numpy as np

from mm_assets.gates.displacement import standardise_pairs
from mm_assets.gates.recall_input import Floats, Integers, Singles
from mm_assets.gates.recall_pools import Direction, Retrieval, tabulate_pools

_VALUES_PER_BLOCK = 2_000_000
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Null:
    """R@1 when captions are dealt to the same images at random.

    Attributes:
        mean: exact expectation.
        high: the value that a share ``max_null_p_value`` of re-pairings reaches.
        p_value: share of re-pairings at least as good as the delivery, itself counted among them.
    """

    mean: float
    high: float
    p_value: float


def permute_pairs(hits: Singles, measured: float, *, permutations: int, level: float, seed: int) -> Null:
    """Compare the measured recall with random re-pairings of the same embeddings.

    Args:
        hits: shape (n, n), R@1 of image ``row`` were caption ``column`` its own.
        measured: the batch's R@1.
        permutations: re-pairings drawn.
        level: tail of which ``Null.high`` is the start.
        seed: seed of the draws.
    """
    count = len(hits)
    generator = np.random.default_rng(seed)
    rows = np.arange(count, dtype=np.int64)
    drawn: list[Floats] = []
    step = max(1, _VALUES_PER_BLOCK // count)
    for start in range(0, permutations, step):
        size = min(step, permutations - start)
        dealt = generator.permuted(np.broadcast_to(rows, (size, count)), axis=1)
        drawn.append(hits[rows, dealt].mean(axis=1, dtype=np.float64))
    values = np.concatenate(drawn)
    return Null(
        mean=float(hits.mean(dtype=np.float64)),
        high=float(np.quantile(values, 1.0 - level)),
        p_value=float((1 + np.count_nonzero(values >= measured - _ROUNDING)) / (1 + permutations)),
    )


def is_similar_beyond_chance(
    similarity: Singles, null: Null, required: float, *, permutations: int, level: float, seed: int
) -> bool:
    """Whether pairs too few to be told from chance by their ranks are told from it by their similarities.

    Ranks among a dozen candidates say little: where random pairing reaches the required recall by itself, a sound batch
    would be held for being small. The mean standardised similarity of the pairs is the sharper statistic there.

    Args:
        similarity: shape (n, n), of query ``row`` and candidate ``column``, pairs on the diagonal.
        null: of the recall.
        required: recall the batch must reach; similarities are asked only where the null reaches it.
        permutations: re-pairings drawn.
        level: p-value that counts.
        seed: seed of the draws.
    """
    if required > null.high:
        return False
    standardised = standardise_pairs(similarity).astype(np.float32)
    measured = float(np.diagonal(standardised).mean())
    return permute_pairs(standardised, measured, permutations=permutations, level=level, seed=seed).p_value <= level


def measure_influence(retrieval: Retrieval) -> Floats:
    """How much each pair moves the batch's R@1, as query and as candidate; shape (n,), mean zero.

    Their mean square over ``n - 1`` is the jackknife variance of ``recall_at_1``.
    """
    forward = _leave_one_out(retrieval.image_to_text, retrieval.keys, retrieval.pool_size)
    backward = _leave_one_out(retrieval.text_to_image, retrieval.keys, retrieval.pool_size)
    without = (forward + backward) / 2.0
    return -(len(without) - 1.0) * (without - without.mean())


def _leave_one_out(direction: Direction, keys: Integers, pool_size: int) -> Floats:
    """R@1 of the batch without pair ``j``, for every j; shape (n,)."""
    count = len(keys)
    copies = np.bincount(keys)[keys]
    # Scores of query i once a wrong candidate that was better, or one that was not, has left.
    better_left, worse_left = np.empty(count), np.empty(count)
    for size in np.unique(copies):
        rows = copies == size
        wrong = count - int(size)
        table = tabulate_pools(max(wrong - 1, 0), max(1, min(pool_size, wrong))).r1
        better = direction.better[rows]
        better_left[rows] = table[np.maximum(better - 1, 0)]
        worse_left[rows] = table[np.minimum(better, max(wrong - 1, 0))]
    own = np.diagonal(direction.similarity)
    beats = direction.similarity >= own[:, None]
    gained = better_left - worse_left
    total = worse_left.sum() + gained @ beats
    # Pictures and captions of the same sentence are no candidates: their leaving changes nothing for query i.
    total -= np.bincount(keys, weights=worse_left)[keys]
    for key in np.flatnonzero(np.bincount(keys) > 1):
        members = np.flatnonzero(keys == key)
        total[members] -= gained[members] @ beats[np.ix_(members, members)]
    alone = copies == 1
    total[alone] -= gained[alone]
    total += np.bincount(keys, weights=direction.r1)[keys] - direction.r1
    return total / (count - 1)


def bootstrap_interval(
    measured: float, influence: Floats, *, samples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Percentile interval of the R@1 over resampled pairs, inside 0 to 1.

    Args:
        measured: the batch's R@1.
        influence: shape (n,), from :func:`measure_influence`.
        samples: resamples drawn.
        confidence: of the interval, 0 to 1.
        seed: seed of the draws.
    """
    count = len(influence)
    generator = np.random.default_rng(seed)
    means: list[Floats] = []
    step = max(1, _VALUES_PER_BLOCK // count)
    for start in range(0, samples, step):
        size = min(step, samples - start)
        means.append(influence[generator.integers(0, count, size=(size, count))].mean(axis=1))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(measured + np.concatenate(means), [tail, 1.0 - tail])
    return float(np.clip(low, 0.0, measured)), float(np.clip(high, measured, 1.0))
