# pyright: strict
"""What a batch's recall is held against: earlier batches of its source, or the policy's floor.

Recall depends on the pool, so a value measured on pools of one size is carried to another through the equal-variance
Gaussian ranking model: matched scores are N(d, 1), mismatched N(0, 1), and R@1 on pools of P is the chance that one
matched score exceeds P - 1 mismatched ones.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import polars as pl

from mm_assets.display.counts import tell_count
from mm_assets.gates.recall_input import Floats
from mm_assets.policy import RecallGatePolicy

_NORMAL: Final = NormalDist()
_GRID: Final = np.linspace(-9.0, 18.0, 1_081)
_MAX_SEPARATION: Final = 9.0
_BISECTIONS: Final = 50
VARIANCE_OF_TWO_DIRECTIONS: Final = 0.5
"""Variance of a pair's score over r (1 - r), both directions averaged, pools smoothed: 0.42 to 0.63 in simulation."""


@dataclass(frozen=True)
class Baseline:
    """R@1 that batches of a source reach.

    Attributes:
        recall: R@1 on pools of ``pool_size``.
        variance: variance of a new batch's true recall around ``recall``.
        pool_size: candidates per query behind ``recall``.
        kind: ``policy_floor`` or ``trusted_batches``.
        batches: batches it was taken from.
        tolerance: share of ``recall`` a batch may lose.
    """

    recall: float
    variance: float
    pool_size: int
    kind: str
    batches: tuple[str, ...]
    tolerance: float

    @property
    def origin(self) -> str:
        """Where it is from, in words."""
        if not self.batches:
            return "the policy's floor"
        return tell_count(len(self.batches), "trusted batch", "trusted batches")

    def required_recall(self, pool_size: int) -> float:
        """R@1 on pools of this size that a batch must not be significantly below."""
        return convert_recall(self.recall * (1.0 - self.tolerance), self.pool_size, pool_size)


def floor_baseline(policy: RecallGatePolicy) -> Baseline:
    """The policy's floor, for a source without trusted batches."""
    return Baseline(policy.baseline_floor, 0.0, policy.pool_size, "policy_floor", (), 0.0)


def trusted_baseline(rows: pl.DataFrame, policy: RecallGatePolicy) -> Baseline:
    """Pool the recall of a source's trusted batches; the floor if none of them was judged.

    Batches weigh by precision with a between-batch variance (DerSimonian and Laird 1986), so that one large batch does
    not speak for all and a source whose batches differ gets the slack it needs.

    Args:
        rows: rows of ``image_text_recall``, one per batch, that passed or were released by a person.
        policy: pool size, smallest judged batch and tolerance.
    """
    judged = rows.filter((pl.col("pairs") >= policy.min_pairs) & pl.col("recall_at_1").is_finite()).sort("batch")
    if judged.is_empty():
        return floor_baseline(policy)
    pools = judged["pool_size"].to_list()
    recalls = np.array(
        [convert_recall(r, p, policy.pool_size) for r, p in zip(judged["recall_at_1"].to_list(), pools, strict=True)]
    )
    pairs = judged["pairs"].to_numpy().astype(np.float64)
    # Centred on 0.5 +- one pair, so that a batch at 0 or 1 keeps a variance.
    shrunk = (recalls * pairs + 1.0) / (pairs + 2.0)
    within = VARIANCE_OF_TWO_DIRECTIONS * shrunk * (1.0 - shrunk) / pairs
    weights = 1.0 / within
    fixed = float(np.average(recalls, weights=weights))
    spread = float(weights @ (recalls - fixed) ** 2) - (len(recalls) - 1)
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    between = max(0.0, spread / scale) if len(recalls) > 1 else 0.0
    weights = 1.0 / (within + between)
    return Baseline(
        recall=float(np.average(recalls, weights=weights)),
        variance=between + 1.0 / float(weights.sum()),
        pool_size=policy.pool_size,
        kind="trusted_batches",
        batches=tuple(judged["batch"].to_list()),
        tolerance=policy.baseline_tolerance,
    )


def shortfall_p_value(measured: float, influence: Floats, required: float, baseline: Baseline) -> float:
    """One-sided p-value that a batch whose true recall is the required one measures this little.

    The sampling variance is the larger of the measured one and the one expected at the required recall: a batch that
    happens to score nothing also shows no spread, and must not pass for certain because of it.

    Args:
        measured: R@1 of the batch.
        influence: shape (n,), jackknife influence of its pairs.
        required: R@1 it must not be below.
        baseline: where ``required`` comes from.
    """
    count = len(influence)
    sampling = max(
        float(np.mean(influence**2)) / (count - 1),
        VARIANCE_OF_TWO_DIRECTIONS * required * (1.0 - required) / count,
    )
    deviation = math.sqrt(sampling + (1.0 - baseline.tolerance) ** 2 * baseline.variance)
    return _NORMAL.cdf((measured - required) / deviation) if deviation > 0.0 else float(measured >= required)


def convert_recall(recall: float, from_pool: int, to_pool: int) -> float:
    """Carry an R@1 from pools of one size to pools of another.

    >>> convert_recall(0.4, 32, 32)
    0.4
    >>> round(convert_recall(1 / 32, 32, 8), 3)
    0.125
    """
    if from_pool == to_pool:
        return recall
    low, high = -_MAX_SEPARATION, _MAX_SEPARATION
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _gaussian_recall(middle, from_pool) < recall else (low, middle)
    return _gaussian_recall((low + high) / 2.0, to_pool)


_CUMULATIVE: Final = np.array([_NORMAL.cdf(x) for x in _GRID.tolist()])


def _gaussian_recall(separation: float, pool_size: int) -> float:
    """Chance that one N(separation, 1) exceeds ``pool_size - 1`` draws of N(0, 1)."""
    density = np.exp(-0.5 * (_GRID - separation) ** 2) / math.sqrt(2.0 * math.pi)
    return float(min(1.0, (density * _CUMULATIVE ** (pool_size - 1)).sum() * (_GRID[1] - _GRID[0])))
