"""Checks on cleaned sound, video and cues."""

import dagster as dg
import polars as pl

from mm_assets.cleaned.media_assets import words_of
from mm_assets.display.metadata import counts_table
from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake


@batch_check("video_clips")
def shots_tile_their_video(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every video has shots, and each of them starts where the one before ends."""
    batch = context.partition_key
    shots = lake.read("shots", batch)
    gaps = shots.filter(pl.col("start_us") != pl.col("end_us").shift(1).over("clip_id")).height
    bare = (
        lake.scan("video_clips", batch).join(shots.lazy(), on="clip_id", how="anti").select(pl.len()).collect().item()
    )
    return judged(
        passed=gaps + bare == 0,
        measured=gaps + bare,
        threshold=0,
        code=None if gaps + bare == 0 else "SHOTS_DO_NOT_TILE",
        description=f"{gaps} shots do not start where the one before ends, {bare} videos have none",
    )


@batch_check("clip_pieces")
def pieces_tile_their_clip(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Pieces start and end with their clip, each starts where the one before ends, and no cut is in a cue or word."""
    batch = context.partition_key
    columns = ("clip_id", "start_us", "end_us")
    pieces = lake.read("clip_pieces", batch)
    clips = pl.concat([lake.scan(table, batch).select(columns).collect() for table in ("audio_clips", "video_clips")])
    ends = pieces.group_by("clip_id").agg(first_us=pl.col("start_us").min(), last_us=pl.col("end_us").max())
    whole = clips.join(ends, on="clip_id", how="left")
    cuts = pieces.filter(pl.col("cut") != "end").select("clip_id", at_us="end_us")
    said = pl.concat([lake.scan("cues", batch).select(columns).collect(), words_of(lake, batch).select(columns)])
    through = cuts.join(said, on="clip_id").filter(pl.col("at_us").is_between("start_us", "end_us", closed="none"))
    faults = {
        "clips whose pieces do not start and end with them": whole.filter(
            ~(pl.col("start_us").eq_missing(pl.col("first_us")) & pl.col("end_us").eq_missing(pl.col("last_us")))
        ).height,
        "pieces that do not start where the one before ends": pieces.filter(
            pl.col("start_us") != pl.col("end_us").shift(1).over("clip_id")
        ).height,
        "cues and words that are cut": through.height,
    }
    total = sum(faults.values())
    return judged(
        passed=total == 0,
        measured=total,
        threshold=0,
        code=None if total == 0 else "PIECES_DO_NOT_TILE",
        description=f"{total} faults of slicing",
        metadata={"faults": counts_table(faults, "fault", "rows")},
    )


CHECKS = (shots_tile_their_video, pieces_tile_their_clip)
