"""Checks on fusion samples: nothing lost, and every placeholder as its codes say."""

import dagster as dg
import msgspec
import polars as pl

from mm_assets.errors import CrossModalCode
from mm_assets.fusion.placeholders import Modality
from mm_assets.fusion.rendering import image_block, media_block
from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake


@batch_check("fusion_samples")
def every_caption_and_text_is_packed_or_rejected(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Captions and texts in equal samples out plus rejected ones."""
    batch = context.partition_key
    rejected = dict(
        lake.scan("rejected", batch)
        .filter(pl.col("stage").is_in(["fusion_samples", "caption_claims"]))
        .group_by("record_kind")
        .len()
        .collect()
        .iter_rows()
    )
    samples = lake.scan("fusion_samples", batch)
    packed = samples.filter(~pl.col("kind").is_in(["object", "segment", "document"])).select(pl.len()).collect().item()
    records = lake.count("captions", batch) + lake.count("texts", batch)
    lost = records - packed - rejected.get("caption", 0) - rejected.get("text", 0)
    return judged(
        passed=lost == 0,
        measured=lost,
        threshold=0,
        code=None if lost == 0 else "ROWS_LOST",
        description=f"{lost} of {records} captions and texts are unaccounted for",
    )


@batch_check("fusion_samples")
def every_alignment_is_packed_or_rejected(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Alignments of boxes in equal boxes in samples plus rejected ones."""
    batch = context.partition_key
    boxes = lake.scan("fusion_samples", batch).select("boxes_json").drop_nulls().collect()["boxes_json"]
    packed = sum(len(msgspec.json.decode(text)) for text in boxes)
    rejected = lake.scan("rejected", batch).filter(
        (pl.col("stage") == "fusion_samples") & (pl.col("record_kind") == "box")
    )
    records = lake.count("object_alignments", batch)
    lost = records - packed - rejected.select(pl.len()).collect().item()
    return judged(
        passed=lost == 0,
        measured=lost,
        threshold=0,
        code=None if lost == 0 else "ROWS_LOST",
        description=f"{lost} of {records} alignments are unaccounted for",
    )


@batch_check("fusion_samples")
def every_segment_is_packed_or_rejected(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Aligned segments in equal samples out plus rejected ones."""
    batch = context.partition_key
    packed = lake.scan("fusion_samples", batch).filter(pl.col("kind") == "segment").select(pl.len()).collect().item()
    rejected = lake.scan("rejected", batch).filter(
        (pl.col("stage") == "fusion_samples") & (pl.col("record_kind") == "segment")
    )
    records = lake.count("segment_alignments", batch)
    lost = records - packed - rejected.select(pl.len()).collect().item()
    return judged(
        passed=lost == 0,
        measured=lost,
        threshold=0,
        code=None if lost == 0 else "ROWS_LOST",
        description=f"{lost} of {records} segments are unaccounted for",
    )


@batch_check("fusion_samples")
def every_window_is_packed_or_rejected(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Windows of documents in equal samples of documents plus rejected ones."""
    batch = context.partition_key
    packed = lake.scan("fusion_samples", batch).filter(pl.col("kind") == "document").select(pl.len()).collect().item()
    rejected = lake.scan("rejected", batch).filter(
        (pl.col("stage") == "fusion_samples") & (pl.col("record_kind") == "window")
    )
    windows = lake.scan("document_windows", batch).select(pl.col("window_id").n_unique()).collect().item()
    lost = windows - packed - rejected.select(pl.len()).collect().item()
    return judged(
        passed=lost == 0,
        measured=lost,
        threshold=0,
        code=None if lost == 0 else "ROWS_LOST",
        description=f"{lost} of {windows} windows are unaccounted for",
    )


@batch_check("fusion_samples")
def placeholders_are_their_codes(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """The content of every sample with pictures or sound starts with exactly its codes between sentinels."""
    segment = pl.col("kind") == "segment"
    image, video = image_block(pl.col("codes")), media_block(Modality.VIDEO, pl.col("codes"))
    visual = pl.when(segment).then(video).otherwise(image).fill_null("")
    head = visual + media_block(Modality.AUDIO, pl.col("audio_codes")).fill_null("")
    samples = lake.scan("fusion_samples", context.partition_key).filter(segment | pl.col("image_id").is_not_null())
    bad = samples.filter((head == "") | ~pl.col("content").str.starts_with(head)).select(pl.len()).collect().item()
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else CrossModalCode.TOKEN_FMT.value,
        description=f"{bad} samples do not start with their codes",
    )


CHECKS = (
    every_caption_and_text_is_packed_or_rejected,
    every_alignment_is_packed_or_rejected,
    every_segment_is_packed_or_rejected,
    every_window_is_packed_or_rejected,
    placeholders_are_their_codes,
)
