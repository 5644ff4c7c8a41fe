"""Checks on ablations: what was predicted held, nothing is forgotten, and the recipe keeps its floors."""

import dagster as dg
import numpy as np
import polars as pl

from mm_assets.gates.check_results import judged, release_check
from mm_assets.mixtures.ablation.assets import runs_of
from mm_assets.mixtures.ablation.rows import OBJECTIVE, rank_correlations
from resources.delta_lake import DeltaLake
from resources.policy_file import PolicyFile

_SUM_TOLERANCE = 1e-6
_STEP = 1e-3  # recipes are given to a thousandth


@release_check("mixture_ablations", blocking=False)
def held_out_mixtures_come_out_as_predicted(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, policy_file: PolicyFile
) -> dg.AssetCheckResult:
    """Mixtures that were not fitted rank as predicted: by the objective, and by a capability at the median."""
    policy = policy_file.policy.ablation
    found = rank_correlations(runs_of(lake, context.partition_key), policy)
    objective = found.pop(OBJECTIVE, 0.0)
    median = float(np.median(list(found.values()))) if found else 0.0
    worst = min(found, key=lambda name: found[name], default="none")
    passed = min(objective, median) >= policy.min_rank_correlation
    return judged(
        passed=passed,
        measured=min(objective, median),
        threshold=policy.min_rank_correlation,
        code=None if passed else "MIXTURES_NOT_PREDICTED",
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"rank correlation {objective:.2f} of the objective, {median:.2f} of a capability at the median; "
            f"least of {worst} ({found.get(worst, 0.0):.2f})"
        ),
    )


@release_check("mixture_ablations", blocking=False)
def nothing_is_forgotten(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, policy_file: PolicyFile
) -> dg.AssetCheckResult:
    """Under the chosen recipe no capability is worse than with text alone, by more than its interval."""
    rows = runs_of(lake, context.partition_key).drop_nulls("against_text_low").unique("capability", maintain_order=True)
    worse = rows.filter(pl.col("against_text_low") > 0).sort("against_text", descending=True)
    told = ", ".join(
        f"{name} {np.expm1(ratio):+.0%}" for name, ratio in worse.select("capability", "against_text").rows()
    )
    share = policy_file.policy.ablation.confidence
    return judged(
        passed=worse.is_empty(),
        measured=worse.height,
        threshold=0,
        code=None if worse.is_empty() else "FORGOTTEN",
        severity=dg.AssetCheckSeverity.WARN,
        description=f"worse than text alone beyond the {share:.0%} interval: {told or 'none'} of {rows.height}",
    )


@release_check("mixture_ablations")
def the_ablated_recipe_keeps_the_floors(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, policy_file: PolicyFile
) -> dg.AssetCheckResult:
    """The shares of the recipe sum to 1, and none lies below the floor of its pool."""
    mine = (pl.col("release") == context.partition_key) & (pl.col("origin") == "ablation")
    shares: dict[str, float] = dict(lake.scan("recipes").filter(mine).select("pool", "weight").collect().iter_rows())
    floors = policy_file.policy.mixtures.floors
    low = sorted(pool for pool, share in shares.items() if share < floors.get(pool, 0.0) - _STEP)  # pyright: ignore[reportArgumentType,reportCallIssue] - names of pools
    total = sum(shares.values())
    passed = not low and abs(total - 1.0) <= _SUM_TOLERANCE
    return judged(
        passed=passed,
        measured=total,
        threshold=1.0,
        code=None if passed else "RECIPE_BELOW_FLOOR",
        description=f"shares {shares}; below their floors: {low or 'none'}",
    )


CHECKS = (held_out_mixtures_come_out_as_predicted, nothing_is_forgotten, the_ablated_recipe_keeps_the_floors)
