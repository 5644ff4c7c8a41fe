# pyright: strict
"""Gather the evidence about some boxes, spending encoder calls where they can change the answer."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from mm_assets.aligned.objects.boxes.readings import AS_GIVEN, PLACE_KINDS, Reading
from mm_assets.aligned.objects.boxes.regions import RegionEncoder
from mm_assets.aligned.objects.gate.gate_boxes import GateBoxes
from mm_assets.aligned.objects.gate.hypotheses import Hypotheses, Hypothesis, list_hypotheses
from mm_assets.aligned.objects.gate.label_shifts import ShiftedMatch, match_shifted
from mm_assets.aligned.objects.gate.mixed_batches import weigh_hypotheses
from mm_assets.aligned.objects.gate.region_evidence import EdgeScale, Evidence, LabelScale
from mm_assets.aligned.objects.gate.scale_search import SEARCHED, find_factors
from mm_assets.aligned.objects.gate.screening import Screen, screen_boxes, stream_pictures
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.gates.recall_input import Floats, Singles
from mm_assets.landing import Landing
from mm_assets.policy import Policy

_FAMILIES: Final = 5
_SEARCHED: Final = "searched scale"
_FEWEST_CROPS: Final = 24
"""Crops as given below which those under readings also serve to say what chance looks like."""
_DECIDED: Final = 8.0
"""Log evidence beyond the threshold that more crops would not overturn."""


@dataclass(frozen=True, eq=False)
class Study:
    """Everything known about n sampled boxes.

    Attributes:
        boxes: the boxes.
        hypotheses: what was weighed.
        labels: embeddings of the distinct labels, float32, shape (L, D).
        regions: crops encoded so far, by reading and row.
        edges: what fits are by chance.
        label_scale: what similarities are by chance; None without two crops and two labels.
        evidence: by row and hypothesis.
        ratios: log likelihood ratio of each hypothesis over the boxes as given, shape (H + K,).
        scores: the same with the choice of the hypothesis paid for, shape (H + K,).
    """

    boxes: GateBoxes
    hypotheses: Hypotheses
    labels: Singles
    regions: RegionEncoder
    edges: EdgeScale
    label_scale: LabelScale | None
    evidence: Evidence
    ratios: Floats
    scores: Floats

    @property
    def best(self) -> int | None:
        """The hypothesis with the most evidence; None if there is none to weigh."""
        return int(np.argmax(self.scores)) if len(self.scores) else None


def study_boxes(
    boxes: GateBoxes,
    images: pl.DataFrame,
    landing: Landing,
    encoder: ImageTextEncoder,
    policy: Policy,
    known: dict[str, Singles],
) -> Study:
    """Screen every box, probe readings on some, and widen the best reading while it is undecided.

    Args:
        boxes: n sampled boxes.
        images: rows of ``images``.
        landing: where their ``source_ref`` points.
        encoder: the model.
        policy: all sections.
        known: embeddings of crops as given, by box id, made earlier with the same encoder and margin.
    """
    gate = policy.object_gate
    hypotheses = list_hypotheses(boxes, gate, policy.objects)
    labels = encode_labels(encoder, boxes.labels)
    regions = RegionEncoder(encoder, gate.context_margin, policy.features.batch_size)
    for row, box_id in enumerate(boxes.box_ids):
        if box_id in known:
            regions.keep(AS_GIVEN, row, known[box_id])
    every = np.arange(len(boxes), dtype=np.int64)
    screen = screen_boxes(
        boxes, hypotheses, labels, stream_pictures(boxes, every, images, landing, policy), regions, policy
    )
    edges = EdgeScale(screen.shams)
    hypotheses, read_fit = _add_factors(boxes, hypotheses, screen, edges, policy)
    study = _weigh(boxes, hypotheses, labels, regions, edges, screen.fit, read_fit, policy)
    undecided = _choose_undecided(study, policy)
    if undecided is not None:
        _widen(study, undecided, images, landing, policy)
        study = _weigh(boxes, hypotheses, labels, regions, edges, screen.fit, read_fit, policy)
    return study


def encode_labels(encoder: ImageTextEncoder, labels: tuple[str, ...]) -> Singles:
    """Embeddings of labels, float32, shape (L, D)."""
    return encoder.encode_texts(list(labels)) if labels else np.zeros((0, encoder.dimension), np.float32)


def gather_evidence(
    boxes: GateBoxes,
    hypotheses: Hypotheses,
    fit: Floats,
    read_fit: Floats,
    edges: EdgeScale,
    regions: RegionEncoder,
    labels: Singles,
    label_scale: LabelScale | None,
) -> Evidence:
    """Turn fits and crops into surprises.

    Args:
        boxes: n boxes.
        hypotheses: H readings and K shifts.
        fit: of boxes as given, shape (n,).
        read_fit: under each reading, shape (H, n).
        edges: what fits are by chance.
        regions: the crops encoded.
        labels: embeddings of the distinct labels.
        label_scale: what similarities are by chance; None leaves matches unmeasured.
    """
    count = len(boxes)
    match = np.full(count, np.nan)
    read_match = np.full((len(hypotheses.readings), count), np.nan)
    shifted = ShiftedMatch(
        np.full((len(hypotheses.shifts), count), np.nan), np.zeros((len(hypotheses.shifts), count), dtype=np.bool_)
    )
    if label_scale is not None:
        rows, crops = regions.embeddings(AS_GIVEN)
        match[rows] = label_scale.surprise(crops, labels[boxes.label_of[rows]])
        shifted = match_shifted(boxes, hypotheses.shifts, rows, crops, labels, label_scale)
        for place, hypothesis in enumerate(hypotheses.readings):
            rows, crops = regions.embeddings(hypothesis.name)
            read_match[place, rows] = label_scale.surprise(crops, labels[boxes.label_of[rows]])
    placed = hypotheses.placed
    shape = (len(placed), count)
    return Evidence(
        match=match,
        fit=edges.surprise(fit),
        usable=hypotheses.given.usable,
        read_match=read_match,
        read_fit=edges.surprise(read_fit),
        read_usable=np.stack([place.usable for place in placed]) if placed else np.zeros(shape, dtype=np.bool_),
        read_moved=np.stack([place.moved for place in placed]) if placed else np.zeros(shape, dtype=np.bool_),
        shift_match=shifted.surprise,
        copied=np.concatenate((np.zeros(shape, dtype=np.bool_), shifted.copied)),
    )


def choice_costs(hypotheses: Hypotheses, usual_factors: tuple[float, ...]) -> Floats:
    """Log odds against each hypothesis for having been chosen from all, shape (H + K,).

    Mirrors, misread numbers, usual resizes, searched resizes and label shifts share the probability of a false alarm
    evenly, and each divides its share among its hypotheses.
    """
    families = [_family(hypothesis, usual_factors) for hypothesis in hypotheses.every]
    sizes = {family: families.count(family) for family in families} | {_SEARCHED: len(SEARCHED)}
    return np.array([math.log(_FAMILIES * sizes[family]) for family in families])


def _family(hypothesis: Hypothesis, usual_factors: tuple[float, ...]) -> str:
    if hypothesis.kind == "scale":
        return "scale" if hypothesis.parameters["factor"] in usual_factors else _SEARCHED
    if hypothesis.reading is None or hypothesis.kind in PLACE_KINDS:
        return hypothesis.kind[:6]
    return "numbers"


def _weigh(
    boxes: GateBoxes,
    hypotheses: Hypotheses,
    labels: Singles,
    regions: RegionEncoder,
    edges: EdgeScale,
    fit: Floats,
    read_fit: Floats,
    policy: Policy,
) -> Study:
    scale = _make_label_scale(boxes, hypotheses.readings, regions, labels)
    evidence = gather_evidence(boxes, hypotheses, fit, read_fit, edges, regions, labels, scale)
    ratios = weigh_hypotheses(evidence, boxes.image_of, policy.object_gate.unexplained_share)
    costs = choice_costs(hypotheses, policy.object_gate.scale_factors)
    return Study(boxes, hypotheses, labels, regions, edges, scale, evidence, ratios, ratios - costs)


def _make_label_scale(
    boxes: GateBoxes, readings: tuple[Hypothesis, ...], regions: RegionEncoder, labels: Singles
) -> LabelScale | None:
    rows, crops = regions.embeddings(AS_GIVEN)
    label_of = boxes.label_of[rows]
    if len(rows) < _FEWEST_CROPS:
        more = [regions.embeddings(reading.name) for reading in readings]
        label_of = np.concatenate([label_of, *(boxes.label_of[found] for found, _ in more)])
        crops = np.concatenate([crops, *(vectors for _, vectors in more)])
    if len(crops) < 2 or len(labels) < 2:  # noqa: PLR2004 - nothing to mismatch
        return None
    return LabelScale(crops, labels, label_of)


def _add_factors(
    boxes: GateBoxes, hypotheses: Hypotheses, screen: Screen, edges: EdgeScale, policy: Policy
) -> tuple[Hypotheses, Floats]:
    """Add the resizes that a search finds; returns the hypotheses and the fits under their readings."""
    gate = policy.object_gate
    found = find_factors(
        screen.scaled_fit,
        screen.fit,
        hypotheses.given.usable,
        edges,
        boxes.image_of,
        known=np.array(gate.scale_factors),
        unexplained=gate.unexplained_share,
    )
    if not len(found):
        return hypotheses, screen.read_fit
    extra = {Reading("scale", {"factor": factor}).name: factor for factor in found.tolist()}
    more = list_hypotheses(
        boxes, gate, policy.objects, extra=tuple(Reading("scale", {"factor": factor}) for factor in found.tolist())
    )
    fits = dict(zip([item.name for item in hypotheses.readings], screen.read_fit, strict=True))
    for name, factor in extra.items():
        fits[name] = screen.scaled_fit[int(np.argmin(np.abs(SEARCHED - factor)))]
    return more, np.stack([fits[item.name] for item in more.readings])


def _choose_undecided(study: Study, policy: Policy) -> int | None:
    """The best reading, if it has some evidence but not so much that crops could not change it.

    Rows without crops look unexplained in a batch whose boxes are all wrong, so here that is no rival.
    """
    gate = policy.object_gate
    readings = len(study.hypotheses.readings)
    if not readings:
        return None
    ratios = weigh_hypotheses(study.evidence, study.boxes.image_of, gate.unexplained_share, against_unexplained=False)[
        :readings
    ]
    best = int(np.argmax(ratios))
    is_decided = study.scores[best] > _DECIDED - math.log(gate.false_hold_rate)
    return None if is_decided or ratios[best] <= 0.0 else best


def _widen(study: Study, best: int, images: pl.DataFrame, landing: Landing, policy: Policy) -> None:
    """Encode a reading's crops of every row it moves."""
    placed, name = study.hypotheses.placed[best], study.hypotheses.readings[best].name
    rows = np.flatnonzero(placed.usable & placed.moved).astype(np.int64)
    for picture in stream_pictures(study.boxes, rows, images, landing, policy):
        for row in picture.rows.tolist():
            study.regions.add(name, row, picture.pixels, placed.corners[row])
    study.regions.flush()
