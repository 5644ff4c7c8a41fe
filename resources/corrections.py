"""The correction layer: what a person decided to undo in a delivery, append-only, beside data that stays as it came."""

import hashlib
import json

import dagster as dg
import polars as pl

from mm_assets.aligned.corrections import active_corrections, layer_part
from mm_assets.identifiers import validate_batch_id
from mm_assets.steps import CORRECTIONS as LAYER_PARTS
from resources.delta_lake import DeltaLake

NO_CORRECTIONS = "none"


class Corrections(dg.ConfigurableResource):
    """Reads and appends to ``corrections``."""

    lake: dg.ResourceDependency[DeltaLake]

    def in_force(self, batch: str, level: str | None = None) -> pl.DataFrame:
        """Rows of ``corrections`` that act on the batch now, of one level if one is named, oldest first."""
        validate_batch_id(batch)
        rows = active_corrections(self.lake.scan("corrections").filter(pl.col("batch") == batch).collect())
        return rows if level is None else rows.filter(pl.col("level") == level)

    def digests(self, batch: str) -> dict[str, str]:
        """Hash of what is in force on the batch, by part of the layer."""
        in_force = self.in_force(batch)
        parts = pl.Series([layer_part(event) for event in in_force.iter_rows(named=True)], dtype=pl.String)
        return {part: digest_of(in_force.filter(parts == part)) for part in LAYER_PARTS}

    def append(self, event: pl.DataFrame) -> None:
        """Record one correction event, a row of ``corrections``."""
        self.lake.append("corrections", event)


def digest_of(corrections: pl.DataFrame) -> str:
    """Hash of corrections in force; who applied them and when does not change rows, and does not count."""
    if corrections.is_empty():
        return NO_CORRECTIONS
    content = corrections.select("correction_id", "level", "kind", "parameters_json", "rows").to_dicts()
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
