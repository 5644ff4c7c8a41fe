# pyright: strict
"""How something is said: pitch, energy and rate.

Pitch is the autocorrelation of 48 ms, corrected for that of the window, with a small preference for the higher octave.
Source: Boersma 1993.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.segments.interfaces import Waveform
from mm_assets.media.messages import SAMPLE_RATE
from mm_assets.policy import SpeechPolicy

_FRAME: Final = 768
_HOP: Final = 320
_FFT: Final = 2_048
_OCTAVE_COST: Final = 0.02
_FLOOR: Final = 1e-12
_QUIET: Final = 1e-3  # power of the loudest frame below which a frame is not voiced: 30 dB
_MIN_FRAMES: Final = 3


@dataclass(frozen=True)
class Prosody:
    """Pitch, its range and the energy of an utterance; no pitch where nothing is voiced."""

    pitch_hz: float | None
    pitch_range_semitones: float | None
    energy_db: float


def measure_prosody(waveform: Waveform, policy: SpeechPolicy) -> Prosody:
    """Measure an utterance.

    Args:
        waveform: float32, shape (T,), 16 kHz.
        policy: range of pitch, and what is voiced.
    """
    power = float(np.mean(np.square(waveform), dtype=np.float64)) if len(waveform) else 0.0
    energy_db = 10.0 * float(np.log10(max(power, _FLOOR)))
    pitches = track_pitch(waveform, policy)
    pitches = pitches[np.isfinite(pitches)]
    if len(pitches) < _MIN_FRAMES:
        return Prosody(None, None, energy_db)
    low, middle, high = (float(value) for value in np.percentile(pitches, (10, 50, 90)))
    return Prosody(middle, 12.0 * float(np.log2(high / low)), energy_db)


def track_pitch(waveform: Waveform, policy: SpeechPolicy) -> NDArray[np.float32]:
    """Fundamental frequency every 20 ms, Hz, NaN where nothing is voiced, shape (N,)."""
    if len(waveform) < _FRAME:
        return np.zeros(0, np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, _FRAME)[::_HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    correlation = _autocorrelate(frames * window)
    of_window = _autocorrelate(window[None])[0]
    shortest = SAMPLE_RATE // policy.max_pitch_hz
    longest = min(-(-SAMPLE_RATE // policy.min_pitch_hz), _FRAME // 2)
    power = correlation[:, 0]
    lags = np.arange(shortest - 1, longest + 2)
    normal = correlation[:, lags] / np.maximum(power, _FLOOR)[:, None] * (of_window[0] / of_window[lags])
    # A peak of the autocorrelation, no slope of a longer period at the edge of the range.
    before, middle, behind = normal[:, :-2], normal[:, 1:-1], normal[:, 2:]
    is_peak = (middle >= before) & (middle >= behind)
    # The height between two lags: a period of 37.5 samples is as strong as one of 75, whatever is sampled of it.
    bend = before - 2 * middle + behind
    shift = np.where(np.abs(bend) > _FLOOR, 0.5 * (before - behind) / np.where(bend == 0, 1, bend), 0.0)
    shift = np.clip(shift, -0.5, 0.5)
    height = middle - 0.25 * (before - behind) * shift
    cost = _OCTAVE_COST * np.log2(lags[1:-1] * policy.min_pitch_hz / SAMPLE_RATE)
    best = np.argmax(np.where(is_peak, height - cost, -np.inf), axis=1)
    rows = np.arange(len(frames))
    strength = height[rows, best]
    pitch = SAMPLE_RATE / (lags[1:-1][best] + shift[rows, best])
    voiced = is_peak[rows, best] & (strength >= policy.min_voicing) & (power > _QUIET * power.max())
    return np.where(voiced, pitch, np.nan).astype(np.float32)


def _autocorrelate(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    spectrum = np.fft.rfft(frames, _FFT, axis=1)
    return np.fft.irfft(np.abs(spectrum) ** 2, _FFT, axis=1)[:, : _FRAME // 2 + 2].astype(np.float32)
