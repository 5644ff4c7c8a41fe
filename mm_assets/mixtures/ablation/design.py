# pyright: strict
"""Which mixtures are trained: a simplex design under the floors to fit, and random ones to test what was fitted."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np

from mm_assets.errors import ReleaseError
from mm_assets.mixtures.ablation.drawing import random_numbers
from mm_assets.mixtures.ablation.interfaces import Role, RunPlan
from mm_assets.mixtures.pools import TEXT_RETENTION
from mm_assets.policy import AblationPolicy

_SHORT: Final = {
    "text_retention": "text",
    "coarse_image_text": "coarse",
    "fine_grained_interleaved": "fine",
    "dialogue": "dialogue",
}
CENTRE: Final = "centre"
_FEW: Final = 4  # a scarce pool has this part of its share at the centre


def floors_of(pools: Sequence[str], floors: Mapping[str, float]) -> tuple[float, ...]:
    """Floor of each pool that has samples.

    Raises:
        ReleaseError: the floors leave nothing to choose.
    """
    kept = tuple(float(floors.get(pool, 0.0)) for pool in pools)
    if sum(kept) >= 1.0:
        raise ReleaseError(f"the floors of {list(pools)} sum to {sum(kept):g}; lower those in mixtures below 1")
    return kept


def above_floors(shares: Sequence[float], floors: Sequence[float]) -> tuple[float, ...]:
    """Spread what the floors leave over the pools.

    >>> above_floors((1.0, 0.0), (0.1, 0.1))
    (0.9, 0.1)
    """
    free = 1.0 - sum(floors)
    return tuple(round(floor + free * share, 12) for floor, share in zip(floors, shares, strict=True))


def plan_runs(
    pools: Sequence[str], floors: Sequence[float], as_delivered: Sequence[float], policy: AblationPolicy
) -> list[RunPlan]:
    """The runs before a recipe is chosen.

    The design is the simplex-centroid design with axial points: every subset of the pools in equal parts, the points
    between the centre and each vertex, and points with a quarter of a pool's share at the centre, for losses bend most
    where a pool is scarce. The centre is replicated with other draws.

    Args:
        pools: pools with samples, K at least 2.
        floors: floor of each.
        as_delivered: share of the delivered samples of each.
        policy: seed, replicates, number of held-out mixtures.

    Source: Scheffe 1963 (simplex-centroid); Cornell 2002 (axial points).
    """
    count, mixtures = len(pools), list[tuple[str, Role, tuple[float, ...]]]()
    for size in range(1, count + 1):
        for subset in combinations(range(count), size):
            shares = [1.0 / size if place in subset else 0.0 for place in range(count)]
            name = "+".join(_SHORT[pools[place]] for place in subset) if size < count else CENTRE
            mixtures.append((name, "design", above_floors(shares, floors)))
    for place in range(count):
        shares = [(1.0 / count + (1.0 if place == other else 0.0)) / 2.0 for other in range(count)]
        mixtures.append((f"more {_SHORT[pools[place]]}", "design", above_floors(shares, floors)))
        few = 1.0 / (_FEW * count)
        shares = [few if place == other else (1.0 - few) / (count - 1) for other in range(count)]
        mixtures.append((f"less {_SHORT[pools[place]]}", "design", above_floors(shares, floors)))
    centre = above_floors([1.0 / count] * count, floors)
    for again in range(2, policy.replicates + 1):
        mixtures.append((f"{CENTRE} {again}", "design", centre))
    alone = tuple(1.0 if pool == TEXT_RETENTION else 0.0 for pool in pools)
    for again in range(1, policy.replicates + 1) if TEXT_RETENTION in pools else ():
        mixtures.append((f"text only {again}", "text_only", alone))
    mixtures.append(("as delivered", "as_delivered", tuple(as_delivered)))
    chance = random_numbers(policy.seed, "held-out mixtures")
    for number in range(1, policy.held_out_mixtures + 1):
        shares = chance.dirichlet(np.ones(count)).tolist()
        mixtures.append((f"held out {number}", "held_out", above_floors(shares, floors)))
    return [RunPlan(name, role, weights, policy.seed + number) for number, (name, role, weights) in enumerate(mixtures)]


def plan_recipe(name: str, role: Role, weights: Sequence[float], policy: AblationPolicy, runs: int) -> list[RunPlan]:
    """Replicates of one more mixture, with draws no run before had.

    Args:
        name: of the mixture.
        role: what it is for.
        weights: share of each pool.
        policy: seed and replicates.
        runs: runs planned before.
    """
    return [
        RunPlan(f"{name} {again}", role, tuple(weights), policy.seed + runs + again)
        for again in range(1, policy.replicates + 1)
    ]
