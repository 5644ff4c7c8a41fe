"""Decoded pictures: frames with their presentation times, upright, scaled, in bounded blocks."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mm_assets.errors import DecodeError
from mm_assets.media.containers import refuse_pixels, to_us, upright_size
from mm_assets.media.messages import FrameBlock, Limits, Track, Wanted

_RIGHT_ANGLE: Final = 90
_DEFAULT_FRAME_US: Final = 40_000  # how long a lone frame without a duration is shown: 25 frames a second


class PictureReader:
    """Turns the frames of one stream into blocks."""

    def __init__(self, wanted: Wanted, limits: Limits) -> None:
        self._wanted = wanted
        self._limits = limits
        self._times: list[int] = []
        self._frames: list[NDArray[np.uint8]] = []
        self._size_bytes = 0
        self._first_us: int | None = None
        self._last_us = 0
        self._last_sent_us: int | None = None
        self._last_duration_us = 0
        self._count = 0
        self._met = 0  # of the times wanted
        self._scaler = VideoReformatter()  # one for all frames: making it costs more than scaling

    @property
    def track(self) -> Track | None:
        """Where the pictures begin and end; None if there were none."""
        if self._first_us is None:
            return None
        return Track(self._first_us, self._last_us + self._last_duration_us, self._count, 0)

    @property
    def end_us(self) -> int:
        """Presentation time at which what was read so far ends."""
        return self._last_us + self._last_duration_us

    def add(self, frame: VideoFrame) -> Iterator[FrameBlock]:
        """Take the next frame in order of presentation; one shown at the time of the frame before is left out.

        Raises:
            DecodeError: code ``NO_TIMESTAMPS``, ``TIMESTAMPS_REVERSED`` or ``FRAME_TOO_LARGE``.
        """
        if frame.pts is None or frame.time_base is None:
            raise DecodeError("NO_TIMESTAMPS", "a frame has no presentation time; remux the file")
        at = to_us(frame.pts, frame.time_base)
        if self._first_us is None:
            self._first_us = at
        elif at == self._last_us and self._count:
            return
        elif at < self._last_us:
            raise DecodeError(
                "TIMESTAMPS_REVERSED",
                f"frame {self._count} is shown at {at / 1e6:.3f} s, the one before at {self._last_us / 1e6:.3f} s; "
                "remux the file",
            )
        refuse_pixels(frame.width, frame.height, self._limits)
        step_us = at - self._last_us if self._count else _DEFAULT_FRAME_US
        declared = to_us(frame.duration, frame.time_base) if frame.duration else 0
        self._last_duration_us = declared or step_us
        self._last_us = at
        self._count += 1
        if not self._is_wanted(at):
            return
        self._last_sent_us = at
        pixels = to_pixels(frame, self._wanted.max_side_px, self._scaler)
        if self._frames and (
            self._size_bytes + pixels.nbytes > self._limits.block_bytes or pixels.shape != self._frames[0].shape
        ):
            yield self._take()
        self._times.append(at)
        self._frames.append(pixels)
        self._size_bytes += pixels.nbytes

    def finish(self) -> Iterator[FrameBlock]:
        """What is left at the end of the stream."""
        if self._frames:
            yield self._take()

    def _is_wanted(self, at: int) -> bool:
        if self._last_sent_us is not None and at - self._last_sent_us < self._wanted.every_us:
            return False
        if not self._wanted.times_us:
            return True
        met = bisect_right(self._wanted.times_us, at)
        found, self._met = met > self._met, met
        return found

    def _take(self) -> FrameBlock:
        height, width = self._frames[0].shape[:2]
        block = FrameBlock(self._times, width, height, b"".join(frame.tobytes() for frame in self._frames))
        self._times, self._frames, self._size_bytes = [], [], 0
        return block


def to_pixels(frame: VideoFrame, max_side_px: int, scaler: VideoReformatter) -> NDArray[np.uint8]:
    """The frame upright as uint8 RGB, shape (H, W, 3), its longer side at most ``max_side_px`` unless that is 0."""
    width, height = frame.width, frame.height
    if max_side_px and max(width, height) > max_side_px:
        scale = max_side_px / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    shaped = scaler.reformat(frame, width=width, height=height, format="rgb24", interpolation="AREA", threads=1)
    pixels = shaped.to_ndarray().astype(np.uint8, copy=False)
    turns = round(frame.rotation / _RIGHT_ANGLE) % 4
    if not turns:
        return pixels
    upright = np.ascontiguousarray(np.rot90(pixels, turns))
    if upright.shape[1::-1] != upright_size(width, height, frame.rotation):
        raise DecodeError("UNREADABLE_MEDIA", f"its pictures are turned by {frame.rotation} degrees; turn them upright")
    return upright
