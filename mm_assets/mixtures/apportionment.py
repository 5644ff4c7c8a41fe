# pyright: strict
"""Shares to whole numbers that sum to a total, each within its bounds."""

import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import ContractError

Counts = NDArray[np.int64]


def apportion(total: int, shares: NDArray[np.float64], low: Counts, high: Counts) -> Counts:
    """Give each its share of the total by largest remainder; what does not fit a bound goes to the others.

    Args:
        total: what is given out.
        shares: float64, shape (N,), not negative; they need not sum to 1.
        low: least of each, shape (N,).
        high: most of each, shape (N,).

    Returns:
        int64, shape (N,), summing to the total. Of equal remainders the first is served first.

    Raises:
        ContractError: the bounds leave no such numbers.

    >>> apportion(10, np.array([1.0, 1.0, 1.0]), np.zeros(3, np.int64), np.full(3, 10)).tolist()
    [4, 3, 3]
    >>> apportion(10, np.array([0.9, 0.1]), np.zeros(2, np.int64), np.array([5, 9])).tolist()
    [5, 5]
    """
    if (low > high).any() or not low.sum() <= total <= high.sum():
        raise ContractError(
            f"{total} cannot be given out between {low.tolist()} and {high.tolist()}; widen the bounds or the total"
        )
    ideal = _within(total, np.asarray(shares, np.float64), low, high)
    counts = np.clip(np.floor(ideal + 1e-9).astype(np.int64), low, high)
    while (left := total - int(counts.sum())) != 0:
        step = 1 if left > 0 else -1
        may = np.flatnonzero(counts < high if step > 0 else counts > low)
        order = may[np.argsort(-step * (ideal - counts)[may], kind="stable")]
        counts[order[: abs(left)]] += step
    return counts


def _within(total: int, shares: NDArray[np.float64], low: Counts, high: Counts) -> NDArray[np.float64]:
    """Real numbers in proportion to the shares, but for those that a bound stops: found by bisecting the proportion."""
    weights = shares if shares.sum() > 0 else np.ones(len(shares))
    floor, ceiling = 0.0, float((high / np.maximum(weights, 1e-12)).max(initial=1.0)) + 1.0
    while floor < (middle := 0.5 * (floor + ceiling)) < ceiling:
        if np.clip(middle * weights, low, high).sum() < total:
            floor = middle
        else:
            ceiling = middle
    return np.clip(ceiling * weights, low, high)
