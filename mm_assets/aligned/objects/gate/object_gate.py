# pyright: strict
"""The object gate: do a batch's boxes hold what their labels name?

A batch fails when

- its region R@1 is significantly below what its source reaches (or the policy's floor), or
- its region R@1 is not distinguishable from permuted labels, or
- a fault of its boxes or labels is proven on a share of its rows, even if recall is still good.

The verdict names the fault, how likely it is, and which boxes have it. Nothing here knows Dagster or a model.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from mm_assets.aligned.objects.boxes.readings import AS_GIVEN
from mm_assets.aligned.objects.boxes.regions import RegionEncoder
from mm_assets.aligned.objects.gate.affected_rows import Affected, attribute_rows, refine_scale
from mm_assets.aligned.objects.gate.gate_boxes import GateBoxes, read_gate_boxes, sample_boxes, take_boxes
from mm_assets.aligned.objects.gate.hypotheses import Hypothesis
from mm_assets.aligned.objects.gate.object_diagnosis import diagnose_fault, diagnose_rest, measure_similarities
from mm_assets.aligned.objects.gate.object_reasons import (
    list_recall_problems,
    measure_shortfall,
    tell_fault,
    tell_measured,
    tell_verdict,
)
from mm_assets.aligned.objects.gate.object_verdict import ObjectVerdict
from mm_assets.aligned.objects.gate.region_recall import measure_region_recall
from mm_assets.aligned.objects.gate.study import Study, encode_labels, study_boxes
from mm_assets.display.counts import tell_count
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.gates.recall_baseline import Baseline, convert_recall
from mm_assets.gates.recall_input import Floats, Integers, Singles
from mm_assets.gates.recall_null import Null
from mm_assets.landing import Landing
from mm_assets.policy import ObjectGatePolicy, Policy
from mm_assets.schemas import TABLES

GATE_VERSION: Final = "1"
"""Raised when the statistics change: a verdict's id depends on it."""
_MISMATCHED: Final = 5_000


@dataclass(frozen=True, eq=False)
class ObjectEvaluation:
    """A verdict, and the embeddings made for it.

    Attributes:
        verdict: the verdict.
        embeddings: rows of ``region_embeddings``, crops as given; those handed in are among them.
    """

    verdict: ObjectVerdict
    embeddings: pl.DataFrame


def evaluate_objects(
    boxes: pl.DataFrame,
    images: pl.DataFrame,
    landing: Landing,
    encoder: ImageTextEncoder,
    baseline: Baseline,
    policy: Policy,
    *,
    rejected: pl.DataFrame | None = None,
    corrections: pl.DataFrame | None = None,
    delivered: pl.DataFrame | None = None,
    known: pl.DataFrame | None = None,
) -> ObjectEvaluation:
    """Measure, compare and explain.

    Args:
        boxes: rows of ``boxes`` of one batch.
        images: rows of ``images`` of the batch.
        landing: where their ``source_ref`` points.
        encoder: the model.
        baseline: from ``trusted_region_baseline`` or ``floor_region_baseline``.
        policy: all sections; ``object_gate``, ``objects``, ``images`` and ``features.batch_size`` are used.
        rejected: rows of ``rejected`` of the batch. Boxes rejected for where they lie speak for a misread convention
            and can be named for repair; without them a batch whose boxes are mostly rejected only looks sparse.
        corrections: rows of ``corrections`` in force, oldest first.
        delivered: see ``read_gate_boxes``.
        known: rows of ``region_embeddings`` made with this encoder and margin; those as given are not encoded again.

    Raises:
        ContractError: a picture is gone or does not decode.
        ModelError: the encoder failed.
    """
    everything = read_gate_boxes(boxes, images, rejected, corrections, delivered)
    gate = policy.object_gate
    digest = _digest(everything, images, encoder, baseline, policy)
    if len(everything) < gate.min_boxes:
        return ObjectEvaluation(_unjudged(digest, everything, baseline, gate), TABLES["region_embeddings"].empty())
    reused = _read_known(known, encoder)
    sampled = sample_boxes(
        everything, max_boxes=gate.max_boxes, images_per_window=gate.images_per_window, seed=gate.seed
    )
    sample = take_boxes(everything, sampled, corrections)
    study = study_boxes(sample, images, landing, encoder, policy, reused)
    rows, crops = study.regions.embeddings(AS_GIVEN)
    recall = measure_region_recall(crops, study.labels, sample.label_of[rows], sample.image_of[rows], gate)
    pool_size = gate.pool_size if recall is None else recall.pool_size
    required = baseline.required_recall(pool_size)
    p_value = measure_shortfall(recall, required, baseline)
    told = tell_measured(recall, len(sample), gate)
    problems, at_chance = list_recall_problems(recall, sample.label_of[rows], p_value, required, baseline, gate)
    fault = _choose_fault(study, gate)
    affected: Affected | None = None
    regions, keyed = study.regions, sample.frame
    calls = study.regions.crops
    if fault is not None:
        regions, keyed = RegionEncoder(encoder, gate.context_margin, policy.features.batch_size), everything.frame
        labels = study.labels if sample.labels == everything.labels else encode_labels(encoder, everything.labels)
        for row, box_id in enumerate(everything.box_ids):
            if box_id in reused:
                regions.keep(AS_GIVEN, row, reused[box_id])
        if fault.kind == "scale":
            fault = refine_scale(study, fault, images, landing, policy)
        affected = attribute_rows(everything, sampled, study, fault, labels, regions, images, landing, policy)
        calls += regions.crops
        diagnosis = diagnose_fault(everything, sampled, study, affected, regions, labels, gate)
        share = len(affected.rows) / len(everything)
        if max(share, diagnosis.share) >= gate.min_affected_share:
            problems.append(tell_fault(diagnosis, len(everything)))
        elif not problems:
            diagnosis = replace(diagnosis, code=None)
    else:
        reference = convert_recall(baseline.recall, baseline.pool_size, pool_size)
        diagnosis = diagnose_rest(
            study, recall, rows, crops, reference, failed=bool(problems), at_chance=at_chance, policy=gate
        )
    code = diagnosis.code if problems else None
    verdict = ObjectVerdict(
        digest=digest,
        boxes=len(sample),
        available_boxes=len(everything),
        images=len(np.unique(sample.image_of)),
        labels=len(np.unique(sample.label_of)),
        pool_size=pool_size,
        recall_at_1=math.nan if recall is None else recall.recall_at_1,
        interval=(math.nan, math.nan) if recall is None else recall.interval,
        hard_recall_at_1=math.nan if recall is None else recall.hard_recall_at_1,
        hard_interval=(math.nan, math.nan) if recall is None else recall.hard_interval,
        null=Null(math.nan, math.nan, math.nan) if recall is None else recall.null,
        baseline=baseline,
        required=required,
        shortfall_p_value=p_value,
        judged=True,
        passed=not problems,
        code=code,
        reason=tell_verdict(told, recall, required, problems, code),
        diagnosis=diagnosis,
        encoder_calls=calls,
        calls_saved=max(0, len(everything) * (1 + len(study.hypotheses.readings)) - calls),
        given=measure_similarities(crops, study.labels, sample.label_of[rows]),
        mismatched=_mismatched(crops, study.labels, sample.label_of[rows], gate.seed),
        mirrored=_mirrored(study),
        restored=np.zeros(0) if affected is None else _known(affected.restored_similarity[affected.rows]),
    )
    return ObjectEvaluation(verdict, TABLES["region_embeddings"].conform(regions.table(AS_GIVEN, keyed)))


def _choose_fault(study: Study, policy: ObjectGatePolicy) -> Hypothesis | None:
    """The hypothesis that is proven."""
    best = study.best
    if best is None or study.scores[best] < -math.log(policy.false_hold_rate):
        return None
    return study.hypotheses.every[best]


def _unjudged(digest: str, boxes: GateBoxes, baseline: Baseline, policy: ObjectGatePolicy) -> ObjectVerdict:
    empty = np.zeros(0)
    nothing = (math.nan, math.nan)
    return ObjectVerdict(
        digest=digest,
        boxes=len(boxes),
        available_boxes=len(boxes),
        images=len(boxes.image_ids),
        labels=len(np.unique(boxes.label_of)),
        pool_size=policy.pool_size,
        recall_at_1=math.nan,
        interval=nothing,
        hard_recall_at_1=math.nan,
        hard_interval=nothing,
        null=Null(math.nan, math.nan, math.nan),
        baseline=baseline,
        required=baseline.required_recall(policy.pool_size),
        shortfall_p_value=math.nan,
        judged=False,
        passed=True,
        code=None,
        reason=(
            f"Not judged, passed: {tell_count(len(boxes), 'labelled box', 'labelled boxes')}, fewer than the "
            f"{policy.min_boxes} a verdict needs."
        ),
        diagnosis=None,
        encoder_calls=0,
        calls_saved=0,
        given=empty,
        mismatched=empty,
        mirrored=empty,
        restored=empty,
    )


def _read_known(known: pl.DataFrame | None, encoder: ImageTextEncoder) -> dict[str, Singles]:
    """Embeddings of crops as given by box id, those of another model left out."""
    if known is None:
        return {}
    mine = known.filter((pl.col("reading") == AS_GIVEN) & (pl.col("model") == str(encoder.identity)))
    return {
        box_id: np.asarray(vector, dtype=np.float32)
        for box_id, vector in mine.select("box_id", "embedding").iter_rows()
    }


def _mirrored(study: Study) -> Floats:
    rows, crops = study.regions.embeddings("mirror_x")
    return measure_similarities(crops, study.labels, study.boxes.label_of[rows])


def _mismatched(crops: Singles, labels: Singles, label_of: Integers, seed: int) -> Floats:
    """Similarities of crops and labels of other boxes, a seeded sample."""
    if not len(crops):
        return np.zeros(0)
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, len(crops), _MISMATCHED)
    others = label_of[generator.integers(0, len(crops), _MISMATCHED)]
    apart = others != label_of[rows]
    return np.einsum("ij,ij->i", crops[rows[apart]], labels[others[apart]]).astype(np.float64)


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _digest(
    boxes: GateBoxes, images: pl.DataFrame, encoder: ImageTextEncoder, baseline: Baseline, policy: Policy
) -> str:
    """Hash of everything the verdict depends on; crops and labels follow from pictures and model."""
    digest = hashlib.sha256(GATE_VERSION.encode())
    corners = np.ascontiguousarray(boxes.read_as_given())
    for values in (corners, boxes.declared, boxes.sizes, boxes.kept, boxes.places, boxes.label_of):
        digest.update(f"{values.shape}{values.dtype}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    pictures: list[Any] = []
    if "sha256" in images.columns:
        pictures = images.filter(pl.col("image_id").is_in(list(boxes.image_ids)))["sha256"].to_list()
    for texts in (boxes.box_ids, list(boxes.labels), list(boxes.image_ids), boxes.conventions, pictures):
        digest.update("\0".join(map(str, texts)).encode("utf-8", "surrogatepass"))
    sections = (policy.object_gate, policy.objects)
    digest.update(f"{encoder.identity}{sorted(baseline.__dict__.items())}".encode())
    for section in sections:
        digest.update(section.model_dump_json().encode())
    return digest.hexdigest()
