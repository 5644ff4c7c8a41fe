"""Clean sounds and videos: decode each to its end in one pass, measure it as it streams by, keep it or say why not."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from mm_assets.cleaned.clip_tracks import track_motion, track_row
from mm_assets.cleaned.interfaces import SoundEvents, VoiceActivity
from mm_assets.cleaned.picture_measures import PictureMeasures, PictureMeter, refuse_pictures, refuse_size, to_frames
from mm_assets.cleaned.shots import ShotFinder, divide_into_shots
from mm_assets.cleaned.sound_measures import NO_SOUND, SoundMeasures, SoundMeter, refuse_sound
from mm_assets.errors import DecodeError, InputError
from mm_assets.landing import Landing
from mm_assets.media.decoder import MediaDecoder, open_landed
from mm_assets.media.messages import AudioBlock, AudioStream, End, FrameBlock, MediaInfo, VideoStream, Wanted
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES

STAGE: Final = "cleaned_media"
_SECONDS_TOGETHER: Final = 3_600.0  # tracks of an hour take 30 MB as rows


@dataclass(frozen=True)
class Ears:
    """The models that listen; without ``events`` music is not told from other sounds."""

    voice: VoiceActivity
    events: SoundEvents | None


@dataclass(frozen=True)
class CleanedClips:
    """What became of a chunk of records.

    Attributes:
        kept: rows of ``audio_clips`` or ``video_clips``.
        shots: rows of ``shots``.
        pauses: rows of ``pauses``.
        tracks: rows of ``clip_tracks``.
        rejected: rows of ``rejected``.
        media_seconds: duration of what was decoded to its end.
    """

    kept: pl.DataFrame
    shots: pl.DataFrame
    pauses: pl.DataFrame
    tracks: pl.DataFrame
    rejected: pl.DataFrame
    media_seconds: float


Row = dict[str, Any]


@dataclass
class _Rows:
    """Rows of one chunk as they come to be."""

    clips: list[Row] = field(default_factory=list[Row])
    shots: list[Row] = field(default_factory=list[Row])
    pauses: list[Row] = field(default_factory=list[Row])
    tracks: list[Row] = field(default_factory=list[Row])
    rejected: list[Row] = field(default_factory=list[Row])
    seconds: float = 0.0

    def take(self, table: str) -> CleanedClips:
        return CleanedClips(
            kept=_frame(table, self.clips),
            shots=_frame("shots", self.shots),
            pauses=_frame("pauses", self.pauses),
            tracks=_frame("clip_tracks", self.tracks),
            rejected=_frame("rejected", self.rejected),
            media_seconds=self.seconds,
        )


def clean_audio(
    chunks: Iterable[pl.DataFrame], landing: Landing, decoder: MediaDecoder, ears: Ears, policy: Policy
) -> Iterator[CleanedClips]:
    """Inspect sounds in their order, an hour of them at most in one piece.

    Args:
        chunks: rows of ``raw_audio``, with ``sound_shift_us`` where its clock was corrected.
        landing: where their ``source_ref`` points.
        decoder: the decoding process.
        ears: the models that listen.
        policy: what a clean sound is.

    Raises:
        ModelError: a model failed.
    """

    def inspect(row: Row, rows: _Rows) -> None:
        _inspect_audio(row, rows, landing, decoder, ears, policy)

    yield from _inspect_each(chunks, "audio_clips", "audio", inspect)


def clean_videos(
    chunks: Iterable[pl.DataFrame], landing: Landing, decoder: MediaDecoder, ears: Ears, policy: Policy
) -> Iterator[CleanedClips]:
    """Inspect videos in their order, an hour at most in one piece, each with its own sound or its separate track.

    Args:
        chunks: rows of ``raw_videos``, with ``sound_shift_us`` where its clock was corrected.
        landing: where their ``source_ref`` and ``audio_ref`` point.
        decoder: the decoding process.
        ears: the models that listen.
        policy: what a clean video and its sound are.

    Raises:
        ModelError: a model failed.
    """

    def inspect(row: Row, rows: _Rows) -> None:
        _inspect_video(row, rows, landing, decoder, ears, policy)

    yield from _inspect_each(chunks, "video_clips", "video", inspect)


def _inspect_each(
    chunks: Iterable[pl.DataFrame], table: str, kind: str, inspect: Callable[[Row, _Rows], None]
) -> Iterator[CleanedClips]:
    for chunk in chunks:
        rows = _Rows()
        for row in chunk.iter_rows(named=True):
            try:
                inspect(row, rows)
            except InputError as error:
                rows.rejected.append(_rejection(row, kind, error))
            if rows.seconds >= _SECONDS_TOGETHER:
                yield rows.take(table)
                rows = _Rows()
        yield rows.take(table)


@dataclass(frozen=True)
class _Sound:
    stream: AudioStream
    measured: SoundMeasures
    end: End


@dataclass(frozen=True)
class _Pictures:
    stream: VideoStream
    measured: PictureMeasures
    end: End
    shots: ShotFinder


def _inspect_audio(row: Row, rows: _Rows, landing: Landing, decoder: MediaDecoder, ears: Ears, policy: Policy) -> None:
    where = row["record_ref"]
    sound, _ = _measure(row["source_ref"], Wanted(audio=True), where, landing, decoder, ears, policy)
    if sound is None or sound.end.audio is None:
        raise _no_audio(where)
    rows.seconds += sound.measured.seconds
    declares_speech = row["transcription"] is not None
    refuse_sound(sound.measured, sound.stream, where, policy.sounds, declares_speech=declares_speech)
    offset_us = -row.get("sound_shift_us", 0)
    times = {
        "start_us": sound.end.audio.start_us + offset_us,
        "end_us": sound.end.audio.end_us + offset_us,
        "sound_clock_offset_us": offset_us,
    }
    rows.clips.append(row | times | sound.measured.columns(sound.stream, sound.end, offset_us))
    rows.tracks.append(track_row(row, sound.measured.tracks, None, offset_us, offset_us))
    _add_pauses(rows, row, sound, offset_us)


def _inspect_video(row: Row, rows: _Rows, landing: Landing, decoder: MediaDecoder, ears: Ears, policy: Policy) -> None:
    where, separate = row["record_ref"], row["audio_ref"]
    wanted = Wanted(audio=separate is None, video=True, max_side_px=policy.videos.measured_side_px)
    sound, pictures = _measure(row["source_ref"], wanted, where, landing, decoder, ears, policy)
    if pictures is None or pictures.end.video is None:
        raise DecodeError("NO_VIDEO", f"{where}: holds no moving pictures; deliver it as audio")
    if separate is not None:
        sound, _ = _measure(separate, Wanted(audio=True), f"{where} (audio)", landing, decoder, ears, policy)
        if sound is None:
            raise _no_audio(f"{where} (audio)")
    rows.seconds += pictures.measured.seconds
    refuse_pictures(pictures.measured, pictures.stream, where, policy.videos)
    if sound is not None:
        refuse_sound(sound.measured, sound.stream, where, policy.sounds)
    elif policy.videos.require_sound:
        raise _no_audio(where)
    declared, shown = row["declared_start_us"], pictures.end.video
    offset_us = 0 if declared is None else declared - shown.start_us
    sound_offset_us = offset_us - row.get("sound_shift_us", 0)
    heard = None if sound is None else sound.end.audio
    measured = pictures.measured
    starts = [shown.start_us + offset_us, *([] if heard is None else [heard.start_us + sound_offset_us])]
    ends = [shown.end_us + offset_us, *([] if heard is None else [heard.end_us + sound_offset_us])]
    rows.clips.append(
        row
        | {
            "start_us": min(starts),
            "end_us": max(ends),
            "clock_offset_us": offset_us,
            "sound_clock_offset_us": sound_offset_us,
            "video_codec": pictures.stream.codec,
            "width": pictures.stream.width,
            "height": pictures.stream.height,
            "frames": shown.units,
            "frame_rate": measured.frame_rate,
            "has_variable_rate": measured.has_variable_rate,
            "black_share": measured.black_share,
            "frozen_share": measured.frozen_share,
        }
        | (NO_SOUND if sound is None else sound.measured.columns(sound.stream, sound.end, sound_offset_us))
    )
    motion = track_motion(measured.times_us, measured.motion)
    tracks = None if sound is None else sound.measured.tracks
    rows.tracks.append(track_row(row, tracks, motion, offset_us, sound_offset_us))
    _add_shots(rows, row, pictures, offset_us)
    if sound is not None:
        _add_pauses(rows, row, sound, sound_offset_us)


def _measure(
    reference: Row, wanted: Wanted, where: str, landing: Landing, decoder: MediaDecoder, ears: Ears, policy: Policy
) -> tuple[_Sound | None, _Pictures | None]:
    """Decode one file to its end.

    Raises:
        InputError: the file cannot be decoded, or its pictures are too small.
    """
    info: MediaInfo | None = None
    end: End | None = None
    sound = SoundMeter(ears.voice, ears.events, policy.sounds) if wanted.audio else None
    pictures = PictureMeter(policy.videos)
    shots = ShotFinder(policy.videos.shot_threshold, policy.videos.min_shot_seconds)
    with open_landed(landing, reference["uri"]) as stream:
        for message in decoder.decode(stream, where, wanted):
            if isinstance(message, AudioBlock):
                if sound is not None:
                    sound.add(message)
            elif isinstance(message, FrameBlock):
                frames = to_frames(message)
                pictures.add(message.pts_us, frames)
                shots.add(message.pts_us, frames)
            elif isinstance(message, MediaInfo):
                info = message
                if wanted.video and info.video is not None:
                    refuse_size(info.video, where, policy.videos)
            else:
                end = message
    if info is None or end is None:
        return None, None
    heard = (
        None if sound is None or info.audio is None or end.audio is None else _Sound(info.audio, sound.finish(), end)
    )
    if info.video is None or end.video is None:
        return heard, None
    return heard, _Pictures(info.video, pictures.finish(end.video.end_us), end, shots)


def _add_shots(rows: _Rows, row: Row, pictures: _Pictures, offset_us: int) -> None:
    measured = pictures.measured
    if pictures.end.video is None:
        return
    found = divide_into_shots(pictures.shots.finish(), measured.times_us, measured.sharpness, pictures.end.video.end_us)
    for index, (start, end, key_frame) in enumerate((found + offset_us).tolist()):
        place = {name: row[name] for name in ("batch", "clip_id", "position")}
        rows.shots.append(place | {"shot_index": index, "start_us": start, "end_us": end, "key_frame_us": key_frame})


def _add_pauses(rows: _Rows, row: Row, sound: _Sound, offset_us: int) -> None:
    for start, end in (sound.measured.pauses_us + offset_us).tolist():
        rows.pauses.append({"batch": row["batch"], "clip_id": row["clip_id"], "start_us": start, "end_us": end})


def _no_audio(where: str) -> DecodeError:
    return DecodeError("NO_AUDIO", f"{where}: holds no sound; deliver the sound or drop the record")


def _rejection(row: Row, kind: str, error: InputError) -> Row:
    return {
        "batch": row["batch"],
        "stage": STAGE,
        "record_kind": kind,
        "record_ref": row["record_ref"],
        "record_id": row["clip_id"],
        "code": error.code,
        "reason": error.reason,
    }


def _frame(table: str, rows: list[Row]) -> pl.DataFrame:
    return TABLES[table].conform(pl.DataFrame(rows, schema=TABLES[table].schema))
