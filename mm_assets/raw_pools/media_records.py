"""What the readers of sound and video produce, and the chunks of table rows it becomes.

Rows in = rows out + rejected, per kind of record: an *audio* or *video* record is one manifest line or one undeclared
file; a *subtitles* record one subtitle file of an accepted video; a *cue* record one cue of a readable subtitle file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from mm_assets.identifiers import make_id
from mm_assets.landing import Landing
from mm_assets.media.subtitles import BadCue, Cue
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.chunking import in_chunks
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.media_rows import AudioRow, VideoRow
from mm_assets.raw_pools.names import storable
from mm_assets.raw_pools.records import Bytes, Rejection
from mm_assets.schemas import TABLES

STAGE: Final = "raw_media"
_MAX_REF_CHARACTERS: Final = 2_000
TABLE_NAMES: Final = ("raw_audio", "raw_videos", "raw_subtitles", "raw_cues")


@dataclass(frozen=True, slots=True)
class AudioRecord:
    """A sound with its bytes found and hashed."""

    record_ref: str
    row: AudioRow
    at: Bytes


@dataclass(frozen=True, slots=True)
class SubtitleFile:
    """Subtitles with their bytes found and hashed, and their cues."""

    name: str
    form: str
    at: Bytes
    cues: list[Cue | BadCue]


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """A video with its bytes, and those of its separate sound and subtitles, found and hashed."""

    record_ref: str
    row: VideoRow
    at: Bytes
    audio: Bytes | None
    subtitles: SubtitleFile | Rejection | None


MediaRecord = AudioRecord | VideoRecord | Rejection


@dataclass(frozen=True)
class MediaChunk:
    """A bounded number of records, as rows of their tables.

    Attributes:
        tables: rows of each of `TABLE_NAMES`.
        rejected: rows of ``rejected``.
        records: records seen per kind; for each kind the rows plus the rejected ones.
    """

    tables: dict[str, pl.DataFrame]
    rejected: pl.DataFrame
    records: dict[str, int]


def as_media_chunks(
    records: Iterable[MediaRecord], landing: Landing, contract: BatchContract, policy: IngestPolicy
) -> Iterator[MediaChunk]:
    """Number the records, give them ids and hand them on in chunks bounded in rows and bytes."""
    yield from in_chunks(records, _Rows(landing, contract), policy)


Row = tuple[object, ...]


@dataclass
class _Rows:
    """Rows of the next chunk, and the positions that run through the whole batch."""

    landing: Landing
    contract: BatchContract
    positions: dict[str, int] = field(default_factory=lambda: {"audio": 0, "video": 0})
    count: int = 0
    size_bytes: int = 0
    records: dict[str, int] = field(default_factory=dict[str, int])
    tables: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in TABLE_NAMES})
    rejected: list[Row] = field(default_factory=list[Row])

    def add(self, record: MediaRecord) -> None:
        if isinstance(record, AudioRecord):
            self._add_audio(record)
        elif isinstance(record, VideoRecord):
            self._add_video(record)
        else:
            self._reject(record)

    def take(self) -> MediaChunk:
        """The chunk so far; starts the next one."""
        chunk = MediaChunk(
            tables={name: _frame(name, rows) for name, rows in self.tables.items()},
            rejected=_frame("rejected", self.rejected),
            records=self.records,
        )
        self.records = {}
        self.count = self.size_bytes = 0
        self.tables, self.rejected = {name: [] for name in TABLE_NAMES}, []
        return chunk

    def _saw(self, kind: str, size_bytes: int) -> None:
        self.records[kind] = self.records.get(kind, 0) + 1
        self.count += 1
        self.size_bytes += size_bytes

    def _next_position(self, kind: str) -> int:
        position = self.positions[kind]
        self.positions[kind] += 1
        return position

    def _clip(self, clip_id: str, position: int, record: AudioRecord | VideoRecord) -> Row:
        row, at, contract = record.row, record.at, self.contract
        return (
            contract.batch,
            clip_id,
            position,
            record.record_ref,
            self._source_ref(at),
            row.file_name,
            at.sha256,
            at.size_bytes,
            contract.source_of(row.source),
            None if row.source_id is None else str(row.source_id),
            contract.license_of(row.license),
            row.language or contract.language,
            _blank_as_none(row.text),
        )

    def _add_audio(self, record: AudioRecord) -> None:
        clip_id = make_id("aud", record.at.key, record.at.sha256)
        position = self._next_position("audio")
        row = record.row
        self._saw("audio", len(row.text or "") + len(row.transcription or ""))
        self.tables["raw_audio"].append(
            (
                *self._clip(clip_id, position, record),
                _blank_as_none(row.transcription),
                _blank_as_none(row.speaker),
            )
        )

    def _add_video(self, record: VideoRecord) -> None:
        audio, row = record.audio, record.row
        clip_id = make_id("vid", record.at.key, record.at.sha256, "" if audio is None else audio.sha256)
        position = self._next_position("video")
        self._saw("video", len(row.text or ""))
        self.tables["raw_videos"].append(
            (
                *self._clip(clip_id, position, record),
                row.start_us,
                None if audio is None else self._source_ref(audio),
                None if audio is None else audio.sha256,
            )
        )
        if isinstance(record.subtitles, Rejection):
            self._reject(record.subtitles)
        elif record.subtitles is not None:
            self._add_subtitles(record.subtitles, record, clip_id, position)

    def _add_subtitles(self, subtitles: SubtitleFile, record: VideoRecord, clip_id: str, position: int) -> None:
        contract, row = self.contract, record.row
        self._saw("subtitles", 0)
        self.tables["raw_subtitles"].append(
            (
                contract.batch,
                clip_id,
                position,
                record.record_ref,
                self._source_ref(subtitles.at),
                subtitles.name,
                subtitles.at.sha256,
                subtitles.form,
                contract.source_of(row.source),
                contract.license_of(row.license),
            )
        )
        for index, cue in enumerate(subtitles.cues):
            where = f"{subtitles.at.key}:{cue.line}"
            if isinstance(cue, BadCue):
                self._reject(Rejection.of("cue", where, cue.error))
                continue
            self._saw("cue", len(cue.text))
            self.tables["raw_cues"].append(
                (
                    contract.batch,
                    make_id("cue", clip_id, index, cue.start_us, cue.end_us, cue.text),
                    clip_id,
                    position,
                    index,
                    where,
                    cue.start_us,
                    cue.end_us,
                    cue.text,
                    cue.name,
                    cue.speaker,
                    row.language or contract.language,
                )
            )

    def _reject(self, rejection: Rejection) -> None:
        if rejection.record_kind in self.positions:
            self._next_position(rejection.record_kind)
        self._saw(rejection.record_kind, len(rejection.reason))
        self.rejected.append(
            (
                self.contract.batch,
                STAGE,
                rejection.record_kind,
                storable(rejection.record_ref[:_MAX_REF_CHARACTERS]),
                None,
                rejection.code,
                storable(rejection.reason[:_MAX_REF_CHARACTERS]),
            )
        )

    def _source_ref(self, at: Bytes) -> dict[str, object]:
        return {
            "uri": self.landing.uri(at.key),
            "member": at.member,
            "byte_offset": at.offset,
            "byte_size": at.size_bytes,
            "frame_index": None,
        }


def _blank_as_none(text: str | None) -> str | None:
    return text if text and not text.isspace() else None


def _frame(table: str, rows: list[Row]) -> pl.DataFrame:
    return TABLES[table].conform(pl.DataFrame(rows, schema=TABLES[table].schema, orient="row"))
