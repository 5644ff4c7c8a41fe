"""Checks on documents that were read."""

import dagster as dg
import polars as pl

from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake


@batch_check("documents")
def every_document_is_kept_or_rejected(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Documents delivered equal documents kept plus documents rejected."""
    batch = context.partition_key
    rejected = lake.scan("rejected", batch).filter(pl.col("stage") == "documents").select(pl.len()).collect().item()
    delivered = lake.count("raw_documents", batch)
    lost = delivered - lake.count("documents", batch) - rejected
    return judged(
        passed=lost == 0,
        measured=lost,
        threshold=0,
        code=None if lost == 0 else "ROWS_LOST",
        description=f"{lost} of {delivered} documents are unaccounted for",
    )


@batch_check("document_blocks")
def blocks_follow_without_a_gap(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every document has blocks, their positions run from 0 without a gap, and every reference leads to one of them."""
    batch = context.partition_key
    blocks = lake.scan("document_blocks", batch).select("document_id", "position").collect()
    counted = blocks.group_by("document_id").agg(
        pl.len().alias("blocks"), last=pl.col("position").max(), distinct=pl.col("position").n_unique()
    )
    gaps = counted.filter((pl.col("blocks") != pl.col("last") + 1) | (pl.col("blocks") != pl.col("distinct"))).height
    documents = lake.scan("documents", batch).select("document_id").collect()
    bare = documents.join(counted, on="document_id", how="anti").height
    references = lake.scan("document_references", batch).select("document_id", position="refers_to").collect()
    astray = references.drop_nulls().join(blocks, on=["document_id", "position"], how="anti").height
    bad = gaps + bare + astray
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BLOCKS_WITH_GAPS",
        description=f"{gaps} documents with gaps, {bare} without blocks, {astray} references that lead to no block",
    )


CHECKS = (every_document_is_kept_or_rejected, blocks_follow_without_a_gap)
