"""The false texts that samples carry, and what must hold of them in a line."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec
import polars as pl

from mm_assets.errors import ContractError
from mm_assets.fusion.box_markup import BOX_END, BOX_START
from mm_assets.fusion.packed_samples import PackedSamples
from mm_assets.fusion.placeholders import PLACEHOLDER_LIKE, contains_placeholder
from mm_assets.fusion.samples import Negative

_KEPT: Final = "kept"
_REVIEWED: Final = "review:"
_SPAN_END: Final = "_end|>"
_DECODER: Final = msgspec.json.Decoder(list[Negative])


def list_negatives(hard_negatives: pl.DataFrame, max_per_positive: int) -> pl.DataFrame:
    """False texts of each positive: those people accepted first, then the hardest; ties by their ids.

    Left out are negatives that are not kept, those whose picture or window is false and not their text, and texts that
    read as placeholders.

    Args:
        hard_negatives: rows of table ``hard_negatives``.
        max_per_positive: texts taken of one positive.

    Returns:
        Columns ``positive_id`` and ``negatives_json``, a JSON array of text and strategy; one row per positive that has
        any.
    """
    text = pl.col("text").str.strip_chars()
    return (
        hard_negatives.filter(
            (pl.col("verdict") == _KEPT)
            & pl.col("media_json").is_null()
            & (text != "")
            & (text != pl.col("positive_text").str.strip_chars())
            & ~pl.col("text").str.contains(PLACEHOLDER_LIKE)
        )
        .with_columns(reviewed=pl.col("verdict_reason").str.starts_with(_REVIEWED))
        .sort(
            "positive_id",
            "reviewed",
            "difficulty",
            "negative_id",
            descending=[False, True, True, False],
            nulls_last=True,
        )
        .unique(["positive_id", "text"], keep="first", maintain_order=True)
        .group_by("positive_id", maintain_order=True)
        .agg(found=pl.struct("text", "strategy").struct.json_encode().head(max_per_positive))
        .select("positive_id", negatives_json=pl.lit("[") + pl.col("found").list.join(",") + pl.lit("]"))
    )


def with_negatives(packed: PackedSamples, negatives: pl.DataFrame, positive: str = "caption_id") -> PackedSamples:
    """The samples with the false texts of their captions or segments; one without any stays as it is.

    Args:
        packed: samples.
        negatives: as `list_negatives` gives them.
        positive: column that names what the negatives were made from.

    Raises:
        ContractError: a positive occurs twice.
    """
    if negatives["positive_id"].is_duplicated().any():
        raise ContractError("a positive occurs more than once among the negatives; list them with list_negatives")
    samples = packed.samples.drop("negatives_json").join(
        negatives, left_on=positive, right_on="positive_id", how="left", maintain_order="left"
    )
    return replace(packed, samples=samples.select(packed.samples.columns))


def decode_negatives(negatives_json: str | None) -> list[Negative]:
    """Negatives of a sample's column; none for null."""
    return [] if negatives_json is None else _DECODER.decode(negatives_json)


def find_negative_fault(content: str, negatives: Sequence[Negative]) -> str | None:
    """What is wrong with the negatives of a line; None if nothing is.

    >>> from mm_assets.hard_negatives.negatives import Strategy
    >>> find_negative_fault("<|image_start|>…<|image_end|> A duck.", [Negative("A duck.", Strategy.IN_BATCH)])
    'negative 0 is the text of the sample itself'
    """
    if not negatives:
        return None
    own = content.rpartition(_SPAN_END)[2].replace(BOX_START, "").replace(BOX_END, "").strip()
    for place, negative in enumerate(negatives):
        if negative.text.strip() == own:
            return f"negative {place} is the text of the sample itself"
        if contains_placeholder(negative.text):
            return f"negative {place} holds what reads as a placeholder"
    return None
