# pyright: strict
"""Gather the evidence about some boxes, spending encoder calls where they can change the answer."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from mm_assets.aligned.objects.gate_boxes import GateBoxes
from mm_assets.aligned.objects.hypotheses import Hypotheses, Hypothesis, list_hypotheses
from mm_assets.aligned.objects.mixed_batches import weigh_hypotheses
from mm_assets.aligned.objects.readings import AS_GIVEN, Reading
from mm_assets.aligned.objects.region_evidence import EdgeScale, Evidence, LabelScale
from mm_assets.aligned.objects.regions import RegionEncoder
from mm_assets.aligned.objects.scale_search import SEARCHED, find_factors
from mm_assets.aligned.objects.screening import Screen, screen_boxes, stream_pictures
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.gates.recall_input import Floats, Singles
from mm_assets.landing import Landing
from mm_assets.policy import Policy

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
        scores: log evidence of each hypothesis, its choice paid for, shape (H + K,).
    """

    boxes: GateBoxes
    hypotheses: Hypotheses
    labels: Singles
    regions: RegionEncoder
    edges: EdgeScale
    label_scale: LabelScale | None
    evidence: Evidence
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
    if _is_undecided(study, policy):
        _widen(study, images, landing, policy)
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
    shift_match = np.full((len(hypotheses.shifts), count), np.nan)
    if label_scale is not None:
        rows, crops = regions.embeddings(AS_GIVEN)
        match[rows] = label_scale.surprise(crops, labels[boxes.label_of[rows]])
        for place, shift in enumerate(hypotheses.shifts):
            other = boxes.shifted_labels(shift.shift)[rows]
            told = (other >= 0) & (other != boxes.label_of[rows])
            shift_match[place, rows[told]] = label_scale.surprise(crops[told], labels[other[told]])
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
        shift_match=shift_match,
    )


def choice_cost(hypotheses: Hypotheses) -> float:
    """Log of the number of hypotheses that could have been chosen, searched factors among them."""
    return math.log(max(1, len(hypotheses.every)) + len(SEARCHED))


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
    scores = weigh_hypotheses(evidence, boxes.image_of, policy.object_gate.unexplained_share)
    return Study(boxes, hypotheses, labels, regions, edges, scale, evidence, scores - choice_cost(hypotheses))


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


def _is_undecided(study: Study, policy: Policy) -> bool:
    """Whether the best hypothesis is a reading with some evidence, but not so much that crops could not change it."""
    best = study.best
    if best is None or best >= len(study.hypotheses.readings):
        return False
    threshold = -math.log(policy.object_gate.false_hold_rate)
    return -choice_cost(study.hypotheses) < study.scores[best] < threshold + _DECIDED


def _widen(study: Study, images: pl.DataFrame, landing: Landing, policy: Policy) -> None:
    """Encode the best reading's crops of every row it moves."""
    best = study.best
    if best is None:
        return
    placed, name = study.hypotheses.placed[best], study.hypotheses.readings[best].name
    rows = np.flatnonzero(placed.usable & placed.moved).astype(np.int64)
    for picture in stream_pictures(study.boxes, rows, images, landing, policy):
        for row in picture.rows.tolist():
            study.regions.add(name, row, picture.pixels, placed.corners[row])
    study.regions.flush()
