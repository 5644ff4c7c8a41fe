# pyright: strict
"""What crops and picture edges say about every row under every hypothesis.

Two kinds of evidence, each measured against chance inside the batch, so that no constant of an encoder or of a kind of
picture is needed:

- *match*: how similar a crop is to its label, among the crops and labels of the batch that do not belong together
  (similarities standardised by crop and by label);
- *fit*: how well a box closes around something (`edge_fit`), among boxes at random places of the same pictures.

Each becomes ``u``, the share of chance at least as good. Under chance u is uniform; for a right box it is modelled by
the density ``a u^(a-1)`` (Lehmann 1953), mixed with a share of boxes that the evidence fails to recognise. A likelihood
ratio of this form has expectation one under chance whatever ``a`` is, so its products bound false alarms
(`mixed_batches`), and with ``a`` = 1 evidence that does not discriminate says nothing.

A row that shares its label with the box a shift would take it from may be a copy or a natural repetition. Whatever the
encoder makes of that label, the two crops are exchangeable then; only that one matches it better speaks for the shift.

A row is *as given*, *unexplained* (with a small share), or has the fault of the hypothesis. A reading that puts a box
outside its picture, or makes it too small to see, can hardly be the right one; a box that is outside as given argues
for a hypothesis only through what the hypothesis shows.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from mm_assets.gates.recall_input import Booleans, Floats, Integers, Singles

EXPONENTS: Final = ((0.25, 0.4, 0.7), (0.15, 0.3, 0.6, 1.0))
"""Values of a weighed for match and for fit; a right box's mean of -log u is 1 / a. Measured: 0.27 with the embedded
encoder, 0.13 to 0.19 for edges."""
MISPLACED: Final = math.log(0.001)
"""Log-likelihood of a right reading that puts its box outside the picture: rounding and slips of one box."""
_ACCOUNTS: Final = (
    *((labels, boxes) for labels in (0.0, 0.1, 0.3, 0.6) for boxes in (0.1, 0.3, 0.6, 0.98) if labels + boxes < 1.0),
    (0.85, 0.1),
    (0.98, 0.01),
)
"""Shares of rows with a wrong label, and of rows with a wrong box, that a batch without a named fault may have."""
_TAIL: Final = 10.0
_UNIT: Final = 1e-9


class LabelScale:
    """Similarity of crops and labels in standard deviations of what does not belong together.

    Args:
        crops: float32, shape (m, D), reference crops, m at least 2.
        labels: float32, shape (L, D), embeddings of reference labels, L at least 2.
        label_of: shape (m,), row of ``labels`` of each crop.
    """

    def __init__(self, crops: Singles, labels: Singles, label_of: Integers) -> None:
        self._crops, self._labels = crops, labels
        similarity = (crops @ labels.T).astype(np.float64)
        apart = np.ones(similarity.shape, dtype=np.bool_)
        apart[np.arange(len(crops)), label_of] = False
        by_crop, by_label = _standardise(similarity, axis=1), _standardise(similarity, axis=0)
        self._chance = np.sort(((by_crop + by_label) / 2.0)[apart])
        self._smallest = 1.0 / (_TAIL * len(crops))

    def surprise(self, crops: Singles, labels: Singles) -> Floats:
        """-log of the share of mismatched pairs at least as similar as each crop and its label.

        Args:
            crops: float32, shape (q, D).
            labels: float32, shape (q, D), row by row.

        Returns:
            float64, shape (q,).
        """
        own = np.einsum("ij,ij->i", crops, labels).astype(np.float64)
        among_labels = (crops @ self._labels.T).astype(np.float64)
        among_crops = (self._crops @ labels.T).astype(np.float64)
        by_crop = (own - among_labels.mean(axis=1)) / np.maximum(among_labels.std(axis=1), _UNIT)
        by_label = (own - among_crops.mean(axis=0)) / np.maximum(among_crops.std(axis=0), _UNIT)
        return _surprise(self._chance, (by_crop + by_label) / 2.0, self._smallest)


class EdgeScale:
    """Fits in terms of those of boxes at random places.

    Args:
        shams: fits of random boxes, shape (s,).
    """

    def __init__(self, shams: Floats) -> None:
        self._chance = np.sort(shams)

    def surprise(self, fits: Floats) -> Floats:
        """-log of the share of random boxes that fit at least as well, shape of ``fits``; NaN where it is NaN."""
        if not len(self._chance):
            return np.full(fits.shape, np.nan)
        found = _surprise(self._chance, np.nan_to_num(fits).ravel(), 1.0 / len(self._chance)).reshape(fits.shape)
        return np.where(np.isnan(fits), np.nan, found)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Surprise (-log u) of n rows under H readings and K label shifts; NaN where it was not measured.

    Attributes:
        match: shape (n,), of crops and labels as given.
        fit: shape (n,), of boxes as given.
        usable: shape (n,), whether the box as given can be looked at.
        read_match: shape (H, n), of crops under each reading.
        read_fit: shape (H, n), of boxes under each reading.
        read_usable: shape (H, n), whether the reading puts the box into its picture.
        read_moved: shape (H, n), whether it puts it elsewhere than as given.
        shift_match: shape (K, n), of each row's label and the crop it belongs to if labels are shifted.
        copied: shape (H + K, n), rows whose label is that of the box a shift takes it from, in place there.
    """

    match: Floats
    fit: Floats
    usable: Booleans
    read_match: Floats
    read_fit: Floats
    read_usable: Booleans
    read_moved: Booleans
    shift_match: Floats
    copied: Booleans


def measure_gains(evidence: Evidence, match_exponent: float, fit_exponent: float, unexplained: float) -> Floats:
    """Log-likelihood ratio of every hypothesis over "as given or unexplained", row by row.

    Args:
        evidence: n rows, H readings, K shifts.
        match_exponent: a of matches.
        fit_exponent: a of fits.
        unexplained: share of right boxes the evidence does not recognise, and of rows nothing explains.

    Returns:
        float64, shape (H + K, n); 0 where row and hypothesis have nothing to say to one another.
    """
    match = _weigh(evidence.match, match_exponent, unexplained)
    fit = _weigh(evidence.fit, fit_exponent, unexplained)
    given = np.logaddexp(math.log1p(-unexplained) + match + fit, math.log(unexplained))
    rival = np.where(evidence.usable, given, 0.0)
    read = _weigh(evidence.read_match, match_exponent, unexplained) + _weigh(
        evidence.read_fit, fit_exponent, unexplained
    )
    read = np.where(evidence.read_usable, read - rival, MISPLACED)
    source = _weigh(evidence.shift_match, match_exponent, unexplained)
    shifted = np.where(
        evidence.copied[len(read) :], math.log(2.0) + source - np.logaddexp(source, match), fit + source - rival
    )
    comparable = evidence.usable & ~np.isnan(evidence.shift_match) & ~np.isnan(evidence.match)
    return np.concatenate((np.where(evidence.read_moved, read, 0.0), np.where(comparable, shifted, 0.0)))


@dataclass(frozen=True)
class Unexplained:
    """The best account of a batch without a fault: how many rows are unlike their labels, or unlike anything.

    Attributes:
        excess: by how much its log-likelihood exceeds that of the null of `measure_gains`, at least 0.
        labels: share of rows whose box is right and whose label is not.
        boxes: share of rows with neither.
    """

    excess: float
    labels: float
    boxes: float


def fit_unexplained(
    evidence: Evidence, match_exponent: float, fit_exponent: float, unexplained: float, place: int | None = None
) -> Unexplained:
    """How much more a batch without a fault could explain, were fewer of its rows as given.

    Where most rows are bad for a reason that is none of the hypotheses, every hypothesis looks better than the boxes as
    given. It must also look better than no explanation. Copied rows are left out: a wrong label would hardly happen to
    be that of the box a shift takes it from.

    Args:
        evidence: n rows.
        match_exponent: a of matches.
        fit_exponent: a of fits.
        unexplained: see `measure_gains`.
        place: the hypothesis that must look better.
    """
    rows = evidence.usable if place is None else evidence.usable & ~evidence.copied[place]
    match = _weigh(evidence.match, match_exponent, unexplained)[rows]
    fit = _weigh(evidence.fit, fit_exponent, unexplained)[rows]

    def total(labels: float, boxes: float) -> float:
        given = (1.0 - labels - boxes) * np.exp(match + fit)
        return float(np.log(given + labels * np.exp(fit) + boxes).sum())

    totals = [total(*account) for account in _ACCOUNTS]
    best = int(np.argmax(totals))
    return Unexplained(max(0.0, totals[best] - total(0.0, unexplained)), *_ACCOUNTS[best])


def measure_excess(evidence: Evidence, match_exponent: float, fit_exponent: float, unexplained: float) -> Floats:
    """The excess of `fit_unexplained` for every hypothesis, shape (H + K,)."""
    copies = np.asarray(np.any(evidence.copied, axis=1), dtype=np.bool_)
    excess = np.full(len(copies), fit_unexplained(evidence, match_exponent, fit_exponent, unexplained).excess)
    for place in np.flatnonzero(copies):
        excess[place] = fit_unexplained(evidence, match_exponent, fit_exponent, unexplained, int(place)).excess
    return excess


def _weigh(surprise: Floats, exponent: float, unexplained: float) -> Floats:
    """Log-likelihood ratio of a right box over chance; 0 where nothing was measured."""
    density = math.log(exponent) + (1.0 - exponent) * np.nan_to_num(surprise)
    mixed = np.logaddexp(math.log1p(-unexplained) + density, math.log(unexplained))
    return np.where(np.isnan(surprise), 0.0, mixed)


def _standardise(similarity: Floats, axis: int) -> Floats:
    centred = similarity - similarity.mean(axis=axis, keepdims=True)
    return centred / np.maximum(similarity.std(axis=axis, keepdims=True), _UNIT)


def _surprise(chance: Floats, values: Floats, smallest: float) -> Floats:
    """-log of the share of ``chance`` (sorted) that is at least ``values``."""
    at_least = (len(chance) - np.searchsorted(chance, values, side="left")) / max(len(chance), 1)
    return -np.log(np.maximum(at_least, smallest))
