"""What changes along a clip, on an even grid of its clock: speech, onsets of sound, motion of the picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SOUND_STEP_US: Final = 10_000
MOTION_STEP_US: Final = 40_000
_FLOOR: Final = 1e-6  # -60 dB: rises out of silence start here


@dataclass(frozen=True, eq=False)
class SoundTracks:
    """Speech and onsets, `SOUND_STEP_US` apart; time without sound holds zeros.

    Attributes:
        start_us: presentation time of the first value.
        speech: probability of speech, float32, shape (N,).
        onsets: rise of the level over the value before, dB, float32, shape (N,).
    """

    start_us: int
    speech: NDArray[np.float32]
    onsets: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """Change of the picture, `MOTION_STEP_US` apart.

    Attributes:
        start_us: presentation time of the first value.
        motion: largest change of the frames shown first within the step, float32, shape (N,).
    """

    start_us: int
    motion: NDArray[np.float32]


def track_sound(
    times_us: NDArray[np.int64], powers: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> SoundTracks:
    """Put levels and speech on the grid.

    Args:
        times_us: presentation time of each window of 10 ms, increasing, shape (N,).
        powers: mean square of each, shape (N,).
        probabilities: of speech in each, shape (N,).
    """
    if not len(times_us):
        return SoundTracks(0, np.zeros(0, np.float32), np.zeros(0, np.float32))
    place = np.rint((times_us - times_us[0]) / SOUND_STEP_US).astype(np.int64)
    speech = np.zeros(int(place[-1]) + 1, np.float32)
    level = np.full(len(speech), 10.0 * np.log10(_FLOOR), np.float32)
    speech[place] = probabilities
    level[place] = 10.0 * np.log10(np.maximum(powers, _FLOOR))
    onsets = np.maximum(np.diff(level, prepend=level[:1]), 0.0).astype(np.float32)
    return SoundTracks(int(times_us[0]), speech, onsets)


def track_motion(times_us: NDArray[np.int64], motion: NDArray[np.float32]) -> MotionTrack:
    """Put the change of each frame on the grid.

    >>> track_motion(np.array([0, 40_000, 120_000]), np.array([0, 5, 7], np.float32)).motion.tolist()
    [0.0, 5.0, 0.0, 7.0]
    """
    place = (times_us - times_us[0]) // MOTION_STEP_US
    track = np.zeros(int(place[-1]) + 1, np.float32)
    np.maximum.at(track, place, motion)
    return MotionTrack(int(times_us[0]), track)


def track_row(
    clip: Mapping[str, Any], sound: SoundTracks | None, motion: MotionTrack | None, offset_us: int, sound_offset_us: int
) -> dict[str, Any]:
    """The clip's row of ``clip_tracks``, times of pictures and of sound moved to the global clock."""
    return {
        "batch": clip["batch"],
        "clip_id": clip["clip_id"],
        "sound_start_us": None if sound is None else sound.start_us + sound_offset_us,
        "sound_step_us": SOUND_STEP_US,
        "speech": None if sound is None else sound.speech.tolist(),
        "onsets": None if sound is None else sound.onsets.tolist(),
        "motion_start_us": None if motion is None else motion.start_us + offset_us,
        "motion_step_us": MOTION_STEP_US,
        "motion": None if motion is None else motion.motion.tolist(),
    }
