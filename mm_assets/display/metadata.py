"""Dagster metadata for tables: counts, schema with descriptions, a preview, and pictures inside Markdown."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.display.counts import tell_count
from mm_assets.schemas import TABLES

_PREVIEW_ROWS = 8
_PREVIEW_CHARACTERS = 48


def table_schema(table: str) -> dg.TableSchema:
    """The table's columns with types, nullability and descriptions."""
    declared = TABLES[table]
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for name, column in declared.columns.items()
        ],
        constraints=dg.TableConstraints(other=[*declared.constraints.values()]),
    )


def _cell(value: Any) -> str | int | float | bool | None:  # noqa: ANN401 - any table cell
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 4)
    text = tell_count(len(value), "byte") if isinstance(value, bytes) else str(value)
    return text if len(text) <= _PREVIEW_CHARACTERS else text[: _PREVIEW_CHARACTERS - 1] + "…"


def preview(rows: pl.DataFrame, columns: Sequence[str] | None = None) -> dg.TableMetadataValue:
    """The first rows as a table; long cells are cut."""
    head = rows.head(_PREVIEW_ROWS).select(columns or rows.columns)
    lists = [name for name, dtype in head.schema.items() if isinstance(dtype, pl.List)]
    head = head.with_columns(pl.col(name).list.head(4) for name in lists)
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: _cell(value) for name, value in record.items()}) for record in head.to_dicts()],
        schema=dg.TableSchema(columns=[dg.TableColumn(name=name, type="string") for name in head.columns]),
    )


def table_metadata(table: str, rows: int, head: pl.DataFrame, version: int) -> dict[str, Any]:
    """Metadata every table asset carries."""
    return {
        "dagster/row_count": rows,
        "dagster/column_schema": table_schema(table),
        "preview": preview(head),
        "delta_version": version,
    }


def counts_table(counts: Mapping[str, int], name: str, value: str) -> dg.TableMetadataValue:
    """A two-column table of counts."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: key, value: count}) for key, count in counts.items()],
        schema=dg.TableSchema(columns=[dg.TableColumn(name, "string"), dg.TableColumn(value, "int")]),
    )


def picture(png: bytes, caption: str = "") -> dg.MarkdownMetadataValue:
    """A PNG shown inside the UI."""
    return dg.MetadataValue.md(f"![{caption}](data:image/png;base64,{base64.b64encode(png).decode()})\n\n{caption}")


def rows_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dg.TableMetadataValue:
    """Any rows as a table with these columns."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: _cell(row.get(name)) for name in columns}) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in columns]),
    )
