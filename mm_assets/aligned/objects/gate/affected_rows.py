# pyright: strict
"""Which rows of a whole batch have a proven fault.

The gate judges a sample; a repair needs every row. Edges are measured on all pictures, and crops are encoded where the
edges leave a doubt.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from mm_assets.aligned.objects.boxes.corrections import LABEL_SHIFT
from mm_assets.aligned.objects.boxes.readings import AS_GIVEN, Reading
from mm_assets.aligned.objects.boxes.regions import RegionEncoder
from mm_assets.aligned.objects.gate.edge_fit import EdgeMap
from mm_assets.aligned.objects.gate.gate_boxes import GateBoxes
from mm_assets.aligned.objects.gate.hypotheses import (
    Hypotheses,
    Hypothesis,
    Placed,
    from_reading,
    place_as_given,
    place_under,
)
from mm_assets.aligned.objects.gate.mixed_batches import Support, support_hypothesis
from mm_assets.aligned.objects.gate.scale_search import choose_factor, read_unclipped, score_factors
from mm_assets.aligned.objects.gate.screening import stream_pictures
from mm_assets.aligned.objects.gate.study import Study, gather_evidence
from mm_assets.gates.recall_input import Floats, Integers, Singles
from mm_assets.landing import Landing
from mm_assets.policy import Policy

_CLEARLY_GIVEN: Final = -4.0
"""Loss of surprise at the edges beyond which no crop could move a row."""


@dataclass(frozen=True, eq=False)
class Affected:
    """A fault, row by row, over a whole batch of N boxes.

    Attributes:
        hypothesis: the fault, its parameters refined.
        support: evidence and posterior of all rows.
        rows: rows named at the policy's confidence that the correction sets right, increasing.
        lost: named rows whose right label is nowhere in the delivery, increasing.
        given: boxes as given.
        placed: boxes with the fault undone; those as given for shifted labels.
        label_of: shape (N,), label of each box with the fault undone; -1 where it is not known.
        given_similarity: shape (N,), cosine of crop and label as given; NaN where not encoded.
        restored_similarity: shape (N,), the same with the fault undone.
    """

    hypothesis: Hypothesis
    support: Support
    rows: Integers
    lost: Integers
    given: Placed
    placed: Placed
    label_of: Integers
    given_similarity: Floats
    restored_similarity: Floats


def attribute_rows(
    boxes: GateBoxes,
    sampled: Integers,
    study: Study,
    hypothesis: Hypothesis,
    labels: Singles,
    regions: RegionEncoder,
    images: pl.DataFrame,
    landing: Landing,
    policy: Policy,
) -> Affected:
    """Weigh one hypothesis on every row of the batch.

    Args:
        boxes: all N boxes.
        sampled: rows of ``boxes`` that the study knows, increasing.
        study: what is known about them.
        hypothesis: the proven fault.
        labels: embeddings of all labels of ``boxes``.
        regions: takes the crops; rows are those of ``boxes``.
        images: rows of ``images``.
        landing: where their ``source_ref`` points.
        policy: all sections.
    """
    gate = policy.object_gate
    for name in (AS_GIVEN, hypothesis.name):
        known, vectors = study.regions.embeddings(name)
        for row, vector in zip(sampled[known].tolist(), vectors, strict=True):
            regions.keep(name, row, vector)
    given = place_as_given(boxes, gate, policy.objects)
    placed = given
    if hypothesis.reading is not None:
        found = place_under(boxes, hypothesis.reading, given, gate, policy.objects)
        placed = found or given
    fit, read_fit = _look(boxes, given, placed, hypothesis, study, regions, images, landing, policy)
    if hypothesis.reading is None:
        hypotheses = Hypotheses((), (hypothesis,), given, ())
    else:
        hypotheses = Hypotheses((hypothesis,), (), given, (placed,))
    read = read_fit[None] if hypotheses.readings else np.zeros((0, len(boxes)))
    evidence = gather_evidence(boxes, hypotheses, fit, read, study.edges, regions, labels, study.label_scale)
    support = support_hypothesis(evidence, 0, boxes.image_of, gate.unexplained_share)
    rows = support.named(gate.min_row_confidence)
    label_of, lost = boxes.label_of, np.zeros(0, dtype=np.int64)
    if hypothesis.reading is None:
        hypothesis, label_of = _take_labels(boxes, hypothesis, support, rows)
        rows, lost = rows[label_of[rows] >= 0], rows[label_of[rows] < 0]
    else:
        rows = rows[placed.usable[rows] & placed.moved[rows]]
    return Affected(
        hypothesis=hypothesis,
        support=support,
        rows=rows,
        lost=lost,
        given=given,
        placed=placed,
        label_of=label_of,
        given_similarity=_similarities(regions, AS_GIVEN, labels, boxes.label_of),
        restored_similarity=_similarities(
            regions, AS_GIVEN if hypothesis.reading is None else hypothesis.name, labels, label_of
        ),
    )


def refine_scale(
    study: Study, hypothesis: Hypothesis, images: pl.DataFrame, landing: Landing, policy: Policy
) -> Hypothesis:
    """Measure the factor of a proven resize again, on the sampled rows that have it.

    Args:
        study: what is known about them.
        hypothesis: a resize.
        images: rows of ``images``.
        landing: where their ``source_ref`` points.
        policy: all sections.
    """
    boxes, gate = study.boxes, policy.object_gate
    place = [item.name for item in study.hypotheses.readings].index(hypothesis.name)
    support = support_hypothesis(study.evidence, place, boxes.image_of, gate.unexplained_share)
    rows = support.named(gate.min_row_confidence)
    rows = rows[study.hypotheses.placed[place].usable[rows]]
    if not len(rows):
        return hypothesis
    factor = float(hypothesis.parameters["factor"])
    corners, sizes = read_unclipped(boxes), boxes.sizes
    scores = 0.0
    for picture in stream_pictures(boxes, rows, images, landing, policy):
        edges = EdgeMap(picture.pixels, longest_px=0)
        scores = scores + score_factors(edges, corners[picture.rows], sizes[picture.rows], factor, policy.objects)
    refined = choose_factor(np.asarray(scores), factor, np.array(gate.scale_factors))
    return from_reading(Reading("scale", {"factor": refined}))


def _look(
    boxes: GateBoxes,
    given: Placed,
    placed: Placed,
    hypothesis: Hypothesis,
    study: Study,
    regions: RegionEncoder,
    images: pl.DataFrame,
    landing: Landing,
    policy: Policy,
) -> tuple[Floats, Floats]:
    """Fit every box as given and as read, and encode what is in doubt; two fits of shape (N,)."""
    fit, read_fit = np.full(len(boxes), np.nan), np.full(len(boxes), np.nan)
    every = np.arange(len(boxes), dtype=np.int64)
    is_reading = hypothesis.reading is not None
    for picture in stream_pictures(boxes, every, images, landing, policy):
        edges, rows = EdgeMap(picture.pixels), picture.rows
        seen, read = rows[given.usable[rows]], rows[placed.usable[rows] & placed.moved[rows]]
        fit[seen] = edges.fit(given.corners[seen])
        doubtful = seen
        if is_reading:
            read_fit[read] = edges.fit(placed.corners[read])
            gain = study.edges.surprise(read_fit[read]) - np.nan_to_num(study.edges.surprise(fit[read]))
            read = read[gain > _CLEARLY_GIVEN]
            doubtful = read[given.usable[read]]
            for row in read.tolist():
                regions.add(hypothesis.name, row, picture.pixels, placed.corners[row])
        for row in doubtful.tolist():
            regions.add(AS_GIVEN, row, picture.pixels, given.corners[row])
    regions.flush()
    return fit, read_fit


def _take_labels(
    boxes: GateBoxes, hypothesis: Hypothesis, support: Support, named: Integers
) -> tuple[Hypothesis, Integers]:
    """Labels once a shift is undone, shape (N,), -1 where the right one is not known.

    A row's label stands k boxes further, provided that the row there has a label that is not its own. Labels pushed
    over one end may have come back at the other.
    """
    k = hypothesis.shift
    origin = boxes.places - k
    came_round = (origin < 0) | (origin >= boxes.declared_boxes)
    wraps = bool(came_round.any()) and float(support.gains[came_round].sum()) > 0.0
    is_named = np.zeros(len(boxes), dtype=np.bool_)
    is_named[named] = True
    target = boxes.neighbours(k)
    further = boxes.places + k
    known = (target >= 0) & is_named[target]
    if not wraps:
        known &= (further >= 0) & (further < boxes.declared_boxes)
    label_of = np.where(known, boxes.label_of[target], -1)
    return Hypothesis(LABEL_SHIFT, {"k": k, "wrap": wraps}, None, k), np.where(is_named, label_of, boxes.label_of)


def _similarities(regions: RegionEncoder, name: str, labels: Singles, label_of: Integers) -> Floats:
    """Cosine of crops under a reading and labels, shape (N,); NaN where either is missing."""
    rows, crops = regions.embeddings(name)
    found = np.full(len(label_of), np.nan)
    told = label_of[rows] >= 0
    found[rows[told]] = np.einsum("ij,ij->i", crops[told], labels[label_of[rows[told]]])
    return found
