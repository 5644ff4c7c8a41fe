# pyright: strict
"""Everything a sample was made of, read from the tables: its records, and what each stage made of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import msgspec
import polars as pl

from mm_assets.errors import LineageError
from mm_assets.lineage.table_map import LINEAGE
from mm_assets.schemas import TABLES
from mm_assets.steps import BATCH_STEPS

_ID_COLUMNS: Final = {
    "img": "image_id",
    "cap": "caption_id",
    "txt": "text_id",
    "aud": "clip_id",
    "vid": "clip_id",
    "pce": "piece_id",
    "frm": "frame_id",
    "seg": "sample_id",
    "obj": "sample_id",
    "box": "box_id",
    "cue": "cue_id",
    "doc": "document_id",
    "win": "window_id",
    "blk": "block_id",
}
"""The column in which the tables of a kind of thing carry its id, by the prefix of the id."""
_STEP_OF: Final = {table: step.name for step in BATCH_STEPS for table in step.tables}
_SPENT_VERDICTS: Final = ("ambiguous", "mismatched")
Row = dict[str, Any]


class Tables(Protocol):
    """Where tables are read from."""

    def scan(self, table: str, batch: str | None = None) -> pl.LazyFrame:
        """Rows of a table, of one batch if one is named."""
        ...


@dataclass(frozen=True)
class Stage:
    """What one table says of a thing.

    Attributes:
        table: the table.
        rows: how many of its rows tell of the thing.
        version: Delta version that the batch's rows were last written in; None if nobody recorded it.
        asset: step that wrote them.
        code_version: of that step.
        models: it used, as ``name@revision#weight-hash``.
        digest: hash of all the step depended on.
        values: the row without its numbers for machines, if it is one row.
    """

    table: str
    rows: int
    version: int | None
    asset: str
    code_version: str
    models: list[str]
    digest: str
    values: Row


@dataclass(frozen=True)
class Thing:
    """A record, or something made on the way from it to the sample.

    Attributes:
        id: its id.
        made_of: ids of what it was made of.
        stages: tables that tell of it.
        rows: its row in each table, whole.
    """

    id: str
    made_of: list[str]
    stages: list[Stage]
    rows: Mapping[str, Row] = field(default_factory=dict[str, Row])


def find_sample(tables: Tables, sample_id: str) -> Row:
    """The row of ``fusion_samples``.

    Raises:
        LineageError: there is none.
    """
    found = tables.scan("fusion_samples").filter(pl.col("sample_id") == sample_id).collect()
    if found.is_empty():
        raise LineageError(
            f"there is no sample {sample_id!r} in the lake; ids stand in each line of a release, and a sample whose "
            "batch was run again since has another"
        )
    return found.row(0, named=True)


def find_ancestors(tables: Tables, sample: Row) -> list[Thing]:
    """Everything the sample was made of, nearest first; the sample itself comes first of all.

    Args:
        tables: the lake.
        sample: its row of ``fusion_samples``.
    """
    batch = str(sample["batch"])
    written = Provenances(tables, batch)
    found: dict[str, Thing] = {}
    sample_id = str(sample["sample_id"])
    above = [*ids_in(sample, LINEAGE["fusion_samples"].made_of), *_beside(tables, batch, sample)]
    frontier = list(dict.fromkeys(above))
    stage = written.stage("fusion_samples", [sample])
    found[sample_id] = Thing(sample_id, list(frontier), [stage], {"fusion_samples": sample})
    while frontier:
        reached: dict[str, None] = {}
        for thing in _read_things(tables, batch, frontier, written):
            found[thing.id] = thing
            reached.update(dict.fromkeys(thing.made_of))
        frontier = [name for name in reached if name not in found]
    return list(found.values())


def ids_in(row: Row, columns: Sequence[str]) -> list[str]:
    """The ids that a row holds in these columns, of lists and of JSON objects too, in order.

    >>> ids_in({"a": "img_1", "b": ["cue_1"], "c": '{"d": "doc_1"}'}, ("a", "b", "c.d"))
    ['img_1', 'cue_1', 'doc_1']
    """
    found: list[str] = []
    for column in columns:
        name, _, inner = column.partition(".")
        value = row.get(name)
        if value is None:
            continue
        if inner:
            value = msgspec.json.decode(value, type=dict[str, Any]).get(inner)
        found += [str(item) for item in cast("list[object]", value)] if isinstance(value, list) else [str(value)]
    return found


class Provenances:
    """Who wrote the rows of a batch, with what."""

    def __init__(self, tables: Tables, batch: str) -> None:
        rows = tables.scan("provenance", batch).collect().to_dicts()
        self._by_step: dict[str, Row] = {row["asset"]: row for row in rows}

    def stage(self, table: str, rows: Sequence[Row]) -> Stage:
        """What a table says, by rows of one thing."""
        row = self._by_step.get(_STEP_OF.get(table, ""), {})
        versions: dict[str, int] = msgspec.json.decode(row.get("versions_json", "{}"))
        return Stage(
            table=table,
            rows=len(rows),
            version=versions.get(table),
            asset=row.get("asset", ""),
            code_version=row.get("code_version", ""),
            models=list(row.get("models") or []),
            digest=row.get("digest", ""),
            values=readable(rows[0]) if len(rows) == 1 else {},
        )


def readable(row: Row) -> Row:
    """A row without pixels and vectors: what a person reads."""
    return {name: value for name, value in row.items() if value is not None and not _is_for_machines(value)}


def _is_for_machines(value: object) -> bool:
    if isinstance(value, bytes):
        return True
    return isinstance(value, list) and isinstance(next(iter(cast("list[object]", value)), None), float | int)


def _beside(tables: Tables, batch: str, sample: Row) -> Iterator[str]:
    """Ids of what stands in the sample without a column of its own: regions, the window and its key."""
    if sample["kind"] == "object":
        caption = pl.col("caption_id")
        own = caption.is_null() if sample["caption_id"] is None else caption == sample["caption_id"]
        regions = tables.scan("object_alignments", batch).filter(
            pl.col("image_id") == sample["image_id"], own, ~pl.col("verdict").is_in(_SPENT_VERDICTS)
        )
        yield from regions.sort("box_index").select("sample_id").collect().to_series().to_list()
    if sample["document_json"] is not None:
        yield from ids_in(sample, ("document_json.window_id",))


def _read_things(tables: Tables, batch: str, ids: Sequence[str], written: Provenances) -> Iterator[Thing]:
    by_column: dict[str, list[str]] = {}
    for name in ids:
        if column := _ID_COLUMNS.get(name.partition("_")[0]):
            by_column.setdefault(column, []).append(name)
    told: dict[str, dict[str, list[Row]]] = {name: {} for name in ids}
    for column, wanted in by_column.items():
        for table in _tables_by(column):
            rows = tables.scan(table, batch).filter(pl.col(column).is_in(wanted)).collect()
            for row in rows.iter_rows(named=True):
                told[row[column]].setdefault(table, []).append(row)
    blocks = _blocks_of_windows(tables, batch, told)
    for name, by_table in told.items():
        above = [parent for table, rows in by_table.items() for row in rows for parent in ids_in(row, _parents(table))]
        above += [*blocks.get(name, ()), *_frames_of_piece(tables, batch, name)]
        yield Thing(
            name,
            [parent for parent in dict.fromkeys(above) if parent != name],
            [written.stage(table, rows) for table, rows in by_table.items()],
            {table: rows[0] for table, rows in by_table.items()},
        )


def _tables_by(column: str) -> list[str]:
    """Tables of batches whose rows tell of a thing under this column, in the order of the graph."""
    return [
        table
        for table, lineage in LINEAGE.items()
        if column in {lineage.key, lineage.told_by} and "batch" in TABLES[table].columns and table in _STEP_OF
    ]


def _parents(table: str) -> tuple[str, ...]:
    return LINEAGE[table].made_of if LINEAGE[table].key else ()


def _frames_of_piece(tables: Tables, batch: str, name: str) -> list[str]:
    if not name.startswith("pce_"):
        return []
    frames = tables.scan("key_frames", batch).filter(pl.col("piece_id") == name).sort("frame_index")
    return frames.select("frame_id").collect().to_series().to_list()


def _blocks_of_windows(tables: Tables, batch: str, told: Mapping[str, Mapping[str, list[Row]]]) -> dict[str, list[str]]:
    """Blocks that stand in each window."""
    found: dict[str, list[str]] = {}
    for name, by_table in told.items():
        rows = by_table.get("document_windows", [])
        if rows:
            blocks = tables.scan("document_blocks", batch).filter(
                pl.col("document_id") == rows[0]["document_id"],
                pl.col("position").is_in([row["block_position"] for row in rows]),
            )
            found[name] = blocks.sort("position").select("block_id").collect().to_series().to_list()
    return found
