# pyright: strict
"""The diagnosis of a batch: the proven fault, or what is left to say without one."""

import math
from typing import Final

import numpy as np

from mm_assets.aligned.objects.boxes.readings import AS_GIVEN
from mm_assets.aligned.objects.boxes.regions import RegionEncoder
from mm_assets.aligned.objects.gate.affected_rows import Affected
from mm_assets.aligned.objects.gate.gate_boxes import GateBoxes
from mm_assets.aligned.objects.gate.object_explanation import (
    measure_restored,
    show_affected,
    show_given,
    tabulate_evidence,
    tell_code,
)
from mm_assets.aligned.objects.gate.object_verdict import LABELS_PERMUTED, MISPLACED, WEAKLY_RELATED, Diagnosis
from mm_assets.aligned.objects.gate.region_evidence import EXPONENTS, fit_unexplained
from mm_assets.aligned.objects.gate.region_recall import RegionRecall
from mm_assets.aligned.objects.gate.study import Study
from mm_assets.errors import CrossModalCode
from mm_assets.gates.recall_input import Floats, Integers, Singles
from mm_assets.policy import ObjectGatePolicy

_MANY: Final = 0.5


def diagnose_fault(
    boxes: GateBoxes,
    sampled: Integers,
    study: Study,
    affected: Affected,
    regions: RegionEncoder,
    labels: Singles,
    policy: ObjectGatePolicy,
) -> Diagnosis:
    """A proven fault: what it is, which rows have it and what undoing it restores.

    Args:
        boxes: all boxes of the batch.
        sampled: rows of ``boxes`` that were judged, increasing.
        study: what is known about those.
        affected: the fault, row by row.
        regions: crops as given and with the fault undone; rows are those of ``boxes``.
        labels: embeddings of all labels of ``boxes``.
        policy: pool size and seed.
    """
    support, fault = affected.support, affected.hypothesis
    ids = boxes.box_ids
    rows: list[int] = affected.rows.tolist()
    lost: list[int] = affected.lost.tolist()
    crops = {name: regions.embeddings(name) for name in (AS_GIVEN, fault.name)}
    score = float(study.scores.max(initial=0.0))
    return Diagnosis(
        hypothesis=fault.name,
        kind=fault.kind,
        parameters=fault.parameters,
        code=tell_code(affected, boxes),
        log_ratio=support.log_ratio,
        p_value=min(1.0, math.exp(-score)),
        share=support.share,
        structure=support.structure,
        restored_recall=measure_restored(boxes, affected, sampled, crops, labels, policy),
        affected=tuple(ids[row] for row in rows),
        lost=tuple(ids[row] for row in lost),
        confidence=tuple(round(float(support.posterior[row]), 6) for row in rows),
        evidence=tabulate_evidence(study),
        examples=show_affected(boxes, affected, policy.seed),
    )


def diagnose_rest(
    study: Study,
    recall: RegionRecall | None,
    rows: Integers,
    crops: Singles,
    reference: float,
    *,
    failed: bool,
    at_chance: bool,
    policy: ObjectGatePolicy,
) -> Diagnosis:
    """Without a proven fault: nothing is wrong, or labels are permuted or weakly related to their boxes.

    Args:
        study: what is known about the judged boxes.
        recall: their region recall, if it could be measured.
        rows: those whose crop was encoded.
        crops: its embedding, row by row.
        reference: recall of the baseline on pools of this batch's size.
        failed: whether the batch fails its gate.
        at_chance: whether its recall is that of permuted labels.
        policy: share of unexplained boxes and seed.
    """
    similarity = measure_similarities(crops, study.labels, study.boxes.label_of[rows])
    name, code, share = AS_GIVEN, None, 0.0
    if failed and recall is not None:
        lost = (reference - recall.recall_at_1) / max(reference - recall.null.mean, 1e-9)
        share = float(np.clip(lost, 0.0, 1.0))
        account = fit_unexplained(study.evidence, EXPONENTS[0][0], EXPONENTS[1][0], policy.unexplained_share)
        if account.boxes > max(account.labels, _MANY):
            name, code = MISPLACED, CrossModalCode.OBJ_FLIP
        elif at_chance:
            name, code = LABELS_PERMUTED, CrossModalCode.OBJ_FLIP
        else:
            name, code = WEAKLY_RELATED, CrossModalCode.FUSION
    return Diagnosis(
        hypothesis=name,
        kind=name,
        parameters={},
        code=code,
        log_ratio=None,
        p_value=None,
        share=share,
        structure=None,
        restored_recall=None,
        affected=(),
        lost=(),
        confidence=(),
        evidence=tabulate_evidence(study),
        examples=show_given(study.boxes, rows, similarity, study.hypotheses.given.corners, policy.seed),
    )


def measure_similarities(crops: Singles, labels: Singles, label_of: Integers) -> Floats:
    """Cosine of each crop and its label, float64, shape (m,)."""
    return np.einsum("ij,ij->i", crops, labels[label_of]).astype(np.float64)
