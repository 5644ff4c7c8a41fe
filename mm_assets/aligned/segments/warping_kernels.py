# ruff: noqa: ANN001, ANN201, ANN202, FURB136, PLR2004 - numba infers types, and its min looks for NaN
"""Compiled dynamic time warping: accumulated distances diagonal by diagonal, then the path from kept diagonals.

Cell (i, j) of row i and column j lies on diagonal k = i + j. Cells of one diagonal do not depend on each other, so they
fill vector registers. :func:`sweep` takes four diagonals in one pass over the rows, keeps two diagonals out of every
few and no directions; :func:`retrace` accumulates a block of diagonals again, only where the path can pass, and writes
the directions down there. Memory is a fraction of a byte for each cell of the window, and the second time over costs
little: what leads to one cell is a narrow cone.

A cell takes its smallest sum of predecessor and distance; of equal sums the diagonal step (i - 1, j - 1) wins, then
(i, j - 1), then (i - 1, j). Sums are float64 in one fixed order, so the path is that of a full matrix, to the last tie.

Columns are stored backwards, which makes both sequences run upwards along a diagonal. Arrays are padded: a pass
handles whole registers and reads, but never uses, a few values beside the sequences. Windows count diagonals from
``lead`` before the first, so that they end with a whole group of four.
"""

from typing import Final

import numba
import numpy as np

PAD: Final = 16
"""Values before and behind every array; a pass reads up to 4 before and 14 behind."""
GROUP: Final = 4
_LANES: Final = 8
_TILE: Final = 128
_INF: Final = np.inf

# callers are compiled too, so no wrappers; numba's stub does not know these options
inlined: Final = numba.njit(  # pyright: ignore[reportCallIssue]
    forceinline=True, boundscheck=False, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)
compiled: Final = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@inlined
def _reach(distance, diagonal, left, up, doubled):
    """Accumulated distance of a cell."""
    nearer = up if up < left else left
    if doubled is None:
        return (nearer if nearer < diagonal else diagonal) + distance
    straight, turned = diagonal + (distance + distance), nearer + distance
    return turned if turned < straight else straight


@inlined
def _decide(distance, diagonal, left, up, doubled):
    """Accumulated distance of a cell and where it came from: 0 diagonal, 1 left, 3 up."""
    straight = diagonal + (distance if doubled is None else distance + distance)
    across, down = left + distance, up + distance
    turned = down if down < across else across
    step = np.uint8(turned < straight) | (np.uint8((turned < straight) & (down < across)) << np.uint8(1))
    return (turned if turned < straight else straight), step


@inlined
def _advance(x, y, rows, steps, count, first, low, high, masked, doubled, last, before, ends):
    """Four diagonals over ``count`` rows; ``last`` and ``before`` hold the two before them, then the last two of them.

    ``ends`` are values one row further up: of the three older of the four diagonals, of ``last`` and of ``before``.
    """
    up0, up1, up2, up_last, up_before = ends
    for q in range(count):
        left, older = last[q + 1], before[q + 1]
        if rows is None:
            row = x[q]
            d0, d1, d2, d3 = abs(row - y[q + 3]), abs(row - y[q + 2]), abs(row - y[q + 1]), abs(row - y[q])
        else:
            d0, d1, d2, d3 = rows[0, q], rows[1, q], rows[2, q], rows[3, q]
        if masked:
            i = first + q
            d0 = d0 if (i >= low[0]) & (i <= high[0]) else _INF
            d1 = d1 if (i >= low[1]) & (i <= high[1]) else _INF
            d2 = d2 if (i >= low[2]) & (i <= high[2]) else _INF
            d3 = d3 if (i >= low[3]) & (i <= high[3]) else _INF
        if steps is None:
            cell0 = _reach(d0, up_before, left, up_last, doubled)
            cell1 = _reach(d1, up_last, cell0, up0, doubled)
            cell2 = _reach(d2, up0, cell1, up1, doubled)
            cell3 = _reach(d3, up1, cell2, up2, doubled)
        else:
            cell0, step0 = _decide(d0, up_before, left, up_last, doubled)
            cell1, step1 = _decide(d1, up_last, cell0, up0, doubled)
            cell2, step2 = _decide(d2, up0, cell1, up1, doubled)
            cell3, step3 = _decide(d3, up1, cell2, up2, doubled)
            steps[q] = step0 | (step1 << np.uint8(2)) | (step2 << np.uint8(4)) | (step3 << np.uint8(6))
        before[q + 1], last[q + 1] = cell2, cell3
        up0, up1, up2, up_last, up_before = cell0, cell1, cell2, left, older
    return up0, up1, up2, up_last, up_before


@inlined
def _add_squares(xa, xb, ya, yb, r0, r1, r2, r3, count):
    """Add the squared differences of two dimensions to four diagonals; ``ya`` and ``yb`` start at the fourth."""
    za, zb = ya[3:], yb[3:]
    a1, a2, a3, b1, b2, b3 = ya[2], ya[1], ya[0], yb[2], yb[1], yb[0]
    for q in range(count):
        p, s, a0, b0 = xa[q], xb[q], za[q], zb[q]
        d, e = p - a0, s - b0
        r0[q] = (r0[q] + d * d) + e * e
        d, e = p - a1, s - b1
        r1[q] = (r1[q] + d * d) + e * e
        d, e = p - a2, s - b2
        r2[q] = (r2[q] + d * d) + e * e
        d, e = p - a3, s - b3
        r3[q] = (r3[q] + d * d) + e * e
        a1, a2, a3, b1, b2, b3 = a0, a1, a2, b0, b1, b2


@inlined
def _measure(x, y, rows, k, first, count):
    """Euclidean distances of four diagonals from k on, rows ``first`` on, a tile of rows at a time."""
    start = y.shape[1] - PAD - 4 - k + first
    for t in range(0, count, _TILE):
        size = min(_TILE, count - t)
        r0, r1, r2, r3 = rows[0, t:], rows[1, t:], rows[2, t:], rows[3, t:]
        for q in range(size):
            r0[q] = r1[q] = r2[q] = r3[q] = 0.0
        for c in range(0, x.shape[0], 2):
            xa, xb = x[c, PAD + first + t :], x[c + 1, PAD + first + t :]
            _add_squares(xa, xb, y[c, start + t :], y[c + 1, start + t :], r0, r1, r2, r3, size)
        for q in range(size):
            r0[q], r1[q], r2[q], r3[q] = np.sqrt(r0[q]), np.sqrt(r1[q]), np.sqrt(r2[q]), np.sqrt(r3[q])


@inlined
def _close(rows, first, count, low, high):
    """Make distances outside the window infinite."""
    for r in range(4):
        for q in range(min(low[r] - first, count)):
            rows[r, q] = _INF
        for q in range(max(high[r] - first + 1, 0), count):
            rows[r, q] = _INF


@inlined
def _pass_group(x, y, matrix, rows, steps, k, low, high, doubled, last, before, ends):
    """Four diagonals from k on; ``last`` and ``before`` start one row before ``low[0]``."""
    first = low[0]
    count = (high[3] - first) // _LANES * _LANES + _LANES
    if rows is None:
        xs, ys = x[0, PAD + first :], y[0, y.shape[1] - PAD - 4 - k + first :]
        if steps is not None:  # few rows: not worth a part without edges
            _advance(xs, ys, rows, steps, count, first, low, high, True, doubled, last, before, ends)
        else:
            s = min((low[3] - first + _LANES - 1) // _LANES * _LANES, count)
            t = max((high[0] - first + 1) // _LANES * _LANES, s)
            ends = _advance(xs, ys, rows, steps, s, first, low, high, True, doubled, last, before, ends)
            inner = xs[s:], ys[s:], rows, steps, t - s, first + s
            ends = _advance(*inner, low, high, False, doubled, last[s:], before[s:], ends)
            outer = xs[t:], ys[t:], rows, steps, count - t, first + t
            _advance(*outer, low, high, True, doubled, last[t:], before[t:], ends)
    else:
        if matrix.shape[1] > 0:
            for r in range(4):
                for q in range(low[r] - first, high[r] - first + 1):
                    rows[r, q] = matrix[first + q, k + r - first - q]
        else:
            _measure(x, y, rows, k, first, count)
        _close(rows, first, count, low, high)
        _advance(x[0], y[0], rows, steps, count, first, low, high, False, doubled, last, before, ends)
    # What lies beside the rows just done belongs to older diagonals.
    last[0] = before[0] = last[count + 1] = before[count + 1] = _INF


@inlined
def _start(x, y, matrix, lead, doubled):
    """Values one row before the first cell, which make that cell cost its distance once."""
    seed = 0.0
    if doubled is not None and matrix.shape[1] > 0:
        seed = -matrix[0, 0]
    elif doubled is not None:
        for c in range(x.shape[0]):
            d = x[c, PAD] - y[c, y.shape[1] - PAD - 1]
            seed += d * d
        seed = -np.sqrt(seed) if x.shape[0] > 1 else -abs(x[0, PAD] - y[0, y.shape[1] - PAD - 1])
    return (
        seed if lead == 2 else _INF,
        seed if lead == 3 else _INF,
        _INF,
        seed if lead == 1 else _INF,
        seed if lead == 0 else _INF,
    )


@compiled
def sweep(x, y, matrix, rows, lows, highs, lead, bound, doubled, last, before, every, kept, kept_rows):
    """Accumulate distances over a window, keeping two diagonals at the start of every block.

    Args:
        x: float64, shape (D, N + 2 PAD), rows; D is 1 or even.
        y: float64, shape (D, M + 2 PAD), columns, backwards.
        matrix: float64, shape (N, M), distances to take instead, or (0, 0).
        rows: float64, shape (4, widest diagonal + PAD), room for distances; None for D = 1 without a matrix.
        lows: int32, shape (K,), first row of every diagonal; K = N + M - 1 + lead, whole groups of four.
        highs: int32, shape (K,), last row; both never fall, ``highs`` rises by at most one.
        lead: empty diagonals before the first, 0 to 3.
        bound: cost of some path inside the window; cells beyond it are left out.
        doubled: anything but None if a diagonal step counts its distance twice.
        last: float64, shape (N + 2 PAD,), infinite.
        before: float64, shape (N + 2 PAD,), infinite.
        every: groups of a block.
        kept: float64, room for the kept diagonals.
        kept_rows: int64, shape (blocks, 3), gets first row, number of rows and place in ``kept`` of each block.

    Returns:
        Cost of the cheapest path, and values kept; both negative if ``kept`` has no room for them.
    """
    floor, ceiling, used = 0, -1, 0
    for g in range(len(lows) // 4):
        d = 4 * g
        if g % every == 0:
            size = ceiling - floor + 1
            if used + 2 * size > len(kept):
                return -1.0, -1
            kept_rows[g // every, 0], kept_rows[g // every, 1], kept_rows[g // every, 2] = floor, size, used
            for q in range(size):
                kept[used + q], kept[used + size + q] = last[PAD + floor + q], before[PAD + floor + q]
            used += 2 * size
        low = (max(lows[d], floor), max(lows[d + 1], floor), max(lows[d + 2], floor), max(lows[d + 3], floor))
        high = (
            min(highs[d], ceiling + 1),
            min(highs[d + 1], ceiling + 2),
            min(highs[d + 2], ceiling + 3),
            min(highs[d + 3], ceiling + 4),
        )
        floor, ceiling = low[0], high[3]
        tail, older = last[PAD + floor - 1 :], before[PAD + floor - 1 :]
        ends = _start(x, y, matrix, lead, doubled) if g == 0 else (_INF, _INF, _INF, tail[0], older[0])
        _pass_group(x, y, matrix, rows, None, d - lead, low, high, doubled, tail, older, ends)
        while floor < ceiling and last[PAD + floor] > bound and before[PAD + floor] > bound:
            floor += 1
        while ceiling > floor and last[PAD + ceiling] > bound and before[PAD + ceiling] > bound:
            ceiling -= 1
    return last[len(last) - PAD - 1], used


@compiled
def retrace(x, y, matrix, rows, lows, highs, lead, doubled, every, kept, kept_rows, block, steps, path):
    """Find the path from its end, accumulating each block of diagonals again where the path can pass.

    Args:
        x: as given to :func:`sweep`.
        y: as given to :func:`sweep`.
        matrix: as given to :func:`sweep`.
        rows: as given to :func:`sweep`, but shape (4, B + 2 PAD), where a block has B = 4 every diagonals.
        lows: as given to :func:`sweep`.
        highs: as given to :func:`sweep`.
        lead: as given to :func:`sweep`.
        doubled: as given to :func:`sweep`.
        every: as given to :func:`sweep`.
        kept: as filled by :func:`sweep`.
        kept_rows: as filled by :func:`sweep`.
        block: float64, shape (2, B + 2 PAD), room for two diagonals.
        steps: uint8, shape (every, B + 2 PAD), room for directions, four to a byte.
        path: int32, shape (N + M - 1, 2), gets the path at its end.

    Returns:
        Length of the path.
    """
    at, d = len(path), len(lows) - 1
    i = highs[d]
    last, before = block[0], block[1]
    while d >= lead:
        b = d // (4 * every)
        start = 4 * every * b
        base = i - (d - start)  # first row from which the block's first diagonal leads to the cell at hand
        first, count, place = kept_rows[b, 0], kept_rows[b, 1], kept_rows[b, 2]
        for q in range(len(last)):
            row = base - 1 + q - first
            inside = 0 <= row < count
            last[q] = kept[place + row] if inside else _INF
            before[q] = kept[place + count + row] if inside else _INF
        for g in range((d - start) // 4 + 1):
            e = start + 4 * g
            low = (
                max(lows[e], i - max(d - e, -1)),
                max(lows[e + 1], i - max(d - e - 1, -1)),
                max(lows[e + 2], i - max(d - e - 2, -1)),
                max(lows[e + 3], i - max(d - e - 3, -1)),
            )
            high = (min(highs[e], i), min(highs[e + 1], i), min(highs[e + 2], i), min(highs[e + 3], i))
            o = low[0] - base
            tail, older = last[o:], before[o:]
            ends = _start(x, y, matrix, lead, doubled) if e == 0 else (_INF, _INF, _INF, tail[0], older[0])
            _pass_group(x, y, matrix, rows, steps[g, o:], e - lead, low, high, doubled, tail, older, ends)
        while d >= start and d >= lead:
            at -= 1
            path[at, 0], path[at, 1] = i, d - lead - i
            step = (steps[(d - start) // 4, i - base] >> np.uint8(2 * (d % 4))) & 3
            if step == 0:
                i, d = i - 1, d - 2
            elif step == 1:
                d -= 1
            else:
                i, d = i - 1, d - 1
    return len(path) - at
