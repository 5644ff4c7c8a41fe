"""Shots of a video and the frame that stands for each.

PySceneDetect finds the cuts; it is given the frames with their presentation times, so that variable rates count.
"""

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scenedetect.common import FrameTimecode, Timecode
from scenedetect.detectors import AdaptiveDetector

_MICROSECOND: Final = Fraction(1, 1_000_000)
_MARGIN: Final = 0.2  # share of a shot at either end where it may still fade


class ShotFinder:
    """Takes the frames of one video, scaled down."""

    def __init__(self, threshold: float, min_shot_seconds: float) -> None:
        self._detector = AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=float(min_shot_seconds))
        self._first_us: int | None = None
        self._last: FrameTimecode | None = None
        self._cuts_us: list[int] = []

    def add(self, times_us: list[int], frames: NDArray[np.uint8]) -> None:
        """Take the next frames, uint8 RGB, shape (N, H, W, 3)."""
        for time_us, frame in zip(times_us, frames, strict=True):
            if self._first_us is None:
                self._first_us = time_us
            # The frame rate is for counting only; 25 is as good as any where times are given.
            code = FrameTimecode(Timecode(time_us - self._first_us, _MICROSECOND), fps=25.0)
            self._note(self._detector.process_frame(code, np.ascontiguousarray(frame[:, :, ::-1])))
            self._last = code

    def finish(self) -> NDArray[np.int64]:
        """Presentation times of the first frame of every shot but the first, increasing, shape (N,)."""
        if self._last is not None:
            self._note(self._detector.post_process(self._last))
        return np.unique(np.array(self._cuts_us, np.int64))

    def _note(self, cuts: list[FrameTimecode]) -> None:
        self._cuts_us += [round(cut.pts * cut.time_base / _MICROSECOND) + (self._first_us or 0) for cut in cuts]


def divide_into_shots(
    cuts_us: NDArray[np.int64], times_us: NDArray[np.int64], sharpness: NDArray[np.float32], end_us: int
) -> NDArray[np.int64]:
    """Shots that tile the video, each with its key frame: the sharpest one away from its ends.

    Args:
        cuts_us: first frame of every shot but the first, shape (K,).
        times_us: presentation time of every frame, increasing, shape (N,).
        sharpness: of every frame, shape (N,).
        end_us: presentation time at which the last frame ends.

    Returns:
        Start, end and key frame of each shot, microseconds, shape (K + 1, 3).

    >>> divide_into_shots(np.array([20]), np.array([0, 10, 20, 30]), np.array([1, 5, 2, 3], np.float32), 40).tolist()
    [[0, 20, 10], [20, 40, 30]]
    """
    inside = cuts_us[(cuts_us > times_us[0]) & (cuts_us < end_us)]
    starts = np.concatenate((times_us[:1], inside))
    ends = np.append(inside, end_us)
    shots: list[tuple[int, int, int]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        margin = _MARGIN * (end - start)
        members = np.flatnonzero((times_us >= start) & (times_us < end))
        central = members[(times_us[members] >= start + margin) & (times_us[members] <= end - margin)]
        chosen = central if len(central) else members
        shots.append((start, end, int(times_us[chosen[np.argmax(sharpness[chosen])]])))
    return np.array(shots, np.int64).reshape(-1, 3)
