# pyright: strict
"""Which resize, if any, explains where boxes lie: a search over factors along the edges of the pictures.

A list of usual factors misses a picture shrunk from 1,000 to 640 pixels. Edges alone tell factors a few percent apart
and cost no model, so the whole range is searched; a factor that stands out becomes one more hypothesis. Once a resize
is proven, its factor is measured again on narrow strips, to a tenth of a percent: a box far from the origin moves by
its own width when the factor is a few percent off.
"""

from typing import Final

import numpy as np

from mm_assets.aligned.objects.boxes.placement import place_boxes
from mm_assets.aligned.objects.gate.edge_fit import EdgeMap, weakest_sides
from mm_assets.aligned.objects.gate.gate_boxes import GateBoxes
from mm_assets.aligned.objects.gate.mixed_batches import weigh_hypotheses
from mm_assets.aligned.objects.gate.region_evidence import EdgeScale, Evidence
from mm_assets.gates.recall_input import Booleans, Floats, Integers, Singles
from mm_assets.policy import ObjectGatePolicy, ObjectPolicy

SEARCHED: Final[Floats] = np.geomspace(0.2, 5.0, 161).round(4)
"""Two percent apart: the strips of the fit are six percent of a box wide."""
_NEAR: Final = 0.035
_FINE: Final[Floats] = np.linspace(0.97, 1.03, 121)
_FINE_STRIPS: Final = (0.015, 0.03, 0.06)
_AS_GOOD: Final = 0.85
_PEAK: Final = 0.9


def place_scaled(
    corners: Floats, sizes: Floats, factors: Floats, policy: ObjectGatePolicy, objects: ObjectPolicy
) -> tuple[Singles, Booleans]:
    """Boxes divided by every factor.

    Args:
        corners: as given, not clipped, shape (m, 4).
        sizes: width and height of their images, shape (m, 2).
        factors: shape (F,).
        policy: smallest box.
        objects: when a box lies outside its image.

    Returns:
        Corners inside their images, shape (F, m, 4), and which are usable, shape (F, m).
    """
    count = len(corners)
    spread = (corners[None] / factors[:, None, None]).reshape(-1, 4)
    placed = place_boxes(spread, np.tile(sizes, (len(factors), 1)), objects)
    with np.errstate(invalid="ignore"):
        large = ((placed.corners[:, 2:] - placed.corners[:, :2]) >= policy.min_box_px).all(axis=1)
    usable = np.asarray((placed.faults == "") & large, dtype=np.bool_)
    return placed.corners.reshape(len(factors), count, 4), usable.reshape(len(factors), count)


def fit_scaled(edges: EdgeMap, corners: Singles, usable: Booleans) -> Floats:
    """Fit of boxes under every factor, shape (F, m); NaN where not usable."""
    fits = np.full(usable.shape, np.nan)
    if usable.any():
        fits[usable] = edges.fit(corners[usable])
    return fits


def find_factors(
    fits: Floats,
    given: Floats,
    usable: Booleans,
    edges: EdgeScale,
    image_of: Integers,
    *,
    known: Floats,
    unexplained: float,
) -> Floats:
    """Factors that stand out and are not close to a known one, the best first, two at most.

    Args:
        fits: fits of n boxes under every searched factor, shape (F, n).
        given: fits of the boxes as given, shape (n,).
        usable: shape (n,), which boxes can be looked at as given.
        edges: what fits are by chance.
        image_of: shape (n,), image of each row.
        known: factors weighed anyway.
        unexplained: see `measure_gains`.
    """
    searched = Evidence(
        match=np.full(len(image_of), np.nan),
        fit=edges.surprise(given),
        usable=usable,
        read_match=np.full(fits.shape, np.nan),
        read_fit=edges.surprise(fits),
        read_usable=~np.isnan(fits),
        read_moved=np.broadcast_to(np.abs(SEARCHED - 1.0)[:, None] > _NEAR, fits.shape),
        shift_match=np.zeros((0, len(image_of))),
        copied=np.zeros(fits.shape, dtype=np.bool_),
    )
    scores = weigh_hypotheses(searched, image_of, unexplained, edges_only=True)
    best: list[float] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if scores[place] <= 0.0 or len(best) == 2:  # noqa: PLR2004
            break
        factor = float(SEARCHED[place])
        taken = np.array([*known.tolist(), *best])
        if not (np.abs(taken / factor - 1.0) <= _NEAR).any():
            best.append(factor)
    return np.array(best)


def score_factors(edges: EdgeMap, corners: Floats, sizes: Floats, factor: float, objects: ObjectPolicy) -> Floats:
    """Summed fit of some boxes, on strips of several widths, under factors around one, shape (121,).

    Narrow strips find the edges of exact boxes, wide ones those of boxes drawn by hand.

    Args:
        edges: of the picture at full size.
        corners: as given, not clipped, shape (m, 4).
        sizes: shape (m, 2).
        factor: the one to refine.
        objects: when a box lies outside its image.
    """
    factors = factor * _FINE
    spread = (corners[None] / factors[:, None, None]).reshape(-1, 4)
    placed = place_boxes(spread, np.tile(sizes, (len(factors), 1)), objects)
    fits = np.zeros(len(spread))
    usable = placed.faults == ""
    for strip in _FINE_STRIPS:
        fits[usable] += weakest_sides(edges.sides(placed.corners[usable], strip=strip, blur_px=0.0))
    return fits.reshape(len(factors), -1).sum(axis=1)


def choose_factor(scores: Floats, factor: float, known: Floats) -> float:
    """The middle of the peak, or a usual factor that scores nearly as well.

    Args:
        scores: from `score_factors`, summed over pictures.
        factor: the one refined.
        known: usual factors.
    """
    factors = factor * _FINE
    high = float(scores.max())
    good = factors[scores >= _AS_GOOD * high]
    weights = np.maximum(scores - _PEAK * high, 0.0)
    middle = float(weights @ factors / weights.sum()) if high > 0.0 else factor
    near = known[(known >= good.min()) & (known <= good.max())]
    return float(near[np.argmin(np.abs(near - middle))]) if len(near) else round(middle, 5)


def read_unclipped(boxes: GateBoxes) -> Floats:
    """Corners as given, not clipped; NaN where they are not finite."""
    corners = boxes.read_as_given()
    return np.where(np.isfinite(corners), corners, np.nan)
