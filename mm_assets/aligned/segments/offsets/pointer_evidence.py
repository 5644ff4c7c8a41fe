# pyright: strict
"""How likely it is that pointers of a batch lead to other clips, and which of them do.

Each hypothesis says to which clip every attachment belongs: k rows away, or mirrored about a centre. Rows are in place
or displaced; a chain of two states says how they follow one another, so that both one stretch of rows and scattered
rows can be displaced. Its likelihood against all rows in place is averaged over how many rows are displaced and how
much they cluster, and over the hypotheses: an average of likelihood ratios is at most 1 in expectation while nothing is
displaced, so that ``exp(-score)`` bounds the p-value (Ville 1939).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from mm_assets.aligned.segments.offsets.timed_tracks import Floats, Integers

_SHARES: Final = np.array([0.1, 0.3, 0.6, 0.95])
_CLUSTERING: Final = np.array([0.0, 0.8])
_SHIFTS_SHARE: Final = 0.6
_WHOLE_SHARE: Final = 0.5
"""Prior of shifts among hypotheses, and of the whole batch among reversals."""
_CELLS_AT_ONCE: Final = 2_000_000
_SMALL: Final = 64
_FEWER: Final = 100


@dataclass(frozen=True, eq=False)
class PointerHypotheses:
    """To which clip each attachment belongs under each hypothesis.

    Attributes:
        names: H names.
        kinds: shift or reversed.
        parameters: k of a shift, first plus last row of a reversal.
        targets: shape (H, n), clip that the attachment delivered at each row belongs to, -1 where it is not there.
        log_prior: shape (H,).
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    parameters: tuple[int, ...]
    targets: Integers
    log_prior: Floats


def list_hypotheses(count: int, max_shift: int) -> PointerHypotheses:
    """Shifts by up to ``max_shift`` rows, and reversals about every centre.

    >>> hypotheses = list_hypotheses(4, 1)
    >>> hypotheses.names[:2], hypotheses.targets[:2].tolist()
    (('shift(-1)', 'shift(+1)'), [[-1, 0, 1, 2], [1, 2, 3, -1]])
    """
    rows: Integers = np.arange(count, dtype=np.int64)
    shifts = [k for k in range(-max_shift, max_shift + 1) if k and abs(k) < count]
    centres = range(1, 2 * count - 2)
    proposed: Integers = np.stack([rows + k for k in shifts] + [total - rows for total in centres])
    targets = np.where((proposed >= 0) & (proposed < count), proposed, -1)
    odds = np.array([1.0 / (k * k) for k in shifts])
    local = (1.0 - _WHOLE_SHARE) / max(len(centres) - 1, 1)
    mirrored = np.array([_WHOLE_SHARE if total == count - 1 else local for total in centres])
    prior = np.concatenate([_SHIFTS_SHARE * odds / odds.sum(), (1.0 - _SHIFTS_SHARE) * mirrored / mirrored.sum()])
    names = [f"shift({k:+d})" for k in shifts]
    names += ["reversed" if total == count - 1 else f"reversed about row {total / 2:g}" for total in centres]
    kinds = ["shift"] * len(shifts) + ["reversed"] * len(centres)
    return PointerHypotheses(tuple(names), tuple(kinds), (*shifts, *centres), targets, np.log(prior))


def measure_gains(match: Floats, targets: Integers) -> Floats:
    """Log-likelihood ratio of each row being displaced against being in place, shape (..., H, n).

    A row argues only against its own attachment: one that fits no worse than chance is none the better for it.

    Args:
        match: shape (..., n, n).
        targets: shape (H, n).
    """
    count = match.shape[-1]
    rows: Integers = np.arange(count, dtype=np.int64)
    own = np.maximum(np.diagonal(match, axis1=-2, axis2=-1), 0.0)[..., None, :]
    proposed = np.where(targets >= 0, match[..., targets, rows[None, :]], 0.0)
    return np.where(targets == rows, 0.0, proposed - own)


def weigh_hypotheses(gains: Floats, log_prior: Floats) -> tuple[Floats, Floats]:
    """Log-evidence of each hypothesis, prior left out, and of all of them together.

    Args:
        gains: shape (..., H, n).
        log_prior: shape (H,).

    Returns:
        Shapes (..., H) and (...,).
    """
    stay, enter = _transitions()
    ratio = np.exp(np.minimum(gains, 50.0))
    displaced = np.broadcast_to(enter[:, 0], (*gains.shape[:-1], len(stay))) * ratio[..., 0, None]
    in_place = np.broadcast_to(1.0 - enter[:, 0], displaced.shape)
    scale = np.zeros(displaced.shape)
    for row in range(1, gains.shape[-1]):
        displaced, in_place = (
            (in_place * enter[:, 1] + displaced * stay) * ratio[..., row, None],
            in_place * (1.0 - enter[:, 1]) + displaced * (1.0 - stay),
        )
        total = displaced + in_place
        scale = scale + np.log(total)
        displaced, in_place = displaced / total, in_place / total
    final = scale + np.log(displaced + in_place)
    top = final.max(axis=-1, keepdims=True)
    each = (top + np.log(np.exp(final - top).mean(axis=-1, keepdims=True)))[..., 0]
    together = each + log_prior
    best = together.max(axis=-1, keepdims=True)
    return each, (best + np.log(np.exp(together - best).sum(axis=-1, keepdims=True)))[..., 0]


def rate_rows(gains: Floats) -> Floats:
    """Posterior probability of each row being displaced under one hypothesis, shape (n,).

    Args:
        gains: shape (n,).
    """
    stay, enter = _transitions()
    count = len(gains)
    ratio = np.exp(np.clip(gains, -50.0, 50.0))
    forward = np.empty((count, 2, len(stay)))
    scale = np.zeros(len(stay))
    state = np.stack([1.0 - enter[:, 0], enter[:, 0]])
    for row in range(count):
        if row:
            state = np.stack(
                [
                    state[0] * (1.0 - enter[:, 1]) + state[1] * (1.0 - stay),
                    state[0] * enter[:, 1] + state[1] * stay,
                ]
            )
        state = state * np.stack([np.ones(len(stay)), np.full(len(stay), ratio[row])])
        total = state.sum(axis=0)
        scale += np.log(total)
        state = state / total
        forward[row] = state
    backward = np.ones((2, len(stay)))
    weights = np.exp(scale - scale.max())
    weights /= weights.sum()
    found = np.empty(count)
    for row in range(count - 1, -1, -1):
        both = forward[row] * backward
        found[row] = float(weights @ (both[1] / both.sum(axis=0)))
        after = backward * np.stack([np.ones(len(stay)), np.full(len(stay), ratio[row])])
        backward = np.stack(
            [
                (1.0 - enter[:, 1]) * after[0] + enter[:, 1] * after[1],
                (1.0 - stay) * after[0] + stay * after[1],
            ]
        )
        backward /= backward.sum(axis=0)
    return found


def permute_pointers(match: Floats, hypotheses: PointerHypotheses, *, permutations: int, seed: int) -> Floats:
    """Evidence for any hypothesis when only chance says whose an attachment is, shape (permutations,).

    Delivered pairs keep their evidence; what each attachment says of the other clips is dealt among those clips.

    Args:
        match: shape (n, n).
        hypotheses: H hypotheses.
        permutations: how often; fewer for batches of more than 64 clips.
        seed: of the deals.
    """
    generator = np.random.default_rng(seed)
    count = len(match)
    wanted = permutations if count <= _SMALL else min(permutations, _FEWER)
    at_once = max(1, _CELLS_AT_ONCE // (hypotheses.targets.size * len(_SHARES)))
    others = ~np.eye(count, dtype=np.bool_)
    apart = match.T[others].reshape(count, count - 1)
    found: list[Floats] = []
    for first in range(0, wanted, at_once):
        dealt = np.repeat(match.T[None], min(at_once, wanted - first), axis=0)
        shuffled = generator.permuted(np.repeat(apart[None], len(dealt), axis=0), axis=2)
        dealt[:, others] = shuffled.reshape(len(dealt), -1)
        gains = measure_gains(dealt.transpose(0, 2, 1), hypotheses.targets)
        found.append(weigh_hypotheses(gains, hypotheses.log_prior)[1])
    return np.concatenate(found)


def bound_p_value(score: float) -> float:
    """P-value of log-evidence against rows in place."""
    return min(1.0, math.exp(-max(score, 0.0)))


def _transitions() -> tuple[Floats, Floats]:
    """Probability of staying displaced, shape (S,), and of becoming so at the first and at later rows, shape (S, 2)."""
    shares, clustering = (grid.ravel() for grid in np.meshgrid(_SHARES, _CLUSTERING, indexing="ij"))
    stay = clustering + (1.0 - clustering) * shares
    return stay, np.stack([shares, (1.0 - clustering) * shares], axis=1)
