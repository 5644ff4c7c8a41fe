# pyright: strict
"""What the tables say of each clip of a batch, in the form the offset gate takes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks, Envelope, SpeechActivity, TimedTexts

_NO_CLIP_US = 1


def gather_tracks(
    delivered: pl.DataFrame, clips: pl.DataFrame, tracks: pl.DataFrame, cues: pl.DataFrame, transcripts: pl.DataFrame
) -> list[ClipTracks]:
    """Tracks of every delivery row of a batch; of a row without a cleaned clip, its place alone.

    Args:
        delivered: of `mm_assets.aligned.segments.offsets.cue_placement.list_delivered`.
        clips: cleaned sounds and videos: clip_id, start_us, end_us, sound_start_us, sound_end_us and
            has_separate_sound.
        tracks: rows of ``clip_tracks``.
        cues: every delivered cue on the global clock, as `place_cues` leaves them.
        transcripts: rows of ``transcripts``; empty where nothing was recognised.
    """
    measured = {row["clip_id"]: row for row in clips.join(tracks, on="clip_id", how="left").iter_rows(named=True)}
    shown = {
        str(name): TimedTexts.from_frame(part)
        for (name,), part in cues.filter(pl.col("has_clip") & (pl.col("end_us") >= pl.col("start_us")))
        .partition_by("clip_id", as_dict=True)
        .items()
    }
    heard = {row["clip_id"]: _words(row["words"]) for row in transcripts.iter_rows(named=True)}
    places = dict(delivered.select("place", "clip_id").iter_rows())
    found: list[ClipTracks] = []
    for place in range(max(places, default=-1) + 1):
        name = str(places.get(place, f"row {place}"))
        row = measured.get(name)
        found.append(ClipTracks(name, _NO_CLIP_US) if row is None else _tracks(row, shown.get(name), heard.get(name)))
    return found


def _tracks(row: Mapping[str, Any], cues: TimedTexts | None, words: TimedTexts | None) -> ClipTracks:
    sound = (row["sound_start_us"], row["sound_end_us"])
    separate_us = None if None in sound or not row["has_separate_sound"] else sound[1] - sound[0]
    start_us = row["sound_start_us_right"]
    speech, onsets, motion = (row[name] for name in ("speech", "onsets", "motion"))
    return ClipTracks(
        clip_id=row["clip_id"],
        duration_us=row["end_us"] - row["start_us"],
        start_us=row["start_us"],
        speech=SpeechActivity(_floats(speech), start_us) if speech else None,
        cues=cues,
        words=words,
        onsets=Envelope(_floats(onsets), start_us, row["sound_step_us"]) if onsets else None,
        motion=Envelope(_floats(motion), row["motion_start_us"], row["motion_step_us"]) if motion else None,
        audio_duration_us=separate_us,
    )


def _floats(values: list[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.clip(np.array(values, dtype=np.float64), 0.0, None)


def _words(words: list[dict[str, Any]]) -> TimedTexts | None:
    if not words:
        return None
    starts = np.array([word["start_us"] for word in words], dtype=np.int64)
    ends = np.array([word["end_us"] for word in words], dtype=np.int64)
    return TimedTexts(tuple(word["word"] for word in words), starts, np.maximum(ends, starts))
