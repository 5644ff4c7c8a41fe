# pyright: strict
"""What a batch's rates of invented objects and contradictions are held against."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import polars as pl

from mm_assets.policy import FaithfulnessPolicy


@dataclass(frozen=True)
class FaithfulnessBaseline:
    """Rates a batch must not be significantly above.

    Attributes:
        invention: share of captions that invent, beyond what the evidence's blindness explains.
        conflict: share of pairs that contradict each other.
        kind: ``policy_ceiling`` or ``trusted_batches``.
        batches: batches it was taken from.
    """

    invention: float
    conflict: float
    kind: str
    batches: tuple[str, ...]


def ceiling_baseline(policy: FaithfulnessPolicy) -> FaithfulnessBaseline:
    """The policy's ceilings, for a source without trusted batches."""
    return FaithfulnessBaseline(policy.invention_ceiling, policy.conflict_ceiling, "policy_ceiling", ())


def trusted_baseline(rows: pl.DataFrame, policy: FaithfulnessPolicy) -> FaithfulnessBaseline:
    """Rates of a source's trusted batches, with the policy's tolerance; the ceilings where none of them was judged.

    Batches differ, and few of them say little: the upper confidence limit of their mean counts. What is allowed never
    rises above the ceiling by itself, only by batches above it that a person released; so a source cannot creep up.

    Args:
        rows: rows of ``caption_faithfulness``, one per batch, that passed or were released by a person.
        policy: tolerance, ceilings and the smallest judged batch.
    """
    ordered = rows.sort("batch")
    told = ordered.filter((pl.col("captions") >= policy.min_captions) & pl.col("chair_sentence").is_finite())
    paired = ordered.filter((pl.col("pairs") >= policy.min_pairs) & pl.col("conflict_rate").is_finite())
    if told.is_empty() and paired.is_empty():
        return ceiling_baseline(policy)
    excess = (told["chair_sentence"] - told["chair_blindness"]).clip(0.0, 1.0)
    return FaithfulnessBaseline(
        invention=_allow(excess, told["captions"], policy.invention_ceiling, policy),
        conflict=_allow(paired["conflict_rate"], paired["pairs"], policy.conflict_ceiling, policy),
        kind="trusted_batches",
        batches=tuple(pl.concat([told["batch"], paired["batch"]]).unique().sort().to_list()),
    )


def _allow(rates: pl.Series, counts: pl.Series, ceiling: float, policy: FaithfulnessPolicy) -> float:
    """Upper limit of the mean rate, with the tolerance, between the floor and the ceiling."""
    if rates.is_empty():
        return ceiling
    values, weights = rates.to_numpy(), counts.to_numpy()
    total = float(weights.sum())
    mean = float((values * weights).sum()) / total
    between = float((weights * (values - mean) ** 2).sum()) / total if len(values) > 1 else 0.0
    # Laplace's rule keeps a variance where nothing was found.
    shrunk = (mean * total + 1.0) / (total + 2.0)
    error = math.sqrt(shrunk * (1.0 - shrunk) / total + between / len(values))
    upper = mean + NormalDist().inv_cdf(policy.confidence) * error
    return max(policy.baseline_floor, min((1.0 + policy.baseline_tolerance) * upper, max(ceiling, upper)))
