"""Views a person looks at: what is held and why, and what every batch has cost."""

import json
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.display.metadata import picture, rows_table
from mm_assets.errors import MMAssetsError
from mm_assets.gates.evidence import evidence_sheet
from mm_assets.gates.gate_check import evidence_tables
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds, describe_hold
from resources.object_store import LandingStore

_HOLD_COLUMNS = ("batch", "gate", "code", "measured", "threshold", "reason", "opened_at")


@dg.asset(
    group_name="gates",
    kinds={"deltalake"},
    deps=["image_text_recall", "object_recall", "orientation_agreement", "caption_faithfulness"],
)
def held_batches(
    context: dg.AssetExecutionContext, lake: DeltaLake, landing: LandingStore, holds: Holds
) -> dg.MaterializeResult:
    """One row per batch that is held now: why, since when, with pictures of the pairs that gave it away."""
    rows = [describe_hold(row) for row in holds.active().to_dicts()]
    metadata: dict[str, Any] = {
        "dagster/row_count": len(rows),
        "held": rows_table(rows, _HOLD_COLUMNS),
        "history": rows_table(
            [describe_hold(row) | {"released": json.dumps(row["released_by"])} for row in holds.history().to_dicts()],
            (*_HOLD_COLUMNS, "released"),
        ),
    }
    for row in rows:
        for name, table in evidence_tables(row["diagnosis"]).items():
            metadata[f"{row['gate']} of {row['batch']}: {name}"] = table
        try:
            sheet = evidence_sheet(lake, landing, row["batch"], row["diagnosis"])
        except MMAssetsError as error:
            context.log.warning("no pictures of %s: %s", row["batch"], error)
            continue
        if sheet is not None:
            metadata[f"{row['gate']} of {row['batch']}"] = picture(sheet, row["reason"])
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(group_name="gates", kinds={"deltalake"}, deps=["image_embeddings", "caption_embeddings"])
def spending(lake: DeltaLake, costs: Costs) -> dg.MaterializeResult:
    """One row per batch and model: units, device seconds and price, against the batch's budget."""
    policy = costs.policy_file.policy.budget
    rows = (
        lake.scan("costs")
        .group_by("batch", "asset", "model", "unit")
        .agg(pl.col("units", "device_seconds", "price").sum())
        .sort("batch", "asset")
        .collect()
    )
    per_batch = (
        rows.group_by("batch")
        .agg(pl.col("price").sum(), pl.col("device_seconds").sum())
        .with_columns(remaining=policy.per_batch - pl.col("price"))
        .sort("batch")
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows.height,
            "currency": policy.currency,
            "budget_per_batch": policy.per_batch,
            "total": float(rows["price"].sum()),
            "per_batch": rows_table(per_batch.to_dicts(), tuple(per_batch.columns)),
            "per_model": rows_table(rows.to_dicts(), tuple(rows.columns)),
        }
    )
