# pyright: strict
"""Find runs of rows whose captions were delivered elsewhere, and say how sure that is.

*Offset* ``k``: the image at delivery position ``p`` belongs to the caption delivered at ``p + k``. So ``shift(+1)``
means that each caption stands one row later than its image, and a caption line lost at row ``c`` is ``shift(-1)`` from
there on. Offsets count delivery positions: rejected rows leave gaps, and a row whose partner was rejected gives no
evidence.

*Evidence.* ``u`` is the share of all image-caption pairs of the batch at least as similar as this one (similarities
standardised by row and by column). Under chance ``u`` is uniform; a true pair is modelled by the density
``a u^(a-1)`` (Lehmann 1953), so that a pair's likelihood ratio has expectation one under chance, whatever the encoder.
Its logarithm is then reduced by the largest of

- 0, so that weak rows cannot argue for a displacement,
- the log-likelihood ratio of the delivered pair, so that a row argues only against its own caption,
- the log mean likelihood ratio of the captions around the proposed one, so that in a sorted delivery, where neighbours
  resemble one another, the proposed caption must beat its neighbours.

Products of such ratios are at most 1 in expectation when nothing is displaced, and Ville's inequality bounds the chance
that a run started at a given row ever reaches ``x`` by ``exp(-x)``. Each run pays the logarithm of the places and
offsets it could have had (a union bound); what is left over is evidence: ``p <= exp(-score)``.

*Search.* A Viterbi pass over offsets finds the best set of runs. It covers constant shifts, lines lost or inserted in
the middle, and blocks delivered in another order.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from mm_assets.gates.recall_input import Booleans, Floats, Integers, Singles

MATCH_EXPONENT: Final = 0.3
"""a in the density of a true pair's u: half of the true pairs among the best tenth, as with an R@1 of 0.35 in 32."""
CONTROL_CAPTIONS: Final = 5
"""Captions on each side of the proposed one that it must beat."""
IN_PLACE_EVIDENCE: Final = math.log(20.0)
"""Log-evidence for their own captions above which rows beside a run are taken to be in place."""
_MAX_CELLS: Final = 1 << 22
_BINS: Final = 1 << 16
_TAIL: Final = 10.0


@dataclass(frozen=True, eq=False)
class Offsets:
    """Evidence for each offset of each row.

    Attributes:
        gains: float32, shape (n, 2 R + 1), log-evidence that the row is displaced by offset ``column - R``; 0 where the
            partner is missing.
        partners: int32, shape (n, 2 R + 1), row of the partner, -1 where it is missing.
        reach: R.
        near: largest offset a lost or inserted line makes plausible.
    """

    gains: Singles
    partners: npt.NDArray[np.int32]
    reach: int
    near: int

    def entry_cost(self) -> Floats:
        """Log of what a run of each offset must pay for its place and offset, shape (2 R + 1,).

        A run may start at any row. A third of the odds go to the offsets of one lost or inserted line, a third to the
        other near ones, a third to all.
        """
        offsets = np.abs(np.arange(-self.reach, self.reach + 1))
        odds = np.full(len(offsets), 1.0 / len(offsets))
        odds[offsets <= self.near] += 1.0 / (2 * self.near)
        odds[offsets <= 1] += 1.0 / 2.0
        return math.log(3 * len(self.gains)) - np.log(odds)


@dataclass(frozen=True)
class Run:
    """Rows ``start`` to ``stop`` (exclusive) displaced by ``offset``; ``rows`` of them have a partner."""

    start: int
    stop: int
    offset: int
    rows: int
    gain: float


@dataclass(frozen=True, eq=False)
class Displacement:
    """The best set of runs.

    Attributes:
        runs: in row order.
        score: log-evidence left after every run has paid for its choice; its p-value is at most ``exp(-score)``.
        partners: shape (n,), row of the caption each image belongs to; -1 where it was rejected.
    """

    runs: tuple[Run, ...]
    score: float
    partners: Integers


def measure_match(similarity: Singles) -> Floats:
    """Log-likelihood ratio of every image-caption pair being a true one, shape (n, n).

    The n true pairs fill the best 1/n of all pairs; u is not resolved below a tenth of that, so that one pair of
    near-duplicates cannot speak for a run.
    """
    count = len(similarity)
    score = standardise_pairs(similarity)
    low, high = float(score.min()), float(score.max())
    bins = ((score - low) * ((_BINS - 1) / max(high - low, 1e-12))).astype(np.int64)
    at_least = np.cumsum(np.bincount(bins.ravel(), minlength=_BINS)[::-1])[::-1]
    log_u = np.log(np.maximum(at_least / (count * count), 1.0 / (_TAIL * count)))[bins]
    return math.log(MATCH_EXPONENT) + (MATCH_EXPONENT - 1.0) * log_u


def standardise_pairs(similarity: Singles) -> Floats:
    """Similarity in standard deviations of its row and of its column, averaged; shape (n, n)."""
    return (_standardise(similarity) + _standardise(similarity.T).T) / 2.0


def measure_gain(match: Floats, *, against_neighbours: bool) -> Floats:
    """What each pair argues for a displacement against its image's own caption and its caption's neighbours.

    Args:
        match: shape (n, n), from :func:`measure_match`, captions in delivery order.
        against_neighbours: whether the captions around the proposed one compete. They must where the delivered pairing
            may be right; where it has been refuted, chance is all that is left to beat.
    """
    rival = np.maximum(np.diagonal(match), 0.0)[:, None]
    if not against_neighbours:
        return match - rival
    count = len(match)
    sums = np.cumsum(np.pad(np.exp(match), ((0, 0), (1, 0))), axis=1)
    places = np.arange(count)
    first, last = np.maximum(places - CONTROL_CAPTIONS, 0), np.minimum(places + CONTROL_CAPTIONS + 1, count)
    return match - np.maximum(np.log((sums[:, last] - sums[:, first]) / (last - first)), rival)


def tabulate_offsets(gain: Floats, image_positions: Integers, caption_positions: Integers, near: int) -> Offsets:
    """Rearrange pair evidence by offset.

    Args:
        gain: shape (n, n), image by caption.
        image_positions: shape (n,), increasing.
        caption_positions: shape (n,), where each caption was delivered.
        near: largest offset a lost or inserted line makes plausible.
    """
    count = len(gain)
    span = int(
        max(image_positions.max(), caption_positions.max()) - min(image_positions.min(), caption_positions.min())
    )
    reach = max(near, min(span, _MAX_CELLS // (2 * count)))
    gains = np.zeros((count, 2 * reach + 1), dtype=np.float32)
    partners = np.full((count, 2 * reach + 1), -1, dtype=np.int32)
    for row in range(count):
        offsets = caption_positions - image_positions[row] + reach
        inside = (offsets >= 0) & (offsets <= 2 * reach)
        gains[row, offsets[inside]] = gain[row, inside]
        partners[row, offsets[inside]] = np.flatnonzero(inside)
    return Offsets(gains, partners, reach, near)


def find_runs(offsets: Offsets, *, delivered: int | None) -> Displacement:
    """Viterbi search for the best runs of displaced rows.

    Args:
        offsets: evidence.
        delivered: the offset of the delivered pairing, which is no displacement; None if it is not among the offsets.
    """
    gains = offsets.gains
    rows, width = gains.shape
    cost = offsets.entry_cost().astype(np.float32)
    near_cost = float(cost[offsets.reach + offsets.near])
    if delivered is not None:
        cost[delivered + offsets.reach] = np.inf
    values = np.full((rows + 1, width), -np.inf, dtype=np.float32)
    rest = np.zeros(rows + 1)
    best = np.full(rows + 1, -np.inf)
    for row in range(rows):
        before = values[row]
        enter = max(rest[row], best[row]) - cost
        np.maximum(enter, _running_maximum(before, offsets.near) - near_cost, out=enter)
        if delivered is not None:
            enter[delivered + offsets.reach] = -np.inf
        np.maximum(before, enter, out=values[row + 1])
        values[row + 1] += gains[row]
        rest[row + 1] = max(rest[row], best[row])
        best[row + 1] = values[row + 1].max()
    path = _trace(offsets, values, rest, best, near_cost)
    return cut_runs(offsets, path, max(float(rest[-1]), float(best[-1])))


def best_run(offsets: Offsets, offset: int) -> Run:
    """The run of one offset with the largest gain, its choice not yet paid for."""
    gains = offsets.gains[:, offset + offsets.reach]
    totals = np.concatenate([[0.0], np.cumsum(gains)])
    lowest = np.minimum.accumulate(totals)
    stop = int(np.argmax(totals - lowest))
    start = int(np.flatnonzero(totals[: stop + 1] == lowest[stop])[-1])
    return _run(offsets, start, stop, offset)


def _trace(offsets: Offsets, values: Singles, rest: Floats, best: Floats, near_cost: float) -> list[int | None]:
    """The offset of each row on the best path, None where nothing is displaced."""
    rows, reach, near = len(offsets.gains), offsets.reach, offsets.near
    cost = offsets.entry_cost()
    path: list[int | None] = [None] * rows
    state = int(np.argmax(values[rows])) if best[rows] > rest[rows] else None
    for row in range(rows - 1, -1, -1):
        if state is None:
            state = int(np.argmax(values[row])) if best[row] > rest[row] else None
            continue
        path[row] = state - reach
        before = values[row]
        low, high = max(0, state - near), min(len(before), state + near + 1)
        choices = (before[state], rest[row] - cost[state], before[low:high].max() - near_cost, best[row] - cost[state])
        taken = int(np.argmax(choices))
        if taken == 1:
            state = None
        elif taken == 2:  # noqa: PLR2004
            state = low + int(np.argmax(before[low:high]))
        elif taken == 3:  # noqa: PLR2004
            state = int(np.argmax(before))
    return path


def cut_runs(offsets: Offsets, path: list[int | None], score: float) -> Displacement:
    """Cut the path into runs."""
    rows = len(path)
    bounds = [0, *(row for row in range(1, rows) if path[row] != path[row - 1]), rows]
    runs: list[Run] = []
    for start, stop in pairwise(bounds):
        offset = path[start]
        if offset is not None:
            runs.append(_run(offsets, start, stop, offset))
    return Displacement(tuple(runs), score, _partners(offsets, runs))


def close_gaps(displacement: Displacement, offsets: Offsets, match: Floats) -> Displacement:
    """Let runs take in rows beside them that show no evidence of being in place.

    The best path leaves out rows whose own pair happens to score well; without this step every shift of a whole batch
    would be reported from its third row to its last but one.

    Args:
        displacement: from :func:`find_runs`.
        offsets: the evidence it was found in.
        match: shape (n, n), from :func:`measure_match`.
    """
    rows = len(match)
    grown: list[Run] = []
    end = 0
    for index, run in enumerate(displacement.runs):
        before = grown[-1] if grown else None
        start, stop = run.start, run.stop
        if start > end and not _in_place(offsets, match, end, start, run.offset):
            start = end
        last = index == len(displacement.runs) - 1
        if last and stop < rows and not _in_place(offsets, match, stop, rows, run.offset):
            stop = rows
        if before is not None and before.offset == run.offset and before.stop == start:
            grown.pop()
            start = before.start
        grown.append(_run(offsets, start, stop, run.offset))
        end = run.stop
    return Displacement(tuple(grown), displacement.score, _partners(offsets, grown))


def _in_place(offsets: Offsets, match: Floats, start: int, stop: int, offset: int) -> bool:
    """Whether these rows argue for their own captions and against those at the offset."""
    rows = np.arange(start, stop)
    partners = offsets.partners[start:stop, offset + offsets.reach]
    proposed = np.where(partners >= 0, match[rows, partners], 0.0)
    return float((match[rows, rows] - np.maximum(proposed, 0.0)).sum()) > IN_PLACE_EVIDENCE


def _run(offsets: Offsets, start: int, stop: int, offset: int) -> Run:
    column = offset + offsets.reach
    present = int(np.count_nonzero(offsets.partners[start:stop, column] >= 0))
    return Run(start, stop, offset, present, float(offsets.gains[start:stop, column].sum()))


def _partners(offsets: Offsets, runs: list[Run]) -> Integers:
    """Row of the caption of each image once the runs are undone."""
    partners = np.arange(len(offsets.partners), dtype=np.int64)
    for run in runs:
        partners[run.start : run.stop] = offsets.partners[run.start : run.stop, run.offset + offsets.reach]
    return partners


def _standardise(similarity: Singles | Floats) -> Floats:
    """Centre and scale each row; a constant row becomes zeros."""
    exact = similarity.astype(np.float64)
    centred = exact - exact.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0.0)


def _running_maximum(values: Singles, reach: int) -> Singles:
    """Largest value within ``reach`` places on either side, shape of ``values``."""
    padded = np.full(len(values) + 2 * reach, -np.inf, dtype=values.dtype)
    padded[reach : reach + len(values)] = values
    width, done = 2 * reach + 1, 1
    while done < width:
        step = min(done, width - done)
        padded = np.maximum(padded[: len(padded) - step], padded[step:])
        done += step
    return padded


def is_displaced(displacement: Displacement, rows: int) -> Booleans:
    """Which rows lie in a run and have their partner in the batch, shape (n,)."""
    inside = np.zeros(rows, dtype=np.bool_)
    for run in displacement.runs:
        inside[run.start : run.stop] = True
    return inside & (displacement.partners >= 0)
