# pyright: strict
"""What may not come back: the ledger of takedowns as readers and mixtures see it. It knows hashes, nothing else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from mm_assets.errors import RecordError
from mm_assets.identifiers import make_id
from mm_assets.lineage.selectors import Selector, hash_content, hash_value

TAKEN_DOWN: Final = "TAKEN_DOWN"
ORDERED: Final = "ordered"
RECORD: Final = "record"
DONE: Final = "done"
_SAMPLE_RECORDS: Final = (
    pl.col("image_id"),
    pl.col("text_id"),
    pl.col("segment_json").str.json_path_match("$.clip_id"),
    pl.col("document_json").str.json_path_match("$.document_id"),
)


@dataclass(frozen=True)
class Blocks:
    """What readers turn away: hashes of names, and of contents, with the takedown each belongs to."""

    sources: dict[str, str]
    licenses: dict[str, str]
    persons: dict[str, str]
    contents: dict[str, str]

    def __bool__(self) -> bool:
        """Whether anything is blocked."""
        return bool(self.sources or self.licenses or self.persons or self.contents)

    def takedown_of(
        self, source: str, license_name: str, sha256: str | None, persons: Iterable[str | None] = ()
    ) -> str | None:
        """The takedown a record falls under, or None.

        Args:
            source: its source, or else its delivery's.
            license_name: its licence, or else its delivery's.
            sha256: of its bytes or text; None if it has none.
            persons: speakers it declares.
        """
        found = self.sources.get(hash_value(source)) or self.licenses.get(hash_value(license_name))
        if found is None and sha256 is not None and self.contents:
            found = self.contents.get(hash_content(sha256))
        if found is None and self.persons:
            hashed = (hash_value(person) for person in persons if person)
            found = next((self.persons[name] for name in hashed if name in self.persons), None)
        return found


NOTHING_BLOCKED: Final = Blocks({}, {}, {}, {})


def read_blocks(takedowns: pl.DataFrame) -> Blocks:
    """What a ledger blocks.

    Args:
        takedowns: rows of ``takedowns``.
    """
    ordered = takedowns.filter(pl.col("event") == ORDERED)

    def of(selector: Selector) -> dict[str, str]:
        rows = ordered.filter(pl.col("selector") == selector.value)
        return dict(rows.select("selector_hash", "takedown_id").iter_rows())

    own = takedowns.filter(
        pl.col("content_hash").is_not_null(), pl.col("selector").is_in([Selector.RECORD.value, Selector.PERSON.value])
    )
    return Blocks(
        of(Selector.SOURCE),
        of(Selector.LICENSE),
        of(Selector.PERSON),
        dict(own.select("content_hash", "takedown_id").iter_rows()),
    )


def refusal(takedown: str, batch: str, where: str) -> RecordError:
    """Why a record is turned away, without saying what it is: of its place only a hash."""
    return RecordError(
        TAKEN_DOWN, f"{mask(batch, where)}: fell under takedown {takedown}; leave it out of the delivery"
    )


def mask(batch: str, where: str) -> str:
    """A name for a record that does not tell its place.

    >>> mask("b", "b/images/alice.png").startswith("b/ref_")
    True
    """
    return f"{batch}/{make_id('ref', where)}"


def not_taken_down(samples: pl.LazyFrame, takedowns: pl.LazyFrame) -> pl.LazyFrame:
    """Samples none of whose records fell under a takedown, be it carried out or only ordered.

    Args:
        samples: rows of ``fusion_samples``.
        takedowns: rows of ``takedowns``.
    """
    taken = takedowns.select("record_id").drop_nulls().unique().collect()["record_id"].implode()
    return samples.filter(
        ~pl.any_horizontal([column.is_in(taken).fill_null(value=False) for column in _SAMPLE_RECORDS])
    )


def open_takedowns(takedowns: pl.DataFrame) -> list[str]:
    """Takedowns that were ordered and not carried out to their end since, oldest first."""
    last = takedowns.sort("at_us", maintain_order=True).filter(pl.col("event") != RECORD)
    latest = last.unique("takedown_id", keep="last", maintain_order=True)
    return latest.filter(pl.col("event") == ORDERED)["takedown_id"].to_list()


def records_of(takedowns: pl.DataFrame, takedown_id: str) -> Iterator[str]:
    """Ids of the records of a takedown."""
    rows = takedowns.filter((pl.col("takedown_id") == takedown_id) & pl.col("record_id").is_not_null())
    yield from rows["record_id"].unique(maintain_order=True)
