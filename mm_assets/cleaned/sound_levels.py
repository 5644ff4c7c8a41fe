"""Levels of a sound: silence, background noise, pauses, from the power of windows of 10 ms."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVEL_SAMPLES: Final = 160
"""Samples of a level window at 16 kHz: 10 ms."""
_QUIETEST_SHARE: Final = 10
_LEAST_WINDOWS: Final = 16
_NOTHING: Final = 1e-12
_LOWEST_DB: Final = -20.0  # below it the estimate says nothing
_QUIET_RATIO: Final = 0.01  # 20 dB below the speech
_MICROSECONDS_PER_SAMPLE: Final = 62.5


class LevelMeter:
    """Collects the mean square of consecutive windows; a sound of an hour takes 1.4 MB."""

    def __init__(self) -> None:
        self._left = np.zeros(0, np.float32)
        self._powers: list[NDArray[np.float32]] = []

    def add(self, samples: NDArray[np.float32]) -> None:
        """Take the next mono samples at 16 kHz, shape (T,)."""
        joined = np.concatenate((self._left, samples)) if len(self._left) else samples
        whole = len(joined) // LEVEL_SAMPLES
        windows = joined[: whole * LEVEL_SAMPLES].reshape(whole, LEVEL_SAMPLES)
        self._powers.append(np.einsum("ij,ij->i", windows, windows) / LEVEL_SAMPLES)
        self._left = joined[whole * LEVEL_SAMPLES :].copy()

    def finish(self) -> NDArray[np.float32]:
        """Mean square of every window, full scale 1, shape (N,); the last one may be shorter."""
        if len(self._left):
            self._powers.append(np.array([np.square(self._left).mean()], np.float32))
            self._left = np.zeros(0, np.float32)
        return np.concatenate(self._powers) if self._powers else np.zeros(0, np.float32)


def silent_share(powers: NDArray[np.float32], silence_dbfs: float) -> float:
    """Share of windows below a level; 1 of no windows.

    >>> silent_share(np.array([0.0, 0.0, 0.1, 0.1], np.float32), -60.0)
    0.5
    """
    return float((powers < _power(silence_dbfs)).mean()) if len(powers) else 1.0


def spread_to_levels(probabilities: NDArray[np.float32], window_samples: int, count: int) -> NDArray[np.float32]:
    """The probability of the model's window that each level window lies in, shape (count,)."""
    if not len(probabilities):
        return np.zeros(count, np.float32)
    middles = (np.arange(count) * LEVEL_SAMPLES + LEVEL_SAMPLES // 2) // window_samples
    return probabilities[np.minimum(middles, len(probabilities) - 1)]


def estimate_snr_db(
    powers: NDArray[np.float32], probabilities: NDArray[np.float32], *, speech: float, pause: float
) -> float | None:
    """Ratio of speech to background, dB, at least -20; None without speech.

    The background is the median power where certainly nobody speaks, or the quietest tenth where somebody always does.
    The median leaves out breaths and the tails of words. Speech is what stands above it while somebody speaks.

    Args:
        powers: of each level window, shape (N,).
        probabilities: of speech in each, shape (N,).
        speech: probability from which somebody speaks.
        pause: probability below which nobody does.
    """
    spoken = powers[probabilities >= speech]
    if len(spoken) < _LEAST_WINDOWS:
        return None
    pauses = powers[probabilities < pause]
    if len(pauses) < _LEAST_WINDOWS:
        pauses = np.sort(powers)[: max(1, len(powers) // _QUIETEST_SHARE)]
    background = max(float(np.median(pauses)), _NOTHING)
    signal = max(float(spoken.mean()) - background, _NOTHING)
    return max(_LOWEST_DB, float(10.0 * np.log10(signal / background)))


def find_pauses(
    powers: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    *,
    pause: float,
    silence_dbfs: float,
    min_seconds: float,
) -> NDArray[np.int64]:
    """Runs of windows in which nobody speaks and little is heard.

    Little is less than the silence level, or 20 dB less than the mean of the sound, or no more than twice the median
    of the windows without speech, so that a hum below the voices does not hide the pauses.

    Returns:
        First sample and sample behind the last, shape (N, 2).
    """
    without_speech = probabilities < pause
    if not len(powers) or not without_speech.any():
        return np.zeros((0, 2), np.int64)
    usual = float(np.median(powers[without_speech]))
    quiet = max(_power(silence_dbfs), _QUIET_RATIO * float(powers.mean()), 2.0 * usual)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], without_speech & (powers <= quiet), [False]))))
    runs = edges.reshape(-1, 2).astype(np.int64) * LEVEL_SAMPLES
    return runs[(runs[:, 1] - runs[:, 0]) * _MICROSECONDS_PER_SAMPLE >= min_seconds * 1e6]


def _power(dbfs: float) -> float:
    """Mean square of a level.

    >>> _power(-60.0)
    1e-06
    """
    return 10.0 ** (dbfs / 10.0)
