# pyright: strict
"""Which clip each delivered cue belongs to and when it is shown on that clip's global clock, corrections applied."""

import polars as pl

from mm_assets.aligned.segments.offsets.pointer_channels import SUBTITLES
from mm_assets.aligned.segments.offsets.time_corrections import POINTER_KINDS, correct_pointers, correct_times
from mm_assets.schemas import TABLES

_NO_CORRECTIONS = TABLES["corrections"].empty()


def list_delivered(audio: pl.DataFrame, videos: pl.DataFrame) -> pl.DataFrame:
    """Every clip of a delivery in the order in which its pointers count: sounds, then videos.

    Args:
        audio: rows of ``raw_audio``.
        videos: rows of ``raw_videos``.

    Returns:
        Columns batch, clip_id, position among the records of its kind, place (from 0, with gaps where a record was
        rejected) and is_video.
    """
    columns = ("batch", "clip_id", "position")
    behind = 0 if audio.is_empty() else int(audio["position"].to_numpy().max()) + 1
    sounds = audio.select(*columns, place="position", is_video=pl.lit(value=False))
    pictures = videos.select(*columns, place=pl.col("position") + behind, is_video=pl.lit(value=True))
    return pl.concat([sounds, pictures]).sort("place")


def place_cues(
    cues: pl.DataFrame,
    clips: pl.DataFrame,
    delivered: pl.DataFrame | None = None,
    corrections: pl.DataFrame = _NO_CORRECTIONS,
) -> pl.DataFrame:
    """Cues on the global clock of the clip they belong to.

    Subtitles are on the clock of their video as its container states it, and move with it.

    Args:
        cues: rows of ``raw_cues`` of a whole batch.
        clips: rows of ``video_clips`` of the batch.
        delivered: of `list_delivered`; needed to undo displaced pointers.
        corrections: rows of ``corrections`` in force, oldest first.

    Returns:
        As many rows, in the order of clip and file: the columns of ``raw_cues`` with corrected clip, times and text;
        ``clip_start_us`` and ``clip_end_us``, null for a clip that was rejected; ``correction_id``, null for a cue
        that no correction changed; ``has_clip``, false where a displaced cue's own clip is nowhere in the batch.
    """
    pointed = _follow_pointers(cues, delivered, corrections)
    media = clips.select("clip_id", "clock_offset_us", clip_start_us=pl.col("start_us"), clip_end_us=pl.col("end_us"))
    offset = pl.col("clock_offset_us").fill_null(0)
    placed = (
        pointed.join(media, on="clip_id", how="left", maintain_order="left")
        .with_columns(start_us=pl.col("start_us") + offset, end_us=pl.col("end_us") + offset)
        .drop("clock_offset_us")
        .sort("position", "cue_index", maintain_order=True)
    )
    if corrections.is_empty():
        return placed
    timed = correct_times(placed.drop("correction_id"), corrections, SUBTITLES)
    return timed.with_columns(correction_id=pl.coalesce("correction_id", placed["correction_id"]))


def _follow_pointers(cues: pl.DataFrame, delivered: pl.DataFrame | None, corrections: pl.DataFrame) -> pl.DataFrame:
    """Cues with the clip and position they belong to, ``has_clip`` and ``correction_id``."""
    kept = cues.with_columns(correction_id=pl.lit(None, dtype=pl.String), has_clip=pl.lit(value=True))
    if delivered is None or not corrections["kind"].is_in(POINTER_KINDS).any():
        return kept
    rows = delivered.select("batch", "clip_id", "is_video", at="position", position="place", subtitles="clip_id")
    moved = correct_pointers(rows, corrections, "subtitles", SUBTITLES).filter(pl.col("correction_id").is_not_null())
    taken = moved.drop_nulls("subtitles").select(
        belongs="clip_id", delivered_with="subtitles", at="at", event="correction_id"
    )
    untouched = kept.join(moved, on="clip_id", how="anti", maintain_order="left")
    displaced = kept.join(moved.select("clip_id"), on="clip_id", how="semi", maintain_order="left")
    found = displaced.join(taken, left_on="clip_id", right_on="delivered_with", how="left", maintain_order="left")
    lost = moved.select("clip_id", lost_by="correction_id")
    led = found.join(lost, on="clip_id", how="left", maintain_order="left").with_columns(
        clip_id=pl.coalesce("belongs", "clip_id"),
        position=pl.coalesce("at", "position"),
        has_clip=pl.col("belongs").is_not_null(),
        correction_id=pl.coalesce("event", "lost_by"),
    )
    return pl.concat([untouched, led.select(kept.columns)])
