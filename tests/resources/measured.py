"""What a gate measured, as its asset writes it before its check gives a verdict."""

import polars as pl

from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake

_BLANK = {pl.String: "", pl.Float64: 0.5, pl.Int64: 1, pl.Int32: 1, pl.Boolean: True, pl.List: []}


def measure(lake: DeltaLake, table: str, batch: str, evaluation: str) -> None:
    """Write one row of a gate's measurement table."""
    declared = TABLES[table]
    row = {name: _BLANK[column.dtype.base_type()] for name, column in declared.columns.items()}
    frame = pl.DataFrame([row | {"batch": batch, "evaluation_id": evaluation}], schema=declared.schema)
    lake.replace(table, batch, frame)
