"""Checks on releases."""

import json

import dagster as dg
import polars as pl

from mm_assets.gates.check_results import judged, release_check
from mm_assets.mixtures.exclusions import exclusions
from mm_assets.mixtures.pools import text_retention_share
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


@release_check("mixtures")
def text_is_retained(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, policy_file: PolicyFile
) -> dg.AssetCheckResult:
    """The text retention pool has at least its minimum share of the samples."""
    drawn = lake.scan("mixtures").filter(pl.col("release") == context.partition_key)
    share = text_retention_share(dict(drawn.group_by("pool").len().collect().iter_rows()))
    floor = policy_file.policy.mixtures.min_text_retention
    return judged(
        passed=share >= floor,
        measured=share,
        threshold=floor,
        code=None if share >= floor else "TEXT_FLOOR",
        description=f"{share:.1%} of the samples are plain text",
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


CHECKS = (held_batches_are_left_out, text_is_retained, the_package_is_whole)
