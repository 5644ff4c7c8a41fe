"""Checks on raw pools."""

import dagster as dg
import polars as pl

from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake


@batch_check("raw_images")
def every_record_leads_to_its_bytes(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every image record names the file, member and byte range that hold its bytes."""
    rows = lake.scan("raw_images", context.partition_key).select("source_ref", "size_bytes").collect()
    reference = pl.col("source_ref").struct
    bad = rows.filter(
        (reference.field("uri") == "")
        | (reference.field("byte_offset") < 0)
        | (reference.field("byte_size") != pl.col("size_bytes"))
    ).height
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BAD_SOURCE_REF",
        description=f"{bad} of {rows.height} records do not lead back to their bytes",
    )


@batch_check("raw_captions")
def every_caption_has_its_image_record(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every caption belongs to an image record of the same batch."""
    captions = lake.scan("raw_captions", context.partition_key).select("image_id")
    images = lake.scan("raw_images", context.partition_key).select("image_id")
    dangling = captions.join(images, on="image_id", how="anti").select(pl.len()).collect().item()
    return judged(
        passed=dangling == 0,
        measured=dangling,
        threshold=0,
        code=None if dangling == 0 else "DANGLING_CAPTION",
        description=f"{dangling} captions have no image record",
    )


@batch_check("raw_texts")
def text_kinds_are_known(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every text is mathematics, code, logic, prose or dialogue."""
    rows = lake.scan("raw_texts", context.partition_key).select("kind").collect()
    unknown = rows.filter(~pl.col("kind").is_in(["math", "code", "logic", "prose", "dialogue"])).height
    return judged(
        passed=unknown == 0,
        measured=unknown,
        threshold=0,
        code=None if unknown == 0 else "UNKNOWN_KIND",
        description=f"{unknown} of {rows.height} texts are of no known kind",
    )


CHECKS = (every_record_leads_to_its_bytes, every_caption_has_its_image_record, text_kinds_are_known)
