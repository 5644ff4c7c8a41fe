"""Checks on the features of clips: every piece has its own, of unit length, inside their codebooks."""

import dagster as dg
import polars as pl

from mm_assets.features.checks import judge_codebook, judge_codes, unlike_unit_length
from mm_assets.gates.check_results import batch_check, judged
from mm_assets.steps import AUDIO_CODEBOOK, CODEBOOK
from resources.delta_lake import DeltaLake

_FRAMES_US = 20_000  # two windows of 10 ms: less may fall between their middles


@batch_check("audio_embeddings")
def every_piece_with_sound_has_its_tokens(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Every piece that overlaps its clip's sound has one embedding of length one, and no other piece has any."""
    batch = context.partition_key
    columns = ("clip_id", "sound_start_us", "sound_end_us")
    clips = pl.concat([lake.scan(table, batch).select(columns) for table in ("audio_clips", "video_clips")])
    heard = (
        lake.scan("clip_pieces", batch)
        .join(clips.drop_nulls(), on="clip_id")
        .filter((pl.col("start_us") < pl.col("sound_end_us")) & (pl.col("end_us") > pl.col("sound_start_us")))
        .select(
            "piece_id",
            overlap=pl.min_horizontal("end_us", "sound_end_us") - pl.max_horizontal("start_us", "sound_start_us"),
        )
        .collect()
    )
    rows = lake.scan("audio_embeddings", batch).select("piece_id", "embedding").collect()
    off = unlike_unit_length(rows)
    missing = heard.filter(pl.col("overlap") > _FRAMES_US).join(rows, on="piece_id", how="anti").height
    beside = rows.join(heard, on="piece_id", how="anti").height
    bad = off + missing + beside
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BAD_EMBEDDING",
        description=f"{off} not of unit length, {missing} pieces with sound have none, {beside} have no sound",
    )


@batch_check("key_frames")
def every_key_frame_is_of_a_piece_of_its_video(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Every video has key frames of unit length, each inside a piece of that video."""
    batch = context.partition_key
    rows = lake.scan("key_frames", batch).select("clip_id", "piece_id", "embedding").collect()
    pieces = lake.scan("clip_pieces", batch).select("clip_id", "piece_id").collect()
    videos = lake.scan("video_clips", batch).select("clip_id").collect()
    off = unlike_unit_length(rows)
    stray = rows.join(pieces, on=["clip_id", "piece_id"], how="anti").height
    bare = videos.join(rows, on="clip_id", how="anti").height
    bad = off + stray + bare
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BAD_KEY_FRAMES",
        description=f"{off} not of unit length, {stray} lie in no piece, {bare} videos have no key frame",
    )


@dg.asset_check(asset="audio_codebook", blocking=True)
def audio_codebook_describes_its_features(lake: DeltaLake) -> dg.AssetCheckResult:
    """The codebook explains part of the features' variance, and no more codes are dead than alive."""
    return judge_codebook(lake, AUDIO_CODEBOOK)


@batch_check("audio_codes")
def every_sound_code_is_in_the_codebook(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every piece with sound has codes, and each lies inside the codebook it names."""
    return judge_codes(lake, context.partition_key, "audio_codes", "audio_embeddings", AUDIO_CODEBOOK)


@batch_check("key_frame_codes")
def every_key_frame_code_is_in_the_codebook(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Every key frame has codes, and each lies inside the codebook it names."""
    return judge_codes(lake, context.partition_key, "key_frame_codes", "key_frames", CODEBOOK)


CHECKS = (
    every_piece_with_sound_has_its_tokens,
    every_key_frame_is_of_a_piece_of_its_video,
    audio_codebook_describes_its_features,
    every_sound_code_is_in_the_codebook,
    every_key_frame_code_is_in_the_codebook,
)
