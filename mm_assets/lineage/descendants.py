# pyright: strict
"""Everything that was made of some records, in all tables."""

from collections.abc import Iterable
from typing import Final

import polars as pl

from mm_assets.lineage.ancestors import Tables
from mm_assets.lineage.table_map import DELETED_LAST, LINEAGE, deletion_order
from mm_assets.schemas import TABLES

_BATCH: Final = "batch"


def is_made_of(table: str, ids: pl.Series) -> pl.Expr:
    """Whether a row of the table carries one of the ids, or is made of one.

    Args:
        table: a table with ids.
        ids: ids, strings.
    """
    lineage = LINEAGE[table]
    columns: set[str] = {*lineage.made_of, *([lineage.key] if lineage.key else [])}
    return pl.any_horizontal([_holds(table, column, ids).fill_null(value=False) for column in sorted(columns)])


def _holds(table: str, column: str, ids: pl.Series) -> pl.Expr:
    name, _, inner = column.partition(".")
    wanted = ids.implode()
    if inner:
        return pl.col(name).str.json_path_match(f"$.{inner}").is_in(wanted)
    if TABLES[table].schema[name] == pl.List(pl.String):
        return pl.col(name).list.set_intersection(ids.to_list()).list.len() > 0
    return pl.col(name).is_in(wanted)


def find_descendants(tables: Tables, records: Iterable[str]) -> pl.Series:
    """The ids of some records and of everything that has an id and was made of them, sorted.

    Parents come before children, so one pass over the tables finds all; a second that finds nothing proves it.
    """
    ids = pl.Series("id", sorted(set(records)), dtype=pl.String)
    if ids.is_empty():
        return ids
    before = -1
    while len(ids) != before:
        before = len(ids)
        for table in reversed(DELETED_LAST):
            key = LINEAGE[table].key
            made = tables.scan(table).filter(is_made_of(table, ids)).select(pl.col(str(key)).alias("id")).collect()
            ids = pl.concat([ids, made["id"]]).unique()
    return ids.sort()


def count_rows(tables: Tables, ids: pl.Series) -> dict[str, dict[str, int]]:
    """Rows to forget, by table and batch; of a release's draw by release, of a table without either under ``""``."""
    found: dict[str, dict[str, int]] = {}
    for table in deletion_order():
        rows = tables.scan(table).filter(is_made_of(table, ids))
        owner = TABLES[table].partition_by[0] if TABLES[table].partition_by else None
        counted = rows.group_by(pl.col(owner) if owner else pl.lit("").alias(_BATCH)).len().collect()
        if counted.height:
            found[table] = {str(name): int(count) for name, count in sorted(counted.iter_rows()) if count}
    return {table: rows for table, rows in found.items() if rows}
