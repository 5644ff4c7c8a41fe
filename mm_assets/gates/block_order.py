# pyright: strict
"""Blocks of one size delivered in another order.

A shuffle of shards moves blocks that start at multiples of one size. Knowing where blocks start costs far less
evidence than searching for them (:mod:`mm_assets.gates.displacement`), so that blocks of few rows and weak encoders are
still recognised. Each block weighs being in place (one half) against every offset: half of the rest is spread over the
offsets that are whole blocks, half over all, because a short last block moves the starts of those after it.
"""

import math
from typing import Final

import numpy as np

from mm_assets.gates.displacement import Displacement, Offsets, cut_runs
from mm_assets.gates.recall_input import Integers, Singles

SMALLEST_BLOCK: Final = 4
LARGEST_BLOCK: Final = 64
"""Larger sizes are tried as multiples of the best one up to here; any other is left to the free search."""


def find_blocks(offsets: Offsets, positions: Integers) -> tuple[int, Displacement]:
    """The block size that explains the order best, and where its blocks went.

    Args:
        offsets: evidence in delivery order; offset 0 is the delivered pairing.
        positions: shape (n,), delivery positions; blocks start at their multiples.

    Returns:
        Block size in delivery positions, and the displacement; its score has paid for the choice of size and offsets.
    """
    rows, width = offsets.gains.shape
    totals = np.zeros((rows + 1, width), dtype=np.float32)
    np.cumsum(offsets.gains, axis=0, out=totals[1:])
    longest = int(positions[-1] + 1) // 2
    small = range(SMALLEST_BLOCK, min(LARGEST_BLOCK, longest) + 1)
    tried = {size: _place_blocks(offsets, totals, positions, size) for size in small}
    if not tried:
        return SMALLEST_BLOCK, Displacement((), -math.inf, np.arange(rows, dtype=np.int64))
    base = max(tried, key=lambda size: tried[size][0])
    multiples = range(2 * base, longest + 1, base)
    tried |= {size: _place_blocks(offsets, totals, positions, size) for size in multiples if size not in tried}
    best = max(tried, key=lambda size: tried[size][0])
    score, path = tried[best]
    return best, cut_runs(offsets, path, score - math.log(len(tried)))


def _place_blocks(offsets: Offsets, totals: Singles, positions: Integers, size: int) -> tuple[float, list[int | None]]:
    """Log-evidence for blocks of this size, and the offset of each row (None in place)."""
    rows, width = offsets.gains.shape
    starts = np.flatnonzero(np.diff(positions // size, prepend=-1))
    bounds = np.append(starts, rows)
    whole = np.arange(-offsets.reach, offsets.reach + 1) % size == 0
    prior = np.where(whole, 0.5 / np.count_nonzero(whole), 0.0) + 0.5 / width
    sums = totals[bounds[1:]] - totals[bounds[:-1]] + np.log(prior).astype(np.float32)
    sums[:, offsets.reach] = -np.inf
    chosen = np.argmax(sums, axis=1)
    weights = sums[np.arange(len(starts)), chosen]
    score = float(np.maximum(weights, 0.0).sum()) - len(starts) * math.log(2.0)
    moved: list[int] = np.repeat(np.where(weights > 0.0, chosen - offsets.reach, 0), np.diff(bounds)).tolist()
    return score, [offset or None for offset in moved]
