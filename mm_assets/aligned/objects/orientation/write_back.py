# pyright: strict
"""Contradicted pictures and captions written back: none of them becomes a sample."""

from typing import Final

import polars as pl

from mm_assets.aligned.objects.orientation.findings import Subject, Verdict
from mm_assets.errors import CrossModalCode
from mm_assets.schemas import TABLES

_REASON: Final = "{}: {}; correct picture, caption or metadata at its source"


def list_contradicted(
    findings: pl.DataFrame, captions: pl.DataFrame, min_confidence: float, stage: str
) -> pl.DataFrame:
    """The captions that must not go on, even if their batch may.

    A caption goes if its own claim is contradicted, or what is declared of its picture or burned into it.

    Args:
        findings: rows of ``orientation_checks``.
        captions: caption_id, image_id and record_ref of the captions to look among.
        min_confidence: findings about pictures below it do not count, 0 to 1.
        stage: stage to write into the rows.

    Returns:
        Rows of ``rejected``, one per caption, in the order of the captions.
    """
    contradicted = findings.filter(pl.col("verdict") == Verdict.CONTRADICTED.value).sort(
        pl.col("confidence"), "evidence", descending=[True, False]
    )
    of_caption = pl.col("subject") == Subject.CAPTION.value
    claims = contradicted.filter(of_caption).select("caption_id", claimed="evidence")
    pictures = contradicted.filter(~of_caption & (pl.col("confidence") >= min_confidence))
    found = captions.join(
        pictures.select("image_id", shown="evidence").unique("image_id", keep="first", maintain_order=True),
        on="image_id",
        how="left",
        maintain_order="left",
    ).join(
        claims.unique("caption_id", keep="first", maintain_order=True),
        on="caption_id",
        how="left",
        maintain_order="left",
    )
    evidence = pl.coalesce("shown", "claimed").str.strip_suffix(".")
    rows = found.filter(evidence.is_not_null()).select(
        pl.col("batch"),
        "record_ref",
        stage=pl.lit(stage),
        record_kind=pl.lit("caption"),
        record_id=pl.col("caption_id"),
        code=pl.lit(CrossModalCode.MIRROR.value),
        reason=pl.format(_REASON, "record_ref", evidence),
    )
    return TABLES["rejected"].conform(rows)
