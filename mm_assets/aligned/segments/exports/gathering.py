# pyright: strict
"""Recordings from the rows of the tables: what is said in a clip, its cues, or its segments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from mm_assets.aligned.segments.exports.timed_text import Line, Recording, divide_words, find_turns, to_words

Row = Mapping[str, Any]


def recordings_of_speech(
    utterances: pl.DataFrame, transcripts: pl.DataFrame, names: Mapping[str, str], clocks_us: Mapping[str, int]
) -> list[Recording]:
    """What is said in clips: a line an utterance, each with its words.

    Args:
        utterances: rows of ``utterances`` of these clips.
        transcripts: rows of ``transcripts`` of these clips.
        names: name of each recording, by clip, in the order to return them.
        clocks_us: global clock less the recording's, by clip.
    """
    spoken = _by_clip(utterances.sort("clip_id", "utterance_index"))
    heard = {row["clip_id"]: row["words"] for row in transcripts.select("clip_id", "words").iter_rows(named=True)}
    found: list[Recording] = []
    for clip_id, name in names.items():
        clock = clocks_us[clip_id]
        lines = [_line(row, clock, row["speaker"]) for row in spoken.get(clip_id, [])]
        words = to_words(heard.get(clip_id, []), clock)
        found.append(Recording(name, tuple(divide_words(words, lines) if lines else find_turns(words))))
    return found


def recordings_of_cues(cues: pl.DataFrame, names: Mapping[str, str], clocks_us: Mapping[str, int]) -> list[Recording]:
    """Cleaned cues of clips, corrections applied; without words.

    Args:
        cues: rows of ``cues`` of these clips.
        names: as of `recordings_of_speech`.
        clocks_us: likewise.
    """
    shown = _by_clip(cues.sort("clip_id", "cue_index"))
    return [
        Recording(name, tuple(_line(row, clocks_us[clip_id], row["speaker"]) for row in shown.get(clip_id, [])))
        for clip_id, name in names.items()
    ]


def recordings_of_segments(
    segments: pl.DataFrame, names: Mapping[str, str], clocks_us: Mapping[str, int], *, by_speaker: bool
) -> list[Recording]:
    """Segments of clips, each with its words.

    Args:
        segments: rows of ``segment_alignments`` of these clips.
        names: as of `recordings_of_speech`.
        clocks_us: likewise.
        by_speaker: a line a turn of one speaker, instead of a line a segment.
    """
    aligned = _by_clip(segments.sort("clip_id", "segment_index"))
    found: list[Recording] = []
    for clip_id, name in names.items():
        lines: list[Line] = []
        for row in aligned.get(clip_id, []):
            words = to_words(row["words"], clocks_us[clip_id])
            voices = {word.speaker for word in words}
            whole = _line(row, clocks_us[clip_id], next(iter(voices)) if len(voices) == 1 else None)
            lines += find_turns(words) if by_speaker else [replace(whole, words=words)]
        found.append(Recording(name, tuple(lines)))
    return found


def _line(row: Row, clock_us: int, speaker: str | None) -> Line:
    return Line(row["start_us"] - clock_us, row["end_us"] - clock_us, row["text"], speaker)


def _by_clip(rows: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    parts = rows.partition_by("clip_id", as_dict=True, maintain_order=True)
    return {str(clip_id): part.to_dicts() for (clip_id,), part in parts.items()}
