"""Checks on raw pools of sound and video."""

import dagster as dg
import polars as pl

from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake


@batch_check("raw_videos")
def every_medium_leads_to_its_bytes(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every sound, video, separate sound track and subtitle file names the file and byte range that holds its bytes."""
    batch = context.partition_key
    references = pl.concat(
        [
            lake.scan("raw_audio", batch).select("source_ref"),
            lake.scan("raw_videos", batch).select("source_ref"),
            lake.scan("raw_videos", batch).select(source_ref="audio_ref").drop_nulls(),
            lake.scan("raw_subtitles", batch).select("source_ref"),
        ]
    ).collect()
    field = pl.col("source_ref").struct.field
    bad = references.filter((field("uri") == "") | (field("byte_offset") < 0) | (field("byte_size") <= 0)).height
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BAD_SOURCE_REF",
        description=f"{bad} of {references.height} media do not lead back to their bytes",
    )


@batch_check("raw_cues")
def every_cue_has_its_video_record(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every cue belongs to a video record of the same batch."""
    batch = context.partition_key
    cues, videos = lake.scan("raw_cues", batch).select("clip_id"), lake.scan("raw_videos", batch).select("clip_id")
    dangling = cues.join(videos, on="clip_id", how="anti").select(pl.len()).collect().item()
    return judged(
        passed=dangling == 0,
        measured=dangling,
        threshold=0,
        code=None if dangling == 0 else "DANGLING_CUE",
        description=f"{dangling} cues have no video record",
    )


CHECKS = (every_medium_leads_to_its_bytes, every_cue_has_its_video_record)
