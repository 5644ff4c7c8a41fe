"""What the reader of the document folder produces, and the chunks of table rows it becomes.

Rows in = rows out + rejected: a *document* record is one manifest line, one PDF or HTML file nobody declared, one
picture of a page or folder of such pictures nobody declared, or one file no reader knows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from mm_assets.errors import RecordError
from mm_assets.identifiers import make_id
from mm_assets.landing import Landing
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.chunking import in_chunks
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.names import storable
from mm_assets.raw_pools.records import Bytes, Rejection
from mm_assets.raw_pools.rows import ShortId
from mm_assets.schemas import TABLES

STAGE: Final = "raw_documents"
TABLE: Final = "raw_documents"
KIND: Final = "document"
_MAX_REF_CHARACTERS: Final = 2_000


class DocumentRow(msgspec.Struct, kw_only=True):
    """A line of ``documents/metadata.jsonl``; ``file_name`` is a file, or a folder of pictures of pages."""

    file_name: str
    title: str | None = None
    language: str | None = None
    license: str | None = None
    source: str | None = None
    source_id: ShortId | None = None


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A document with its bytes found and hashed; of pages in a folder, the sum of all."""

    record_ref: str
    row: DocumentRow
    form: str
    at: Bytes


@dataclass(frozen=True)
class DocumentChunk:
    """A bounded number of records, as rows of their tables.

    Attributes:
        tables: rows of ``raw_documents``.
        rejected: rows of ``rejected``.
        records: records seen per kind; the rows plus the rejected ones.
    """

    tables: dict[str, pl.DataFrame]
    rejected: pl.DataFrame
    records: dict[str, int]


def check_document_row(row: DocumentRow, where: str) -> None:
    """Refuse values that no table may hold.

    Raises:
        RecordError: code ``NUL_BYTE``.
    """
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if isinstance(value, str) and "\0" in value:
            raise RecordError("NUL_BYTE", f"{where}: {name!r} holds the NUL character; write it as plain text")


def as_document_chunks(
    records: Iterable[DocumentRecord | Rejection], landing: Landing, contract: BatchContract, policy: IngestPolicy
) -> Iterator[DocumentChunk]:
    """Number the records, give them ids and hand them on in chunks bounded in rows and bytes."""
    yield from in_chunks(records, _Rows(landing, contract), policy)


@dataclass
class _Rows:
    """Rows of the next chunk, and the position that runs through the whole batch."""

    landing: Landing
    contract: BatchContract
    position: int = 0
    count: int = 0
    size_bytes: int = 0
    kept: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    rejected: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])

    def add(self, record: DocumentRecord | Rejection) -> None:
        if isinstance(record, Rejection):
            self._reject(record)
        else:
            self._keep(record)
        self.position += 1
        self.count += 1

    def take(self) -> DocumentChunk:
        """The chunk so far; starts the next one."""
        chunk = DocumentChunk({TABLE: _frame(TABLE, self.kept)}, _frame("rejected", self.rejected), {KIND: self.count})
        self.kept, self.rejected, self.count, self.size_bytes = [], [], 0, 0
        return chunk

    def _keep(self, record: DocumentRecord) -> None:
        row, at, contract = record.row, record.at, self.contract
        self.size_bytes += len(row.title or "") + len(row.file_name)
        self.kept.append(
            (
                contract.batch,
                make_id("doc", at.key, at.sha256),
                self.position,
                record.record_ref,
                {
                    "uri": self.landing.uri(at.key),
                    "member": None,
                    "byte_offset": 0,
                    "byte_size": at.size_bytes,
                    "frame_index": None,
                },
                row.file_name,
                record.form,
                at.sha256,
                at.size_bytes,
                contract.source_of(row.source),
                None if row.source_id is None else str(row.source_id),
                contract.license_of(row.license),
                row.language or contract.language,
                row.title if row.title and not row.title.isspace() else None,
            )
        )

    def _reject(self, rejection: Rejection) -> None:
        self.size_bytes += len(rejection.reason)
        self.rejected.append(
            (
                self.contract.batch,
                STAGE,
                rejection.record_kind,
                storable(rejection.record_ref[:_MAX_REF_CHARACTERS]),
                None,
                rejection.code,
                storable(rejection.reason[:_MAX_REF_CHARACTERS]),
            )
        )


def _frame(table: str, rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return TABLES[table].conform(pl.DataFrame(rows, schema=TABLES[table].schema, orient="row"))
