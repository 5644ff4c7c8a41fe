# ruff: noqa: ANN001, ANN202 - numba infers types
"""Windows of a warping matrix: which rows of every anti-diagonal a path may take.

Diagonal k holds the cells (i, k - i). A window names its first and last row on every diagonal; both never fall and the
last rises by at most one, so the cells of a window hang together.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mm_assets.aligned.segments.warping_kernels import GROUP, compiled

Rows = npt.NDArray[np.int32]
Path = npt.NDArray[np.int32]
BYTES_PER_DIAGONAL: Final = 24
"""Three windows at once: the widest, one near a path, and one near the path found there."""
_NO_ROWS: Final = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Window:
    """Cells a path may take.

    Attributes:
        lows: int32, shape (K,), first row of every diagonal; K is lead + N + M - 1, whole groups.
        highs: int32, shape (K,), last row of every diagonal.
        lead: empty diagonals before the first.
        widest: most rows of one diagonal.
        cells: cells inside.
    """

    lows: Rows
    highs: Rows
    lead: int
    widest: int
    cells: int

    def kept_values(self, every: int) -> int:
        """Most values kept of the window when blocks have ``every`` groups."""
        ends = np.arange(GROUP * every, len(self.lows), GROUP * every)
        return 2 * int((self.highs[ends - 1] - self.lows[ends - GROUP]).sum(dtype=np.int64) + len(ends))

    def is_touched(self, path: Path, within: "Window | None" = None) -> bool:
        """Whether a path runs along an edge of this window that is no edge of the wider one (default: the matrix)."""
        outer = (_NO_ROWS, _NO_ROWS) if within is None else (within.lows, within.highs)
        return _touches(path, self.lead, self.lows, self.highs, *outer)


def _blank(rows: int, columns: int) -> tuple[Rows, Rows, int]:
    count = -(-(rows + columns - 1) // GROUP) * GROUP
    return np.empty(count, dtype=np.int32), np.empty(count, dtype=np.int32), count - (rows + columns - 1)


def full_window(rows: int, columns: int) -> Window:
    """Every cell."""
    return band_window(rows, columns, rows + columns)


def smallest_band(rows: int, columns: int) -> int:
    """Half-width below which a Sakoe-Chiba band falls apart, frames of the longer sequence."""
    shorter = min(rows, columns)
    return max(1, -(-(rows + columns - 2) // (2 * (shorter - 1)))) if shorter > 1 else 1


def band_window(rows: int, columns: int, half_width: int) -> Window:
    """The Sakoe-Chiba band around the straight line from first to last cell.

    A cell is inside where its row is at most ``half_width`` frames of the longer sequence off the line:
    ``|i (M - 1) - j (N - 1)| <= half_width (min(N, M) - 1)``.

    Source: Sakoe and Chiba 1978; for unequal lengths the line takes their slope.
    """
    lows, highs, lead = _blank(rows, columns)
    return Window(lows, highs, lead, *_fill_band((rows, columns), half_width, lead, lows, highs))


def window_around(path: Path, factor: int, half_width: int, rows: int, columns: int, within: Window) -> Window:
    """Rows near a path that was found on coarser sequences.

    Args:
        path: int32, shape (L, 2), path of the sequences coarsened ``factor`` times.
        factor: frames per coarse frame.
        half_width: rows kept above and below the path on each diagonal; at least 1.
        rows: rows N.
        columns: columns M.
        within: the wider window to stay in.
    """
    lows, highs, lead = _blank(rows, columns)
    size = _fill_around((rows, columns), path, factor, half_width, lead, within.lows, within.highs, lows, highs)
    return Window(lows, highs, lead, *size)


@compiled
def _fill_band(size, half_width, lead, lows, highs):
    """Write the first and last row of each diagonal of a Sakoe-Chiba band.

    Args:
        size: rows N and columns M.
        half_width: frames of the longer sequence; N + M for the whole matrix.
        lead: empty diagonals before the first.
        lows: int32, shape (K,).
        highs: int32, shape (K,).

    Returns:
        Most rows of a diagonal, and cells of all.
    """
    rows, columns = size
    total, room = max(rows + columns - 2, 1), half_width * (min(rows, columns) - 1)
    whole = room >= total * max(rows, columns)
    widest, cells = 0, 0
    # Low edge ceil((k (rows - 1) - room) / total), high edge floor((k (rows - 1) + room) / total), by remainders.
    low_edge, high_edge = -(room // total), room // total
    low_rest, high_rest = room % total, room % total
    for d in range(len(lows)):
        k = d - lead
        low, high = max(k - columns + 1, 0), min(k, rows - 1)
        if k >= 0 and not whole:
            low, high = max(low, low_edge), min(high, high_edge)
            low_rest, high_rest = low_rest - (rows - 1), high_rest + (rows - 1)
            if low_rest < 0:
                low_rest, low_edge = low_rest + total, low_edge + 1
            if high_rest >= total:
                high_rest, high_edge = high_rest - total, high_edge + 1
        lows[d], highs[d] = low, high
        widest, cells = max(widest, high - low + 1), cells + max(high - low + 1, 0)
    return widest, cells


@compiled
def _fill_around(size, path, factor, half_width, lead, outer_lows, outer_highs, lows, highs):
    """Write the first and last row of each diagonal near a path of coarser sequences.

    Args:
        size: rows N and columns M.
        path: int32, shape (L, 2).
        factor: frames per frame of the path.
        half_width: rows kept on either side of the path.
        lead: empty diagonals before the first.
        outer_lows: int32, shape (K,), of the window to stay in.
        outer_highs: int32, shape (K,).
        lows: int32, shape (K,).
        highs: int32, shape (K,).

    Returns:
        Most rows of a diagonal, and cells of all.
    """
    end, end_row = size[0] + size[1] - 2, size[0] - 1
    begin, row, at = 0, 0, 0  # the leg at hand: from diagonal `begin` at `row` ...
    until, until_row = 0, 0  # ... to diagonal `until` at `until_row`
    widest, cells = 0, 0
    for d in range(lead):
        lows[d], highs[d] = 0, -1
    for d in range(lead, len(lows)):
        k = d - lead
        while until <= k and until < end:
            begin, row = until, until_row
            if at < len(path):
                i = min(path[at, 0] * factor + (factor - 1) // 2, end_row)
                j = min(path[at, 1] * factor + (factor - 1) // 2, end - end_row)
                until, until_row, at = i + j, i, at + 1
            else:
                until, until_row = end, end_row
        # In whole numbers: a line of slope 0 to 1 then rises by 0 or 1 a diagonal, as a window must.
        middle = row + (k - begin) * (until_row - row) // max(until - begin, 1)
        middle = min(max(middle, outer_lows[d]), outer_highs[d])
        low, high = max(middle - half_width, outer_lows[d]), min(middle + half_width, outer_highs[d])
        lows[d], highs[d] = low, high
        widest, cells = max(widest, high - low + 1), cells + max(high - low + 1, 0)
    return widest, cells


@compiled
def _touches(path, lead, lows, highs, outer_lows, outer_highs):
    """Whether a path runs along an edge that is no edge of the outer window; without one, of the matrix."""
    end_row, end_column = path[-1, 0], path[-1, 1]
    bounded = len(outer_lows) > 0
    for at in range(len(path)):
        i, k = path[at, 0], path[at, 0] + path[at, 1]
        outer_low = outer_lows[k + lead] if bounded else max(k - end_column, 0)
        outer_high = outer_highs[k + lead] if bounded else min(k, end_row)
        low, high = lows[k + lead], highs[k + lead]
        if (i == low and low > outer_low) or (i == high and high < outer_high):
            return True
    return False
