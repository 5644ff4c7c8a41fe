# pyright: strict
"""Sound against pictures: the evidence of every rate and lag that audio onsets go with motion and cuts.

The likelihood ratio of two correlated series against independent ones is ``-N/2 log(1 - r^2)``, less ``log(N)/2`` for
the correlation that was fitted; N counts independent values (Bartlett 1935): envelopes are smooth, so there are fewer
of them than frames. Correlations below 0 speak for nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mm_assets.aligned.segments.offsets.alignment_profile import Profile, list_rates
from mm_assets.aligned.segments.offsets.timed_tracks import FRAME_US, Envelope, Floats, Integers
from mm_assets.policy import OffsetGatePolicy

_LEAST_VALUES: Final = 100
_LEAST_SPREAD: Final = 1e-9
_HIGHEST: Final = 0.999


def fit_envelopes(
    onsets: Envelope, motion: Envelope, start_us: int, duration_us: int, policy: OffsetGatePolicy
) -> Profile | None:
    """Evidence of sound at every rate and lag against pictures; None where one of them is too short or flat.

    Args:
        onsets: strength of audio onsets.
        motion: strength of motion and cuts.
        start_us: when the clip starts.
        duration_us: how long it lasts.
        policy: search ranges.
    """
    frames = duration_us // FRAME_US
    reach = min(round(policy.max_offset_us / FRAME_US), int(frames // 2))
    if frames < _LEAST_VALUES:
        return None
    seen = compress(_resample(motion, start_us, frames, 1.0))
    heard = compress(_resample(onsets, start_us, frames, 1.0))
    if seen.std() < _LEAST_SPREAD or heard.std() < _LEAST_SPREAD:
        return None
    lags = np.arange(-reach, reach + 1)
    rates = list_rates(duration_us, policy)
    pictures = _prepare(seen, lags, _correlation_length(heard, seen))
    forward = np.empty((len(rates), len(lags)))
    for row, rate in enumerate(rates):
        moved = heard if rate == 1.0 else compress(_resample(onsets, start_us, frames, float(rate)))
        forward[row] = _evidence(moved, pictures)
    return Profile(rates, lags, forward, _evidence(heard[::-1], pictures), duration_us)


def sample_envelope(envelope: Envelope, start_us: int, duration_us: int) -> Floats:
    """The compressed envelope on the grid of 10 ms, shape (duration / 10 ms,)."""
    return compress(_resample(envelope, start_us, duration_us // FRAME_US, 1.0))


@dataclass(frozen=True, eq=False)
class _Pictures:
    """What every comparison with one series shares."""

    lags: Integers
    spectrum: npt.NDArray[np.complex128]
    size: int
    count: Floats
    mean: Floats
    variance: Floats
    length: float


def compress(strength: Floats) -> Floats:
    """Square roots, centred: a few loud events must not decide alone."""
    root = np.sqrt(np.maximum(strength, 0.0))
    return root - root.mean()


def _resample(envelope: Envelope, start_us: int, frames: int, rate: float) -> Floats:
    """On the common grid, read at the given rate about the middle of the clip."""
    grid = (np.arange(frames) - frames / 2.0) * rate + frames / 2.0
    times = (
        np.arange(len(envelope.strength)) * (envelope.step_us / FRAME_US) + (envelope.start_us - start_us) / FRAME_US
    )
    return np.interp(grid, times, envelope.strength)


def _prepare(seen: Floats, lags: Integers, length: float) -> _Pictures:
    frames, reach = len(seen), int(lags[-1])
    size = 1 << (2 * frames + 2 * reach - 1).bit_length()
    count = np.maximum(frames - np.abs(lags), 2).astype(np.float64)
    mean, variance = _moments(seen, -lags, count)
    return _Pictures(lags, np.conj(np.fft.rfft(seen, size)), size, count, mean, variance, length)


def _moments(values: Floats, lags: Integers, count: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the frames that overlap at each lag, when these values start that much earlier."""
    first, last = np.maximum(lags, 0), np.minimum(len(values) + lags, len(values))
    sums = [np.concatenate([[0.0], np.cumsum(powers)]) for powers in (values, values**2)]
    mean, square = ((total[last] - total[first]) / count for total in sums)
    return mean, np.maximum(square - mean**2, 0.0)


def _correlation(heard: Floats, pictures: _Pictures) -> Floats:
    """Correlation at each lag, shape (L,); a positive lag means that the sound comes late."""
    reach = int(pictures.lags[-1])
    product = np.fft.irfft(np.fft.rfft(heard, pictures.size) * pictures.spectrum, pictures.size)
    products = np.concatenate([product[-reach:], product[: reach + 1]]) if reach else product[:1]
    mean, variance = _moments(heard, pictures.lags, pictures.count)
    covariance = products / pictures.count - mean * pictures.mean
    return covariance / np.sqrt(np.maximum(variance * pictures.variance, _LEAST_SPREAD**2))


def _evidence(heard: Floats, pictures: _Pictures) -> Floats:
    """Log-evidence at each lag, shape (L,)."""
    correlation = _correlation(heard, pictures)
    independent = np.maximum(pictures.count / pictures.length, 3.0)
    fitted = -0.5 * independent * np.log1p(-(np.clip(correlation, 0.0, _HIGHEST) ** 2)) - 0.5 * np.log(independent)
    return np.where(correlation > 0.0, fitted, -0.5 * np.log(independent))


def _correlation_length(heard: Floats, seen: Floats) -> float:
    """Frames per independent value."""
    own = [_autocorrelation(values) for values in (heard, seen)]
    together = own[0] * own[1]
    stop = np.flatnonzero(together <= 0.0)
    reach = int(stop[0]) if len(stop) else len(together)
    return 1.0 + 2.0 * float(together[1:reach].sum())


def _autocorrelation(values: Floats) -> Floats:
    size = 1 << (2 * len(values) - 1).bit_length()
    power = np.abs(np.fft.rfft(values - values.mean(), size)) ** 2
    found = np.fft.irfft(power, size)[: len(values)]
    return found / max(float(found[0]), _LEAST_SPREAD)
