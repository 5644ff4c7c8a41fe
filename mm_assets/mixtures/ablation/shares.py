# pyright: strict
"""Recipes by hand, in the order of the pools."""

from collections.abc import Mapping, Sequence
from typing import Final

from mm_assets.errors import ReleaseError

_SUM_TOLERANCE: Final = 1e-3


def shares_by_hand(by_hand: Mapping[str, float], pools: Sequence[str]) -> tuple[float, ...] | None:
    """The recipe by hand in the order of the pools, None if there is none.

    Args:
        by_hand: share per pool; a pool that is not named gets nothing.
        pools: pools with samples.

    Raises:
        ReleaseError: it gives a share to a pool without samples, or does not sum to 1.

    >>> shares_by_hand({"dialogue": 1.0}, ["text_retention", "dialogue"])
    (0.0, 1.0)
    """
    if not by_hand:
        return None
    without = sorted(pool for pool, share in by_hand.items() if share > 0 and pool not in pools)
    if without or abs(sum(by_hand.values()) - 1.0) > _SUM_TOLERANCE:
        raise ReleaseError(
            f"recipe by hand {dict(by_hand)}: shares must sum to 1 and go to pools with samples ({', '.join(pools)})"
        )
    return tuple(float(by_hand.get(pool, 0.0)) for pool in pools)
