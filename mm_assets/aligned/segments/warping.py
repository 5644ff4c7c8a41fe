"""Dynamic time warping: which frame of one sequence goes with which frame of another.

The path starts with the first frames, ends with the last, never runs backwards, and costs the sum of the distances it
passes (Euclidean; the absolute difference for one dimension). Of equally cheap ways into a cell the diagonal step is
taken, then the step of the second sequence, then that of the first, as dtw-python and R's dtw do.

Two engines. ``exact`` finds the cheapest path, inside a Sakoe-Chiba band if there is one; its memory is bounded, and
where a call would need more than the quota it downsamples, refines and says so. ``fastdtw`` is the approximation of
Salvador and Chan 2007 by the package of that name, compiled.

Sources: Sakoe and Chiba 1978; Salvador and Chan 2007.
"""

import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mm_assets.errors import ContractError, CrossModalCode, EmbeddingShapeError, InputError, MemoryQuotaError
from mm_assets.policy import WarpingPolicy

if TYPE_CHECKING:
    from mm_assets.aligned.segments.warping_search import Pair

Path = npt.NDArray[np.int32]
Numbers = npt.NDArray[Any]
LARGEST_VALUE: Final = 1e100
"""Larger values could overflow when squared and added up."""
_FASTDTW_BYTES_PER_CELL: Final = 40
_FASTDTW_BYTES_PER_STEP: Final = 160
"""Measured: 17 to 40 bytes a cell, path tuples included; and a copy of the frames."""


@dataclass(frozen=True)
class QuotaNotice:
    """A call that needed more memory than it may take.

    Attributes:
        code: ``ERR_CROSS_MDL_DTW_OOM``.
        message: what happened, with figures.
        quota_bytes: memory the call may take.
        used_bytes: memory it took.
        downsampled_by: frames per frame of the coarsest sequences; 1 where nothing was downsampled.
        half_width: rows searched on either side of the coarser path, or the radius of fastdtw.
    """

    code: CrossModalCode
    message: str
    quota_bytes: int
    used_bytes: int
    downsampled_by: int
    half_width: int


@dataclass(frozen=True, eq=False)
class Warping:
    """How two sequences of N and M frames lie along each other.

    Attributes:
        path: int32, shape (L, 2), matched frames (first, second), non-decreasing, from (0, 0) to (N - 1, M - 1).
        cost: distances along the path, added up.
        engine: ``exact`` or ``fastdtw``.
        band_frames: half-width of the band, frames of the longer sequence; None without a band.
        touches_band: whether the path runs along the band's edge, so that a wider band might find a cheaper one.
        used_bytes: memory taken beside the inputs, by the sizes of its arrays.
        notice: set when the quota changed the result.
    """

    path: Path
    cost: float
    engine: str
    band_frames: int | None
    touches_band: bool
    used_bytes: int
    notice: QuotaNotice | None

    @property
    def is_exact(self) -> bool:
        """Whether no path (of the band) costs less."""
        return self.engine == "exact" and self.notice is None

    def find_partners(self, side: int) -> Path:
        """First and last partner of each frame of the first (side 0) or second (side 1) sequence.

        Returns:
            int32, shape (N or M, 2), both columns non-decreasing.
        """
        frames, partners = self.path[:, side], self.path[:, 1 - side]
        starts = np.flatnonzero(np.diff(frames, prepend=-1))
        ends = np.append(starts[1:], len(frames)) - 1
        return np.stack([partners[starts], partners[ends]], axis=1)


def warp(reference: npt.ArrayLike, query: npt.ArrayLike, policy: WarpingPolicy) -> Warping:
    """Lay two sequences along each other.

    Args:
        reference: shape (N, D) or (N,), one row per frame.
        query: shape (M, D) or (M,), one row per frame.
        policy: engine, band and memory quota.

    Raises:
        InputError: a sequence is empty, or holds a value that is not finite or beyond 1e100.
        EmbeddingShapeError: the sequences have different dimensions.
        MemoryQuotaError: even the narrowest window around a downsampled path needs more than the quota.
        ContractError: fastdtw was asked for and is not the compiled one.
    """
    first, second = _check_frames(reference, "reference"), _check_frames(query, "query")
    if first.shape[1] != second.shape[1]:
        raise EmbeddingShapeError(
            f"reference has {first.shape[1]} dimensions, query {second.shape[1]}; give both from one encoder"
        )
    if policy.engine == "fastdtw":
        _check_values(first, "reference")
        _check_values(second, "query")
        return _warp_approximately(first, second, policy)
    from mm_assets.aligned.segments import warping_search  # noqa: PLC0415 - numba takes a second to load

    (rows, dimensions), columns = first.shape, len(second)
    copies = warping_search.pair_bytes(rows, columns, dimensions)
    if copies > policy.memory_bytes:
        raise _over_quota(rows, columns, dimensions, copies, policy)
    pair = warping_search.pair_sequences(first, second, doubled=policy.diagonal_weight > 1)
    for frames, copy, name in ((first, pair.x, "reference"), (second, pair.y, "query")):
        if not np.vdot(copy, copy) <= LARGEST_VALUE:  # quick, and false for NaN
            _check_values(frames, name)
    return _warp_pair(pair, dimensions, copies, policy)


def warp_distances(distances: npt.ArrayLike, policy: WarpingPolicy) -> Warping:
    """Find the cheapest path through a matrix of distances, such as 1 - similarity of words.

    Args:
        distances: shape (N, M), not negative. Copied unless it is float64 and contiguous.
        policy: band and memory quota; the engine is always the exact one.

    Raises:
        InputError: the matrix is empty, or holds a value that is negative, not finite or beyond 1e100.
        MemoryQuotaError: the quota does not allow it; a matrix is not downsampled.
    """
    given = np.asarray(distances)
    _check_shape(given, "distances")
    _check_values(given, "distances")
    copies = 0 if given.dtype == np.float64 and given.flags.c_contiguous else 8 * given.size
    if copies > policy.memory_bytes:
        raise _over_quota(len(given), given.shape[1], 1, copies, policy)
    matrix = np.ascontiguousarray(given, dtype=np.float64)
    if matrix.min() < 0.0:
        raise InputError("NEGATIVE_DISTANCE", "distances: a value is below 0; give distances, such as 1 - similarity")
    from mm_assets.aligned.segments import warping_search  # noqa: PLC0415 - numba takes a second to load

    pair = warping_search.pair_distances(matrix, doubled=policy.diagonal_weight > 1)
    return _warp_pair(pair, 1, copies, policy)


def _warp_pair(pair: "Pair", dimensions: int, copies: int, policy: WarpingPolicy) -> Warping:
    from mm_assets.aligned.segments import warping_search, warping_windows  # noqa: PLC0415 - loads numba

    rows, columns = pair.rows, pair.columns
    taken = copies + warping_search.window_bytes(rows, columns)
    room = policy.memory_bytes - taken
    if room <= 0:
        raise _over_quota(rows, columns, dimensions, taken, policy)
    if policy.band_share is None:
        band, window = None, warping_windows.full_window(rows, columns)
    else:
        band = math.ceil(policy.band_share * max(rows, columns))
        band = max(band, warping_windows.smallest_band(rows, columns))
        window = warping_windows.band_window(rows, columns, band)
    bound = warping_search.bound_cost(pair, window, room)
    found = warping_search.search(pair, window, room, bound)
    notice, used = None, taken
    if found is None and not pair.by_matrix:
        descent = warping_search.descend(pair, window, band, policy.window_frames, room)
        if descent is not None:
            found, used = descent.found, used + descent.size_bytes
            notice = QuotaNotice(
                CrossModalCode.DTW_OOM,
                f"{rows} x {columns} frames of {dimensions} dimensions do not fit into {policy.memory_bytes:,} bytes: "
                f"downsampled by {descent.factor}, refined within {descent.half_width} frames of the coarser path, "
                f"{used:,} bytes used; the path may not be the cheapest. Slice the clip or raise memory_bytes.",
                policy.memory_bytes,
                used,
                descent.factor,
                descent.half_width,
            )
    elif found is not None:
        used += found.size_bytes
    if found is None:
        raise _over_quota(rows, columns, dimensions, taken, policy)
    return Warping(
        path=found.path.copy(),
        cost=found.cost,
        engine="exact",
        band_frames=band,
        touches_band=band is not None and window.is_touched(found.path),
        used_bytes=used,
        notice=notice,
    )


def _warp_approximately(first: Numbers, second: Numbers, policy: WarpingPolicy) -> Warping:
    """Warp by the compiled fastdtw, with the largest radius that the quota allows."""
    rows, columns, dimensions = len(first), len(second), first.shape[1]
    if policy.band_share is not None or policy.diagonal_weight != 1:
        raise ContractError("fastdtw knows no band and no diagonal weight; unset them or take the exact engine")
    _require_compiled_fastdtw()
    radius = policy.fastdtw_radius
    while (used := _fastdtw_bytes(rows, columns, dimensions, radius)) > policy.memory_bytes and radius > 1:
        radius //= 2
    if used > policy.memory_bytes:
        raise _over_quota(rows, columns, dimensions, used, policy)
    from fastdtw import fastdtw  # noqa: PLC0415 - only this engine needs it

    notice = None
    if radius < policy.fastdtw_radius:
        notice = QuotaNotice(
            CrossModalCode.DTW_OOM,
            f"{rows} x {columns} frames of {dimensions} dimensions at radius {policy.fastdtw_radius} do not fit into "
            f"{policy.memory_bytes:,} bytes: radius {radius} and {used:,} bytes used. Slice the clip, raise "
            f"memory_bytes or take the exact engine.",
            policy.memory_bytes,
            used,
            1,
            radius,
        )
    # without a norm fastdtw adds absolute differences up: right for one dimension, and quicker there than a power
    if dimensions == 1:
        cost, path = fastdtw(first[:, 0], second[:, 0], radius)
    else:
        cost, path = fastdtw(first, second, radius, 2)
    return Warping(np.array(path, dtype=np.int32), float(cost), "fastdtw", None, False, used, notice)


@cache
def _require_compiled_fastdtw() -> None:
    spec = importlib.util.find_spec("fastdtw._fastdtw")
    if spec is None or not str(spec.origin).endswith((".so", ".pyd")):
        raise ContractError(
            "fastdtw was built without its C++ extension and is a hundred times slower; "
            "install numpy and cython first, then build it again"
        )


def _fastdtw_bytes(rows: int, columns: int, dimensions: int, radius: int) -> int:
    """Estimate of fastdtw's peak: the window of its finest level, path tuples, halved copies."""
    steps = rows + columns
    cells = min(steps * (4 * radius + 5), rows * columns)
    return cells * _FASTDTW_BYTES_PER_CELL + steps * (_FASTDTW_BYTES_PER_STEP + 16 * dimensions)


def _check_frames(frames: npt.ArrayLike, name: str) -> Numbers:
    values = np.asarray(frames)
    values = values[:, None] if values.ndim == 1 else values
    _check_shape(values, name)
    return values


def _check_shape(values: Numbers, name: str) -> None:
    """Refuse what is no matrix of real numbers, or empty."""
    if values.ndim != 2 or values.dtype.kind not in "fiub" or values.itemsize > 8:  # noqa: PLR2004 - a float64 matrix
        raise ContractError(f"{name}: shape {values.shape} of {values.dtype}; give (frames, dimensions) real numbers")
    if not values.size:
        raise InputError("EMPTY_SEQUENCE", f"{name}: shape {values.shape} holds nothing to warp; drop the clip")


def _check_values(values: Numbers, name: str) -> None:
    """Refuse what is not finite, or too large to be squared."""
    if float(values.min()) >= -LARGEST_VALUE and float(values.max()) <= LARGEST_VALUE:  # false for NaN
        return
    row = int(np.argmax(~(np.abs(values.astype(np.float64)) <= LARGEST_VALUE).all(axis=1)))
    raise InputError(
        "NOT_FINITE",
        f"{name}: frame {row} holds NaN, infinity or a value beyond {LARGEST_VALUE:g}; repair it or drop the clip",
    )


def _over_quota(rows: int, columns: int, dimensions: int, least: int, policy: WarpingPolicy) -> MemoryQuotaError:
    return MemoryQuotaError(
        f"{rows} x {columns} frames of {dimensions} dimensions do not fit into {policy.memory_bytes:,} bytes, not even "
        f"downsampled: {least:,} go before any search. Slice the clip or raise memory_bytes."
    )
