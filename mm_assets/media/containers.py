"""Open a container and say what it declares, within the limits."""

from fractions import Fraction
from typing import BinaryIO, Final

import av
from av.audio.stream import AudioStream as AvAudio
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream as AvVideo

from mm_assets.errors import DecodeError
from mm_assets.media.messages import AudioStream, Limits, MediaInfo, VideoStream

DEMUXERS: Final = "wav,flac,ogg,mp3,mov,matroska,webm,avi"
"""Containers that are opened at all. Playlists are not among them: one could name files of this machine."""
_MICROSECOND: Final = Fraction(1, 1_000_000)
_HEAD_BYTES: Final = 16_384
_TAIL_BYTES: Final = 131_072
_RIFF_HEAD: Final = 8
_UNKNOWN_SIZE: Final = 0xFFFFFFFF
_OGG_PAGE: Final = b"OggS"
_OGG_FLAGS_AT: Final = 5
_OGG_END: Final = 4
_SIDEWAYS: Final = 90
_HALF_TURN: Final = 180


def to_us(ticks: int, time_base: Fraction) -> int:
    """Ticks of a stream as microseconds, rounded.

    >>> to_us(3003, Fraction(1, 90_000))
    33367
    """
    return round(ticks * time_base / _MICROSECOND)


def open_container(file: BinaryIO) -> InputContainer:
    """Open a file of a known container.

    Raises:
        DecodeError: code ``UNREADABLE_MEDIA``.
    """
    try:
        container = av.open(
            file,
            mode="r",
            metadata_errors="replace",
            container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": ""},
        )
    except (FFmpegError, ValueError, OSError) as error:
        raise DecodeError(
            "UNREADABLE_MEDIA", f"cannot be opened as {DEMUXERS} ({said(error)}); deliver the file again or convert it"
        ) from error
    return container


def said(error: BaseException) -> str:
    r"""What an error says, on one line and cut.

    >>> said(ValueError("a\n b"))
    'a b'
    """
    told = (error.strerror if isinstance(error, FFmpegError) else None) or str(error)
    return " ".join(told.split())[:160] or type(error).__name__


def choose_streams(container: InputContainer, limits: Limits) -> tuple[AvAudio | None, AvVideo | None]:
    """The first sound and the first moving pictures; cover art is neither.

    Raises:
        DecodeError: code ``TOO_MANY_STREAMS``.
    """
    if len(container.streams) > limits.max_streams:
        raise DecodeError(
            "TOO_MANY_STREAMS", f"{len(container.streams)} streams, at most {limits.max_streams}; keep the ones needed"
        )
    pictures = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    return (container.streams.audio[0] if container.streams.audio else None), (pictures[0] if pictures else None)


def describe(
    container: InputContainer, audio: AvAudio | None, video: AvVideo | None, file: BinaryIO, limits: Limits
) -> MediaInfo:
    """What the container declares of the chosen streams.

    Raises:
        DecodeError: code ``NO_STREAMS``, ``UNREADABLE_MEDIA``, ``MEDIA_TOO_LONG``, ``FRAME_TOO_LARGE``,
            ``TOO_MANY_CHANNELS`` or ``SAMPLE_RATE_TOO_HIGH``.
    """
    if audio is None and video is None:
        raise DecodeError("NO_STREAMS", "holds neither sound nor moving pictures; deliver the medium itself")
    is_exact = _duration_is_exact(container, file)
    duration = round(container.duration) if container.duration is not None and is_exact else None
    info = MediaInfo(
        container=container.format.name,
        duration_us=duration,
        audio=None if audio is None else _describe_audio(audio, is_exact=is_exact),
        video=None if video is None else _describe_video(video),
    )
    refuse_duration(duration or 0, limits)
    if info.video is not None:
        refuse_pixels(info.video.width, info.video.height, limits)
    if info.audio is not None:
        _refuse_audio(info.audio, limits)
    return info


def _describe_audio(stream: AvAudio, *, is_exact: bool) -> AudioStream:
    try:
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    except AttributeError as error:  # no decoder of this codec
        raise DecodeError("UNREADABLE_MEDIA", "its sound is in an unknown codec; convert the file") from error
    return AudioStream(stream.codec_context.name, rate, channels, _duration(stream) if is_exact else None)


def _describe_video(stream: AvVideo) -> VideoStream:
    try:
        width, height = stream.codec_context.width, stream.codec_context.height
    except AttributeError as error:
        raise DecodeError("UNREADABLE_MEDIA", "its pictures are in an unknown codec; convert the file") from error
    rate = stream.average_rate
    return VideoStream(stream.codec_context.name, width, height, float(rate) if rate else None, _duration(stream))


def _duration(stream: AvAudio | AvVideo) -> int | None:
    if stream.duration is None or stream.time_base is None:
        return None
    return to_us(stream.duration, stream.time_base)


def _duration_is_exact(container: InputContainer, file: BinaryIO) -> bool:
    """Whether the duration is stated; that of an MP3 without a Xing, Info or VBRI header is guessed by bit rate."""
    if container.format.name != "mp3":
        return True
    at = file.tell()
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(at)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def first_time_us(container_name: str, stream: AvAudio) -> int:
    """What to take off a sound's timestamps so that they are those of presentation.

    An MP3 has no timestamps; its reader counts the encoder's priming, which is cut away, as time.
    """
    if container_name != "mp3" or stream.start_time is None or stream.time_base is None:
        return 0
    return to_us(stream.start_time, stream.time_base)


def missing_end(container_name: str, file: BinaryIO) -> str | None:
    """What tells that a WAV, AVI or Ogg file was cut short; their readers say nothing of it."""
    size = file.seek(0, 2)
    file.seek(0)
    if container_name in {"wav", "avi"}:
        mark, declared = file.read(4), int.from_bytes(file.read(4), "little")
        if mark == b"RIFF" and declared != _UNKNOWN_SIZE and declared + _RIFF_HEAD > size + 1:
            return f"it has {size} bytes of {declared + _RIFF_HEAD} declared"
    if container_name == "ogg" and _lacks_last_page(file, size):
        return "its last Ogg page is missing"
    return None


def _lacks_last_page(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    at = tail.rfind(_OGG_PAGE)
    return at < 0 or at + _OGG_FLAGS_AT >= len(tail) or not tail[at + _OGG_FLAGS_AT] & _OGG_END


def refuse_duration(duration_us: int, limits: Limits) -> None:
    """Refuse a medium that is too long.

    Raises:
        DecodeError: code ``MEDIA_TOO_LONG``.
    """
    if duration_us > limits.max_duration_us:
        raise DecodeError(
            "MEDIA_TOO_LONG",
            f"{duration_us / 1e6:.1f} s long, at most {limits.max_duration_us / 1e6:g} s are decoded; deliver it in "
            "parts or raise [media] max_seconds",
        )


def refuse_pixels(width: int, height: int, limits: Limits) -> None:
    """Refuse frames that are too large, or have no size.

    Raises:
        DecodeError: code ``UNREADABLE_MEDIA`` or ``FRAME_TOO_LARGE``.
    """
    if width <= 0 or height <= 0:
        raise DecodeError("UNREADABLE_MEDIA", "its pictures have no size; deliver the file again")
    if width * height > limits.max_pixels:
        raise DecodeError(
            "FRAME_TOO_LARGE",
            f"frames of {width} x {height} px, at most {limits.max_pixels:,} px are decoded; scale it down",
        )


def _refuse_audio(audio: AudioStream, limits: Limits) -> None:
    if audio.sample_rate <= 0 or audio.channels <= 0:
        raise DecodeError("UNREADABLE_MEDIA", "its sound has no sample rate or no channels; deliver the file again")
    if audio.sample_rate > limits.max_sample_rate:
        raise DecodeError(
            "SAMPLE_RATE_TOO_HIGH", f"{audio.sample_rate} Hz, at most {limits.max_sample_rate} are decoded; resample it"
        )
    if audio.channels > limits.max_channels:
        raise DecodeError("TOO_MANY_CHANNELS", f"{audio.channels} channels, at most {limits.max_channels}; mix it down")


def upright_size(width: int, height: int, rotation: int) -> tuple[int, int]:
    """Width and height after a rotation in degrees.

    >>> upright_size(640, 480, -90)
    (480, 640)
    """
    return (height, width) if rotation % _HALF_TURN == _SIDEWAYS else (width, height)
