"""The gates: each reads a stored measurement, records a verdict, and blocks what stands behind it."""

import json
import math
from typing import Any

import dagster as dg

from mm_assets.gates.check_results import batch_check
from mm_assets.gates.gate_check import gate_check
from mm_assets.gates.recall_verdict import GATE
from mm_assets.gates.verdicts import GateVerdict
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore


def stored_verdict(row: dict[str, Any]) -> GateVerdict:
    """The verdict a row of ``image_text_recall`` holds."""
    measured = row["recall_at_1"]
    return GateVerdict(
        evaluation_id=row["evaluation_id"],
        batch=row["batch"],
        gate=GATE,
        passed=row["passed"],
        code=row["code"],
        reason=row["reason"],
        measured=measured if math.isfinite(measured) else None,
        threshold=row["baseline"],
        diagnosis=json.loads(row["diagnosis_json"]),
    )


@batch_check("image_text_recall")
def captions_find_their_images(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, landing: LandingStore, holds: Holds
) -> dg.AssetCheckResult:
    """The batch's recall is that of its source and differs from chance; otherwise the batch is held."""
    row = lake.read("image_text_recall", context.partition_key).row(0, named=True)
    shown = ("recall_low", "recall_high", "null_mean", "null_p_value", "pairs", "pool_size", "baseline_kind")
    return gate_check(holds, lake, landing, stored_verdict(row), {name: row[name] for name in shown})


CHECKS = (captions_find_their_images,)
