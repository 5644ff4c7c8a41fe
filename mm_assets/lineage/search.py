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
_MOST_CHARACTERS: Final = 64
"""So much of the beginning of a text is looked for: searching for whole documents at once takes minutes to prepare."""
_ID: Final = r"[a-z]{2,6}_[0-9a-f]{24}"
_FOLDERS: Final = ("releases", "previews", "negatives", "reports")
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
    """Beginnings of the texts of rows that will go, long enough to be told from others; read them before they do.

    Args:
        tables: the lake.
        doomed: which rows go, by table.
    """
    found = set[str]()
    for table, columns in _TEXT_COLUMNS.items():
        for column in columns:
            start = pl.col(column).str.slice(0, _MOST_CHARACTERS).alias("text")
            rows = tables.scan(table).filter(doomed[table]).select(start).drop_nulls()
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
    others = _surviving(tables, texts)
    own = [text for text in texts if text not in others]
    wanted = pl.Series("id", list(ids), dtype=pl.String)
    rows, hits = 0, list[Hit]()
    for table in TABLES:
        count, found = _search_table(tables, table, wanted, own)
        rows += count
        hits += found
    paths = [path for folder in _FOLDERS for path in files.names(folder)]
    for path in paths:
        hits += _search_file(files, path, wanted, own)
    return Search(len(ids), len(own), rows, len(paths), hits)


def _surviving(tables: Tables, texts: Sequence[str]) -> set[str]:
    kept = set[str]()
    if not texts:
        return kept
    for table, columns in _TEXT_COLUMNS.items():
        for column in columns:
            found = pl.col(column).str.extract_many(list(texts), overlapping=True).alias("text")
            kept.update(tables.scan(table).select(found).explode("text").drop_nulls().unique().collect()["text"])
    return kept


def _search_table(tables: Tables, table: str, ids: pl.Series, texts: Sequence[str]) -> tuple[int, list[Hit]]:
    """Rows searched, and where something was found: all columns at once, and one by one only if there is something."""
    columns = [name for name, dtype in TABLES[table].schema.items()
               if _is_text(dtype) and (table, name) not in _HASHES_ONLY]  # fmt: skip
    rows = int(tables.scan(table).select(pl.len()).collect().item())
    if not rows or not columns:
        return rows, []
    each = {name: _as_text(TABLES[table].schema[name], name) for name in columns}
    together = pl.concat_str(list(each.values()), separator="\n", ignore_nulls=True)
    if not tables.scan(table).select(_holds(together, ids, texts).any()).collect().item():
        return rows, []
    counted = tables.scan(table).select(_holds(text, ids, texts).sum().alias(name) for name, text in each.items())
    found: dict[str, Any] = counted.collect().to_dicts()[0]
    return rows, [Hit(f"table {table}, column {name}", int(count)) for name, count in found.items() if count]


def _holds(text: pl.Expr, ids: pl.Series, texts: Sequence[str]) -> pl.Expr:
    """Whether a text names an id, found by its form and looked up, or holds one of the texts."""
    named = text.str.extract_all(_ID).list.eval(pl.element().is_in(ids.implode())).list.any()
    held = text.str.contains_any(list(texts)) if texts else pl.lit(value=False)
    return named.fill_null(value=False) | held.fill_null(value=False)


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in {pl.String, pl.List(pl.String)} or isinstance(dtype, pl.Struct)


def _as_text(dtype: pl.DataType, column: str) -> pl.Expr:
    if dtype == pl.List(pl.String):
        return pl.col(column).list.join("\n", ignore_nulls=True)
    return pl.col(column).struct.json_encode() if isinstance(dtype, pl.Struct) else pl.col(column)


def _search_file(files: Files, path: str, ids: pl.Series, texts: Sequence[str]) -> Iterator[Hit]:
    name = pl.Series("line", [path])
    if name.to_frame().select(_holds(pl.col("line"), ids, ()).any()).item():
        yield Hit(f"name of file {path}", 1)
    if not path.endswith(_TEXT_FILES):
        return
    lines = pl.DataFrame({"line": files.get_bytes(path).decode("utf-8", "replace").split("\n")})
    escaped = [msgspec.json.encode(text)[1:-1].decode() for text in texts]
    both = list(dict.fromkeys([*texts, *escaped]))
    if found := int(lines.select(_holds(pl.col("line"), ids, both).sum()).item()):
        yield Hit(f"file {path}", found)
