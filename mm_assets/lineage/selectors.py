# pyright: strict
"""What is to be forgotten: everything of a source, under a licence, of a person, or one record."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import polars as pl

from mm_assets.errors import LineageError
from mm_assets.identifiers import make_id
from mm_assets.lineage.ancestors import Tables, find_ancestors, find_sample
from mm_assets.lineage.table_map import RECORDS

_DUPLICATE: Final = "DUPLICATE"
_RECORD_ID: Final = r"\b((?:img|txt|aud|vid|doc)_[0-9a-f]{24})\b"
_SAMPLE_PREFIX: Final = "mm_"


class Selector(StrEnum):
    """By what records are chosen."""

    SOURCE = "source"
    LICENSE = "license"
    RECORD = "record"
    PERSON = "person"


@lru_cache(maxsize=4_096)
def hash_value(value: str) -> str:
    """SHA-256 of a name without case and outer spaces, so that a ledger can know it again without holding it.

    >>> hash_value(" Vendor-A ") == hash_value("vendor-a")
    True
    """
    return hashlib.sha256(value.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()


def hash_content(sha256: str) -> str:
    """Hash of a content's hash: tells the same bytes again, and does not serve to look them up elsewhere."""
    return hashlib.sha256(sha256.encode()).hexdigest()


@dataclass(frozen=True)
class Choice:
    """What a person asked to forget.

    Attributes:
        selector: by what.
        value: name of the source, licence or person; a record's ``record_ref``, uri or id, or the id of a sample.
    """

    selector: Selector
    value: str

    @property
    def takedown_id(self) -> str:
        """The same for the same choice."""
        return make_id("tdn", self.selector.value, hash_value(self.value))


def find_records(tables: Tables, choice: Choice) -> pl.DataFrame:
    """Records of the choice, and for a record or a person also the copies of the same content elsewhere.

    A person is the speaker that an audio record declares, or one that a cue of a video declares; the whole record goes.

    Args:
        tables: the lake.
        choice: what to forget.

    Returns:
        Columns table, batch, record_id, record_ref, uri, content_hash; sorted, each record once.

    Raises:
        LineageError: a record that does not exist.
    """
    known = pl.concat([_records(tables, table) for table in RECORDS])
    chosen = known.filter(_is_chosen(tables, choice))
    if choice.selector is Selector.RECORD:
        chosen = known.filter(pl.col("record_id").is_in(_record_ids(tables, choice, chosen)))
    found = chosen.collect()
    if choice.selector is Selector.RECORD and found.is_empty():
        raise LineageError(f"there is no record {choice.value!r}; name its record_ref, its uri, its id, or a sample")
    if choice.selector in {Selector.RECORD, Selector.PERSON} and found.height:
        same = pl.col("content_hash").is_in(found["content_hash"].implode())
        copies = _copies(tables, found["record_id"].to_list())
        found = known.filter(same | pl.col("record_id").is_in(copies)).collect()
    return found.sort("batch", "table", "record_id").unique("record_id", maintain_order=True)


def _records(tables: Tables, table: str) -> pl.LazyFrame:
    rows = tables.scan(table)
    sha256 = (
        pl.col("text").map_elements(text_digest, return_dtype=pl.String) if table == "raw_texts" else pl.col("sha256")
    )
    speaker = pl.col("speaker") if table == "raw_audio" else pl.lit(None, pl.String)
    return rows.select(
        "batch",
        "record_ref",
        "source",
        "license",
        table=pl.lit(table),
        record_id=pl.col(RECORDS[table]),
        uri=pl.col("source_ref").struct.field("uri"),
        content_hash=sha256.map_elements(hash_content, return_dtype=pl.String),
        speaker=speaker,
    )


def text_digest(text: str) -> str:
    """SHA-256 of a text record's content, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _is_chosen(tables: Tables, choice: Choice) -> pl.Expr:
    if choice.selector is Selector.RECORD:
        value = choice.value.strip()
        own = pl.col("record_ref") == value
        return own | (pl.col("uri") == value) | (pl.col("record_id") == value)
    wanted = hash_value(choice.value)
    if choice.selector is Selector.PERSON:
        spoken = tables.scan("raw_cues").filter(_hashed("speaker") == wanted).select("clip_id").collect()
        return (_hashed("speaker") == wanted).fill_null(value=False) | pl.col("record_id").is_in(
            spoken["clip_id"].unique().implode()
        )
    return _hashed(choice.selector.value) == wanted


def _hashed(column: str) -> pl.Expr:
    return pl.col(column).map_elements(hash_value, return_dtype=pl.String)


def _record_ids(tables: Tables, choice: Choice, chosen: pl.LazyFrame) -> list[str]:
    """Ids of the chosen records; of a sample, those of the records it leads to."""
    if not choice.value.strip().startswith(_SAMPLE_PREFIX):
        return chosen.select("record_id").collect()["record_id"].to_list()
    things = find_ancestors(tables, find_sample(tables, choice.value.strip()))
    return [thing.id for thing in things if thing.rows.keys() & RECORDS.keys()]


def _copies(tables: Tables, records: list[str]) -> list[str]:
    """Records that cleaning took for copies of these, or of which it took these for copies, to the last."""
    told = tables.scan("rejected").filter(pl.col("code").str.contains(_DUPLICATE), pl.col("record_id").is_not_null())
    pairs = told.select("record_id", of=pl.col("reason").str.extract_all(_RECORD_ID)).explode("of").drop_nulls()
    beside: dict[str, set[str]] = {}
    for one, other in pairs.collect().iter_rows():
        beside.setdefault(one, set()).add(other)
        beside.setdefault(other, set()).add(one)
    reached, open_ends = set(records), list(records)
    while open_ends:
        further = beside.get(open_ends.pop(), set()) - reached
        reached |= further
        open_ends += further
    return sorted(reached)
