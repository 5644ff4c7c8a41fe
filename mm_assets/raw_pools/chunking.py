"""Records gathered into chunks that are bounded in rows and in bytes."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import polars as pl

from mm_assets.policy import IngestPolicy

Record_contra = TypeVar("Record_contra", contravariant=True)
Chunk_co = TypeVar("Chunk_co", covariant=True)


class Chunk(Protocol):
    """A bounded number of records, as rows of their tables."""

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """Rows of each table but ``rejected``."""
        ...

    @property
    def rejected(self) -> pl.DataFrame:
        """Rows of ``rejected``."""
        ...

    @property
    def records(self) -> dict[str, int]:
        """Records seen per kind; for each kind the rows plus the rejected ones."""
        ...


class GrowingChunk(Protocol[Record_contra, Chunk_co]):
    """Rows of the next chunk as records come in."""

    count: int
    size_bytes: int

    def add(self, record: Record_contra, /) -> None:
        """Take a record in."""
        ...

    def take(self) -> Chunk_co:
        """The chunk so far; starts the next one."""
        ...


def in_chunks(
    records: Iterable[Record_contra], rows: GrowingChunk[Record_contra, Chunk_co], policy: IngestPolicy
) -> Iterator[Chunk_co]:
    """Hand records on in chunks of at most the policy's rows, and of its bytes and one record more."""
    for record in records:
        rows.add(record)
        if rows.count >= policy.chunk_rows or rows.size_bytes >= policy.chunk_bytes:
            yield rows.take()
    if rows.count:
        yield rows.take()
