# pyright: strict
"""How much of the text of pictures and documents stands in pixels, by kind, language and script."""

from typing import Final

import polars as pl

_SCRIPTS: Final = (
    "Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Bengali", "Tamil", "Thai", "Hangul", "Hiragana",
    "Katakana", "Han",
)  # fmt: skip
_OTHER: Final = "Other"


def name_script(text: pl.Expr) -> pl.Expr:
    """Expression for the script of most letters of a text; null without letters. Japanese is told by its kana."""
    counts = {name: text.str.count_matches(rf"\p{{{name}}}") for name in _SCRIPTS}
    kana = counts.pop("Hiragana") + counts.pop("Katakana")
    japanese = (kana > 0) & (kana + counts["Han"] > pl.max_horizontal(v for k, v in counts.items() if k != "Han"))
    most = pl.max_horizontal(*counts.values())
    named = pl.coalesce(
        *(pl.when((count == most) & (most > 0)).then(pl.lit(name)) for name, count in counts.items()),
        pl.when(text.str.contains(r"\p{L}")).then(pl.lit(_OTHER)),
    )
    return pl.when(japanese).then(pl.lit("Japanese")).otherwise(named)


def report_text_share(rows: pl.DataFrame) -> pl.DataFrame:
    """Share of the characters that stand in pixels.

    Args:
        rows: columns kind (document, table, chart, screenshot …), language, text, characters_in_images: characters of
            the text that were recognised from pixels.

    Returns:
        One row per kind, language and script, the largest first: kind, language, script, items, characters,
        characters_in_images, share (null without characters).
    """
    return (
        rows.with_columns(script=name_script(pl.col("text")), characters=pl.col("text").str.len_chars().cast(pl.Int64))
        .group_by("kind", "language", "script")
        .agg(
            items=pl.len().cast(pl.Int64),
            characters=pl.col("characters").sum(),
            characters_in_images=pl.col("characters_in_images").cast(pl.Int64).sum(),
        )
        .with_columns(
            share=pl.when(pl.col("characters") > 0).then(pl.col("characters_in_images") / pl.col("characters"))
        )
        .sort("characters", "kind", "language", "script", descending=[True, False, False, False])
    )
