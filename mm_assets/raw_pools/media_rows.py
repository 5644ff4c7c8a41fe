"""Rows of the audio and video folders as suppliers write them."""

from typing import Final

import msgspec

from mm_assets.errors import RecordError
from mm_assets.raw_pools.rows import ShortId

AUDIO_SUFFIXES: Final = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a"})
VIDEO_SUFFIXES: Final = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"})
MAX_CLOCK_US: Final = 10**15
"""Furthest a clock may start from 0, microseconds: 31 years, so that sums stay exact."""


class MediaRow(msgspec.Struct, kw_only=True):
    """What every record of sound or video may declare."""

    file_name: str
    text: str | None = None
    language: str | None = None
    license: str | None = None
    source: str | None = None
    source_id: ShortId | None = None


class AudioRow(MediaRow):
    """A line of ``audio/metadata.jsonl``: Hugging Face AudioFolder."""

    transcription: str | None = None
    speaker: str | None = None


class VideoRow(MediaRow):
    """A line of ``video/metadata.jsonl``; ``audio`` is a separate sound track on the clock of the video."""

    subtitles: str | None = None
    audio: str | None = None
    start_us: int | None = None


def check_row(row: AudioRow | VideoRow, where: str) -> None:
    """Refuse values that no table may hold.

    Raises:
        RecordError: code ``NUL_BYTE`` or ``WRONG_TYPE``.
    """
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if isinstance(value, str) and "\0" in value:
            raise RecordError("NUL_BYTE", f"{where}: {name!r} holds the NUL character; write it as plain text")
    if isinstance(row, VideoRow) and row.start_us is not None and abs(row.start_us) > MAX_CLOCK_US:
        raise RecordError(
            "WRONG_TYPE", f"{where}: start_us is {row.start_us}, beyond {MAX_CLOCK_US}; write microseconds"
        )
