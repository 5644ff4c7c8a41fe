# pyright: strict
"""Recipes: the share of the draws that each pool shall have, and who says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from mm_assets.errors import ReleaseError
from mm_assets.fusion.samples import POOLS
from mm_assets.policy import MixturePolicy

Origin = Literal["by_hand", "ablation", "as_delivered"]
_SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True)
class Recipe:
    """Shares of the draws.

    Attributes:
        shares: share per pool, summing to 1; empty for the pools as delivered.
        origin: who says so.
    """

    shares: Mapping[str, float]
    origin: Origin


AS_DELIVERED: Final = Recipe({}, "as_delivered")


def choose_recipe(release: str, policy: MixturePolicy, stored: pl.DataFrame) -> Recipe:
    """The recipe by hand if there is one, else the ablation's, else the pools as delivered.

    Args:
        release: name of the release.
        policy: holds the recipe by hand.
        stored: rows of table ``recipes``; only those of the release and of origin ``ablation`` count.

    Raises:
        ReleaseError: stored rows name an unknown pool or do not sum to 1.
    """
    if policy.weights:
        return Recipe({**policy.weights}, "by_hand")
    rows = stored.filter(pl.col("release") == release, pl.col("origin") == "ablation").sort("pool")
    if rows.is_empty():
        return AS_DELIVERED
    shares: dict[str, float] = dict(rows.select("pool", "weight").iter_rows())
    unknown, total = sorted(set(shares) - set(POOLS)), sum(shares.values())
    if unknown or len(shares) < rows.height or abs(total - 1.0) > _SUM_TOLERANCE:
        raise ReleaseError(
            f"release {release!r}: its recipe in table recipes names pools {sorted(shares)} with shares that sum to "
            f"{total:g}; run the ablation again, or give mixtures.weights by hand"
        )
    return Recipe({pool: share / total for pool, share in shares.items()}, "ablation")
