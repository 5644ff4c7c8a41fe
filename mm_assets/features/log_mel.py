# pyright: strict
"""Level of sound in mel bands every 10 ms, as it streams by: what the audio vocabulary is made of.

A frame's value is the mean square of the sound within a band, in dB of full scale, from silence (0) to full scale (1).
It is absolute: the same sound gives the same values wherever its clip was cut.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE: Final = 16_000
HOP_US: Final = 10_000
HOP_SAMPLES: Final = SAMPLE_RATE * HOP_US // 1_000_000
WINDOW_SAMPLES: Final = 400
"""25 ms: two periods of a low voice."""
FLOOR_DB: Final = -80.0
_FFT: Final = 512
_LINEAR_TO_HZ: Final = 1_000.0
_MELS_BELOW: Final = 15.0
_LOG_STEP: Final = np.log(6.4) / 27.0

Floats = NDArray[np.float32]


class LogMel:
    """Turns blocks of sound without a gap into frames; the first is centred on the first sample.

    Args:
        bands: mel bands from 0 Hz to half the sample rate.
    """

    def __init__(self, bands: int) -> None:
        self._filters = mel_filters(bands)
        self._kept = np.zeros(WINDOW_SAMPLES // 2, np.float32)

    def add(self, samples: Floats) -> Floats:
        """Frames whose window is complete.

        Args:
            samples: mono at `SAMPLE_RATE`, full scale 1, shape (N,).

        Returns:
            Shape (F, bands), 0 (silence) to 1 (full scale) and a little more.
        """
        joined = np.concatenate((self._kept, samples))
        count = max(0, (len(joined) - WINDOW_SAMPLES) // HOP_SAMPLES + 1)
        self._kept = joined[count * HOP_SAMPLES :]
        return self._measure(joined, count)

    def finish(self) -> Floats:
        """The frames that reach beyond the last sample; silence follows it."""
        centred = len(self._kept) - WINDOW_SAMPLES // 2
        count = max(0, -(-centred // HOP_SAMPLES))
        padded = np.concatenate((self._kept, np.zeros(WINDOW_SAMPLES, np.float32)))
        self._kept = np.zeros(WINDOW_SAMPLES // 2, np.float32)
        return self._measure(padded, count)

    def _measure(self, samples: Floats, count: int) -> Floats:
        if count == 0:
            return np.zeros((0, self._filters.shape[1]), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES][:count]
        spectrum = np.fft.rfft(windows * _window(), _FFT)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        energy = power.astype(np.float32) @ self._filters
        levels = 10.0 * np.log10(np.maximum(energy, np.float32(10.0 ** (FLOOR_DB / 10.0))))
        return np.maximum(1.0 - levels / np.float32(FLOOR_DB), 0.0).astype(np.float32)


@cache
def mel_filters(bands: int) -> Floats:
    """Triangles on Slaney's mel scale that turn a power spectrum into mean squares, shape (257, bands)."""
    edges = _to_hz(np.linspace(0.0, float(_to_mel(np.array([SAMPLE_RATE / 2.0]))[0]), bands + 2))
    bins = np.fft.rfftfreq(_FFT, 1.0 / SAMPLE_RATE)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    # Parseval over one side of the spectrum: the sum over all bins is the mean square of the windowed sound
    scale = 2.0 / (_FFT * float(np.square(_window()).sum()))
    return (np.maximum(0.0, np.minimum(rising, falling)) * scale).astype(np.float32)


@cache
def _window() -> Floats:
    return np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)


def _to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _MELS_BELOW + np.log(np.maximum(hz, _LINEAR_TO_HZ) / _LINEAR_TO_HZ) / _LOG_STEP
    return np.where(hz < _LINEAR_TO_HZ, hz * _MELS_BELOW / _LINEAR_TO_HZ, above)


def _to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _LINEAR_TO_HZ * np.exp(_LOG_STEP * (mel - _MELS_BELOW))
    return np.where(mel < _MELS_BELOW, mel * _LINEAR_TO_HZ / _MELS_BELOW, above)
