# pyright: strict
"""What lies behind a verdict of faithfulness: counts by picture, shares by source and annotator, the worst captions."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from mm_assets.aligned.objects.claims.rates import measure_rate
from mm_assets.gates.verdicts import finite
from mm_assets.policy import FaithfulnessPolicy

SHOWN: Final = 12
_GROUPS_SHOWN: Final = 20


def count_pictures(claims: pl.DataFrame) -> pl.DataFrame:
    """Per picture: captions that could be checked, weighted inventions, pairs of read captions, contradicting pairs."""
    checked = pl.col("checked").list.len() > 0
    read = pl.col("read").sum().cast(pl.Float64)
    return (
        claims.group_by("image_id", maintain_order=True)
        .agg(
            checked=checked.sum().cast(pl.Float64),
            inventions=pl.col("evidence_weight").filter(checked).sum(),
            pairs=read * (read - 1.0) / 2.0,
            conflicts=pl.col("conflicts_with").list.len().sum() / 2.0,
        )
        .sort("image_id")
    )


def break_down(claims: pl.DataFrame, policy: FaithfulnessPolicy) -> tuple[Mapping[str, Any], ...]:
    """Both shares by source and annotator; the largest lower ends of the intervals first."""
    found: list[dict[str, Any]] = []
    for (source, annotator), rows in claims.group_by("source", "annotator", maintain_order=True):
        pictures = count_pictures(rows)
        invention = measure_rate(pictures["inventions"].to_numpy(), pictures["checked"].to_numpy(), policy.confidence)
        conflict = measure_rate(pictures["conflicts"].to_numpy(), pictures["pairs"].to_numpy(), policy.confidence)
        found.append(
            {
                "source": source,
                "annotator": annotator,
                "captions": invention.count,
                "invention": finite(invention.value),
                "invention_interval": [finite(invention.low), finite(invention.high)],
                "pairs": conflict.count,
                "conflict": finite(conflict.value),
                "conflict_interval": [finite(conflict.low), finite(conflict.high)],
            }
        )
    found.sort(
        key=lambda group: (
            -max(group["invention_interval"][0] or 0.0, group["conflict_interval"][0] or 0.0),
            group["source"],
            group["annotator"] or "",
        )
    )
    return tuple(found[:_GROUPS_SHOWN])


def show_examples(claims: pl.DataFrame, texts: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
    """The captions with the surest faults."""
    worst = (
        claims.with_columns(fault=pl.max_horizontal("evidence_weight", "conflict_confidence"))
        .filter(pl.col("fault") > 0.0)
        .sort("fault", "position", "caption_index", descending=[True, False, False])
        .head(SHOWN)
    )
    shown: list[Mapping[str, Any]] = []
    for row in worst.iter_rows(named=True):
        faults = [f"not known to be there: {', '.join(row['invented'])}"] if row["invented"] else []
        faults += row["conflicts"]
        caption = texts.get(row["caption_id"], row["caption_id"])
        shown.append(
            {
                "position": row["position"],
                "image_id": row["image_id"],
                "caption_id": row["caption_id"],
                "text": f"{caption} [{'; '.join(faults)}]",
                "invented": row["invented"],
                "conflicts": row["conflicts"],
                "action": row["action"],
            }
        )
    return tuple(shown)
