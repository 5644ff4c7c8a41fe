"""Checks on figures of documents."""

import dagster as dg
import polars as pl

from mm_assets.features.checks import judge_codes, unlike_unit_length
from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake


@batch_check("document_figures")
def every_figure_is_seen_or_rejected(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every figure of a document has one embedding of length one, or was rejected with its reason."""
    batch = context.partition_key
    blocks = lake.scan("document_blocks", batch).filter(pl.col("type") == "figure").select("block_id").collect()
    rows = lake.scan("document_figures", batch).select("block_id", "embedding").collect()
    rejected = lake.scan("rejected", batch).filter(pl.col("stage") == "document_figures").select("record_id").collect()
    known = pl.concat([rows["block_id"], rejected["record_id"]])
    lost = blocks.filter(~pl.col("block_id").is_in(known.implode())).height
    off = unlike_unit_length(rows)
    bad = lost + off + abs(known.len() - blocks.height)
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BAD_EMBEDDING",
        description=f"{lost} of {blocks.height} figures are unaccounted for, {off} are not of unit length",
    )


@batch_check("caption_bindings")
def every_figure_has_its_binding(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every figure has one row, and no caption is bound twice."""
    batch = context.partition_key
    figures = lake.scan("document_blocks", batch).filter(pl.col("type") == "figure").select("block_id").collect()
    rows = lake.scan("caption_bindings", batch).select("block_id", "caption_id").collect()
    bare = figures.join(rows, on="block_id", how="anti").height
    bound = rows["caption_id"].drop_nulls()
    twice = bound.len() - bound.n_unique()
    return judged(
        passed=bare + twice == 0,
        measured=bare + twice,
        threshold=0,
        code=None if bare + twice == 0 else "BAD_BINDING",
        description=f"{bare} figures have no row, {twice} captions are bound twice",
    )


@batch_check("figure_codes")
def every_figure_code_is_in_the_codebook(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Every figure that was seen has codes, and each lies inside the codebook it names."""
    return judge_codes(lake, context.partition_key, "figure_codes", "document_figures", "codebook")


CHECKS = (every_figure_is_seen_or_rejected, every_figure_has_its_binding, every_figure_code_is_in_the_codebook)
