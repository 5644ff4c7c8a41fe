"""Languages of texts that declare none."""

from typing import Final

import polars as pl

from mm_assets.cleaned.interfaces import LanguageIdentifier

_MIN_CHARACTERS: Final = 20
_MIN_CONFIDENCE: Final = 0.5


def fill_languages(text: pl.Expr, rows: pl.DataFrame, identifier: LanguageIdentifier) -> pl.Expr:
    """Expression for the language: the declared one, or the identified one where the evidence is strong.

    Short or doubtful texts stay without a language: nothing is rejected on a guess.

    Args:
        text: the repaired text.
        rows: rows with ``language``, declared or null.
        identifier: the model.
    """
    return (
        pl.struct(text.alias("text"), pl.col("language"))
        .map_batches(lambda values: _fill(values, identifier), return_dtype=pl.String)
        .alias("language")
        if rows["language"].null_count()
        else pl.col("language")
    )


def _fill(values: pl.Series, identifier: LanguageIdentifier) -> pl.Series:
    frame = values.struct.unnest().with_row_index()
    asked = frame.filter(pl.col("language").is_null() & (pl.col("text").str.len_chars() >= _MIN_CHARACTERS))
    found = identifier.identify(asked["text"].to_list())
    named = asked.select("index").with_columns(
        pl.Series(
            "found",
            [item.code if item.confidence >= _MIN_CONFIDENCE else None for item in found],
            dtype=pl.String,
        )
    )
    joined = frame.join(named, on="index", how="left", maintain_order="left")
    return joined.select(pl.coalesce("language", "found").alias("language")).to_series()
