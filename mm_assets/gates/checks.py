"""The gates: each reads a stored measurement, records a verdict, and blocks what stands behind it."""

import json
import math
from typing import Any

import dagster as dg

from mm_assets.display.metadata import picture, rows_table
from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.gates.check_results import batch_check, judged
from mm_assets.gates.evidence import evidence_sheet
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
    verdict = stored_verdict(row)
    holds.record(verdict)
    waived = holds.is_waived(verdict.evaluation_id)
    metadata: dict[str, Any] = {
        "interval_low": row["recall_low"],
        "interval_high": row["recall_high"],
        "null_mean": row["null_mean"],
        "null_p_value": row["null_p_value"],
        "pairs": row["pairs"],
        "pool_size": row["pool_size"],
        "baseline_kind": row["baseline_kind"],
        "evaluation_id": verdict.evaluation_id,
        "waived": waived,
    }
    metadata = {name: value for name, value in metadata.items() if not (isinstance(value, float) and math.isnan(value))}
    if not verdict.passed:
        evidence = verdict.diagnosis.get("evidence", [])
        metadata["fix"] = REMEDIES[CrossModalCode(verdict.code)].fix if verdict.code else ""
        metadata["hypothesis"] = row["hypothesis"] or "unknown"
        metadata["rows_explained"] = row["rows_explained"] or 0.0
        metadata["evidence"] = rows_table(evidence, tuple(evidence[0]) if evidence else ("hypothesis",))
        sheet = evidence_sheet(lake, landing, verdict.batch, verdict.diagnosis)
        if sheet is not None:
            metadata["pairs_side_by_side"] = picture(sheet, "as given, and as restored")
    return judged(
        passed=verdict.passed or waived,
        measured=verdict.measured,
        threshold=verdict.threshold,
        code=verdict.code,
        description=verdict.reason,
        metadata=metadata,
    )


CHECKS = (captions_find_their_images,)
