"""Checks on object alignment: no box is lost, and each gate's verdict is recorded and blocks."""

import json

import dagster as dg
import polars as pl

from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake


@batch_check("boxes")
def every_declared_box_is_kept_or_rejected(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Boxes declared for kept images equal boxes kept plus boxes rejected."""
    batch = context.partition_key
    recorded = lake.scan("provenance", batch).filter(pl.col("asset") == "boxes").collect()
    declared = json.loads(recorded["rows_json"][0])["seen:box"]
    rejected = lake.scan("rejected", batch).filter(pl.col("stage") == "boxes").select(pl.len()).collect().item()
    lost = declared - lake.count("boxes", batch) - rejected
    return judged(
        passed=lost == 0,
        measured=lost,
        threshold=0,
        code=None if lost == 0 else "ROWS_LOST",
        description=f"{lost} of {declared} boxes are unaccounted for",
    )


CHECKS = (every_declared_box_is_kept_or_rejected,)
