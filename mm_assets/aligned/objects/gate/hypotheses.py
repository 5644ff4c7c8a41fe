# pyright: strict
"""What may have happened to the boxes of a batch, and where each hypothesis puts them.

Readings that put the boxes where another one does (a misread layout of a batch that declares no such layout) are left
out. Labels shifted by k boxes move no box.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from mm_assets.aligned.objects.boxes.conventions import Floats
from mm_assets.aligned.objects.boxes.corrections import LABEL_SHIFT
from mm_assets.aligned.objects.boxes.placement import place_boxes
from mm_assets.aligned.objects.boxes.readings import AS_GIVEN, Reading, acts_on, read_boxes
from mm_assets.aligned.objects.gate.gate_boxes import GateBoxes
from mm_assets.gates.recall_input import Booleans, Singles
from mm_assets.policy import ObjectGatePolicy, ObjectPolicy

SAME_BOX: Final = 0.98
"""Overlap (IoU) above which two readings of a row are one: neither edges nor crops tell them apart."""
_FULL_RANGE: Final = 1_000.0
_GIVEN: Final = Reading(AS_GIVEN)


@dataclass(frozen=True)
class Hypothesis:
    """A fault that some or all rows may have.

    Attributes:
        kind: a kind of `Reading`, or ``label_shift``.
        parameters: its parameters, as a correction takes them.
        reading: the reading that undoes it; None for shifted labels.
        shift: how many boxes further a row's label stands, 0 for readings.
    """

    kind: str
    parameters: Mapping[str, float | str]
    reading: Reading | None
    shift: int = 0

    @property
    def name(self) -> str:
        """The kind with its parameter, such as ``scale(0.5)`` or ``label_shift(+1)``."""
        return f"{LABEL_SHIFT}({self.shift:+d})" if self.reading is None else self.reading.name


@dataclass(frozen=True, eq=False)
class Placed:
    """Boxes under one reading.

    Attributes:
        corners: float32, shape (n, 4), inside their images; meaningless where not usable.
        usable: shape (n,), whether the box lies in its image and is large enough to look at.
        moved: shape (n,), whether it lies elsewhere than as given.
    """

    corners: Singles
    usable: Booleans
    moved: Booleans


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """All hypotheses about some boxes.

    Attributes:
        readings: those that move boxes, H of them.
        shifts: label shifts, K of them.
        given: the boxes as they stand.
        placed: the boxes under each of the readings.
    """

    readings: tuple[Hypothesis, ...]
    shifts: tuple[Hypothesis, ...]
    given: Placed
    placed: tuple[Placed, ...]

    @property
    def every(self) -> tuple[Hypothesis, ...]:
        """Readings, then shifts."""
        return self.readings + self.shifts


def from_reading(reading: Reading) -> Hypothesis:
    """The hypothesis that boxes have the fault this reading undoes."""
    return Hypothesis(reading.kind, dict(reading.parameters), reading)


def from_shift(k: int) -> Hypothesis:
    """The hypothesis that labels stand ``k`` boxes further."""
    return Hypothesis(LABEL_SHIFT, {"k": k}, None, k)


def list_hypotheses(
    boxes: GateBoxes, policy: ObjectGatePolicy, objects: ObjectPolicy, *, extra: tuple[Reading, ...] = ()
) -> Hypotheses:
    """Every hypothesis worth weighing on these boxes.

    Args:
        boxes: n boxes.
        policy: factors of a resize, largest shift, smallest box.
        objects: when a box lies outside its image.
        extra: further readings, such as a factor found by search.
    """
    given = place_as_given(boxes, policy, objects)
    candidates = [
        Reading("mirror_x"),
        Reading("mirror_y"),
        Reading("swapped_axes"),
        Reading("xywh_as_xyxy"),
        Reading("xyxy_as_xywh"),
        Reading("normalised_as_pixels"),
        Reading("normalised_as_pixels", {"range": _FULL_RANGE}),
        Reading("pixels_as_normalised"),
        Reading("convention", {"name": "cxcywh_0_1"}),
        Reading("convention", {"name": "xyxy_0_1"}),
        *(Reading("scale", {"factor": factor}) for factor in policy.scale_factors),
        *extra,
    ]
    readings: list[Hypothesis] = []
    placed: list[Placed] = []
    for reading in candidates:
        place = place_under(boxes, reading, given, policy, objects)
        if place is None or not (place.usable & place.moved).any() or any(_coincide(place, other) for other in placed):
            continue
        readings.append(from_reading(reading))
        placed.append(place)
    spread = [k for k in range(-policy.max_shift, policy.max_shift + 1) if k] if len(boxes.labels) > 1 else []
    return Hypotheses(tuple(readings), tuple(from_shift(k) for k in spread), given, tuple(placed))


def place_as_given(boxes: GateBoxes, policy: ObjectGatePolicy, objects: ObjectPolicy) -> Placed:
    """The boxes as they stand, corrections in force included."""
    placed = place_boxes(boxes.read_as_given(), boxes.sizes, objects)
    usable = boxes.kept & (placed.faults == "") & _is_visible(placed.corners, policy)
    return Placed(placed.corners, usable, np.zeros(len(boxes), dtype=np.bool_))


def place_under(
    boxes: GateBoxes, reading: Reading, given: Placed, policy: ObjectGatePolicy, objects: ObjectPolicy
) -> Placed | None:
    """The boxes once a fault is undone on top of the corrections in force; None if it acts on none of them."""
    declared, conventions = boxes.declared, np.array(boxes.conventions, dtype=np.object_)
    sizes, drawn = boxes.sizes, boxes.drawn_sizes
    corners: Floats = np.empty((len(boxes), 4))
    acts = np.zeros(len(boxes), dtype=np.bool_)
    for group in boxes.scope.groups:
        rows = group.rows
        names: list[str] = conventions[rows].tolist()
        acts[rows] = acts_on(reading, names, len(names), after=group.readings)
        corners[rows] = read_boxes(declared[rows], names, sizes[rows], (*group.readings, reading), drawn[rows])
    if not acts.any():
        return None
    placed = place_boxes(corners, sizes, objects)
    usable = acts & (placed.faults == "") & _is_visible(placed.corners, policy)
    same = given.usable & usable & (overlap(placed.corners, given.corners) >= SAME_BOX)
    return Placed(placed.corners, usable, acts & ~same)


def overlap(left: Singles, right: Singles) -> Floats:
    """Intersection over union of boxes, row by row, shape (n,); 0 where one has no area.

    >>> overlap(np.array([[0.0, 0, 2, 2]], np.float32), np.array([[1.0, 0, 3, 2]], np.float32)).round(3).tolist()
    [0.333]
    """
    low = np.maximum(left[:, :2], right[:, :2]).astype(np.float64)
    high = np.minimum(left[:, 2:], right[:, 2:]).astype(np.float64)
    common = np.prod(np.maximum(high - low, 0.0), axis=1)
    areas = [np.prod(np.maximum(box[:, 2:] - box[:, :2], 0.0), axis=1, dtype=np.float64) for box in (left, right)]
    union = areas[0] + areas[1] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0.0)


def _is_visible(corners: Singles, policy: ObjectGatePolicy) -> Booleans:
    with np.errstate(invalid="ignore"):
        return np.asarray(((corners[:, 2:] - corners[:, :2]) >= policy.min_box_px).all(axis=1), dtype=np.bool_)


def _coincide(left: Placed, right: Placed) -> bool:
    """Whether two readings put every usable box in the same place."""
    if not np.array_equal(left.usable, right.usable):
        return False
    rows = left.usable
    return bool((overlap(left.corners[rows], right.corners[rows]) >= SAME_BOX).all())
