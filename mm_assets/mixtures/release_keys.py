# pyright: strict
"""Keys that put ids into a seeded order, the same on every machine and for every subset."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.errors import ContractError

_KEY_DIGITS: Final = 15  # hexadecimal digits that fit a signed 64-bit integer


def release_keys(sample_ids: pl.Series, seed: int) -> pl.Series:
    """Keys that put ids into a seeded order, the same on every machine and for every subset.

    Args:
        sample_ids: ids as `mm_assets.identifiers.make_id` makes them, N of them.
        seed: any integer.

    Returns:
        uint64, N keys: the hash in each id, mixed with the seed by splitmix64.

    Raises:
        ContractError: an id does not hold a hexadecimal hash.
    """
    digits = sample_ids.str.extract(rf"^[a-z]+_([0-9a-f]{{{_KEY_DIGITS}}})")
    if digits.null_count():
        strange = sample_ids.filter(digits.is_null())[0]
        raise ContractError(f"sample id {strange!r} holds no hash; make ids with mm_assets.identifiers.make_id")
    return pl.Series(mix_keys(digits.str.to_integer(base=16, dtype=pl.Int64).to_numpy().astype(np.uint64), seed))


def mix_keys(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Hashes mixed with a seed, uint64, shape (N,)."""
    with np.errstate(over="ignore"):
        return _splitmix64(hashes ^ _splitmix64(np.array([seed % 2**64], dtype=np.uint64)))


def _splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Steele, Lea and Flood 2014."""
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
