"""Decode one file as a stream of messages, inside the process that may die of it."""

from collections.abc import Iterator
from typing import BinaryIO, Final

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream as AvAudio
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream as AvVideo

from mm_assets.errors import DecodeError, InputError
from mm_assets.media.containers import (
    choose_streams,
    describe,
    first_time_us,
    missing_end,
    open_container,
    refuse_duration,
    said,
)
from mm_assets.media.messages import AudioBlock, End, Fault, FrameBlock, Limits, MediaInfo, Message, Request, Track
from mm_assets.media.pictures import PictureReader
from mm_assets.media.sound import SoundReader

_BYTES_PER_SAMPLE: Final = 4


def read_media(file: BinaryIO, request: Request) -> Iterator[Message]:
    """Yield what the file declares, what was wanted of it in order of demultiplexing, and an end or a fault.

    A file with nothing wanted is opened only. Memory is that of one block and of the decoders.
    """
    try:
        yield from _read(file, request)
    except InputError as error:
        yield Fault(error.code, error.reason)
    except (FFmpegError, ValueError, OverflowError, MemoryError, OSError) as error:
        yield Fault("UNREADABLE_MEDIA", f"cannot be decoded ({said(error)}); deliver the file again")


def _read(file: BinaryIO, request: Request) -> Iterator[Message]:
    limits, wanted = request.limits, request.wanted
    with open_container(file) as container:
        audio, video = choose_streams(container, limits)
        info = describe(container, audio, video, file, limits)
        yield info
        chosen = [s for s, wants in ((audio, wanted.audio), (video, wanted.video)) if s is not None and wants]
        if not chosen:
            return
        decoding = _Decoding(request, info.container, audio if wanted.audio else None, video if wanted.video else None)
        yield from decoding.run(container, chosen)
        _refuse_truncated(info, decoding, file, limits)
        yield End(decoding.sound.track, decoding.pictures.track, decoding.sound.loudness_lufs, decoding.damaged)


class _Decoding:
    """The packets of one file on their way to blocks, and what went wrong on it."""

    def __init__(self, request: Request, container: str, audio: AvAudio | None, video: AvVideo | None) -> None:
        self._limits = request.limits
        origin_us = 0 if audio is None else first_time_us(container, audio)
        self.sound = SoundReader(request.limits.block_us, origin_us)
        self.pictures = PictureReader(request.wanted, request.limits)
        self.damaged = 0
        self.packets = 0
        self.broke_off: str | None = None
        self._decoded_bytes = 0
        for stream in (audio, video):
            if stream is not None:
                stream.codec_context.thread_count = 1  # the same result and memory on every machine
        if video is not None:
            video.codec_context.options = {"max_pixels": str(request.limits.max_pixels)}

    def run(self, container: InputContainer, streams: list[AvAudio | AvVideo]) -> Iterator[AudioBlock | FrameBlock]:
        for packet in self._packets(container, streams):
            for frame in self._decode(packet):
                yield from self._add(frame)
        yield from self.sound.finish()
        yield from self.pictures.finish()
        if self.damaged > max(1, self._limits.max_damaged_share * self.packets):
            raise DecodeError(
                "DAMAGED_MEDIA",
                f"{self.damaged} of {self.packets} packets do not decode, at most "
                f"{self._limits.max_damaged_share:.0%} may; deliver the file again",
            )

    def _packets(self, container: InputContainer, streams: list[AvAudio | AvVideo]) -> Iterator[Packet]:
        try:
            yield from container.demux(*streams)
        except FFmpegError as error:
            self.broke_off = said(error)

    def _decode(self, packet: Packet) -> list[AudioFrame | VideoFrame]:
        self.packets += 1
        try:
            frames = [frame for frame in packet.decode() if isinstance(frame, AudioFrame | VideoFrame)]
        except FFmpegError:
            self.damaged += 1
            return []
        self.damaged += sum(frame.is_corrupt for frame in frames)
        return frames

    def _add(self, frame: AudioFrame | VideoFrame) -> Iterator[AudioBlock | FrameBlock]:
        if isinstance(frame, AudioFrame):
            self._count(frame.samples * frame.layout.nb_channels * _BYTES_PER_SAMPLE)
            yield from self.sound.add(frame)
            track = self.sound.track
        else:
            self._count(frame.width * frame.height * 3)
            yield from self.pictures.add(frame)
            track = self.pictures.track
        if track is not None:
            refuse_duration(track.end_us - track.start_us, self._limits)

    def _count(self, size_bytes: int) -> None:
        self._decoded_bytes += size_bytes
        if self._decoded_bytes > self._limits.max_decoded_bytes:
            raise DecodeError(
                "DECOMPRESSION_BOMB",
                f"decodes to more than {self._limits.max_decoded_bytes} bytes; deliver it in parts, or smaller",
            )


def _refuse_truncated(info: MediaInfo, decoding: _Decoding, file: BinaryIO, limits: Limits) -> None:
    """Refuse a file that ends before it says it does.

    Raises:
        DecodeError: code ``TRUNCATED_MEDIA``.
    """
    sound, pictures = decoding.sound.track, decoding.pictures.track
    if decoding.broke_off is not None:
        raise _truncated(f"reading it broke off ({decoding.broke_off})")
    missing = missing_end(info.container, file)
    if missing is not None:
        raise _truncated(missing)
    for stream, track, name in ((info.audio, sound, "sound"), (info.video, pictures, "pictures")):
        if stream is not None and track is not None and stream.duration_us is not None:
            _refuse_missing(stream.duration_us, track.end_us - track.start_us, name, limits)
    if sound is None and pictures is None:
        raise _truncated("not one frame of it decodes")
    declares_streams = any(s is not None and s.duration_us is not None for s in (info.audio, info.video))
    if info.duration_us is not None and not declares_streams and _all_decoded(info, sound, pictures):
        end_us = max(track.end_us for track in (sound, pictures) if track is not None)
        _refuse_missing(info.duration_us, end_us, "whole", limits)


def _all_decoded(info: MediaInfo, sound: Track | None, pictures: Track | None) -> bool:
    return (info.audio is None or sound is not None) and (info.video is None or pictures is not None)


def _refuse_missing(declared_us: int, decoded_us: int, name: str, limits: Limits) -> None:
    missing_us = declared_us - decoded_us
    if missing_us > max(limits.min_missing_us, limits.max_missing_share * declared_us):
        raise _truncated(f"its {name} lasts {decoded_us / 1e6:.3f} s of {declared_us / 1e6:.3f} s declared")


def _truncated(cause: str) -> DecodeError:
    return DecodeError("TRUNCATED_MEDIA", f"{cause}; deliver the whole file")
