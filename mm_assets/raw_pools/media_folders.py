"""Read the audio and video folders of a delivery: every record kept or rejected, as bounded chunks of rows."""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from mm_assets.errors import InputError, RecordError
from mm_assets.landing import LandedObject, Landing
from mm_assets.lineage.takedowns import NOTHING_BLOCKED, Blocks
from mm_assets.media.subtitles import SUBTITLE_FORMS, read_cues
from mm_assets.policy import IngestPolicy, MediaPolicy
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.fingerprints import hash_content, run_ahead
from mm_assets.raw_pools.imagefolder import MANIFEST, line_content
from mm_assets.raw_pools.inventory import Inventory, take_inventory
from mm_assets.raw_pools.lines import read_lines
from mm_assets.raw_pools.media_records import (
    AudioRecord,
    MediaChunk,
    MediaRecord,
    SubtitleFile,
    VideoRecord,
    as_media_chunks,
)
from mm_assets.raw_pools.media_rows import AUDIO_SUFFIXES, VIDEO_SUFFIXES, AudioRow, VideoRow, check_row
from mm_assets.raw_pools.names import suffix_of
from mm_assets.raw_pools.records import Bytes, Rejection
from mm_assets.raw_pools.rows import decode_json
from mm_assets.raw_pools.taken_down import refuse_media_taken_down
from mm_assets.raw_pools.texts import unknown_form

_AUDIO_DECODER: Final = msgspec.json.Decoder(AudioRow)
_VIDEO_DECODER: Final = msgspec.json.Decoder(VideoRow)
_FORMS: Final = {
    "audio": "metadata.jsonl and wav, flac, ogg, mp3 or m4a files",
    "video": "metadata.jsonl and mp4, webm, mkv or avi files, with vtt or srt subtitles",
}


def read_media_batch(
    landing: Landing,
    contract: BatchContract,
    ingest: IngestPolicy,
    media: MediaPolicy,
    blocks: Blocks = NOTHING_BLOCKED,
) -> Iterator[MediaChunk]:
    """Yield every record of the audio and video folders, kept or rejected.

    Order: audio lines, audio files nobody declared, then the same of video. Positions count the records of a kind in
    this order, the rejected ones included. Nothing is decoded; files are hashed as streams, subtitles are read whole.
    Records that were taken down are rejected.
    """
    records = refuse_media_taken_down(_records(landing, contract, ingest, media), contract, blocks)
    yield from as_media_chunks(records, landing, contract, ingest)


def _records(
    landing: Landing, contract: BatchContract, ingest: IngestPolicy, media: MediaPolicy
) -> Iterator[MediaRecord]:
    with take_inventory(landing, f"{contract.batch}/audio") as inventory:
        declared = _declared("audio", landing, ingest, inventory, _declare_audio)
        yield from run_ahead(declared, lambda item: [_find_bytes(item, landing, media)], landing, ingest)
        yield from _undeclared("audio", inventory, AUDIO_SUFFIXES)
    with take_inventory(landing, f"{contract.batch}/video") as inventory:
        declared = _declared("video", landing, ingest, inventory, _declare_video)
        yield from run_ahead(declared, lambda item: [_find_bytes(item, landing, media)], landing, ingest)
        yield from _undeclared("video", inventory, VIDEO_SUFFIXES | AUDIO_SUFFIXES | SUBTITLE_FORMS.keys())


@dataclass(frozen=True, slots=True)
class _DeclaredAudio:
    record_ref: str
    row: AudioRow
    file: LandedObject


@dataclass(frozen=True, slots=True)
class _DeclaredVideo:
    record_ref: str
    row: VideoRow
    file: LandedObject
    audio: LandedObject | None
    subtitles: LandedObject | None


_Declared = _DeclaredAudio | _DeclaredVideo | Rejection


def _declared(
    kind: str,
    landing: Landing,
    policy: IngestPolicy,
    inventory: Inventory,
    declare: Callable[[bytes, str, Inventory], _Declared],
) -> Iterator[_Declared]:
    manifest = inventory.claim_if_present(MANIFEST)
    if manifest is None:
        return
    with landing.open(manifest.key) as stream:
        for line in read_lines(stream, policy.max_line_bytes):
            where = f"{manifest.key}:{line.number}"
            try:
                yield declare(line_content(line, policy, where), where, inventory)
            except InputError as error:
                yield Rejection.of(kind, where, error)


def _declare_audio(content: bytes, where: str, inventory: Inventory) -> _Declared:
    row = decode_json(content, _AUDIO_DECODER, where)
    check_row(row, where)
    _check_suffix(row.file_name, AUDIO_SUFFIXES, where, "wav, flac, ogg, mp3 or m4a")
    return _DeclaredAudio(where, row, inventory.claim(row.file_name, where))


def _declare_video(content: bytes, where: str, inventory: Inventory) -> _Declared:
    row = decode_json(content, _VIDEO_DECODER, where)
    check_row(row, where)
    _check_suffix(row.file_name, VIDEO_SUFFIXES, where, "mp4, webm, mkv or avi")
    if row.audio is not None:
        _check_suffix(row.audio, AUDIO_SUFFIXES, where, "wav, flac, ogg, mp3 or m4a")
    if row.subtitles is not None:
        _check_suffix(row.subtitles, SUBTITLE_FORMS.keys(), where, "vtt or srt")
    return _DeclaredVideo(
        where,
        row,
        inventory.claim(row.file_name, where),
        None if row.audio is None else inventory.claim(row.audio, where),
        None if row.subtitles is None else inventory.claim(row.subtitles, where),
    )


def _check_suffix(name: str, known: Container[str], where: str, wanted: str) -> None:
    if suffix_of(name) not in known:
        raise unknown_form(f"{where}: {name}", wanted)


def _find_bytes(declared: _Declared, landing: Landing, policy: MediaPolicy) -> MediaRecord:
    if isinstance(declared, Rejection):
        return declared
    where = declared.record_ref
    try:
        at = _hash_media(landing, declared.file, policy, where)
        if isinstance(declared, _DeclaredAudio):
            return AudioRecord(where, declared.row, at)
        audio = None if declared.audio is None else _hash_media(landing, declared.audio, policy, where)
    except InputError as error:
        return Rejection.of("audio" if isinstance(declared, _DeclaredAudio) else "video", where, error)
    subtitles = None if declared.subtitles is None else _read_subtitles(declared, landing, policy)
    return VideoRecord(where, declared.row, at, audio, subtitles)


def _hash_media(landing: Landing, landed: LandedObject, policy: MediaPolicy, where: str) -> Bytes:
    if landed.size_bytes == 0:
        raise RecordError("EMPTY_FILE", f"{where}: {landed.key} has no bytes; deliver it again")
    if landed.size_bytes > policy.max_file_bytes:
        raise RecordError(
            "FILE_TOO_LARGE",
            f"{where}: {landed.key} has {landed.size_bytes} bytes, more than {policy.max_file_bytes}; deliver it in "
            "parts or raise [media] max_file_bytes",
        )
    return hash_content(landing, landed, where)


def _read_subtitles(declared: _DeclaredVideo, landing: Landing, policy: MediaPolicy) -> SubtitleFile | Rejection:
    landed = declared.subtitles
    if landed is None:
        raise ValueError("there are no subtitles")
    try:
        if landed.size_bytes > policy.max_subtitle_bytes:
            raise RecordError(
                "FILE_TOO_LARGE",
                f"{landed.key}: {landed.size_bytes} bytes of subtitles, more than {policy.max_subtitle_bytes}; divide "
                "the medium",
            )
        at = hash_content(landing, landed, declared.record_ref)
        form = SUBTITLE_FORMS[suffix_of(landed.key)]
        cues = list(read_cues(landing.read(landed.key), form, landed.key, policy.max_cues))
        return SubtitleFile(declared.row.subtitles or "", form, at, cues)
    except InputError as error:
        return Rejection.of("subtitles", landed.key, error)


def _undeclared(kind: str, inventory: Inventory, known: Container[str]) -> Iterator[Rejection]:
    for landed in inventory.unclaimed():
        if suffix_of(landed.key) in known:
            error = RecordError(
                "UNLISTED_FILE", f"{landed.key}: no manifest declares this file; add its record or leave it out"
            )
        else:
            error = unknown_form(landed.key, _FORMS[kind])
        yield Rejection.of(kind, landed.key, error)
    for key, error in inventory.faults():
        yield Rejection.of(kind, key, error)
