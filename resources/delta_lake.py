"""Delta Lake tables under one root: typed, physically partitioned, replaced one batch at a time."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from arro3.core import RecordBatchReader
from arro3.core import Table as ArrowTable
from deltalake import (
    CommitProperties,
    DeltaTable,
    QueryBuilder,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from mm_assets.errors import ContractError
from mm_assets.identifiers import validate_batch_id
from mm_assets.schemas import TABLES, Table
from resources.delta_tables import create_table, is_as_declared, retry_conflicts
from resources.lake_files import LakeFiles, open_lake_files
from resources.staging import Staging

_CHUNK_ROWS = 4_096


def storage_options(root: str) -> dict[str, str]:
    """What delta-rs and polars need to reach the root; credentials come from the environment only."""
    if not root.startswith("s3://"):
        return {}
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL")
    options = {name: os.environ[name] for name in names if os.environ.get(name)}
    options.setdefault("AWS_REGION", os.environ.get("AWS_DEFAULT_REGION", "us-east-1"))
    if options.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    options["aws_conditional_put"] = "etag"
    return options


@dataclass(frozen=True)
class Written:
    """What one commit did."""

    table: str
    version: int
    rows: int


def _batch_predicate(columns: dict[str, str]) -> str:
    """Partition predicate; every value must be a valid id, so that nothing can escape its quotes."""
    return " AND ".join(f"{name} = '{validate_batch_id(value)}'" for name, value in columns.items())


@cache
def _plan_as_one_stream() -> None:
    """Have every write of this process planned as one stream of rows.

    The planner asks once in a process how many cores it may use, deals the rows out to as many streams, and lets rows
    for a slow stream pile up in memory: a write of 20,000 fingerprints held nearly all of them. So it is asked for the
    first time while this thread may run on one core only. A batch goes into one partition, which one writer fills.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        QueryBuilder()
    finally:
        os.sched_setaffinity(0, allowed)


def _reader(table: Table, frames: Iterable[pl.DataFrame]) -> RecordBatchReader:
    def batches() -> Iterator[Any]:
        for frame in frames:
            for chunk in frame.iter_slices(_CHUNK_ROWS):
                yield from ArrowTable.from_arrow(chunk).to_batches()

    return RecordBatchReader.from_batches(ArrowTable.from_arrow(table.empty()).schema, batches())


class DeltaLake(dg.ConfigurableResource):
    """Every table of the project under one root.

    Attributes:
        root: folder, or ``s3://bucket/prefix``; tables lie in ``<root>/tables/<name>``.
    """

    root: str

    @cached_property
    def files(self) -> LakeFiles:
        """Plain files of the lake (feature shards), beside the tables."""
        return open_lake_files(self.root)

    @cached_property
    def _kept(self) -> dict[str, tuple[DeltaTable, int, pl.DataFrame]]:
        """Tables as `snapshot` read them last, by name: opened, version, rows."""
        return {}

    @cached_property
    def _ensured(self) -> dict[str, Table]:
        """Tables that are known to be there, as they were declared."""
        return {}

    @cached_property
    def _options(self) -> dict[str, str]:
        return storage_options(self.root)

    def uri(self, table: str) -> str:
        """Where the table lies.

        Raises:
            ContractError: no such table in ``mm_assets/schemas``.
        """
        if table not in TABLES:
            raise ContractError(f"there is no table {table!r}; add it to mm_assets/schemas")
        return f"{self.root.rstrip('/')}/tables/{table}"

    def open(self, table: str) -> DeltaTable | None:
        """The Delta table, or None before its first write."""
        _plan_as_one_stream()
        try:
            return DeltaTable(self.uri(table), storage_options=self._options)
        except TableNotFoundError:
            return None

    def _open_at(self, table: str, version: int | None) -> DeltaTable | None:
        opened = self.open(table)
        if opened is not None and version is not None:
            try:
                opened.load_as_version(version)
            except TableNotFoundError:
                return self.open(table)
        return opened

    def version(self, table: str) -> int:
        """Latest Delta version of the table; -1 before its first write."""
        opened = self.open(table)
        return -1 if opened is None else opened.version()

    def scan(self, table: str, batch: str | None = None, *, version: int | None = None) -> pl.LazyFrame:
        """Rows of a table, of one batch if one is named; typed and empty before the first write.

        A version that a takedown deleted is read as the table stands now, without what was taken down.
        """
        if batch is not None:
            validate_batch_id(batch)
        opened = self._open_at(table, version)
        if opened is None:
            return TABLES[table].empty().lazy()
        rows = self._rows(table, opened)
        return rows if batch is None else rows.filter(pl.col("batch") == batch)

    @staticmethod
    def _rows(table: str, opened: DeltaTable) -> pl.LazyFrame:
        present = {field.name for field in opened.schema().fields}
        return pl.scan_delta(opened).select(
            pl.col(name) if name in present else pl.lit(None, dtype=column.dtype).alias(name)
            for name, column in TABLES[table].columns.items()
        )

    def read(self, table: str, batch: str | None = None) -> pl.DataFrame:
        """Rows of a table in the table's own order."""
        rows = self.scan(table, batch)
        order = TABLES[table].order_by
        return (rows.sort(order) if order else rows).collect()

    def snapshot(self, table: str) -> pl.DataFrame:
        """All rows of a small table as it stands now; they are read again only after it has changed."""
        opened, version, rows = self._kept.get(table, (None, -1, TABLES[table].empty()))
        if opened is None:
            opened = self.open(table)
        else:
            opened.update_incremental()
        if opened is not None and opened.version() != version:
            version, rows = opened.version(), self._rows(table, opened).collect()
            self._kept[table] = opened, version, rows
        return rows

    def chunks(
        self, table: str, batch: str, rows: int = _CHUNK_ROWS, columns: list[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """Rows of one batch in the table's order, at most ``rows`` at a time."""
        scan = self.scan(table, batch)
        order = TABLES[table].order_by
        if order:
            scan = scan.sort(order)
        if columns is not None:
            scan = scan.select(columns)
        yield from scan.collect_batches(chunk_size=rows, maintain_order=True)

    def count(self, table: str, batch: str | None = None) -> int:
        """Number of rows."""
        return self.scan(table, batch).select(pl.len()).collect().item()

    def head(self, table: str, batch: str, rows: int = 8) -> pl.DataFrame:
        """The first rows of a batch in the table's order, for a preview."""
        order = TABLES[table].order_by
        scan = self.scan(table, batch)
        return (scan.bottom_k(rows, by=order) if order else scan.head(rows)).sort(order or pl.first()).collect()

    def rejected_by_code(self, batch: str, stage: str | None = None) -> dict[str, int]:
        """Rejected records of a batch by code, of one stage if one is named."""
        rows = self.scan("rejected", batch)
        if stage is not None:
            rows = rows.filter(pl.col("stage") == stage)
        return dict(rows.group_by("code").len().sort("code").collect().iter_rows())

    @contextlib.contextmanager
    def staging(self) -> Iterator[Staging]:
        """A spool for the rows of a step, removed at its end."""
        with tempfile.TemporaryDirectory(prefix="mm-staging-") as folder:
            yield Staging(Path(folder))

    def replace(
        self,
        table: str,
        batch: str,
        rows: pl.DataFrame | Staging,
        *,
        within: dict[str, str] | None = None,
    ) -> Written:
        """Make these rows the batch's only rows in the table, in one commit.

        Args:
            table: table name.
            batch: value of the table's first partition column.
            rows: a frame, or a staging area that holds rows of this table.
            within: further partition columns, such as ``{"stage": "cleaned"}``.

        Raises:
            SchemaMismatchError: the rows do not have the table's columns.
            CommitFailedError: another writer kept winning after 20 jittered attempts.
        """
        declared = TABLES[table]
        predicate = _batch_predicate({declared.partition_by[0]: batch, **(within or {})})
        if isinstance(rows, pl.DataFrame):
            rows = declared.conform(rows)
        count = rows.rows.get(table, 0) if isinstance(rows, Staging) else rows.height
        self._ensure(declared)
        if count == 0:
            return self._delete(table, predicate)
        return Written(table, self._overwrite(declared, predicate, rows), count)

    @retry_conflicts
    def _overwrite(self, declared: Table, predicate: str, rows: pl.DataFrame | Staging) -> int:
        """Returns the version that was written."""
        opened = DeltaTable(self.uri(declared.name), storage_options=self._options)
        frames = rows.frames(declared.name) if isinstance(rows, Staging) else (rows,)
        write_deltalake(
            opened,
            _reader(declared, frames),
            mode="overwrite",
            predicate=predicate,
            writer_properties=WriterProperties(max_row_group_size=declared.row_group_rows),
        )
        return opened.version()

    @retry_conflicts
    def _delete(self, table: str, predicate: str) -> Written:
        opened = DeltaTable(self.uri(table), storage_options=self._options)
        opened.delete(predicate)
        return Written(table, opened.version(), 0)

    def clear(self, table: str, batch: str) -> None:
        """Remove a batch's rows, if it has any."""
        if self.open(table) is not None and self.count(table, batch):
            self._delete(table, _batch_predicate({TABLES[table].partition_by[0]: batch}))

    @retry_conflicts
    def append(self, table: str, rows: pl.DataFrame) -> Written:
        """Add rows to an append-only table; concurrent appends never conflict."""
        declared = TABLES[table]
        rows = declared.conform(rows)
        self._ensure(declared)
        opened = DeltaTable(self.uri(table), storage_options=self._options)
        write_deltalake(opened, _reader(declared, (rows,)), mode="append")
        return Written(table, opened.version(), rows.height)

    def append_once(self, table: str, rows: pl.DataFrame, *, expected_version: int, application: str) -> bool:
        """Append only if no other writer did so under the same application since ``expected_version``.

        Returns:
            False if another writer came first; read again and decide anew.
        """
        declared = TABLES[table]
        rows = declared.conform(rows)
        self._ensure(declared)
        opened = DeltaTable(self.uri(table), storage_options=self._options)
        if (opened.transaction_version(application) or 0) != expected_version:
            return False
        try:
            write_deltalake(
                opened,
                _reader(declared, (rows,)),
                mode="append",
                commit_properties=CommitProperties(app_transactions=[Transaction(application, expected_version + 1)]),
            )
        except CommitFailedError:
            return False
        return True

    def transaction(self, table: str, application: str) -> int:
        """Version of the application's last `append_once`; 0 before the first."""
        opened = self.open(table)
        return 0 if opened is None else opened.transaction_version(application) or 0

    def _ensure(self, declared: Table) -> None:
        """Create the table with its constraints, or bring an older one up to date; looked at once."""
        if self._ensured.get(declared.name) is declared:
            return
        opened = self.open(declared.name)
        if opened is None or not is_as_declared(opened, declared):
            create_table(self.uri(declared.name), declared, self._options)
        self._ensured[declared.name] = declared
