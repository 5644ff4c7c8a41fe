"""Checks on aligned segments: nothing lost, inside their media, in order, and like their texts."""

import dagster as dg
import polars as pl

from mm_assets.aligned.segments.agreement.segment_verdicts import STAGE
from mm_assets.aligned.segments.agreement.text_audio import check_sample, split_tokens
from mm_assets.display.metadata import counts_table
from mm_assets.errors import CrossModalCode
from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake
from resources.policy_file import PolicyFile


@batch_check(STAGE)
def every_piece_is_aligned_or_rejected(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Pieces in equal segments out plus rejected pieces, each once."""
    batch = context.partition_key
    pieces = lake.scan("clip_pieces", batch).select("piece_id").collect()
    aligned = lake.scan(STAGE, batch).select("piece_id").collect()
    rejected = (
        lake.scan("rejected", batch).filter(pl.col("stage") == STAGE).select(pl.col("record_id").alias("piece_id"))
    )
    told = pl.concat([aligned, rejected.collect()])
    lost = pieces.join(told, on="piece_id", how="anti").height + abs(pieces.height - told.height)
    return judged(
        passed=lost == 0,
        measured=lost,
        threshold=0,
        code=None if lost == 0 else "ROWS_LOST",
        description=f"{lost} of {pieces.height} pieces are unaccounted for",
    )


@batch_check(STAGE)
def segments_lie_inside_their_media_in_order(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Segments are pieces of kept clips, inside them and apart; their words lie inside them, in order."""
    batch = context.partition_key
    rows = lake.read(STAGE, batch)
    columns = ("clip_id", "start_us", "end_us")
    clips = pl.concat([lake.scan(table, batch).select(columns).collect() for table in ("audio_clips", "video_clips")])
    pieces = lake.scan("clip_pieces", batch).select("piece_id", *columns).collect()
    words = rows.select("piece_id", "start_us", "end_us", "words").explode("words").drop_nulls("words")
    words = words.with_columns(
        said_us=pl.col("words").struct.field("start_us"), silent_us=pl.col("words").struct.field("end_us")
    )
    held = clips.rename({"start_us": "first_us", "end_us": "last_us"})
    inside = (pl.col("start_us") >= pl.col("first_us")) & (pl.col("end_us") <= pl.col("last_us"))
    ordered = rows.sort("clip_id", "start_us")
    faults = {
        "segments of no kept clip, or outside it": rows.height - rows.join(held, on="clip_id").filter(inside).height,
        "segments that are no piece": rows.join(pieces, on=["piece_id", *columns], how="anti").height,
        "segments that start before the one before ends": ordered.filter(
            pl.col("start_us") < pl.col("end_us").shift(1).over("clip_id")
        ).height,
        "words outside their segment": words.filter(
            (pl.col("said_us") < pl.col("start_us")) | (pl.col("silent_us") > pl.col("end_us"))
        ).height,
        "words before the one before": words.filter(
            pl.col("said_us") < pl.col("said_us").shift(1).over("piece_id")
        ).height,
    }
    total = sum(faults.values())
    return judged(
        passed=total == 0,
        measured=total,
        threshold=0,
        code=None if total == 0 else CrossModalCode.TEMPORAL.value,
        description=f"{total} faults of place and order",
        metadata={"faults": counts_table(faults, "fault", "rows")},
    )


@batch_check(STAGE)
def a_sample_of_texts_is_what_is_said(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, policy_file: PolicyFile
) -> dg.AssetCheckResult:
    """Texts of a sample of the admitted segments share more tokens with their own words than with those of others."""
    batch = context.partition_key
    rows = lake.scan(STAGE, batch).filter(pl.col("method") == "tokens").select("text", "words").collect()
    heard = rows.select(pl.col("words").list.eval(pl.element().struct.field("word")).list.join(" "))["words"]
    sample = check_sample(
        [split_tokens(text) for text in rows["text"]],
        [split_tokens(text) for text in heard],
        policy_file.policy.segments,
    )
    return judged(
        passed=sample.passed,
        measured=sample.own,
        threshold=sample.mismatched,
        code=None if sample.passed else CrossModalCode.FUSION.value,
        description=f"token match of {sample.segments} sampled texts with their own words against others'",
    )


CHECKS = (
    every_piece_is_aligned_or_rejected,
    segments_lie_inside_their_media_in_order,
    a_sample_of_texts_is_what_is_said,
)
