# pyright: strict
"""How sure a fault is when only some rows have it, and which rows those are.

A fault hits rows in one of three ways, each a prior over sets of rows:

- *scattered*: every row by itself, with one of several probabilities; boxes that lie outside their picture, and rows
  that share the label of the box a shift takes it from, have a probability of their own;
- *images*: every image by itself, all its rows together, as a flip of the picture does;
- *runs*: rows in delivery order, in stretches, as a faulty shard, worker or line number does; the whole batch is one
  stretch.

The evidence for a hypothesis is its likelihood ratio, against the best account without a fault, averaged over all of
them. If the ratio of every row has expectation at most one while nothing is wrong, so has the average, and by Markov's
inequality it exceeds ``x`` with probability at most ``1 / x``. With the number of hypotheses weighed (a union bound)
the false alarms of the whole search are bounded. The posterior of a row is averaged in the same way.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from mm_assets.aligned.objects.gate.region_evidence import (
    EXPONENTS,
    Evidence,
    fit_unexplained,
    measure_excess,
    measure_gains,
)
from mm_assets.gates.recall_input import Booleans, Floats, Integers

SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 0.98)
"""Probabilities that a row, or an image, has the fault."""
_EXPECTED_SWITCHES: Final = 2.0
_STRUCTURES: Final = ("scattered", "images", "runs")
_OVERFLOW: Final = 700.0
_LEAST_ROW_GAIN: Final = -2.0
"""A row whose own evidence speaks against the fault by more than this is never named, whatever its neighbours say."""


@dataclass(frozen=True, eq=False)
class Support:
    """What speaks for one hypothesis.

    Attributes:
        log_ratio: natural logarithm of its likelihood over that of "nothing is wrong", averaged over all priors.
        structure: the most probable way in which rows are hit: scattered, images or runs.
        share: expected share of rows that have the fault.
        posterior: shape (n,), probability that each row has it.
        gains: shape (n,), log-likelihood ratio of each row by itself, averaged like the posterior.
    """

    log_ratio: float
    structure: str
    share: float
    posterior: Floats
    gains: Floats

    def named(self, confidence: float) -> Integers:
        """Rows that have the fault at this confidence and do not deny it themselves, increasing."""
        return np.flatnonzero((self.posterior >= confidence) & (self.gains > _LEAST_ROW_GAIN)).astype(np.int64)


def weigh_hypotheses(
    evidence: Evidence,
    image_of: Integers,
    unexplained: float,
    *,
    edges_only: bool = False,
    against_unexplained: bool = True,
) -> Floats:
    """Log evidence of every hypothesis, its choice not yet paid for.

    Args:
        evidence: n rows in delivery order, H readings, K shifts.
        image_of: shape (n,), image of each row.
        unexplained: see `measure_gains`.
        edges_only: whether matches are all unmeasured, which saves weighing their exponents.
        against_unexplained: whether a hypothesis must also beat a batch of which more is unexplained.

    Returns:
        float64, shape (H + K,).
    """
    totals: list[Floats] = []
    for match_exponent, fit_exponent in _exponents(edges_only=edges_only):
        gains = measure_gains(evidence, match_exponent, fit_exponent, unexplained)
        apart = np.where(_stand_apart(evidence), gains, 0.0)
        scattered = _average_shares(gains - apart) + _average_shares(apart)
        excess = np.zeros(len(gains))
        if against_unexplained:
            excess = measure_excess(evidence, match_exponent, fit_exponent, unexplained)
        totals.append(np.stack([scattered, _average_shares(_pool(gains, image_of)), _score_runs(gains)]) - excess)
    return _log_mean(np.concatenate(totals), axis=0)


def support_hypothesis(evidence: Evidence, place: int, image_of: Integers, unexplained: float) -> Support:
    """Evidence of one hypothesis, and the posterior of its rows.

    Args:
        evidence: n rows in delivery order.
        place: which hypothesis, readings first.
        image_of: shape (n,), image of each row.
        unexplained: see `measure_gains`.
    """
    ratios: list[float] = []
    posteriors: list[Floats] = []
    each: list[Floats] = []
    for match_exponent, fit_exponent in _exponents():
        gains = measure_gains(evidence, match_exponent, fit_exponent, unexplained)[place]
        pooled = _pool(gains[None], image_of)[0]
        excess = fit_unexplained(evidence, match_exponent, fit_exponent, unexplained, place).excess
        for ratio, posterior in (
            _split_parts(gains, _stand_apart(evidence)[place]),
            _expand(_split_scattered(pooled), image_of),
            _split_runs(gains),
        ):
            ratios.append(ratio - excess)
            posteriors.append(posterior)
            each.append(gains)
    log_ratios = np.array(ratios)
    total = float(_log_mean(log_ratios, axis=0))
    weights = np.exp(log_ratios - log_ratios.max())
    weights /= weights.sum()
    posterior = weights @ np.stack(posteriors)
    by_structure = [weights[start :: len(_STRUCTURES)].sum() for start in range(len(_STRUCTURES))]
    return Support(
        log_ratio=total,
        structure=_STRUCTURES[int(np.argmax(by_structure))],
        share=float(posterior.mean()) if len(posterior) else 0.0,
        posterior=posterior,
        gains=weights @ np.stack(each),
    )


def _exponents(*, edges_only: bool = False) -> list[tuple[float, float]]:
    matches = EXPONENTS[0][:1] if edges_only else EXPONENTS[0]
    return [(match, fit) for match in matches for fit in EXPONENTS[1]]


def _average_shares(gains: Floats) -> Floats:
    """Log evidence of independent rows, averaged over the shares; (H, n) to (H,)."""
    return _log_mean(np.stack([_mix(gains, share).sum(axis=1) for share in SHARES]), axis=0)


def _stand_apart(evidence: Evidence) -> Booleans:
    """Rows that are hit more often, or less, than others: those outside their picture, and copies; (H + K, n)."""
    return evidence.copied | ~evidence.usable


def _split_parts(gains: Floats, apart: Booleans) -> tuple[float, Floats]:
    """Log evidence of independent rows and their posterior; some rows have a share of their own."""
    ratio, posterior = _split_scattered(np.where(apart, 0.0, gains))
    if not apart.any():
        return ratio, posterior
    ratio_apart, posterior_apart = _split_scattered(gains[apart])
    posterior[apart] = posterior_apart
    return ratio + ratio_apart, posterior


def _split_scattered(gains: Floats) -> tuple[float, Floats]:
    """Log evidence of independent rows and their posterior, averaged over the shares."""
    mixed = [_mix(gains, share) for share in SHARES]
    evidence = np.array([part.sum() for part in mixed])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    parts = [np.exp(math.log(share) + gains - part) for share, part in zip(SHARES, mixed, strict=True)]
    return float(_log_mean(evidence, axis=0)), weights @ np.stack(parts)


def _mix(gains: Floats, share: float) -> Floats:
    """Log of one plus the share times what the gain adds; `logaddexp`, five times as slow, only where it overflows."""
    if gains.max(initial=0.0) < _OVERFLOW:
        return np.log1p(share * np.expm1(gains))
    return np.logaddexp(math.log1p(-share), math.log(share) + gains)


def _pool(gains: Floats, image_of: Integers) -> Floats:
    """Sum the gains of each image's rows; (H, n) to (H, images)."""
    _, numbers = np.unique(image_of, return_inverse=True)
    pooled = np.zeros((len(gains), int(numbers.max(initial=-1)) + 1))
    for row, sums in zip(gains, pooled, strict=True):
        np.add.at(sums, numbers, row)
    return pooled


def _expand(found: tuple[float, Floats], image_of: Integers) -> tuple[float, Floats]:
    """Give every row its image's posterior."""
    ratio, posterior = found
    _, numbers = np.unique(image_of, return_inverse=True)
    return ratio, posterior[numbers]


def _switch(rows: int) -> tuple[float, float]:
    """Log probabilities to stay and to change between rows with the fault and rows without."""
    change = min(0.5, _EXPECTED_SWITCHES / max(rows, 1))
    return math.log1p(-change), math.log(change)


def _score_runs(gains: Floats) -> Floats:
    """Log evidence of stretches by the forward algorithm; (H, n) to (H,)."""
    stay, change = _switch(gains.shape[1])
    out, inside = np.full(len(gains), math.log(0.5)), np.full(len(gains), math.log(0.5))
    for gain in gains.T:
        out, inside = (
            np.logaddexp(out + stay, inside + change),
            np.logaddexp(inside + stay, out + change) + gain,
        )
    return np.logaddexp(out, inside)


def _split_runs(gains: Floats) -> tuple[float, Floats]:
    """Log evidence of stretches and the posterior of each row, by the forward-backward algorithm."""
    rows = len(gains)
    stay, change = _switch(rows)
    forward = np.empty((rows, 2))
    out = inside = math.log(0.5)
    for row, gain in enumerate(gains.tolist()):
        out, inside = _add(out + stay, inside + change), _add(inside + stay, out + change) + gain
        forward[row] = out, inside
    backward = np.zeros((rows, 2))
    after_out = after_inside = 0.0
    for row in range(rows - 1, 0, -1):
        gained = float(gains[row]) + after_inside
        after_out, after_inside = _add(after_out + stay, gained + change), _add(gained + stay, after_out + change)
        backward[row - 1] = after_out, after_inside
    joint = forward + backward
    return _add(out, inside), np.exp(joint[:, 1] - np.logaddexp(joint[:, 0], joint[:, 1]))


def _add(left: float, right: float) -> float:
    """Logarithm of the sum of two exponentials."""
    high, low = (left, right) if left >= right else (right, left)
    return high + math.log1p(math.exp(low - high))


def _log_mean(values: Floats, axis: int) -> Floats:
    """Logarithm of the mean of exponentials along an axis."""
    high = values.max(axis=axis, keepdims=True)
    return np.squeeze(high, axis) + np.log(np.exp(values - high).mean(axis=axis))
