# ruff: noqa: ANN001, ANN202, PLR2004 - numba infers types
"""Which frames show which sentence, as probabilities that keep the order.

Every assignment of frames to sentences that never runs backwards and leaves no sentence without a frame weighs
``exp(sum of similarities / temperature)``; between two sentences, before the first and behind the last, frames may show
none of them. Forward and backward passes add all assignments up, as in connectionist temporal classification, so each
frame gets the probability of each sentence and each sentence the expected times of its start and end. A temperature
near zero leaves only the best assignment.

Sources: Rabiner 1989; Graves et al. 2006 (the lattice); Cuturi and Blondel 2017 (soft alignment by temperature).
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from mm_assets.errors import ContractError, InputError, MemoryQuotaError
from mm_assets.policy import WarpingPolicy

Floats = npt.NDArray[np.float64]
_NEVER: Final = -math.inf


@dataclass(frozen=True, eq=False)
class SoftAssociation:
    """Frames and sentences, T and S of them.

    Attributes:
        posterior: float32, shape (T, S), probability that a frame shows a sentence.
        background: float32, shape (T,), probability that it shows none; with a row of ``posterior`` it adds up to 1.
        starts_us: float64, shape (S,), expected start of each sentence, microseconds.
        ends_us: float64, shape (S,), expected end, microseconds.
        start_deviations_us: float64, shape (S,), standard deviation of the start, microseconds.
        end_deviations_us: float64, shape (S,), standard deviation of the end, microseconds.
        log_weight: logarithm of the weight of all assignments together.
    """

    posterior: npt.NDArray[np.float32]
    background: npt.NDArray[np.float32]
    starts_us: Floats
    ends_us: Floats
    start_deviations_us: Floats
    end_deviations_us: Floats
    log_weight: float


def associate_softly(similarity: npt.ArrayLike, bounds_us: npt.ArrayLike, policy: WarpingPolicy) -> SoftAssociation:
    """Spread frames over sentences, in order.

    Args:
        similarity: shape (T, S), of frame and sentence, larger is more alike.
        bounds_us: int64, shape (T + 1,), start of every frame and end of the last, microseconds, increasing.
        policy: temperature, background and memory quota.

    Raises:
        InputError: nothing to associate, fewer frames than sentences, or a value that is not finite.
        ContractError: the shapes do not fit, or the times do not increase.
        MemoryQuotaError: the probabilities need more than the quota.
    """
    scores, bounds = _check(similarity, bounds_us)
    frames, sentences = scores.shape
    states = 2 * sentences + 1
    stride = math.ceil(math.sqrt(frames))
    needed = 4 * frames * (sentences + 1) + 8 * states * (-(-frames // stride) + stride + 4) + 8 * 4 * sentences
    if scores.dtype != np.float64 or not scores.flags.c_contiguous:
        needed += 8 * scores.size
    if needed > policy.memory_bytes:
        raise MemoryQuotaError(
            f"{frames} frames and {sentences} sentences need {needed:,} bytes, {policy.memory_bytes:,} are allowed; "
            f"slice the clip or raise memory_bytes"
        )
    posterior = np.zeros((frames, sentences), dtype=np.float32)
    background = np.zeros(frames, dtype=np.float32)
    moments = np.zeros((4, sentences))
    origin = float(bounds[0])
    log_weight = _add_assignments(
        np.ascontiguousarray(scores, dtype=np.float64),
        1.0 / policy.association_temperature,
        _NEVER if policy.association_background is None else policy.association_background,
        bounds - origin,
        np.empty((-(-frames // stride), states)),
        np.empty((stride, states)),
        posterior,
        background,
        moments,
    )
    starts, start_squares, ends, end_squares = moments
    return SoftAssociation(
        posterior=posterior,
        background=background,
        starts_us=starts + origin,
        ends_us=ends + origin,
        start_deviations_us=np.sqrt(np.maximum(start_squares - starts**2, 0.0)),
        end_deviations_us=np.sqrt(np.maximum(end_squares - ends**2, 0.0)),
        log_weight=log_weight,
    )


def _check(similarity: npt.ArrayLike, bounds_us: npt.ArrayLike) -> tuple[npt.NDArray[Any], Floats]:
    scores, bounds = np.asarray(similarity), np.asarray(bounds_us, dtype=np.float64)
    if scores.ndim != 2 or scores.dtype.kind not in "fiub":
        raise ContractError(f"similarity: shape {scores.shape} of {scores.dtype}; give (frames, sentences) numbers")
    frames, sentences = scores.shape
    if bounds.shape != (frames + 1,) or not np.all(np.diff(bounds) > 0):
        raise ContractError(
            f"bounds_us: shape {bounds.shape}; give {frames + 1} increasing times, one more than frames"
        )
    if not scores.size or frames < sentences:
        raise InputError(
            "FEWER_FRAMES", f"{frames} frames cannot show {sentences} sentences one after another; sample more frames"
        )
    if not (math.isfinite(scores.min()) and math.isfinite(scores.max())):
        row = int(np.argmax(~np.isfinite(scores).all(axis=1)))
        raise InputError("NOT_FINITE", f"similarity: frame {row} holds NaN or infinity; repair or drop it")
    return scores, bounds


@numba.njit(nogil=True)
def _add_logs(a, b):
    """Logarithm of the sum of two numbers given by their logarithms."""
    larger, smaller = (a, b) if a > b else (b, a)
    return larger if smaller == -np.inf else larger + np.log1p(np.exp(smaller - larger))


@numba.njit(nogil=True)
def _score(scores, per_unit, background, t, state):
    """Logarithmic weight of frame t in a state: 2 s + 1 shows sentence s, 2 s none, before it."""
    return (scores[t, state // 2] if state % 2 else background) * per_unit


@numba.njit(nogil=True)
def _enter(earlier, state):
    """Weight with which a state is entered from others."""
    weight = earlier[state - 1] if state else -np.inf
    return _add_logs(weight, earlier[state - 2]) if state % 2 and state > 1 else weight


@numba.njit(nogil=True)
def _leave(later, state):
    """Weight with which a state is left; ``later`` are weights from the next frame on."""
    states = len(later)
    weight = later[state + 1] if state + 1 < states else -np.inf
    return _add_logs(weight, later[state + 2]) if state % 2 and state + 2 < states else weight


@numba.njit(nogil=True)
def _step_forward(scores, per_unit, background, t, earlier, row):
    """Weights of all assignments of frames 0 to t by the state of t; ``earlier`` are those of t - 1."""
    for state in range(len(row)):
        begin = 0.0 if state < 2 else -np.inf
        weight = _add_logs(earlier[state], _enter(earlier, state)) if t else begin
        row[state] = weight + _score(scores, per_unit, background, t, state)


@numba.njit(cache=True, nogil=True)
def _add_assignments(scores, per_unit, background, bounds, kept, rows, posterior, shown_none, moments):
    """Add up all assignments; keeps every so many rows of the forward pass and makes the others twice.

    Args:
        scores: float64, shape (T, S).
        per_unit: inverse temperature.
        background: score of showing none; -inf forbids it.
        bounds: float64, shape (T + 1,), microseconds from the first.
        kept: float64, shape (ceil(T / stride), 2 S + 1), room.
        rows: float64, shape (stride, 2 S + 1), room.
        posterior: float32, shape (T, S), zeros; gets the probabilities.
        shown_none: float32, shape (T,), zeros; gets those of showing none.
        moments: float64, shape (4, S), zeros; gets mean and mean square of starts, then of ends.

    Returns:
        Logarithm of the weight of all assignments.
    """
    frames, states, stride = scores.shape[0], rows.shape[1], rows.shape[0]
    row, earlier = np.empty(states), np.empty(states)
    for t in range(frames):
        _step_forward(scores, per_unit, background, t, earlier, row)
        if t % stride == 0:
            kept[t // stride] = row
        row, earlier = earlier, row
    total = _add_logs(earlier[states - 1], earlier[states - 2])
    later, weights = np.empty(states), np.empty(states)
    for block in range(len(kept) - 1, -1, -1):
        first, last = block * stride, min((block + 1) * stride, frames) - 1
        rows[0] = kept[block]
        for t in range(first + 1, last + 1):
            _step_forward(scores, per_unit, background, t, rows[t - first - 1], rows[t - first])
        for t in range(last, first - 1, -1):
            forward = rows[t - first]
            for state in range(states):
                ending = t == frames - 1
                leave = (0.0 if state > states - 3 else -np.inf) if ending else _leave(later, state)
                stay = -np.inf if ending else later[state]
                onward = _add_logs(leave, stay)
                weights[state] = onward + _score(scores, per_unit, background, t, state)
                share = np.exp(forward[state] + onward - total)
                if state % 2 == 0:
                    shown_none[t] += share
                    continue
                s = state // 2
                posterior[t, s] = share
                end = np.exp(forward[state] + leave - total)
                moments[2, s] += end * bounds[t + 1]
                moments[3, s] += end * bounds[t + 1] ** 2
                if t < frames - 1:  # what does not come from frame t starts at t + 1
                    start = np.exp(_enter(forward, state) + later[state] - total)
                    moments[0, s] += start * bounds[t + 1]
                    moments[1, s] += start * bounds[t + 1] ** 2
            later, weights = weights, later
    return total
