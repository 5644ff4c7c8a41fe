# pyright: strict
"""Splits by group: samples of one picture, document, clip or text, and of near-duplicates, are never parted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_matrix  # pyright: ignore[reportMissingTypeStubs]
from scipy.sparse.csgraph import connected_components  # pyright: ignore[reportMissingTypeStubs,reportUnknownVariableType]

from mm_assets.errors import ContractError
from mm_assets.fusion.samples import SPLITS
from mm_assets.mixtures.release_keys import mix_keys, release_keys
from mm_assets.policy.mixtures import SplitPolicy

ANCHOR_COLUMNS: Final = ("sample_id", "kind", "pool", "image_id", "text_id", "segment_json", "document_json")
_TRAIN, _VALIDATION, _TEST = SPLITS


@dataclass(frozen=True)
class Splits:
    """The split of every sample.

    Attributes:
        samples: sample_id and split.
        groups: groups per split.
        largest_group: samples of the largest group.
        kept_whole: pools with too few groups to keep any from training, and how many groups they have.
    """

    samples: pl.DataFrame
    groups: Mapping[str, int]
    largest_group: int
    kept_whole: Mapping[str, int]


def anchors_of(samples: pl.LazyFrame) -> pl.LazyFrame:
    """The picture, clip, document or text that each sample was made of.

    Args:
        samples: rows of ``fusion_samples``; the columns `ANCHOR_COLUMNS` are looked at.

    Returns:
        sample_id, pool and anchor; a sample without any of these is its own anchor.
    """
    return samples.select(
        "sample_id",
        "pool",
        anchor=pl.coalesce(
            "image_id",
            pl.col("segment_json").str.json_path_match("$.clip_id"),
            pl.col("document_json").str.json_path_match("$.document_id"),
            "text_id",
            "sample_id",
        ),
    )


class GroupFinder:
    """Joins anchors that belong together, a portion of the links at a time.

    Args:
        anchors: ids, in any order, repeats allowed. Memory is some 40 bytes for each that is different.
    """

    def __init__(self, anchors: pl.Series) -> None:
        self._anchors = anchors.unique().sort().alias("anchor").to_frame().with_row_index("number")
        self._labels: NDArray[np.int32] = np.arange(self._anchors.height, dtype=np.int32)

    def link(self, pairs: pl.DataFrame) -> None:
        """Join all anchors that share a key.

        Args:
            pairs: columns anchor and key; unknown anchors and null keys are passed over.
        """
        known = (
            pairs.drop_nulls("key").join(self._anchors, on="anchor", how="inner").select("key", "number").sort("key")
        )
        numbers = known["number"].to_numpy()
        same = (known["key"] == known["key"].shift(-1)).fill_null(value=False).to_numpy()[:-1]
        if same.any():
            ends = self._labels[numbers[:-1][same]], self._labels[numbers[1:][same]]
            self._labels = _components(ends, len(self._labels))[self._labels]

    def groups(self) -> pl.DataFrame:
        """Anchor and the number of its group."""
        return self._anchors.select("anchor", group=pl.Series(self._labels))


def _components(ends: tuple[NDArray[np.int32], NDArray[np.int32]], size: int) -> NDArray[np.int32]:
    graph = coo_matrix((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(size, size))
    found = connected_components(graph, directed=False)  # pyright: ignore[reportUnknownVariableType]
    return np.asarray(found[1], dtype=np.int32)  # pyright: ignore[reportUnknownArgumentType]


def assign_splits(anchored: pl.DataFrame, groups: pl.DataFrame, policy: SplitPolicy) -> Splits:
    """Keep groups for validation and tests by a hash of their anchors, so that other data moves none of them.

    A group that grows by an anchor may move, for its hash is that of the least of them. Groups with a sample of a pool
    of fewer than ``min_groups`` groups are all trained on.

    Args:
        anchored: sample_id, pool and anchor.
        groups: anchor and group, as `GroupFinder.groups` gives them.
        policy: shares and seed.

    Raises:
        ContractError: an anchor has no group, or an id holds no hash.
    """
    keys = groups.with_columns(key=release_keys(groups["anchor"], policy.seed))
    lowest = keys.group_by("group").agg(pl.col("key").min())
    place = mix_keys(lowest["key"].to_numpy(), policy.seed + 1) / 2.0**64
    names = np.where(place < policy.test, _TEST, np.where(place < policy.test + policy.validation, _VALIDATION, _TRAIN))
    split_of = lowest.select("group", split=pl.Series(names, dtype=pl.String))
    rows = anchored.join(groups, on="anchor", how="left", maintain_order="left")
    if rows["group"].null_count():
        lost = rows.filter(pl.col("group").is_null())["anchor"][0]
        raise ContractError(f"anchor {lost!r} has no group; find the groups of the same samples")
    per_pool = rows.group_by("pool").agg(pl.col("group").n_unique()).sort("pool")
    small = per_pool.filter(pl.col("group") < policy.min_groups)
    trained = rows.filter(pl.col("pool").is_in(small["pool"].implode()))["group"].unique()
    rows = rows.join(split_of, on="group", how="left", maintain_order="left").with_columns(
        split=pl.when(pl.col("group").is_in(trained.implode())).then(pl.lit(_TRAIN)).otherwise("split")
    )
    sizes = rows.group_by("group").agg(pl.len(), pl.col("split").first())
    counted = dict(sizes.group_by("split").len().iter_rows())
    return Splits(
        rows.select("sample_id", "split"),
        {name: counted.get(name, 0) for name in SPLITS},
        int(sizes["len"].max() or 0),  # pyright: ignore[reportArgumentType]
        dict(small.iter_rows()),
    )
