"""Checks on features: one per record, of unit length, inside the codebook."""

import dagster as dg
import polars as pl

from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake

_UNIT_TOLERANCE = 1e-3
_MAX_RECONSTRUCTION_ERROR = 1.0


def unlike_unit_length(rows: pl.DataFrame) -> int:
    """How many embeddings are not of length one."""
    lengths = rows.select(length=pl.col("embedding").list.eval(pl.element() ** 2).list.sum().sqrt())
    return lengths.filter((pl.col("length") - 1.0).abs() > _UNIT_TOLERANCE).height


def _judge_embeddings(lake: DeltaLake, batch: str, table: str, records: str) -> dg.AssetCheckResult:
    rows = lake.scan(table, batch).select("embedding").collect()
    off = unlike_unit_length(rows)
    missing = lake.count(records, batch) - rows.height
    bad = off + abs(missing)
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BAD_EMBEDDING",
        description=f"{off} embeddings are not of unit length, {missing} of {records} have none",
    )


@batch_check("image_embeddings")
def every_image_has_a_unit_embedding(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every cleaned image has exactly one embedding, of length one."""
    return _judge_embeddings(lake, context.partition_key, "image_embeddings", "images")


@batch_check("caption_embeddings")
def every_caption_has_a_unit_embedding(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every cleaned caption has exactly one embedding, of length one."""
    return _judge_embeddings(lake, context.partition_key, "caption_embeddings", "captions")


@dg.asset_check(asset="codebook", blocking=True)
def codebook_describes_its_features(lake: DeltaLake) -> dg.AssetCheckResult:
    """The codebook explains part of the features' variance, and no more codes are dead than alive."""
    return judge_codebook(lake, "codebook")


def judge_codebook(lake: DeltaLake, table: str) -> dg.AssetCheckResult:
    """Whether the newest version of a codebook describes what it was trained on."""
    newest = lake.read(table).sort("sequence").row(-1, named=True)
    error, dead = newest["reconstruction_error"], newest["dead_codes"]
    passed = error < _MAX_RECONSTRUCTION_ERROR and dead * 2 < newest["size"]
    return judged(
        passed=passed,
        measured=error,
        threshold=_MAX_RECONSTRUCTION_ERROR,
        code=None if passed else "POOR_CODEBOOK",
        description=f"error is {error:.3f} of the variance, {dead} of {newest['size']} codes are dead",
        metadata={"perplexity": newest["perplexity"], "dead_codes": dead},
    )


@batch_check("visual_codes")
def every_code_is_in_the_codebook(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every embedded image has codes, and each lies inside the codebook it names."""
    return judge_codes(lake, context.partition_key, "visual_codes", "image_embeddings", "codebook")


def judge_codes(lake: DeltaLake, batch: str, table: str, coded: str, codebook: str) -> dg.AssetCheckResult:
    """Whether every row of ``coded`` has codes in ``table``, inside the codebook they name."""
    rows = lake.scan(table, batch).select("codes", "codebook_version").collect()
    sizes = lake.scan(codebook).select(pl.col("version").alias("codebook_version"), "size").collect()
    outside = (
        rows.join(sizes, on="codebook_version", how="left")
        .filter(
            pl.col("size").is_null() | (pl.col("codes").list.min() < 0) | (pl.col("codes").list.max() >= pl.col("size"))
        )
        .height
    )
    missing = lake.count(coded, batch) - rows.height
    bad = outside + abs(missing)
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BAD_CODES",
        description=f"{outside} rows have codes outside their codebook, {missing} have none",
    )


CHECKS = (
    every_image_has_a_unit_embedding,
    every_caption_has_a_unit_embedding,
    codebook_describes_its_features,
    every_code_is_in_the_codebook,
)
