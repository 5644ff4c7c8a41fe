# pyright: strict
"""Bad captions written back: which are rejected, which a person should look at, and what would mend them."""

from typing import Final

import polars as pl

from mm_assets.aligned.objects.claims.caption_claims import REJECT, REVIEW
from mm_assets.aligned.objects.claims.chair import INVENTED
from mm_assets.schemas import TABLES

STAGE: Final = "caption_claims"
INVENTED_OBJECT: Final = "INVENTED_OBJECT"
CONTRADICTS_SIBLING: Final = "CONTRADICTS_SIBLING"
_TEXT_SHOWN: Final = 80
SHOWN_FOR_REVIEW: Final = ("picture", "caption", "claim", "reason", "source", "annotator", "confidence")
_REVIEW_COLUMNS: Final = (*SHOWN_FOR_REVIEW, "image_id", "record_id")


def list_rejected(claims: pl.DataFrame, captions: pl.DataFrame) -> pl.DataFrame:
    """The captions that must not go on.

    Args:
        claims: rows of ``caption_claims``.
        captions: caption_id, record_ref and text of these captions.

    Returns:
        Rows of ``rejected``.
    """
    columns = list(TABLES["rejected"].columns)
    return TABLES["rejected"].conform(_tell(claims.filter(pl.col("action") == REJECT), captions).select(columns))


def list_for_review(claims: pl.DataFrame, captions: pl.DataFrame, most: int) -> pl.DataFrame:
    """The captions a person should look at, the surest first.

    Args:
        claims: rows of ``caption_claims``.
        captions: caption_id, record_ref and text of these captions.
        most: how many.

    Returns:
        image_id, picture (file and line), caption, claim, reason, source, annotator, confidence and record_id.
    """
    rows = _tell(claims.filter(pl.col("action") == REVIEW), captions)
    return surest(rows.with_columns(reason=pl.col("why")).select(*_REVIEW_COLUMNS), most)


def surest(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """The first rows of several lists for review."""
    order = ["confidence", "picture", "record_id"]
    return rows.sort(order, descending=[True, False, False]).head(most)


def _tell(claims: pl.DataFrame, captions: pl.DataFrame) -> pl.DataFrame:
    invents = pl.col("verdict") == INVENTED
    joined = claims.join(captions.select("caption_id", "record_ref", "text"), on="caption_id", how="left")
    caption = pl.format("{}: caption '{}'", "record_ref", pl.col("text").str.slice(0, _TEXT_SHOWN))
    where = (
        pl.when(pl.col("knowledge") == "detected")
        .then(pl.lit("a detector did not find"))
        .otherwise(pl.lit("nobody annotated"))
    )
    invented = pl.format(
        "{} names {}, which {} in its picture; correct the caption, or annotate what is there",
        caption,
        pl.col("invented").list.join(", "),
        where,
    )
    conflicting = pl.format(
        "{} contradicts {} of its siblings ({}); correct whichever is wrong",
        caption,
        pl.col("conflicts_with").list.len(),
        pl.col("conflicts").list.first().fill_null(""),
    )
    named = pl.format("names {}", pl.col("invented").list.join(", "))
    known = (
        pl.when(pl.col("known").list.len() > 0)
        .then(pl.format(" (known: {})", pl.col("known").list.join(", ")))
        .otherwise(pl.lit(""))
    )
    return joined.select(
        "batch",
        "image_id",
        "record_ref",
        "source",
        "annotator",
        picture=pl.col("record_ref"),
        caption=pl.col("text"),
        claim=pl.when(invents).then(named).otherwise(pl.col("conflicts").list.first().fill_null("")),
        why=pl.when(invents)
        .then(pl.format("{} it{}", where, known))
        .otherwise(pl.format("contradicts {} of its siblings", pl.col("conflicts_with").list.len())),
        stage=pl.lit(STAGE),
        record_kind=pl.lit("caption"),
        record_id=pl.col("caption_id"),
        code=pl.when(invents).then(pl.lit(INVENTED_OBJECT)).otherwise(pl.lit(CONTRADICTS_SIBLING)),
        reason=pl.when(invents).then(invented).otherwise(conflicting),
        confidence=pl.max_horizontal("evidence_weight", "conflict_confidence"),
    )
