"""What a table is: typed columns with descriptions, its grain, partitioning and the constraints Delta enforces."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from mm_assets.errors import SchemaMismatchError


@dataclass(frozen=True)
class Column:
    """A column: its type, what it means (with its unit), and whether it may be null."""

    dtype: pl.DataType | type[pl.DataType]
    description: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A Delta table: its grain, columns, physical partitioning and CHECK constraints.

    ``row_group_rows``, if set, is how many rows lie together in a file, the least that a reader of any of them takes:
    for tables of large rows.
    """

    name: str
    grain: str
    columns: Mapping[str, Column]
    partition_by: tuple[str, ...] = ("batch",)
    order_by: tuple[str, ...] = ()
    constraints: Mapping[str, str] = field(default_factory=dict[str, str])
    row_group_rows: int | None = None

    @property
    def schema(self) -> pl.Schema:
        """Column names and polars types, in order."""
        return pl.Schema({name: column.dtype for name, column in self.columns.items()})

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with exactly this table's columns, in order and cast.

        Raises:
            SchemaMismatchError: a column is missing, unknown, not castable, or null where it may not be.
        """
        missing = [name for name in self.columns if name not in frame.columns]
        unknown = [name for name in frame.columns if name not in self.columns]
        if missing or unknown:
            raise SchemaMismatchError(
                f"table {self.name!r}: missing columns {missing}, unknown columns {unknown}; "
                "write exactly the columns of mm_assets/schemas"
            )
        try:
            shaped = frame.select(pl.col(name).cast(column.dtype) for name, column in self.columns.items())
        except pl.exceptions.PolarsError as error:
            raise SchemaMismatchError(f"table {self.name!r}: {error}") from error
        required = [name for name, column in self.columns.items() if not column.nullable]
        nulls = shaped.select(pl.col(required).null_count()).row(0, named=True) if required else {}
        offending = {name: count for name, count in nulls.items() if count}
        if offending:
            raise SchemaMismatchError(f"table {self.name!r}: nulls in required columns {offending}")
        return shaped

    def empty(self) -> pl.DataFrame:
        """A frame with this table's columns and no rows."""
        return pl.DataFrame(schema=self.schema)
