"""Checks on the raw pool of documents."""

import dagster as dg
import polars as pl

from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake


@batch_check("raw_documents")
def every_document_leads_to_its_bytes(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every document names the file or folder that holds its bytes, and how many there are."""
    rows = lake.scan("raw_documents", context.partition_key).select("source_ref", "size_bytes").collect()
    bad = rows.filter((pl.col("source_ref").struct.field("uri") == "") | (pl.col("size_bytes") <= 0)).height
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BAD_SOURCE_REF",
        description=f"{bad} of {rows.height} documents do not lead back to their bytes",
    )


CHECKS = (every_document_leads_to_its_bytes,)
