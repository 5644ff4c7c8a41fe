"""What the UI shows of a draw: asked against drawn shares, repeats, what was left out, and splits."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mm_assets.display.metadata import counts_table, rows_table
from mm_assets.fusion.samples import TRAIN
from mm_assets.mixtures.selection import Draw
from mm_assets.mixtures.splits import Splits

_ROUNDING = 0.005  # of a share, which whole draws cannot always meet
_POOL_COLUMNS = ("pool", "samples", "asked", "floor", "draws", "drawn", "distinct", "most_repeats", "note")


def describe_draw(drawn: Draw, splits: Splits, compared: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Metadata of asset ``mixtures``.

    Args:
        drawn: the draw.
        splits: how its samples were split.
        compared: texts and pictures of each evaluation set.
    """
    left_out = drawn.exclusions.group_by("code", "evaluation_set").len("samples").sort("code", "evaluation_set")
    told: dict[str, Any] = {
        "recipe": drawn.recipe.origin,
        "draws": sum(one.draws for one in drawn.plan),
        "asked_and_drawn": rows_table(_pool_rows(drawn), _POOL_COLUMNS),
        "left_out": rows_table(left_out.to_dicts(), ("code", "evaluation_set", "samples")),
        "splits": rows_table(_split_rows(drawn, splits), ("split", "groups", "samples")),
        "largest_group": splits.largest_group,
        "evaluation_sets": rows_table(
            [{"evaluation_set": name, **counts} for name, counts in compared.items()],
            ("evaluation_set", "texts", "pictures"),
        ),
    }
    if splits.kept_whole:
        told["pools_kept_whole_for_training"] = counts_table(splits.kept_whole, "pool", "groups")
    if drawn.largest is not None:
        columns = ("pool", "by", "value", "share", "cap", "note")
        note = pl.when(pl.col("share") > pl.col("cap") + _ROUNDING).then(pl.lit("no more is there to draw instead"))
        told["balance"] = rows_table(drawn.largest.with_columns(note=note.fill_null("")).to_dicts(), columns)
    if drawn.stages is not None:
        told["curriculum"] = counts_table(drawn.stages, "stage", "samples")
    return told


def _pool_rows(drawn: Draw) -> list[dict[str, Any]]:
    trained = drawn.mixtures.filter(pl.col("split") == TRAIN)
    used = trained.group_by("pool").agg(distinct=pl.len(), most=pl.col("weight").max())
    counts = {pool: (distinct, int(most)) for pool, distinct, most in used.iter_rows()}
    return [
        {
            "pool": one.pool,
            "samples": one.samples,
            "asked": round(one.asked, 4),
            "floor": one.floor,
            "draws": one.draws,
            "drawn": round(one.share, 4),
            "distinct": counts.get(one.pool, (0, 0))[0],
            "most_repeats": counts.get(one.pool, (0, 0))[1],
            "note": "below its floor: repeats are capped" if one.below_floor else "",
        }
        for one in drawn.plan
    ]


def _split_rows(drawn: Draw, splits: Splits) -> list[dict[str, Any]]:
    samples = dict(drawn.mixtures.group_by("split").len().iter_rows())
    return [
        {"split": name, "groups": groups, "samples": samples.get(name, 0)} for name, groups in splits.groups.items()
    ]
