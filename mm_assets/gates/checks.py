"""The gates: each reads a stored measurement, records a verdict, and blocks what stands behind it."""

import dagster as dg

from mm_assets.gates.check_results import batch_check
from mm_assets.gates.gate_check import gate_check
from mm_assets.gates.recall_verdict import verdict_of_row
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore


@batch_check("image_text_recall")
def captions_find_their_images(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, landing: LandingStore, holds: Holds
) -> dg.AssetCheckResult:
    """The batch's recall is that of its source and differs from chance; otherwise the batch is held."""
    row = lake.read("image_text_recall", context.partition_key).row(0, named=True)
    shown = ("recall_low", "recall_high", "null_mean", "null_p_value", "pairs", "pool_size", "baseline_kind")
    return gate_check(holds, lake, landing, verdict_of_row(row), {name: row[name] for name in shown})


CHECKS = (captions_find_their_images,)
