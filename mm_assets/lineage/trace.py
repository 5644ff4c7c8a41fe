# pyright: strict
"""From a sample back to the raw bytes, with every table, model, verdict, correction and decision on the way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mm_assets.aligned.corrections import active_corrections
from mm_assets.gates.ledger import hold_history, latest_evaluations
from mm_assets.landing import Landing
from mm_assets.lineage.ancestors import Row, Tables, Thing, find_ancestors, find_sample, readable
from mm_assets.lineage.raw_bytes import RawBytes, read_bytes, read_text
from mm_assets.lineage.table_map import RECORDS

_TOLD_PLACES: Final = {
    "document_blocks": ("page", "x1", "y1", "x2", "y2"),
    "document_figures": ("page", "picture"),
    "boxes": ("x1", "y1", "x2", "y2"),
    "object_alignments": ("phrase", "phrase_start", "phrase_end", "x1", "y1", "x2", "y2"),
    "segment_alignments": ("start_us", "end_us", "clip_start_us", "clip_end_us"),
    "clip_pieces": ("start_us", "end_us"),
    "cues": ("start_us", "end_us"),
    "key_frames": ("time_us",),
}
"""Columns that say which part of a record a thing is."""


@dataclass(frozen=True)
class Place:
    """Which part of its record a thing is: page and box, box and phrase, or times."""

    id: str
    table: str
    at: Row


@dataclass(frozen=True)
class Verdict:
    """A gate's newest verdict on the batch, the hold it led to, and who waived it."""

    gate: str
    passed: bool
    measured: float | None
    threshold: float | None
    code: str | None
    reason: str
    evaluation_id: str
    waived_by: str | None
    waived_reason: str | None


@dataclass(frozen=True)
class Trace:
    """A sample and all that stands behind it.

    Attributes:
        sample_id: the sample.
        batch: its batch.
        kind: its kind.
        things: what it was made of, the sample first, nearest next.
        places: which part of a record each of them is.
        bytes: raw bytes, read just now.
        gates: newest verdicts on its batch.
        corrections: corrections in force on its batch.
        reviews: people's decisions on the sample, and on its negatives.
        negatives: hard negatives kept for its text or segment.
    """

    sample_id: str
    batch: str
    kind: str
    things: list[Thing]
    places: list[Place]
    bytes: list[RawBytes]
    gates: list[Verdict]
    corrections: list[Row]
    reviews: list[Row]
    negatives: list[Row]

    @property
    def whole(self) -> bool:
        """Whether it leads to raw bytes, all of them there and unchanged."""
        return bool(self.bytes) and all(found.state in {"verified", "read"} for found in self.bytes)


def trace_sample(tables: Tables, landing: Landing, sample_id: str) -> Trace:
    """Walk from a sample to the raw bytes, and read them.

    Args:
        tables: the lake.
        landing: where deliveries lie.
        sample_id: the sample.

    Raises:
        LineageError: there is no such sample.
    """
    sample = find_sample(tables, sample_id)
    batch = str(sample["batch"])
    things = find_ancestors(tables, sample)
    negatives = _kept_negatives(tables, batch, [thing.id for thing in things])
    return Trace(
        sample_id=sample_id,
        batch=batch,
        kind=str(sample["kind"]),
        things=things,
        places=list(_places(things)),
        bytes=list(_read_all(landing, things)),
        gates=_verdicts(tables, batch),
        corrections=_corrections(tables, batch),
        reviews=_reviews(tables, [sample_id, *(row["negative_id"] for row in negatives)]),
        negatives=[readable(row) for row in negatives],
    )


def _places(things: Sequence[Thing]) -> Iterator[Place]:
    for thing in things:
        for table, columns in _TOLD_PLACES.items():
            if row := thing.rows.get(table):
                yield Place(thing.id, table, {name: row[name] for name in columns if row[name] is not None})


def _read_all(landing: Landing, things: Sequence[Thing]) -> Iterator[RawBytes]:
    for thing in things:
        for table in RECORDS:
            row = thing.rows.get(table)
            if row is None:
                continue
            if table == "raw_texts":
                yield read_text(landing, thing.id, row["record_ref"], row["source_ref"], row["text"])
                continue
            yield read_bytes(landing, thing.id, "record", row["source_ref"], row["sha256"])
            if row.get("audio_ref") is not None:
                yield read_bytes(landing, thing.id, "sound track", row["audio_ref"], row["audio_sha256"])
        if (row := thing.rows.get("raw_subtitles")) is not None:
            yield read_bytes(landing, thing.id, "subtitles", row["source_ref"], row["sha256"])
        figure, block = thing.rows.get("document_figures"), thing.rows.get("document_blocks")
        if figure is not None and block is not None and figure["kind"] == "file":
            beside = {"uri": f"{block['source_ref']['uri'].rpartition('/')[0]}/{figure['picture']}", "member": None}
            yield _read_beside(landing, thing.id, beside)


def _read_beside(landing: Landing, record_id: str, reference: dict[str, Any]) -> RawBytes:
    """A file beside its record, whose size the tables do not hold."""
    landed = landing.find(landing.key(reference["uri"]))
    size = 0 if landed is None else landed.size_bytes
    return read_bytes(landing, record_id, "figure", reference | {"byte_offset": 0, "byte_size": size}, None)


def _verdicts(tables: Tables, batch: str) -> list[Verdict]:
    holds = hold_history(tables.scan("holds").filter(pl.col("batch") == batch).collect())
    released = {row["evaluation_id"]: row for row in holds.to_dicts()}
    newest = latest_evaluations(tables.scan("gate_evaluations", batch).collect()).sort("gate")
    return [
        Verdict(
            gate=row["gate"],
            passed=row["passed"],
            measured=row["measured"],
            threshold=row["threshold"],
            code=row["code"],
            reason=row["reason"],
            evaluation_id=row["evaluation_id"],
            waived_by=released.get(row["evaluation_id"], {}).get("released_by"),
            waived_reason=released.get(row["evaluation_id"], {}).get("released_reason"),
        )
        for row in newest.to_dicts()
    ]


def _corrections(tables: Tables, batch: str) -> list[Row]:
    return active_corrections(tables.scan("corrections").filter(pl.col("batch") == batch).collect()).to_dicts()


def _kept_negatives(tables: Tables, batch: str, positives: list[str]) -> list[Row]:
    rows = tables.scan("hard_negatives", batch).filter(
        pl.col("positive_id").is_in(positives), pl.col("verdict") == "kept"
    )
    return rows.sort("negative_id").collect().to_dicts()


def _reviews(tables: Tables, subjects: list[str]) -> list[Row]:
    return (
        tables.scan("review_decisions").filter(pl.col("subject_id").is_in(subjects)).sort("at_us").collect().to_dicts()
    )
