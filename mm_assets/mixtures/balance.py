# pyright: strict
"""Spread the draws of a pool over its languages, sources and licences, and then over its samples."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.mixtures.apportionment import apportion
from mm_assets.policy.mixtures import BalancePolicy

STRATA: Final = ("language", "source", "license")
UNKNOWN: Final = "und"
_ROUNDS: Final = 200
_CLOSE: Final = 1e-9


def spread_draws(strata: pl.DataFrame, draws: int, max_repeats: int, policy: BalancePolicy) -> NDArray[np.int64]:
    """Draws of each stratum of a pool.

    Shares follow the exponents; then whatever exceeds its cap is scaled down to it and the rest takes what that frees,
    over and over, until nothing does. A cap that cannot hold (one source, and a cap of 0.5) is taken as the least share
    that can: one over the number of values. Repeats bound every stratum and go before the caps.

    Args:
        strata: one row per combination of language, source and licence, with column ``samples``.
        draws: draws of the pool; at most ``max_repeats`` times its samples.
        max_repeats: most draws of a sample.
        policy: exponents and caps.

    Returns:
        int64, shape (N,), summing to the draws.
    """
    samples = strata["samples"].to_numpy().astype(np.float64)
    values = {name: _numbered(strata[name]) for name in STRATA}
    exponents = dict(zip(STRATA, _exponents(policy), strict=True))
    shares = samples / samples.sum()
    weights = shares.copy()
    for name, exponent in exponents.items():
        group = np.bincount(values[name], shares)[values[name]]
        weights *= group ** (exponent - 1.0)
    high = (max_repeats * samples).astype(np.int64)
    bounded = _capped(weights / weights.sum(), high / max(draws, 1), values, policy)
    return apportion(draws, bounded, np.zeros(len(high), np.int64), high)


def is_neutral(policy: BalancePolicy) -> bool:
    """Whether the policy leaves pools as they are."""
    return policy == BalancePolicy()


def largest_shares(drawn: pl.DataFrame, policy: BalancePolicy) -> pl.DataFrame:
    """What each pool holds most of, beside its cap.

    Args:
        drawn: pool, language, source, license and weight of the samples drawn.
        policy: caps.

    Returns:
        pool, by (language, source or license), value, share of the pool's draws, and cap; 1 is no cap.
    """
    caps = _caps(policy)
    found: list[pl.DataFrame] = []
    for name in STRATA:
        counts = drawn.group_by("pool", value=pl.col(name).fill_null(UNKNOWN)).agg(pl.col("weight").sum())
        shares = counts.with_columns(share=pl.col("weight") / pl.col("weight").sum().over("pool"))
        first = shares.sort("share", "value", descending=[True, False]).unique("pool", keep="first")
        found.append(first.select("pool", "value", "share", by=pl.lit(name), cap=pl.lit(caps[name])))
    return pl.concat(found).select("pool", "by", "value", "share", "cap").sort("pool", "by")


def _caps(policy: BalancePolicy) -> dict[str, float]:
    shares = (policy.max_language_share, policy.max_source_share, policy.max_license_share)
    return dict(zip(STRATA, shares, strict=True))


def _exponents(policy: BalancePolicy) -> tuple[float, float, float]:
    return policy.language_exponent, policy.source_exponent, policy.license_exponent


def _numbered(values: pl.Series) -> NDArray[np.int64]:
    return (values.fill_null(UNKNOWN).rank("dense") - 1).to_numpy().astype(np.int64)


def _capped(
    weights: NDArray[np.float64],
    reach: NDArray[np.float64],
    values: dict[str, NDArray[np.int64]],
    policy: BalancePolicy,
) -> NDArray[np.float64]:
    """Shares below every cap, as near to the weights as scaling gets; ``reach`` is what repeats allow."""
    caps = _caps(policy)
    limits = {name: max(cap, 1.0 / (values[name].max() + 1)) for name, cap in caps.items() if cap < 1.0}
    shares = weights
    for _ in range(_ROUNDS if limits else 0):
        before = shares
        for name, limit in limits.items():
            shares = _under(shares, values[name], limit, reach)
        if np.abs(shares - before).max() < _CLOSE:
            break
    return shares


def _under(
    shares: NDArray[np.float64], group: NDArray[np.int64], limit: float, reach: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Groups above the limit scaled down to it; the others take what that frees in proportion, as far as they reach."""
    shares = np.minimum(shares, reach)
    full = np.zeros(group.max() + 1, dtype=bool)
    for _ in range(len(full)):
        totals = np.bincount(group, shares)
        above = totals > limit + _CLOSE
        if not above.any():
            break
        full |= above
        shares = shares * np.where(full, limit / np.maximum(totals, 1e-300), 1.0)[group]
        free = ~full[group]
        freed, room = 1.0 - shares.sum(), shares[free].sum()
        if room <= 0.0 or freed <= 0.0:
            break
        shares = np.where(free, shares * (1.0 + freed / room), shares)
    return shares
