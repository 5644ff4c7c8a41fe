# pyright: strict
"""Shares of captions, or of pairs of captions, counted in pictures: intervals and a test that does not hold by chance.

Captions of one picture share its faults, so that a batch tells less than its number of captions says. Its effective
number is that number over the design effect: the variance between pictures over that of independent captions (Kish
1965).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - it has none

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rate:
    """A share with its interval, and what it is held against.

    Attributes:
        value: the share; NaN if there is nothing to count.
        low: lower end of the Wilson interval.
        high: upper end.
        count: captions or pairs.
        clusters: pictures they belong to.
        effective: count over the design effect.
    """

    value: float
    low: float
    high: float
    count: int
    clusters: int
    effective: float


def measure_rate(hits: Sequence[float] | Floats, counts: Sequence[float] | Floats, confidence: float) -> Rate:
    """Share of hits over pictures.

    Args:
        hits: per picture, its hits; each weighs 0 to 1.
        counts: per picture, its captions or pairs.
        confidence: of the interval.

    >>> rate = measure_rate([1.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0], 0.95)
    >>> round(rate.value, 3), rate.count, rate.clusters
    (0.125, 8, 4)
    """
    found, total = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    count = float(total.sum())
    if count == 0.0:
        return Rate(math.nan, math.nan, math.nan, 0, 0, 0.0)
    value = float(found.sum()) / count
    effective = count / _design_effect(found, total, value)
    low, high = wilson_interval(value, effective, confidence)
    return Rate(value, low, high, round(count), int((total > 0.0).sum()), effective)


def _design_effect(hits: Floats, counts: Floats, value: float) -> float:
    clusters = int((counts > 0.0).sum())
    independent = value * (1.0 - value) * float(counts.sum())
    if clusters < 2 or independent <= 0.0:  # noqa: PLR2004 - no spread between fewer than two
        return 1.0
    between = float(((hits - value * counts) ** 2).sum()) * clusters / (clusters - 1)
    return min(max(1.0, between / independent), float(counts.max()))


def wilson_interval(value: float, count: float, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a share, for any real count (Wilson 1927).

    >>> [round(end, 3) for end in wilson_interval(0.0, 20.0, 0.95)]
    [0.0, 0.161]
    """
    if count <= 0.0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    middle = value + z * z / (2.0 * count)
    half = z * math.sqrt(value * (1.0 - value) / count + z * z / (4.0 * count * count))
    scale = 1.0 + z * z / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def excess_p_value(rate: Rate, allowed: float) -> float:
    """Chance that a batch whose true share is the allowed one shows this much or more.

    The binomial tail at the effective number, continued to real counts by the incomplete beta function; exact for whole
    ones.

    >>> round(excess_p_value(Rate(0.3, 0.0, 1.0, 10, 10, 10.0), 0.1), 4)  # three or more of ten
    0.0702
    """
    if not math.isfinite(rate.value) or allowed >= 1.0:
        return 1.0
    hits = rate.value * rate.effective
    if hits <= 0.0:
        return 1.0
    if allowed <= 0.0:
        return 0.0
    return float(betainc(hits, rate.effective - hits + 1.0, allowed))
