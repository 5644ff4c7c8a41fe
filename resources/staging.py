"""Where the rows of a step wait on disk until they are written."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from mm_assets.schemas import TABLES


class Staging:
    """Rows on their way into several tables, spooled to disk so that memory stays flat and a commit can be retried."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: dict[str, list[Path]] = {}
        self.rows: dict[str, int] = {}

    def add(self, table: str, frame: pl.DataFrame) -> None:
        """Append rows meant for a table; they are checked against its schema here."""
        parts = self._parts.setdefault(table, [])
        self.rows[table] = self.rows.get(table, 0) + frame.height
        if frame.is_empty():
            return
        path = self._folder / f"{table}-{len(parts):06d}.arrow"
        TABLES[table].conform(frame).write_ipc(path)
        parts.append(path)

    def frames(self, table: str) -> Iterator[pl.DataFrame]:
        """The rows of a table, chunk by chunk, in the order they were added."""
        for path in self._parts.get(table, []):
            yield pl.read_ipc(path)

    def scan(self, table: str) -> pl.LazyFrame:
        """The rows of a table, lazily."""
        parts = self._parts.get(table, [])
        return pl.scan_ipc(parts) if parts else TABLES[table].empty().lazy()
