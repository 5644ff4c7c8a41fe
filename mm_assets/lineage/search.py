# pyright: strict
"""Look for what should be gone: in every text of every row, and in every file of the lake that holds text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import polars as pl

from mm_assets.lineage.ancestors import Tables
from mm_assets.schemas import TABLES

_HASHES_ONLY: Final = {("takedowns", "record_id"), ("corrections", "rows")}
"""Columns that keep ids, which are hashes: so that nothing comes back, and so that a correction stays what it was."""
_TEXT_COLUMNS: Final = {
    "raw_captions": ("text",),
    "captions": ("text", "raw_text"),
    "raw_texts": ("text",),
    "texts": ("text",),
    "raw_cues": ("text",),
    "cues": ("text", "raw_text"),
    "transcripts": ("text",),
    "raw_audio": ("text", "transcription"),
    "raw_videos": ("text",),
    "document_blocks": ("text",),
}
_LEAST_CHARACTERS: Final = 16
"""Shorter texts stand in other records by chance."""
_FOLDERS: Final = ("releases", "previews", "negatives")
_TEXT_FILES: Final = (".json", ".jsonl", ".html", ".md", ".txt", ".svg")


class Files(Protocol):
    """Plain files of the lake."""

    def names(self, prefix: str) -> list[str]:
        """Paths of the files below a folder."""
        ...

    def get_bytes(self, path: str) -> bytes:
        """The whole file."""
        ...


@dataclass(frozen=True)
class Hit:
    """A place where something was found that should be gone."""

    where: str
    count: int


@dataclass(frozen=True)
class Search:
    """A search and what it found.

    Attributes:
        ids: ids looked for.
        texts: texts looked for; those that other records hold, too, are left out.
        rows: rows searched.
        files: files searched.
        hits: where any of them was found.
    """

    ids: int
    texts: int
    rows: int
    files: int
    hits: list[Hit]


def texts_of(tables: Tables, doomed: dict[str, pl.Expr]) -> list[str]:
    """Texts of the rows that will go, long enough to be told from others; read them before they do.

    Args:
        tables: the lake.
        doomed: which rows go, by table.
    """
    found = set[str]()
    for table, columns in _TEXT_COLUMNS.items():
        for column in columns:
            rows = tables.scan(table).filter(doomed[table]).select(pl.col(column).alias("text")).drop_nulls()
            long_enough = rows.filter(pl.col("text").str.len_chars() >= _LEAST_CHARACTERS)
            found.update(long_enough.unique().collect()["text"])
    return sorted(found)


def search(tables: Tables, files: Files, ids: Sequence[str], texts: Sequence[str]) -> Search:
    """Look for ids and texts in every table and text file.

    Args:
        tables: the lake.
        files: its plain files.
        ids: ids that should be gone.
        texts: texts that should be gone; one that another record delivered, too, is not looked for.
    """
    own = [text for text in texts if text not in _surviving(tables, texts)]
    tokens = [*ids, *own]
    rows, hits = 0, list[Hit]()
    for table in TABLES:
        count, found = _search_table(tables, table, tokens)
        rows += count
        hits += found
    paths = [path for folder in _FOLDERS for path in files.names(folder)]
    for path in paths:
        hits += _search_file(files, path, tokens)
    return Search(len(ids), len(own), rows, len(paths), hits)


def _surviving(tables: Tables, texts: Sequence[str]) -> set[str]:
    kept = set[str]()
    for table, columns in _TEXT_COLUMNS.items():
        for column in columns:
            rows = tables.scan(table).select(pl.col(column).alias("text")).drop_nulls().collect()["text"]
            for text in texts:
                if rows.str.contains(text, literal=True).any():
                    kept.add(text)
    return kept


def _search_table(tables: Tables, table: str, tokens: Sequence[str]) -> tuple[int, list[Hit]]:
    columns = [name for name, dtype in TABLES[table].schema.items()
               if _is_text(dtype) and (table, name) not in _HASHES_ONLY]  # fmt: skip
    wanted = [_contains(TABLES[table].schema[name], name, tokens).sum().alias(name) for name in columns]
    counted: dict[str, Any] = tables.scan(table).select(pl.len().alias("#"), *wanted).collect().to_dicts()[0]
    rows = int(counted.pop("#"))
    return rows, [Hit(f"table {table}, column {name}", int(count)) for name, count in counted.items() if count]


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in {pl.String, pl.List(pl.String)} or isinstance(dtype, pl.Struct)


def _contains(dtype: pl.DataType, column: str, tokens: Sequence[str]) -> pl.Expr:
    text = pl.col(column)
    if dtype == pl.List(pl.String):
        text = text.list.join("\n", ignore_nulls=True)
    elif isinstance(dtype, pl.Struct):
        text = text.struct.json_encode()
    return text.str.contains_any(list(tokens)).fill_null(value=False)


def _search_file(files: Files, path: str, tokens: Sequence[str]) -> Iterator[Hit]:
    named = sum(token in path for token in tokens)
    if named:
        yield Hit(f"name of file {path}", named)
    if not path.endswith(_TEXT_FILES):
        return
    content = pl.Series("line", files.get_bytes(path).decode("utf-8", "replace").split("\n"))
    escaped = [msgspec.json.encode(token)[1:-1].decode() for token in tokens]
    both = list(dict.fromkeys([*tokens, *escaped]))
    if found := int(content.str.contains_any(both).sum()):
        yield Hit(f"file {path}", found)
