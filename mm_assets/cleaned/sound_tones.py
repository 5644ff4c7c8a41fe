"""Squeal: one lasting tone that drowns the rest, as of acoustic feedback."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.media.messages import SAMPLE_RATE

WINDOW: Final = 1_024
HOP: Final = 512
_REACH: Final = 2  # bins either side of a peak that its window spreads it over
_SHAPE: Final = np.hanning(WINDOW).astype(np.float32)
_POWER_SCALE: Final = float(WINDOW * np.square(_SHAPE).sum() / 2)


@dataclass(frozen=True)
class Squeal:
    """How much of a sound lies under a lasting tone.

    Attributes:
        share: of the windows in which anything is heard.
        seconds: all together.
    """

    share: float
    seconds: float


class ToneMeter:
    """Collects the strongest tone of overlapping windows of 64 ms; a sound of an hour takes 1.1 MB."""

    def __init__(self, min_hz: float) -> None:
        self._lowest = max(1, round(min_hz * WINDOW / SAMPLE_RATE))
        self._left = np.zeros(0, np.float32)
        self._bins: list[NDArray[np.int16]] = []
        self._dominance: list[NDArray[np.float32]] = []
        self._powers: list[NDArray[np.float32]] = []

    def add(self, samples: NDArray[np.float32]) -> None:
        """Take the next mono samples at 16 kHz, shape (T,)."""
        joined = np.concatenate((self._left, samples)) if len(self._left) else samples
        count = (len(joined) - WINDOW) // HOP + 1
        if count <= 0:
            self._left = joined.copy()
            return
        windows = np.lib.stride_tricks.sliding_window_view(joined, WINDOW)[: count * HOP : HOP]
        energy = np.square(np.abs(np.fft.rfft(windows * _SHAPE)[:, self._lowest :])).astype(np.float32)
        total = energy.sum(axis=1)
        peaks = energy.argmax(axis=1)
        around = np.clip(peaks[:, None] + np.arange(-_REACH, _REACH + 1), 0, energy.shape[1] - 1)
        near = np.take_along_axis(energy, around, axis=1).sum(axis=1)
        self._bins.append(peaks.astype(np.int16))
        self._dominance.append(near / np.maximum(total, np.finfo(np.float32).tiny))
        self._powers.append((total / _POWER_SCALE).astype(np.float32))
        self._left = joined[count * HOP :].copy()

    def finish(self, *, dominance: float, run_seconds: float, silence_dbfs: float) -> Squeal:
        """How much of the sound is squeal.

        Args:
            dominance: share of the energy a tone holds in a window.
            run_seconds: how long it stays within a bin of its place.
            silence_dbfs: level below which nothing is heard.
        """
        if not self._bins:
            return Squeal(0.0, 0.0)
        bins, powers = np.concatenate(self._bins), np.concatenate(self._powers)
        heard = powers > 10.0 ** (silence_dbfs / 10.0)
        tonal = heard & (np.concatenate(self._dominance) >= dominance)
        goes_on = tonal[1:] & tonal[:-1] & (np.abs(np.diff(bins.astype(np.int32))) <= 1)
        run = np.concatenate(([0], np.cumsum(~goes_on)))
        lasting = np.bincount(run)[run] * HOP >= run_seconds * SAMPLE_RATE
        squealing = int((tonal & lasting).sum())
        return Squeal(squealing / max(1, int(heard.sum())), squealing * HOP / SAMPLE_RATE)
