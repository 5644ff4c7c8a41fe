"""The cheapest path between two sequences, inside a window and inside a memory quota.

Everything is exact inside its window. Three ways to spend less, in this order:

- *Bound*: a path near the path of eight times shorter sequences costs an upper bound; cells that cost more by
  themselves cannot lie on a cheaper one and are left out. The result is that of the whole window.
- *Blocks*: fewer kept diagonals take less memory, and longer blocks more time to trace the path back.
- *Descent*: over the quota, the path of downsampled sequences is refined level by level, exact in a window around the
  path before. Only this one may miss the optimum.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mm_assets.aligned.segments import warping_windows as windows
from mm_assets.aligned.segments.warping_kernels import GROUP, PAD, retrace, sweep
from mm_assets.aligned.segments.warping_windows import Path, Window

Floats = npt.NDArray[np.float64]
_NO_MATRIX: Final[Floats] = np.zeros((0, 0))
_NO_PATH: Final[Path] = np.zeros((0, 2), dtype=np.int32)
_FEWEST_GROUPS: Final = 4
_MOST_GROUPS_BY_CHOICE: Final = 32
_MOST_GROUPS: Final = 1_024
_BOUND_FROM: Final = 2_000_000
"""Values to compare (cells times dimensions) from which a bound pays for itself."""
_BOUND_FROM_WIDTH: Final = 600
"""Rows of a diagonal, on average, from which most of a window may be left out."""
_BOUND_FACTOR: Final = 8
_BOUND_HALF_WIDTH: Final = 16
_SMALLEST_HALF_WIDTH: Final = 2
_RECENTRINGS: Final = 3
_WORTH_A_TRY: Final = 8
"""A bound leaves an eighth of the cells or less of sequences that are alike; with less room no attempt is made."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sequences, or their distances, as the kernels read them.

    Attributes:
        x: float64, shape (D, N + 2 PAD), frames of the first; D is 1 or even.
        y: float64, shape (D, M + 2 PAD), frames of the second, backwards.
        matrix: float64, shape (N, M), distances instead of sequences, or (0, 0).
        rows: frames N.
        columns: frames M.
        doubled: whether a diagonal step counts its distance twice.
    """

    x: Floats
    y: Floats
    matrix: Floats
    rows: int
    columns: int
    doubled: bool

    @property
    def size_bytes(self) -> int:
        """Bytes of the copies."""
        return self.x.nbytes + self.y.nbytes

    @property
    def by_matrix(self) -> bool:
        """Whether distances were given."""
        return self.matrix.size > 0

    def coarsen(self, factor: int) -> "Pair":
        """Average ``factor`` frames at a time; the last may have fewer."""
        rows, columns = -(-self.rows // factor), -(-self.columns // factor)
        x, y = np.zeros((len(self.x), rows + 2 * PAD)), np.zeros((len(self.x), columns + 2 * PAD))
        _average(self.x[:, PAD:-PAD], factor, x[:, PAD:-PAD])
        _average(self.y[:, -PAD - 1 : PAD - 1 : -1], factor, y[:, -PAD - 1 : PAD - 1 : -1])
        return replace(self, x=x, y=y, rows=rows, columns=columns)


@dataclass(frozen=True, eq=False)
class Found:
    """A path.

    Attributes:
        path: int32, shape (L, 2).
        cost: its accumulated distance.
        window: what was searched.
        size_bytes: memory taken beside pair and windows.
    """

    path: Path
    cost: float
    window: Window
    size_bytes: int


@dataclass(frozen=True, eq=False)
class Descent:
    """How a path was found on downsampled sequences.

    Attributes:
        found: the path of the full sequences.
        factor: frames per frame of the coarsest sequences.
        half_width: rows searched above and below the coarser path.
        size_bytes: memory taken beside the pair.
    """

    found: Found
    factor: int
    half_width: int
    size_bytes: int


def pair_sequences(first: npt.NDArray[Any], second: npt.NDArray[Any], *, doubled: bool) -> Pair:
    """Lay out two sequences of shape (N, D) and (M, D)."""
    x, y = _pad(first.T), _pad(second[::-1].T)
    return Pair(x, y, _NO_MATRIX, len(first), len(second), doubled)


def pair_distances(distances: Floats, *, doubled: bool) -> Pair:
    """Lay out a matrix of distances, shape (N, M)."""
    empty = np.zeros((2, 2 * PAD))
    rows, columns = distances.shape
    return Pair(empty, empty, distances, rows, columns, doubled)


def pair_bytes(rows: int, columns: int, dimensions: int) -> int:
    """Bytes that :func:`pair_sequences` takes."""
    return 8 * _even(dimensions) * (rows + columns + 4 * PAD)


def window_bytes(rows: int, columns: int) -> int:
    """Most bytes that windows and paths take: two paths and a copy."""
    return (windows.BYTES_PER_DIAGONAL + 3 * 8) * (rows + columns + GROUP)


def search(pair: Pair, window: Window, room: int, bound: float = math.inf, *, cost_only: bool = False) -> Found | None:
    """Find the cheapest path inside a window.

    Args:
        pair: the sequences.
        window: cells a path may take.
        room: bytes to stay in.
        bound: cost of some path inside the window.
        cost_only: leave the path empty.

    Returns:
        The path, or None if it does not fit.
    """
    fixed = 16 * (pair.rows + 2 * PAD)
    by_row = pair.by_matrix or len(pair.x) > 1
    if by_row:
        fixed += 8 * GROUP * (window.widest + PAD)
    every, needed = _choose_blocks(pair, window, room - fixed)
    side, blocks = GROUP * every, -(-len(window.lows) // (GROUP * every))
    fixed += _block_bytes(window, every)
    capacity = min(needed, room - fixed)
    if capacity < needed and (math.isinf(bound) or capacity * _WORTH_A_TRY < needed):
        return None
    kept, kept_rows = np.empty(capacity // 8), np.empty((blocks, 3), dtype=np.int64)
    last, before = np.full((2, pair.rows + 2 * PAD), np.inf)
    doubled = True if pair.doubled else None
    cost, used = sweep(
        *(pair.x, pair.y, pair.matrix),
        np.empty((GROUP, window.widest + PAD)) if by_row else None,
        *(window.lows, window.highs, window.lead, bound, doubled, last, before, every, kept, kept_rows),
    )
    if used < 0:
        return None
    if cost_only:
        return Found(_NO_PATH, cost, window, fixed + 8 * used)
    path = np.empty((pair.rows + pair.columns - 1, 2), dtype=np.int32)
    length = retrace(
        *(pair.x, pair.y, pair.matrix),
        np.empty((GROUP, side + 2 * PAD)) if by_row else None,
        *(window.lows, window.highs, window.lead, doubled, every, kept, kept_rows),
        *(np.empty((2, side + 2 * PAD)), np.empty((every, side + 2 * PAD), dtype=np.uint8), path),
    )
    return Found(path[len(path) - length :], cost, window, fixed + 8 * used)


def bound_cost(pair: Pair, window: Window, room: int) -> float:
    """Cost of some path inside a window, found near the path of shorter sequences; infinite where that does not pay."""
    dimensions, factor = len(pair.x), _BOUND_FACTOR
    wide = window.cells >= _BOUND_FROM_WIDTH * len(window.lows)
    if pair.by_matrix or not wide or window.cells * dimensions < _BOUND_FROM:
        return math.inf
    rows, columns = -(-pair.rows // factor), -(-pair.columns // factor)
    room -= pair_bytes(rows, columns, dimensions) + window_bytes(rows, columns)
    if room <= 0:
        return math.inf
    guess = search(pair.coarsen(factor), windows.full_window(rows, columns), room)
    if guess is None:
        return math.inf
    near = windows.window_around(guess.path, factor, _BOUND_HALF_WIDTH, pair.rows, pair.columns, window)
    found = search(pair, near, room, cost_only=True)
    return math.inf if found is None else found.cost


def descend(pair: Pair, window: Window, band: int | None, half_width: int, room: int) -> Descent | None:
    """Find a path on downsampled sequences and refine it level by level.

    Args:
        pair: the sequences.
        window: cells a path may take: the band, or everything.
        band: half-width of the band, frames of the longer sequence.
        half_width: rows to search above and below the path before, if the room allows it.
        room: bytes to stay in.

    Returns:
        The path, or None if the room does not even allow the narrowest window.
    """
    factor, coarsest, taken = 1, None, 0
    while coarsest is None:
        factor *= 2
        if factor > 2 * min(pair.rows, pair.columns):
            return None
        left = room - pair_bytes(-(-pair.rows // factor), -(-pair.columns // factor), len(pair.x))
        if left <= 0:
            continue
        coarse = pair.coarsen(factor)
        coarsest = search(coarse, _widen(coarse, band, factor), left)
        taken = room - left + (coarsest.size_bytes if coarsest else 0)
    path, at, level = coarsest.path, factor, factor
    while level > 1:
        level //= 2
        extra = pair_bytes(-(-pair.rows // level), -(-pair.columns // level), len(pair.x)) if level > 1 else 0
        if extra >= room:
            continue  # no room for sequences of this level beside the whole ones: on to those
        finer = pair.coarsen(level) if level > 1 else pair
        within = _widen(finer, band, level) if level > 1 else window
        refined = _refine(finer, path, at // level, within, half_width, room - extra)
        if refined is None:
            return None
        found, half_width = refined
        path, at = found.path, level
        taken = max(taken, extra + found.size_bytes)
    return Descent(found, factor, half_width, taken)  # pyright: ignore[reportPossiblyUnboundVariable] - level 1 is last


def _refine(
    pair: Pair, path: Path, factor: int, within: Window, half_width: int, room: int
) -> tuple[Found, int] | None:
    """Search near a path of coarser sequences; and near what was found while that lies on the window's edge."""
    found = None
    for _ in range(1 + _RECENTRINGS):
        nearby = None
        while nearby is None and half_width >= _SMALLEST_HALF_WIDTH:
            near = windows.window_around(path, factor, half_width, pair.rows, pair.columns, within)
            nearby = search(pair, near, room)
            half_width = half_width if nearby else half_width // 2
        if nearby is None:
            break
        if found is not None and nearby.cost >= found.cost:
            break
        found, path, factor = nearby, nearby.path, 1
        if not found.window.is_touched(path, within):
            break
    return (found, half_width) if found else None


def _widen(pair: Pair, band: int | None, factor: int) -> Window:
    """The band of coarsened sequences."""
    if band is None:
        return windows.full_window(pair.rows, pair.columns)
    half_width = max(-(-band // factor) + 1, windows.smallest_band(pair.rows, pair.columns))
    return windows.band_window(pair.rows, pair.columns, half_width)


def _choose_blocks(pair: Pair, window: Window, room: int) -> tuple[int, int]:
    """Groups of a block and bytes of its kept diagonals.

    What costs least time; where the room is short as many groups as it takes, or what takes least.
    """
    mean_width = window.cells / len(window.lows)
    best = round(1.5 * math.sqrt(mean_width / (2 + len(pair.x))))
    every = min(max(best, _FEWEST_GROUPS), _MOST_GROUPS_BY_CHOICE)
    most = 16 * (window.widest + GROUP) * (len(window.lows) // (GROUP * every) + 1)
    if most + _block_bytes(window, every) <= room:
        return every, most  # without a look at every block
    least, least_bytes = (every, most), math.inf
    while every <= _MOST_GROUPS:
        kept = 8 * window.kept_values(every)
        needed = kept + _block_bytes(window, every)
        if needed <= room:
            return every, kept
        if needed < least_bytes:
            least, least_bytes = (every, kept), needed
        every *= 2
    return least


def _block_bytes(window: Window, every: int) -> int:
    """Room to trace a block back, and the table of blocks."""
    return (8 * (GROUP + 2) + every) * (GROUP * every + 2 * PAD) + 24 * (len(window.lows) // (GROUP * every) + 1)


def _even(dimensions: int) -> int:
    return dimensions + dimensions % 2 if dimensions > 1 else 1


def _pad(frames: npt.NDArray[Any]) -> Floats:
    """Frames of shape (D, N), D made even, with room around."""
    dimensions, count = frames.shape
    padded = np.zeros((_even(dimensions), count + 2 * PAD))
    padded[:dimensions, PAD : PAD + count] = frames
    return padded


def _average(frames: Floats, factor: int, means: Floats) -> None:
    """Write means of ``factor`` frames at a time, shape (D, ceil(N / factor))."""
    starts = np.arange(0, frames.shape[1], factor)
    np.add.reduceat(frames, starts, axis=1, out=means)
    means /= np.diff(starts, append=frames.shape[1])
