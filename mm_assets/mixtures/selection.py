"""Draw the samples of a release and put them in order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.errors import BatchContractError, ContractError, ReleaseError
from mm_assets.identifiers import validate_batch_id
from mm_assets.mixtures.pools import refuse_below_floor
from mm_assets.policy import MixturePolicy
from mm_assets.schemas import TABLES

_COLUMNS: Final = ("sample_id", "batch", "kind", "pool")
_KEY_DIGITS: Final = 15  # hexadecimal digits that fit a signed 64-bit integer
_WEIGHT: Final = 1.0


@dataclass(frozen=True)
class Draw:
    """What a release draws.

    Attributes:
        mixtures: rows of table ``mixtures``, in release order.
        pools: samples per pool.
        batches: batches drawn from, sorted.
        excluded: batches left out, and why.
    """

    mixtures: pl.DataFrame
    pools: dict[str, int]
    batches: list[str]
    excluded: dict[str, str]


def draw_release(
    samples: pl.LazyFrame | Iterable[pl.DataFrame],
    policy: MixturePolicy,
    release_id: str,
    excluded: Mapping[str, str],
) -> Draw:
    """Draw every sample of the included batches, in an order that depends on ids and seed alone.

    Args:
        samples: rows of table ``fusion_samples`` of the included batches, in any order.
        policy: seed and floor.
        release_id: name of the release; it must meet the rule of batch ids.
        excluded: held batches and the reason of each; none of them may be among the samples.

    Returns:
        The draw, with weight 1 for every sample.

    Raises:
        ReleaseError: a bad release id, no samples, or too few of the text retention pool.
        ContractError: a sample occurs twice, comes from an excluded batch, or has an id that was not made here.
    """
    validate_release_id(release_id)
    frames = (
        [samples.select(_COLUMNS).collect()]
        if isinstance(samples, pl.LazyFrame)
        else [frame.select(_COLUMNS) for frame in samples]
    )
    drawn = pl.concat(frames) if frames else pl.DataFrame()
    if drawn.is_empty():
        raise ReleaseError(f"release {release_id!r}: no batch that may be used has samples; release a hold or add data")
    leaked = sorted(set(drawn["batch"].unique()) & set(excluded))
    if leaked:
        raise ContractError(f"release {release_id!r}: samples of excluded batches {leaked} were passed in; filter them")
    if drawn["sample_id"].is_duplicated().any():
        twice = drawn.filter(pl.col("sample_id").is_duplicated())["sample_id"].min()
        raise ContractError(f"release {release_id!r}: sample {twice} occurs more than once; pack each record once")
    pools = dict(sorted(drawn.group_by("pool").len().iter_rows()))
    refuse_below_floor(release_id, pools, policy)
    ordered = drawn.with_columns(key=release_keys(drawn["sample_id"], policy.seed)).sort("key", "sample_id")
    mixtures = ordered.select(
        *_COLUMNS,
        release=pl.lit(release_id),
        position=pl.int_range(pl.len(), dtype=pl.Int64),
        weight=pl.lit(_WEIGHT),
    )
    table = TABLES["mixtures"]
    return Draw(
        table.conform(mixtures.select(table.schema.names())),
        pools,
        sorted(drawn["batch"].unique()),
        dict(sorted(excluded.items())),
    )


def validate_release_id(release_id: str) -> str:
    """Return the id if it may name a folder and a partition.

    Raises:
        ReleaseError: it may not.
    """
    try:
        return validate_batch_id(release_id)
    except BatchContractError as error:
        raise ReleaseError(error.reason.replace("batch id", "release id")) from error


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
    hashes = digits.str.to_integer(base=16, dtype=pl.Int64).to_numpy().astype(np.uint64)
    with np.errstate(over="ignore"):
        return pl.Series(_splitmix64(hashes ^ _splitmix64(np.array([seed % 2**64], dtype=np.uint64))))


def _splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Steele, Lea and Flood 2014."""
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
