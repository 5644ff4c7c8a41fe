"""Checks on releases."""

import json

import dagster as dg
import polars as pl

from mm_assets.fusion.samples import TRAIN
from mm_assets.gates.check_results import judged, release_check
from mm_assets.mixtures.exclusions import exclusions
from mm_assets.mixtures.pools import text_retention_share, told_of_floor
from mm_assets.mixtures.recipes import choose_recipe
from mm_assets.mixtures.splits import anchors_of
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.policy_file import PolicyFile
from resources.release_store import releases_of_lake


@release_check("mixtures")
def held_batches_are_left_out(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, holds: Holds
) -> dg.AssetCheckResult:
    """No sample of the mixture comes from a batch that is held."""
    drawn = lake.scan("mixtures").filter(pl.col("release") == context.partition_key).select("batch").unique().collect()
    excluded = exclusions(holds)
    leaked = sorted(set(drawn["batch"]) & excluded.keys())
    return judged(
        passed=not leaked,
        measured=len(leaked),
        threshold=0,
        code="HELD_BATCH_DRAWN" if leaked else None,
        description=f"held batches in the mixture: {leaked or 'none'}; left out: {sorted(excluded) or 'none'}",
    )


def _draws(lake: DeltaLake, release: str) -> dict[str, int]:
    """Draws per pool in a pass through the training split."""
    rows = lake.scan("mixtures").filter(pl.col("release") == release, pl.col("split").fill_null(TRAIN) == TRAIN)
    return dict(rows.group_by("pool").agg(pl.col("weight").sum().cast(pl.Int64)).collect().iter_rows())


@release_check("mixtures")
def text_is_retained(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, policy_file: PolicyFile
) -> dg.AssetCheckResult:
    """The text retention pool has at least its minimum share of the draws, or a written reason says why not."""
    policy = policy_file.policy.mixtures
    share, floor = text_retention_share(_draws(lake, context.partition_key)), policy.min_text_retention
    waived = policy.allow_no_text_retention.strip()
    told = told_of_floor(floor, waived)
    met = share >= floor
    return judged(
        passed=met or bool(waived),
        measured=share,
        threshold=floor,
        code=None if met else "TEXT_FLOOR",
        severity=dg.AssetCheckSeverity.WARN if waived else dg.AssetCheckSeverity.ERROR,
        description=f"{share:.1%} of the draws are plain text" + (f"; {told}" if told else ""),
    )


@release_check("mixtures")
def the_recipe_is_drawn(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, policy_file: PolicyFile
) -> dg.AssetCheckResult:
    """The draws of every pool are those the recipe asks for, to the last one, and no sample is drawn too often."""
    policy, release = policy_file.policy.mixtures, context.partition_key
    draws = _draws(lake, release)
    total = sum(draws.values())
    asked = choose_recipe(release, policy, lake.scan("recipes").collect()).shares
    off = {
        pool: round(draws.get(pool, 0) - asked[pool] * total, 2)
        for pool in sorted(asked)
        if abs(draws.get(pool, 0) - asked[pool] * total) > 1.0
    }
    rows = lake.scan("mixtures").filter(pl.col("release") == release)
    most = int(rows.select(pl.col("weight").max()).collect().item() or 0)
    passed = not off and most <= policy.max_repeats
    return judged(
        passed=passed,
        measured=most,
        threshold=policy.max_repeats,
        code=None if passed else "RECIPE_MISSED",
        description=f"{total:,} draws; the most of one sample is {most}; off by more than one draw: {off or 'none'}",
    )


@release_check("mixtures")
def every_group_lies_in_one_split(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """No picture, clip, document or text has samples in two splits."""
    drawn = lake.scan("mixtures").filter(pl.col("release") == context.partition_key).select("sample_id", "split")
    anchors = anchors_of(lake.scan("fusion_samples")).select("sample_id", "anchor")
    parted = (
        drawn.join(anchors, on="sample_id")
        .group_by("anchor")
        .agg(pl.col("split").n_unique())
        .filter(pl.col("split") > 1)
    ).collect()
    return judged(
        passed=parted.is_empty(),
        measured=parted.height,
        threshold=0,
        code=None if parted.is_empty() else "SPLIT_LEAK",
        description=f"parted: {', '.join(parted['anchor'].sort().head(5)) or 'none'}",
    )


@release_check("release_packages")
def the_package_is_whole(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """The published manifest counts as many samples as the mixture drew."""
    release = context.partition_key
    drawn = lake.scan("mixtures").filter(pl.col("release") == release).select(pl.len()).collect().item()
    published = json.loads(releases_of_lake(lake.root).read_manifest(release))["samples"]
    return judged(
        passed=drawn == published,
        measured=published,
        threshold=drawn,
        code=None if drawn == published else "ROWS_LOST",
        description=f"{published} samples published of {drawn} drawn",
    )


CHECKS = (
    held_batches_are_left_out,
    text_is_retained,
    the_recipe_is_drawn,
    every_group_lies_in_one_split,
    the_package_is_whole,
)
