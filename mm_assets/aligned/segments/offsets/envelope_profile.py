# pyright: strict
"""Sound against pictures: the evidence of every rate and lag that audio onsets go with motion and cuts.

The likelihood ratio of two correlated series against independent ones is ``-N/2 log(1 - r^2)``, less ``log(N)/2`` for
the correlation that was fitted; N counts independent values (Bartlett 1935): envelopes are smooth, so there are fewer
of them than frames. Correlations below 0 speak for nothing.
"""

from typing import Final

import numpy as np

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
    forward = np.empty((len(rates), len(lags)))
    for row, rate in enumerate(rates):
        moved = heard if rate == 1.0 else compress(_resample(onsets, start_us, frames, float(rate)))
        forward[row] = _evidence(moved, seen, lags)
    return Profile(rates, lags, forward, _evidence(heard[::-1], seen, lags), duration_us)


def compress(strength: Floats) -> Floats:
    """Square roots, centred: a few loud events must not decide alone."""
    root = np.sqrt(np.maximum(strength, 0.0))
    return root - root.mean()


def _resample(envelope: Envelope, start_us: int, frames: int, rate: float) -> Floats:
    """On the common grid, read at the given rate about the middle of the clip."""
    grid = (np.arange(frames) - frames / 2.0) * rate + frames / 2.0
    times = np.arange(len(envelope.strength)) * (envelope.step_us / FRAME_US) + (envelope.start_us - start_us) / FRAME_US
    return np.interp(grid, times, envelope.strength)


def _evidence(heard: Floats, seen: Floats, lags: Integers) -> Floats:
    """Log-evidence at each lag, shape (L,); a positive lag means that the sound comes late."""
    frames, reach = len(seen), int(lags[-1])
    size = 1 << (2 * frames + 2 * reach - 1).bit_length()

    def slide(left: Floats, right: Floats) -> Floats:
        product = np.fft.irfft(np.fft.rfft(left, size) * np.conj(np.fft.rfft(right, size)), size)
        return np.concatenate([product[-reach:], product[: reach + 1]]) if reach else product[:1]

    ones = np.ones(frames)
    count = np.maximum(slide(ones, ones), 2.0)
    sums = slide(heard, ones), slide(ones, seen)
    squares = slide(heard**2, ones), slide(ones, seen**2)
    covariance = slide(heard, seen) / count - sums[0] * sums[1] / count**2
    variances = [square / count - (total / count) ** 2 for square, total in zip(squares, sums, strict=True)]
    correlation = covariance / np.sqrt(np.maximum(variances[0] * variances[1], _LEAST_SPREAD**2))
    independent = np.maximum(count / _correlation_length(heard, seen), 3.0)
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
