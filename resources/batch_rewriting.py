"""Write the rows of a batch again without some, or with some changed."""

from typing import Final

import polars as pl

from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake

KEEP_ALL: Final = pl.lit(value=True)
_CHUNK_ROWS: Final = 1_024


def rewrite(lake: DeltaLake, table: str, batch: str, keep: pl.Expr, *changes: pl.Expr) -> None:
    """Write the rows of a batch again, those that are kept, in one commit; nothing if nothing would change."""
    rows = lake.scan(table, batch).filter(keep)
    if changes:
        rows = rows.with_columns(*changes)
    order = TABLES[table].order_by
    with lake.staging() as staging:
        for chunk in (rows.sort(order) if order else rows).collect_batches(chunk_size=_CHUNK_ROWS, maintain_order=True):
            staging.add(table, chunk)
        lake.replace(table, batch, staging)
