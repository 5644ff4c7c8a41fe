"""Negatives as rows of ``hard_negatives``, and back."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mm_assets.hard_negatives.negatives import Edit, EditKind, Negative, Outcome, Strategy
from mm_assets.hard_negatives.verdicts import REVIEWED, Judged
from mm_assets.schemas import TABLES


def _finite(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124 - NaN only


def to_rows(batch: str, judged: Sequence[Judged], positions: Mapping[str, int]) -> pl.DataFrame:
    """One row per negative.

    Args:
        batch: the batch.
        judged: with verdicts.
        positions: place of each positive in its delivery.
    """
    return pl.DataFrame(
        [
            {
                "batch": batch,
                "negative_id": one.negative.negative_id,
                "positive_id": one.negative.positive_id,
                "image_id": one.negative.image_id,
                "position": positions[one.negative.positive_id],
                "strategy": one.negative.strategy.value,
                "kind": None if one.negative.kind is None else one.negative.kind.value,
                "positive_text": one.negative.positive_text,
                "text": one.negative.text,
                "edits": [
                    {"start": e.start, "end": e.end, "before": e.before, "after": e.after, "kind": e.kind.value}
                    for e in one.negative.edits
                ],
                "media_json": None if one.negative.media is None else json.dumps(dict(one.negative.media)),
                "donor_id": one.negative.donor_id,
                "mirror_id": one.negative.mirror_id,
                "similarity": _finite(one.similarity),
                "positive_similarity": _finite(one.positive_similarity),
                "text_similarity": _finite(one.text_similarity),
                "difficulty": _finite(one.difficulty),
                "verdict": one.outcome.value,
                "verdict_reason": one.reason,
                "provenance_json": json.dumps(dict(one.negative.provenance), ensure_ascii=False, sort_keys=True),
            }
            for one in judged
        ],
        schema=TABLES["hard_negatives"].schema,
    )


def read_edits(edits: Sequence[Mapping[str, Any]] | None) -> tuple[Edit, ...]:
    """Edits from the column of that name."""
    return tuple(Edit(e["start"], e["end"], e["before"], e["after"], EditKind(e["kind"])) for e in edits or ())


def from_row(row: Mapping[str, Any]) -> Judged:
    """The negative a row states, with its verdict."""
    negative = Negative(
        positive_id=row["positive_id"],
        image_id=row["image_id"],
        strategy=Strategy(row["strategy"]),
        positive_text=row["positive_text"],
        text=row["text"],
        edits=read_edits(row["edits"]),
        donor_id=row["donor_id"],
        mirror_id=row["mirror_id"],
        media=None if row["media_json"] is None else json.loads(row["media_json"]),
        provenance=json.loads(row["provenance_json"]),
    )
    measured = (row[name] for name in ("similarity", "positive_similarity", "text_similarity"))
    similarity, positive, text = (math.nan if value is None else float(value) for value in measured)
    reviewed = str(row["verdict_reason"]).startswith(f"{REVIEWED}:")
    return Judged(negative, Outcome(row["verdict"]), row["verdict_reason"], similarity, positive, text, reviewed)
