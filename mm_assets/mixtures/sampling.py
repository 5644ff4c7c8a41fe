# pyright: strict
"""Shares of a recipe to exact draws per pool, above the floors and below the cap on repeats."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

import numpy as np

from mm_assets.errors import ReleaseError
from mm_assets.mixtures.apportionment import apportion
from mm_assets.mixtures.pools import TEXT_RETENTION, refuse_below_floor
from mm_assets.mixtures.recipes import Recipe
from mm_assets.policy import MixturePolicy

_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class PoolDraws:
    """What is drawn of a pool.

    Attributes:
        pool: the pool.
        samples: samples to draw from.
        asked: share of the draws the recipe asks for.
        floor: share it must not go below.
        draws: draws, repeats counted.
        share: share of the draws it gets.
    """

    pool: str
    samples: int
    asked: float
    floor: float
    draws: int
    share: float

    @property
    def below_floor(self) -> bool:
        """Whether the cap on repeats keeps it below its floor."""
        return self.share < self.floor - _ROUNDING


def plan_draws(release: str, available: Mapping[str, int], recipe: Recipe, policy: MixturePolicy) -> list[PoolDraws]:
    """Draws of each pool.

    As delivered, every sample is drawn once; a pool below its floor is repeated, as often as ``max_repeats`` allows,
    and the others give way. Text retention is never repeated to reach its floor: too little of it is refused.

    Args:
        release: name of the release.
        available: samples per pool, of those that are trained on.
        recipe: shares asked for.
        policy: floors, repeats and number of draws.

    Returns:
        One entry per pool with samples, by name.

    Raises:
        ReleaseError: a floor is not met, a pool of the recipe has no samples, or the draws need more repeats than the
            policy allows.
    """
    pools = {pool: count for pool, count in sorted(available.items()) if count}
    if recipe.shares:
        _refuse_recipe(release, recipe, pools, policy)
        asked = {pool: recipe.shares.get(pool, 0.0) for pool in pools}
        total = _total(release, asked, pools, policy)
    else:
        refuse_below_floor(release, pools, policy)
        total = _total(release, dict.fromkeys(pools, 0.0), pools, policy)
        asked = _lifted(total, pools, policy)
    floors = {pool: 0.0 if _is_waived(pool, policy) else policy.floors.get(pool, 0.0) for pool in pools}
    high = np.array([policy.max_repeats * count for count in pools.values()], dtype=np.int64)
    low = np.zeros(len(pools), dtype=np.int64)
    if TEXT_RETENTION in pools:  # whose floor is looked at once more, to the last draw, when the release is written
        least = min(asked[TEXT_RETENTION], floors[TEXT_RETENTION]) * total
        low[[*pools].index(TEXT_RETENTION)] = ceil(least - _ROUNDING)
    draws = apportion(total, np.array([*asked.values()]), low, high)
    return [
        PoolDraws(pool, pools[pool], asked[pool], floors[pool], int(count), int(count) / total if total else 0.0)
        for pool, count in zip(pools, draws, strict=True)
    ]


def _is_waived(pool: str, policy: MixturePolicy) -> bool:
    return pool == TEXT_RETENTION and bool(policy.allow_no_text_retention.strip())


def _refuse_recipe(release: str, recipe: Recipe, pools: Mapping[str, int], policy: MixturePolicy) -> None:
    origin = "mixtures.weights" if recipe.origin == "by_hand" else "the ablation's recipe"
    empty = sorted(pool for pool, share in recipe.shares.items() if share > 0.0 and pool not in pools)
    if empty:
        raise ReleaseError(
            f"release {release!r}: {origin} asks for {', '.join(empty)}, of which there is no sample; "
            "include batches that have some, or leave it out of the recipe"
        )
    for pool, least in policy.floors.items():
        if pool not in pools and pool != TEXT_RETENTION:
            continue
        share = recipe.shares.get(pool, 0.0)
        if share < least - _ROUNDING and not _is_waived(pool, policy):
            way_out = (
                "or say why in mixtures.allow_no_text_retention" if pool == TEXT_RETENTION else "or lower that floor"
            )
            raise ReleaseError(
                f"release {release!r}: {origin} gives {pool} {share:.1%} of the draws, below its floor "
                f"mixtures.min_{pool} of {least:.1%}; raise its weight, {way_out}"
            )


def _total(release: str, asked: Mapping[str, float], pools: Mapping[str, int], policy: MixturePolicy) -> int:
    """Draws in all; the recipe's scarcest pool bounds them by its repeats."""
    most = {pool: policy.max_repeats * count for pool, count in pools.items()}
    bounds = {pool: floor(most[pool] / share + _ROUNDING) for pool, share in asked.items() if share > 0.0}
    limit = min(bounds.values(), default=sum(most.values()))
    if policy.draws > limit:
        scarce = min(bounds, key=lambda pool: bounds[pool], default="all pools")
        raise ReleaseError(
            f"release {release!r}: mixtures.draws {policy.draws:,} needs more than {policy.max_repeats} draws of a "
            f"sample of {scarce}; at most {limit:,} are possible: lower it, raise mixtures.max_repeats or change the "
            "recipe"
        )
    return policy.draws or min(sum(pools.values()), limit)


def _lifted(total: int, pools: Mapping[str, int], policy: MixturePolicy) -> dict[str, float]:
    """Shares as delivered, those below their floor raised to it as far as repeats reach, the others in proportion."""
    reach = {pool: policy.max_repeats * count / max(total, 1) for pool, count in pools.items()}
    fixed: dict[str, float] = {}
    while True:
        rest = {pool: count for pool, count in pools.items() if pool not in fixed}
        left, whole = 1.0 - sum(fixed.values()), sum(rest.values())
        shares = {pool: left * count / whole for pool, count in rest.items()}
        below = {
            pool: min(policy.floors.get(pool, 0.0), reach[pool])
            for pool, share in shares.items()
            if share < min(policy.floors.get(pool, 0.0), reach[pool]) - _ROUNDING and not _is_waived(pool, policy)
        }
        if not below or len(below) == len(rest):
            return {pool: (fixed | shares)[pool] for pool in pools}
        fixed |= below
