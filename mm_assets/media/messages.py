"""What the decoding process is asked and what it answers.

Times are integer microseconds of presentation time as the container states it: start offsets, edit lists and variable
frame rates are kept, nothing is computed from a frame's number.
"""

from typing import Final

import msgspec

SAMPLE_RATE: Final = 16_000
"""Samples a second of every decoded sound: what speech models take."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds a file is decoded within; over them it is refused, never cut."""

    max_duration_us: int
    max_pixels: int
    max_streams: int
    max_channels: int
    max_sample_rate: int
    max_decoded_bytes: int
    max_damaged_share: float
    min_missing_us: int
    max_missing_share: float
    block_us: int
    block_bytes: int
    memory_bytes: int


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to decode of a file.

    Attributes:
        audio: the sound, mono at `SAMPLE_RATE`, with loudness and clipping measured before that.
        video: the pictures.
        max_side_px: longer side frames are scaled down to; 0 keeps their size.
        every_us: least time between frames that are sent; all are decoded all the same.
        times_us: send only the first frame shown at or after each of these times, increasing; none: every frame.
    """

    audio: bool = False
    video: bool = False
    max_side_px: int = 0
    every_us: int = 0
    times_us: tuple[int, ...] = ()


class Request(msgspec.Struct, frozen=True):
    """One file to decode; the file itself travels as an open descriptor."""

    wanted: Wanted
    limits: Limits


class AudioStream(msgspec.Struct, frozen=True):
    """The sound as the container declares it; ``duration_us`` is None where it does not."""

    codec: str
    sample_rate: int
    channels: int
    duration_us: int | None


class VideoStream(msgspec.Struct, frozen=True):
    """The pictures as the container declares them, upright; ``frame_rate`` is an average and times nothing."""

    codec: str
    width: int
    height: int
    frame_rate: float | None
    duration_us: int | None


class MediaInfo(msgspec.Struct, frozen=True, tag=True):
    """What a file holds, before anything is decoded."""

    container: str
    duration_us: int | None
    audio: AudioStream | None
    video: VideoStream | None


class AudioBlock(msgspec.Struct, frozen=True, tag=True):
    """Some sound without a gap.

    Attributes:
        start_us: presentation time of the first sample.
        samples: mono float32 at `SAMPLE_RATE`, little endian; full scale is 1.
        clipped: samples before resampling, of all channels, that stand at full scale in a row.
        native: samples before resampling, of all channels.
        peak: largest magnitude before resampling.
    """

    start_us: int
    samples: bytes
    clipped: int
    native: int
    peak: float


class FrameBlock(msgspec.Struct, frozen=True, tag=True):
    """Some frames of equal size.

    Attributes:
        pts_us: presentation time of each, increasing.
        width: in pixels, after scaling and rotation.
        height: in pixels, after scaling and rotation.
        pixels: uint8 RGB, shape (len(pts_us), height, width, 3), row major.
    """

    pts_us: list[int]
    width: int
    height: int
    pixels: bytes


class Track(msgspec.Struct, frozen=True):
    """What a stream turned out to be once decoded.

    Attributes:
        start_us: presentation time of its first sample or frame.
        end_us: presentation time at which its last sample or frame ends.
        units: samples at `SAMPLE_RATE`, or frames.
        gaps_us: time inside it without sound; 0 for pictures.
    """

    start_us: int
    end_us: int
    units: int
    gaps_us: int


class End(msgspec.Struct, frozen=True, tag=True):
    """The file was decoded to its end.

    Attributes:
        audio: the sound, if there was any.
        video: the pictures, if there were any.
        loudness_lufs: integrated loudness by EBU R 128 over the channels as delivered; None below its gate.
        damaged: packets that did not decode and frames marked as corrupt.
    """

    audio: Track | None
    video: Track | None
    loudness_lufs: float | None
    damaged: int


class Fault(msgspec.Struct, frozen=True, tag=True):
    """Why nothing more follows."""

    code: str
    reason: str


Message = MediaInfo | AudioBlock | FrameBlock | End | Fault
