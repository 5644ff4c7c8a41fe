"""Versions of a codebook in its table: the newest is in force."""

from collections.abc import Iterable

import dagster as dg
import polars as pl

from mm_assets.display.metadata import table_metadata
from mm_assets.features.codebook import Codebook, codebook_from_row, codebook_to_row
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake

_SHOWN = 8


def record_codebook(lake: DeltaLake, table: str, trained: Codebook, model: str, trained_on: Iterable[str]) -> None:
    """Append a version, unless it is the one in force."""
    known = lake.scan(table).select("version", "sequence").sort("sequence").collect()
    if known.height and known["version"][-1] == trained.version:
        return
    row = codebook_to_row(trained) | {
        "sequence": int(known["sequence"].max() or 0) + 1,  # pyright: ignore[reportArgumentType] - Int64 column
        "model": model,
        "trained_on": list(trained_on),
    }
    lake.append(table, pl.DataFrame([row], schema=TABLES[table].schema))


def codebook_in_force(lake: DeltaLake, table: str) -> Codebook:
    """The newest version.

    Raises:
        dg.Failure: none has been trained yet.
    """
    rows = lake.read(table).sort("sequence")
    if rows.is_empty():
        raise dg.Failure(description=f"there is no {table} yet; materialize {table}", allow_retries=False)
    return codebook_from_row(rows.row(-1, named=True))


def codebook_result(lake: DeltaLake, table: str, trained: Codebook) -> dg.MaterializeResult:
    """What a training shows."""
    return dg.MaterializeResult(
        data_version=dg.DataVersion(trained.version),
        metadata={
            "version": trained.version,
            "size": trained.size,
            "perplexity": trained.perplexity,
            "dead_codes": trained.dead_codes,
            "reconstruction_error": trained.reconstruction_error,
            "training_vectors": trained.vectors,
            **table_metadata(table, 1, lake.read(table).tail(_SHOWN), lake.version(table)),
        },
    )
