"""Measure the pictures of one video as they stream by: black and frozen frames, sharpness, times."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import DecodeError
from mm_assets.media.messages import FrameBlock, VideoStream
from mm_assets.policy import VideoPolicy

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
_ROUNDING_US: Final = 2_500  # Matroska's clock ticks in milliseconds


@dataclass(frozen=True)
class PictureMeasures:
    """What was measured of the pictures.

    Attributes:
        times_us: presentation time of each frame, int64, shape (N,).
        sharpness: variance of the Laplacian of each measured frame, float32, shape (N,).
        motion: mean difference of each frame from the one before, levels of 255, float32, shape (N,).
        seconds: from the first frame to the end of the last.
        frame_rate: frames a second.
        has_variable_rate: frames are shown for unequal times.
        black_share: share of the time with a black picture.
        frozen_share: share of the time in which nothing moves for long.
    """

    times_us: NDArray[np.int64]
    sharpness: NDArray[np.float32]
    motion: NDArray[np.float32]
    seconds: float
    frame_rate: float
    has_variable_rate: bool
    black_share: float
    frozen_share: float


class PictureMeter:
    """Takes the frames of one video, scaled down; keeps 17 bytes a frame and one frame."""

    def __init__(self, policy: VideoPolicy) -> None:
        self._policy = policy
        self._times: list[NDArray[np.int64]] = []
        self._black: list[NDArray[np.bool_]] = []
        self._motion: list[NDArray[np.float32]] = []
        self._sharpness: list[NDArray[np.float32]] = []
        self._last: NDArray[np.float32] | None = None

    def add(self, times_us: list[int], frames: NDArray[np.uint8]) -> None:
        """Take the next frames, uint8 RGB, shape (N, H, W, 3)."""
        luma = frames.astype(np.float32) @ _LUMA
        dark = (luma < self._policy.black_level).mean(axis=(1, 2))
        before = luma[:1] if self._last is None or self._last.shape != luma.shape[1:] else self._last[None]
        difference = np.abs(np.diff(np.concatenate((before, luma)), axis=0)).mean(axis=(1, 2))
        self._times.append(np.array(times_us, np.int64))
        self._black.append(dark >= self._policy.black_pixels)
        self._motion.append(difference.astype(np.float32))
        self._sharpness.append(np.array([cv2.Laplacian(frame, cv2.CV_32F).var() for frame in luma], np.float32))
        self._last = luma[-1].copy()

    def finish(self, end_us: int) -> PictureMeasures:
        """What the pictures turned out to be.

        Args:
            end_us: presentation time at which the last frame ends.
        """
        times = np.concatenate(self._times) if self._times else np.zeros(0, np.int64)
        if not len(times):
            raise ValueError("no frames were added")
        motion = np.concatenate(self._motion)
        shown = np.diff(np.append(times, max(end_us, int(times[-1]) + 1)))
        total_us = int(shown.sum())
        steps = np.diff(times)
        return PictureMeasures(
            times_us=times,
            sharpness=np.concatenate(self._sharpness),
            motion=motion,
            seconds=total_us / 1e6,
            frame_rate=float((len(times) - 1) * 1e6 / (times[-1] - times[0])) if len(times) > 1 else 0.0,
            has_variable_rate=bool(len(steps) > 1 and np.ptp(steps) > _ROUNDING_US),
            black_share=float(shown[np.concatenate(self._black)].sum() / total_us),
            frozen_share=frozen_share(
                times, motion > self._policy.still_difference, end_us, self._policy.freeze_seconds
            ),
        )


def frozen_share(times_us: NDArray[np.int64], moved: NDArray[np.bool_], end_us: int, freeze_seconds: float) -> float:
    """Share of the time that lies between two changes at least ``freeze_seconds`` apart.

    Args:
        times_us: presentation time of each frame, shape (N,).
        moved: whether each differs from the one before, shape (N,).
        end_us: presentation time at which the last frame ends.
        freeze_seconds: shortest freeze.

    >>> frozen_share(np.array([0, 1_000_000, 2_000_000]), np.array([False, True, False]), 4_000_000, 2.0)
    0.75
    """
    changes = np.concatenate((times_us[:1], times_us[1:][moved[1:]], [end_us]))
    still = np.diff(changes)
    total = max(1, int(still.sum()))
    return float(still[still >= freeze_seconds * 1e6].sum() / total)


def to_frames(block: FrameBlock) -> NDArray[np.uint8]:
    """The block's frames, uint8 RGB, shape (N, H, W, 3)."""
    return np.frombuffer(block.pixels, np.uint8).reshape(len(block.pts_us), block.height, block.width, 3)


def refuse_pictures(measured: PictureMeasures, stream: VideoStream, where: str, policy: VideoPolicy) -> None:
    """Refuse pictures that nothing can be learnt from.

    Raises:
        DecodeError: code ``TOO_SHORT``, ``FRAME_RATE_TOO_LOW``, ``FRAME_RATE_TOO_HIGH``, ``BLACK_VIDEO`` or
            ``FROZEN_VIDEO``.
    """
    refuse_size(stream, where, policy)
    if measured.seconds < policy.min_seconds:
        raise DecodeError(
            "TOO_SHORT", f"{where}: {measured.seconds:.3f} s of video, at least {policy.min_seconds:g} are needed"
        )
    if measured.frame_rate < policy.min_frame_rate:
        raise DecodeError(
            "FRAME_RATE_TOO_LOW",
            f"{where}: {measured.frame_rate:.2f} frames a second, at least {policy.min_frame_rate:g} are needed",
        )
    if measured.frame_rate > policy.max_frame_rate:
        raise DecodeError(
            "FRAME_RATE_TOO_HIGH",
            f"{where}: {measured.frame_rate:.2f} frames a second, at most {policy.max_frame_rate:g}; check its clock",
        )
    if measured.black_share > policy.max_black_share:
        raise DecodeError(
            "BLACK_VIDEO",
            f"{where}: black for {measured.black_share:.0%} of the time, at most {policy.max_black_share:.0%} may be; "
            "deliver the pictures, or the sound alone",
        )
    if measured.frozen_share > policy.max_frozen_share:
        raise DecodeError(
            "FROZEN_VIDEO",
            f"{where}: nothing moves for {measured.frozen_share:.0%} of the time, at most "
            f"{policy.max_frozen_share:.0%} may stand still; deliver the sound alone",
        )


def refuse_size(stream: VideoStream, where: str, policy: VideoPolicy) -> None:
    """Refuse pictures too small to see, before any is decoded.

    Raises:
        DecodeError: code ``TOO_SMALL``.
    """
    if min(stream.width, stream.height) < policy.min_side_px:
        raise DecodeError(
            "TOO_SMALL",
            f"{where}: {stream.width} x {stream.height} px, the shorter side must have {policy.min_side_px}; deliver a "
            "larger version",
        )
