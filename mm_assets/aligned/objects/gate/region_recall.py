# pyright: strict
"""Region R@1: do crops find their labels?

Each crop asks for its label among the distinct labels of the batch, on pools of fixed size as the recall gate uses
them, so that batches with few and with many labels compare. The hard variant asks among the labels of the crop's own
image, which a box moved onto its neighbour fails. Boxes of one image are not independent: intervals resample images.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from mm_assets.gates.recall_baseline import Baseline, floor_baseline, trusted_baseline
from mm_assets.gates.recall_input import Floats, Integers, Singles
from mm_assets.gates.recall_null import Null, bootstrap_interval, is_similar_beyond_chance, permute_pairs
from mm_assets.gates.recall_pools import tabulate_pools
from mm_assets.policy import ObjectGatePolicy, RecallGatePolicy

_NOTHING = (math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class RegionRecall:
    """How crops find their labels.

    Attributes:
        pool_size: labels per query: the policy's, or as many as there are.
        similarity: float32, shape (n, L), crop by distinct label.
        hits: float64, shape (n, L), R@1 of crop ``row`` were label ``column`` its own.
        r1: shape (n,), expected R@1 of each crop.
        influence: shape (images,), how much each image moves the mean.
        interval: bootstrap interval of the mean.
        null: its null under permuted labels.
        hard: shape (n,), 1 if no other label of the image ranks as high, else 0; NaN in images with one label.
        hard_interval: bootstrap interval of their mean.
    """

    pool_size: int
    similarity: Singles
    hits: Floats
    r1: Floats
    influence: Floats
    interval: tuple[float, float]
    null: Null
    hard: Floats
    hard_interval: tuple[float, float]

    @property
    def recall_at_1(self) -> float:
        """The gated value."""
        return float(self.r1.mean())

    @property
    def hard_recall_at_1(self) -> float:
        """Mean of the hard variant; NaN without an image of two labels."""
        return float(np.nanmean(self.hard)) if np.isfinite(self.hard).any() else math.nan


def measure_region_recall(
    crops: Singles, labels: Singles, label_of: Integers, image_of: Integers, policy: ObjectGatePolicy
) -> RegionRecall | None:
    """Rank every crop's label.

    Args:
        crops: float32, shape (n, D), unit length.
        labels: float32, shape (L, D), distinct labels.
        label_of: shape (n,), row of ``labels`` that each crop claims.
        image_of: shape (n,), image of each crop.
        policy: pool size, resamples and seed.

    Returns:
        None if there are fewer than two crops or two labels in use: there is nothing to confuse.
    """
    used, own = np.unique(label_of, return_inverse=True)
    if len(crops) < 2 or len(used) < 2:  # noqa: PLR2004
        return None
    similarity = (crops @ labels[used].T).astype(np.float32)
    pool_size = min(policy.pool_size, len(used))
    hits = tabulate_pools(len(used) - 1, pool_size).r1[_count_better(similarity)]
    rows = np.arange(len(crops))
    r1 = hits[rows, own]
    clusters = np.unique(image_of, return_inverse=True)[1]
    influence = _influence(r1, clusters)
    resampling = {"samples": policy.bootstrap_samples, "seed": policy.seed}
    null = permute_pairs(
        hits[:, own].astype(np.float32),
        float(r1.mean()),
        permutations=policy.permutations,
        level=policy.max_null_p_value,
        seed=policy.seed,
    )
    hard = _rank_in_image(similarity, own, clusters)
    measured = np.isfinite(hard)
    return RegionRecall(
        pool_size=pool_size,
        similarity=similarity,
        hits=hits,
        r1=r1,
        influence=influence,
        interval=bootstrap_interval(float(r1.mean()), influence, confidence=policy.confidence, **resampling),
        null=null,
        hard=hard,
        hard_interval=bootstrap_interval(
            float(hard[measured].mean()),
            _influence(hard[measured], np.unique(clusters[measured], return_inverse=True)[1]),
            confidence=policy.confidence,
            **resampling,
        )
        if measured.any()
        else _NOTHING,
    )


def are_labels_similar_beyond_chance(
    recall: RegionRecall, label_of: Integers, required: float, policy: ObjectGatePolicy
) -> bool:
    """Whether labels too few to be told from chance by ranks are told from it by similarities."""
    own = np.unique(label_of, return_inverse=True)[1]
    return is_similar_beyond_chance(
        recall.similarity[:, own],
        recall.null,
        required,
        permutations=policy.permutations,
        level=policy.max_null_p_value,
        seed=policy.seed,
    )


def trusted_region_baseline(rows: pl.DataFrame, policy: ObjectGatePolicy) -> Baseline:
    """Pool the region recall of a source's trusted batches; the floor if none of them was judged.

    Args:
        rows: rows of ``object_recall`` that passed or were released by a person.
        policy: pool size, smallest judged batch and tolerance.
    """
    judged = rows.filter((pl.col("boxes") >= policy.min_boxes) & pl.col("region_r1").is_finite())
    return trusted_baseline(
        judged.select("batch", "pool_size", pairs="images", recall_at_1="region_r1"), _as_recall_policy(policy)
    )


def floor_region_baseline(policy: ObjectGatePolicy) -> Baseline:
    """The policy's floor, for a source without trusted batches."""
    return floor_baseline(_as_recall_policy(policy))


def _as_recall_policy(policy: ObjectGatePolicy) -> RecallGatePolicy:
    """What the recall gate's baseline asks of a policy; whether a batch was judged is known before."""
    return RecallGatePolicy(
        pool_size=policy.pool_size,
        min_pairs=1,
        baseline_floor=policy.baseline_floor,
        baseline_tolerance=policy.baseline_tolerance,
    )


def _count_better(similarity: Singles) -> Integers:
    """For every entry, how many other entries of its row are as large or larger, shape (n, L)."""
    width = similarity.shape[1]
    better = np.empty(similarity.shape, dtype=np.int64)
    for row, values in enumerate(similarity):
        better[row] = width - 1 - np.searchsorted(np.sort(values), values, side="left")
    return better


def _influence(values: Floats, clusters: Integers) -> Floats:
    """How much each cluster moves the mean of its values, shape (clusters,), mean zero."""
    sums = np.bincount(clusters, weights=values - values.mean()).astype(np.float64)
    return sums * (len(sums) / len(values))


def _rank_in_image(similarity: Singles, own: Integers, clusters: Integers) -> Floats:
    """Whether each crop's label beats the other labels of its image; NaN where there is no other."""
    hard = np.full(len(own), np.nan)
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        present = np.unique(own[members])
        if len(present) > 1:
            scores = similarity[np.ix_(members, present)]
            mine = similarity[members, own[members]]
            hard[members] = (scores >= mine[:, None]).sum(axis=1) == 1
    return hard
