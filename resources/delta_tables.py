"""One Delta table as its schema declares it: made, brought up to date, and written in spite of other writers."""

import contextlib
from pathlib import Path

from arro3.core import Table as ArrowTable
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from mm_assets.schemas import Table

retry_conflicts = retry(
    retry=retry_if_exception_type(CommitFailedError),
    wait=wait_random_exponential(multiplier=0.05, max=5.0),
    stop=stop_after_attempt(20),
    reraise=True,
)
"""For commits that another writer may win: some are tried again, later and later."""


def is_as_declared(opened: DeltaTable, declared: Table) -> bool:
    """Whether a table has every column and constraint."""
    return not _missing_columns(opened, declared) and not _missing_constraints(opened, declared)


@retry_conflicts
def create_table(uri: str, declared: Table, options: dict[str, str]) -> None:
    """Create a table with its constraints, or bring an older one up to date; several may do so at once.

    Args:
        uri: where it lies.
        declared: its columns and constraints.
        options: storage options.
    """
    if not uri.startswith("s3://"):
        Path(uri).mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(CommitFailedError):
        DeltaTable.create(
            uri,
            schema=ArrowTable.from_arrow(declared.empty()).schema,
            mode="ignore",
            partition_by=list(declared.partition_by),
            name=declared.name,
            description=declared.grain,
            storage_options=options,
        )
    opened = DeltaTable(uri, storage_options=options)
    if missing := _missing_columns(opened, declared):
        opened.alter.add_columns(missing)
    for name, rule in _missing_constraints(opened, declared).items():
        try:
            opened.alter.add_constraint({name: rule})
        except DeltaError:
            opened = DeltaTable(uri, storage_options=options)
            if name in _missing_constraints(opened, declared):
                raise


def _missing_columns(opened: DeltaTable, declared: Table) -> list[Field]:
    """Fields that a newer version declares and the table lacks; rows written before it hold null there."""
    present = {field.name for field in opened.schema().fields}
    wanted = Schema.from_arrow(ArrowTable.from_arrow(declared.empty()).schema).fields
    return [Field(field.name, field.type, nullable=True) for field in wanted if field.name not in present]


def _missing_constraints(opened: DeltaTable, declared: Table) -> dict[str, str]:
    present = {key.lower() for key in opened.metadata().configuration}
    return {
        name: rule for name, rule in declared.constraints.items() if f"delta.constraints.{name}".lower() not in present
    }
