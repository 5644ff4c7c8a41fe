"""Faults that are put into batches of boxes, whether the gate names them, and what its repair does."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from benchmarks.object_scenes import Batch
from mm_assets.aligned.corrections import make_correction
from mm_assets.aligned.objects.boxes.boxes import convert_boxes, list_declared_boxes
from mm_assets.aligned.objects.boxes.corrections import LABEL_SHIFT, correct_boxes
from mm_assets.aligned.objects.boxes.readings import Reading
from mm_assets.aligned.objects.gate.object_verdict import Diagnosis, ObjectVerdict
from mm_assets.policy import Policy

POLICY = Policy()
MIN_IOU = 0.99
SHIFTS = (-3, -2, -1, 1, 2, 3)


@dataclass(frozen=True)
class Fault:
    """A fault to inject: its name, the convention declared, and how to draw it."""

    name: str
    convention: str
    readings: tuple[Reading, ...] = ()
    spread: str = "scattered"

    def draw(self, generator: np.random.Generator) -> Reading | int:
        """A reading to write the boxes with, or a shift of labels."""
        if not self.readings:
            return int(generator.choice(SHIFTS))
        return self.readings[int(generator.integers(len(self.readings)))]


FAULTS = (
    Fault("mirror_x", "xyxy_pixels", (Reading("mirror_x"),)),
    Fault("mirror_y", "xywh_pixels", (Reading("mirror_y"),)),
    Fault("xywh_as_xyxy", "xyxy_pixels", (Reading("xywh_as_xyxy"),)),
    Fault("xyxy_as_xywh", "xywh_pixels", (Reading("xyxy_as_xywh"),)),
    Fault("normalised_as_pixels", "xyxy_pixels", (Reading("normalised_as_pixels"),)),
    Fault("pixels_as_normalised", "xyxy_0_1", (Reading("pixels_as_normalised"),)),
    Fault("swapped_axes", "xyxy_pixels", (Reading("swapped_axes"),)),
    Fault(
        "usual resize", "xyxy_pixels", tuple(Reading("scale", {"factor": factor}) for factor in (0.5, 0.75, 1.25, 2.0))
    ),
    Fault(
        "other resize", "xyxy_pixels", tuple(Reading("scale", {"factor": factor}) for factor in (0.41, 0.7, 1.13, 1.9))
    ),
    Fault("label_shift, run", "xyxy_pixels", spread="run"),
    Fault("label_shift, scattered", "xyxy_pixels"),
)


def is_right_cause(diagnosis: Diagnosis | None, fault: Reading | int) -> bool:
    """Whether kind and parameter are those injected."""
    if diagnosis is None:
        return False
    if isinstance(fault, int):
        return diagnosis.kind == LABEL_SHIFT and diagnosis.parameters["k"] == fault
    if fault.kind == "scale":
        found = float(diagnosis.parameters.get("factor", math.nan))
        return diagnosis.kind == "scale" and abs(found / float(fault.parameters["factor"]) - 1.0) <= 0.01
    return diagnosis.kind == fault.kind


def repair(batch: Batch, verdict: ObjectVerdict) -> dict[str, Any]:
    """Apply the correction the gate names and compare with the truth."""
    found = verdict.diagnosis
    if found is None or not found.is_repairable:
        return {"named": 0, "restored": 0, "harmed": 0}
    correction = make_correction(
        batch="bench",
        level="object",
        kind=found.kind,
        parameters=found.parameters,
        rows=found.affected,
        evaluation_id="bench",
        by="bench",
        reason="measured",
        at_us=0,
    )
    after = convert_boxes(batch.images, POLICY.objects, correction).kept
    declared = list_declared_boxes(batch.images).select("position", "box_index", "label").with_row_index("row")
    if found.kind == LABEL_SHIFT:
        after = correct_boxes(batch.converted.kept, correction, declared)
    after = after.drop("label").with_columns(after["label"].alias("now")).join(declared, on=["position", "box_index"])
    named = after.filter(pl.col("box_id").is_in(list(found.affected)))
    rows = named["row"].to_numpy()
    if found.kind == LABEL_SHIFT:
        right = np.array([batch.labels[row] == now for row, now in zip(rows, named["now"].to_list(), strict=True)])
    else:
        right = overlaps(named.select("x1", "y1", "x2", "y2").to_numpy(), batch.corners[rows]) >= MIN_IOU
    was_right = ~batch.affected[rows]
    if found.kind == LABEL_SHIFT:
        harmed = int(np.count_nonzero(was_right & ~right))
    else:
        before = after.height and overlaps_as_given(batch, rows)
        harmed = int(np.count_nonzero((before >= MIN_IOU) & ~right))
    return {"named": len(found.affected), "restored": int(right.sum()), "harmed": harmed}


def overlaps_as_given(batch: Batch, rows: np.ndarray) -> np.ndarray:
    """IoU of the boxes as they arrived with the true ones; 0 where they were rejected."""
    declared = list_declared_boxes(batch.images).select("position", "box_index").with_row_index("row")
    kept = declared.join(batch.converted.kept, on=["position", "box_index"]).sort("row")
    found = np.zeros(len(batch.corners))
    places = kept["row"].to_numpy()
    found[places] = overlaps(kept.select("x1", "y1", "x2", "y2").to_numpy(), batch.corners[places])
    return found[rows]


def overlaps(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Intersection over union, row by row."""
    sides = np.maximum(np.minimum(left[:, 2:], right[:, 2:]) - np.maximum(left[:, :2], right[:, :2]), 0.0)
    common = sides.prod(axis=1)
    return common / ((left[:, 2:] - left[:, :2]).prod(axis=1) + (right[:, 2:] - right[:, :2]).prod(axis=1) - common)
