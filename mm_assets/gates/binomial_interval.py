# pyright: strict
"""The exact interval of a binomial share, from `scipy.special` alone: to import `scipy.stats` takes a second more."""

from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - it has none


def clopper_pearson(hits: int, count: int, confidence: float) -> tuple[float, float]:
    """Exact interval of a binomial share.

    Args:
        hits: at most ``count``.
        count: tries; of none, the interval is all shares.
        confidence: of the two-sided interval.

    Source: Clopper and Pearson 1934.

    >>> [round(end, 3) for end in clopper_pearson(0, 30, 0.95)]
    [0.0, 0.116]
    """
    if count == 0:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else float(betaincinv(hits, count - hits + 1, tail))
    high = 1.0 if hits == count else float(betaincinv(hits + 1, count - hits, 1.0 - tail))
    return low, high
