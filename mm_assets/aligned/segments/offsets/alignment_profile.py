# pyright: strict
"""How well one track of a clip fits another at every rate and lag, forwards and backwards."""

import math
from dataclasses import dataclass

import numpy as np

from mm_assets.aligned.segments.offsets.timed_tracks import FRAME_US, MICROSECONDS, Floats, Integers
from mm_assets.policy import OffsetGatePolicy

_RATE_STEP_US = 80_000
"""Displacement of a clip's ends between neighbouring rates, microseconds: half the width of an edge."""
_MOST_FREE_RATES = 60


@dataclass(frozen=True, eq=False)
class Profile:
    """Log-likelihood ratios of an alignment against tracks that have nothing to do with each other.

    A track at rate r and lag b shows at ``c + r (t - c + b)`` what happens at t; c is the middle of the clip.

    Attributes:
        rates: shape (R,), increasing, 1 among them.
        lags: shape (L,), frames of 10 ms.
        forward: shape (R, L).
        backward: shape (L,), rate 1, one track played backwards.
        duration_us: length of the clip, microseconds.
    """

    rates: Floats
    lags: Integers
    forward: Floats
    backward: Floats
    duration_us: int

    @property
    def unit(self) -> int:
        """Row of rate 1."""
        return int(np.argmin(np.abs(self.rates - 1.0)))

    def displacement_us(self) -> Floats:
        """Largest displacement within the clip at every rate and lag, microseconds, shape (R, L)."""
        lags = self.lags * float(FRAME_US)
        ends = np.abs(self.rates - 1.0)[:, None] * self.duration_us / 2.0
        return np.abs(self.rates[:, None] * lags[None, :]) + ends


def list_rates(duration_us: int, policy: OffsetGatePolicy) -> Floats:
    """Rates worth trying on a clip of this length: the known ones, and a grid where neighbours can be told apart.

    A rate that moves the ends of the clip by less than half a step is not told from 1 and left out. On short clips no
    rate is tried: among a few events one always fits, and a drift shows as an offset there.
    """
    if duration_us < policy.min_drift_seconds * 1e6:
        return np.ones(1)
    step = 2.0 * _RATE_STEP_US / max(duration_us, 1)
    most = policy.max_rate_deviation
    count = min(math.floor(most / step), _MOST_FREE_RATES)
    free = 1.0 + np.arange(-count, count + 1) * (most / max(count, 1) if count == _MOST_FREE_RATES else step)
    known = np.array([rate for ratio in policy.known_rates for rate in (ratio, 1.0 / ratio)])
    known = known[np.abs(known - 1.0) > step / 2.0]
    free = free[(np.abs(free[:, None] - known[None, :]) > step / 4.0).all(axis=1)] if len(known) else free
    return np.unique(np.concatenate([known, free, [1.0]]))


def list_lags(policy: OffsetGatePolicy) -> Integers:
    """Lags that are searched, frames."""
    most = round(policy.max_offset_us / FRAME_US)
    return np.arange(-most, most + 1)


def log_mean_exp(values: Floats, weights: Floats | None = None) -> float:
    """Logarithm of the (weighted) mean of exponentials; -inf of nothing."""
    if not values.size:
        return -math.inf
    top = float(values.max())
    if not math.isfinite(top):
        return -math.inf
    return top + math.log(float(np.average(np.exp(values - top), weights=weights)))


def seconds(microseconds: float) -> float:
    """Microseconds as seconds."""
    return microseconds / MICROSECONDS
