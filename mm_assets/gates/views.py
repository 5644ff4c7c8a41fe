"""Views a person looks at: what is held and why, and what every batch has cost."""

import json
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.display.contact_sheet import Tile, contact_sheet
from mm_assets.display.metadata import picture, rows_table
from mm_assets.errors import MMAssetsError
from mm_assets.landing import Landing
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds, describe_hold
from resources.object_store import LandingStore

_PICTURES_PER_BATCH = 12
_HOLD_COLUMNS = ("batch", "gate", "code", "measured", "threshold", "reason", "opened_at")


def read_picture(landing: Landing, source_ref: dict[str, Any]) -> bytes:
    """Encoded bytes of an image row."""
    return landing.read(landing.key(source_ref["uri"]), source_ref["byte_offset"], source_ref["byte_size"])


def pair_tiles(lake: DeltaLake, landing: Landing, batch: str, diagnosis: dict[str, Any]) -> list[Tile]:
    """Pictures of a held batch with their caption as given and, where the diagnosis knows it, the restored one."""
    wanted = diagnosis.get("examples", [])[:_PICTURES_PER_BATCH]
    ids = [example["image_id"] for example in wanted]
    images = lake.scan("images", batch).filter(pl.col("image_id").is_in(ids)).select("image_id", "source_ref").collect()
    references = dict(images.iter_rows())
    tiles: list[Tile] = []
    for example in wanted:
        if example["image_id"] not in references:
            continue
        given, restored = f"given: {example['text']}", example["restored_text"]
        lines = (given,) if restored is None else (given, f"restored: {restored}")
        tiles.append(Tile(read_picture(landing, references[example["image_id"]]), lines, mark="crimson"))
    return tiles


@dg.asset(group_name="gates", kinds={"deltalake"}, deps=["image_text_recall"])
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
        try:
            tiles = pair_tiles(lake, landing, row["batch"], row["diagnosis"])
        except MMAssetsError as error:
            context.log.warning("no pictures of %s: %s", row["batch"], error)
            continue
        if tiles:
            metadata[f"pairs of {row['batch']}"] = picture(contact_sheet(tiles, columns=6), row["reason"])
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
