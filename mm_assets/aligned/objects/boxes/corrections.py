# pyright: strict
"""Corrections of boxes: events that undo a diagnosed fault, without touching what was delivered.

A correction names a fault (a `Reading`, or ``label_shift``) and the boxes that have it. Boxes are read anew from their
declared numbers, so nothing that clipping cut off is lost, and correcting twice changes nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import polars as pl

from mm_assets.aligned.objects.boxes.conventions import Floats
from mm_assets.aligned.objects.boxes.placement import Booleans, place_boxes
from mm_assets.aligned.objects.boxes.readings import READING_KINDS, Reading, acts_on, read_boxes
from mm_assets.errors import ContractError
from mm_assets.policy import ObjectPolicy

LEVEL: Final = "object"
LABEL_SHIFT: Final = "label_shift"


class LabelShift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Labels moved by whole boxes of the delivery: the label of a box stands ``k`` boxes further.

    Attributes:
        k: how many boxes further, never 0; negative if the label stands before its box.
        wrap: whether the labels pushed over one end were put back at the other. If not, boxes whose label lies beyond
            the ends have none.
    """

    k: int
    wrap: bool = False


def check_correction(kind: str, parameters_json: str) -> str:
    """Parameters of a correction of boxes as they are stored.

    Raises:
        ContractError: kind or parameters are unknown.
    """
    if kind == LABEL_SHIFT:
        return msgspec.json.encode(_read_shift(parameters_json), order="sorted").decode()
    return Reading.from_json(kind, parameters_json).parameters_json


@dataclass(frozen=True)
class CorrectedGroup:
    """Boxes that the same corrections act on.

    Attributes:
        rows: which rows of the boxes.
        readings: the faults to undo, oldest first.
    """

    rows: Booleans
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class CorrectionScope:
    """Which corrections of reading and place act on which boxes.

    Attributes:
        groups: the boxes by the corrections on them; every box is in exactly one.
        last: per box, the place of the last correction that changes it among those given, -1 for none.
        ids: ids of the corrections given.
    """

    groups: tuple[CorrectedGroup, ...]
    last: np.ndarray[tuple[int], np.dtype[np.int64]]
    ids: tuple[str, ...]


def scope_corrections(boxes: pl.DataFrame, corrections: pl.DataFrame | None) -> CorrectionScope:
    """Sort boxes by the corrections of reading and place that act on them.

    Args:
        boxes: columns batch, box_id and source_convention.
        corrections: rows of ``corrections`` in force, oldest first; those of other batches and levels are left out.
    """
    count = len(boxes)
    last = np.full(count, -1, dtype=np.int64)
    if corrections is None or not len(corrections):
        return CorrectionScope((CorrectedGroup(np.ones(count, dtype=np.bool_), ()),), last, ())
    named = np.zeros((count, len(corrections)), dtype=np.bool_)
    readings: list[Reading] = []
    for place, event in enumerate(corrections.iter_rows(named=True)):
        is_reading = event["level"] == LEVEL and event["kind"] in READING_KINDS
        readings.append(
            Reading.from_json(event["kind"], event["parameters_json"]) if is_reading else Reading("as_given")
        )
        if is_reading:
            named[:, place] = _named_rows(boxes, event["batch"], event["rows"])
    conventions = boxes["source_convention"].to_numpy()
    patterns, members = np.unique(named, axis=0, return_inverse=True)
    groups: list[CorrectedGroup] = []
    for code, pattern in enumerate(patterns):
        rows = members.reshape(-1) == code
        places = np.flatnonzero(pattern).tolist()
        undone = tuple(readings[place] for place in places)
        declared: list[str] = conventions[rows].tolist()
        for order, place in enumerate(places):
            acts = acts_on(undone[order], declared, len(declared), after=undone[:order])
            last[np.flatnonzero(rows)[acts]] = place
        groups.append(CorrectedGroup(rows, undone))
    return CorrectionScope(tuple(groups), last, tuple(corrections["correction_id"].to_list()))


def read_corrected(
    declared: Floats, boxes: pl.DataFrame, sizes: Floats, drawn: Floats, scope: CorrectionScope
) -> Floats:
    """Pixel corners of every box under the corrections on it, shape (N, 4); see `read_boxes`."""
    corners = np.empty((len(boxes), 4))
    conventions = boxes["source_convention"].to_numpy()
    for group in scope.groups:
        rows = group.rows
        corners[rows] = read_boxes(declared[rows], conventions[rows].tolist(), sizes[rows], group.readings, drawn[rows])
    return corners


def correct_boxes(
    boxes: pl.DataFrame,
    corrections: pl.DataFrame,
    delivered: pl.DataFrame | None = None,
    policy: ObjectPolicy | None = None,
) -> pl.DataFrame:
    """Undo diagnosed faults of boxes.

    Args:
        boxes: rows of ``boxes``.
        corrections: rows of ``corrections`` in force, oldest first.
        delivered: every box the delivery declares, rejected ones and those of rejected images among them (position,
            box_index, label), from `mm_assets.aligned.objects.boxes.boxes.list_declared_boxes`. Labels are shifted
            along it. Without it, along ``boxes``, whose labels must then be those delivered.
        policy: tolerance of rounding.

    Returns:
        Rows of ``boxes`` in their order, ids unchanged; ``correction_id`` is that of the last correction that changed
        the box, or null.

    Raises:
        ContractError: a box has no area inside its image once corrected. Converting the images again with the
            corrections rejects such boxes.
    """
    scope = scope_corrections(boxes, corrections)
    sizes = boxes.select("image_width", "image_height").cast(pl.Float64).to_numpy()
    drawn = boxes.select(pl.coalesce("drawn_width", "image_width"), pl.coalesce("drawn_height", "image_height")).cast(
        pl.Float64
    )
    declared = boxes["declared"].explode(empty_as_null=False).to_numpy().astype(np.float64).reshape(-1, 4)
    corners = read_corrected(declared, boxes, sizes, drawn.to_numpy(), scope)
    placed = place_boxes(corners, sizes, policy or ObjectPolicy())
    lost = (placed.corners[:, :2] >= placed.corners[:, 2:]).any(axis=1)
    if lost.any():
        culprit = boxes.row(int(np.argmax(lost)), named=True)
        raise ContractError(
            f"{culprit['record_ref']}: box {culprit['box_index']} has no area inside its image once corrected; "
            "convert the images again with the corrections in force, which rejects it"
        )
    last = scope.last.copy()
    labels = _shift_labels(boxes, corrections, delivered, last)
    x1, y1, x2, y2 = placed.corners.T
    ids = pl.Series(["", *scope.ids], dtype=pl.String)
    return boxes.with_columns(
        pl.Series("label", labels, dtype=pl.String),
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        clipped=placed.clipped,
        correction_id=pl.when(pl.Series(last) >= 0).then(ids.gather(last + 1)),
    )


def _named_rows(boxes: pl.DataFrame, batch: str, rows: Sequence[str]) -> Booleans:
    mask = boxes["batch"] == batch
    return (mask & boxes["box_id"].is_in(list(rows)) if rows else mask).to_numpy()


def _shift_labels(
    boxes: pl.DataFrame,
    corrections: pl.DataFrame,
    delivered: pl.DataFrame | None,
    last: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> list[str | None]:
    """Labels once every ``label_shift`` is undone; writes the place of the last one that acts into ``last``."""
    shifts = [
        (place, event)
        for place, event in enumerate(corrections.iter_rows(named=True))
        if event["level"] == LEVEL and event["kind"] == LABEL_SHIFT
    ]
    if not shifts:
        return boxes["label"].to_list()
    key = ["position", "box_index"]
    order = (boxes if delivered is None else delivered).select(*key, "label").sort(key).with_row_index("place")
    places = boxes.select(key).join(order, on=key, how="left", maintain_order="left")["place"]
    if places.null_count():
        raise ContractError("a box is not among the delivered ones; list the boxes of all images of the batch")
    own = places.to_numpy().astype(np.int64)
    labels = order["label"].to_numpy()
    for place, event in shifts:
        shift = _read_shift(event["parameters_json"])
        acts = _named_rows(boxes, event["batch"], event["rows"])
        moved = np.ones(len(labels), dtype=np.bool_) if not event["rows"] else np.zeros(len(labels), dtype=np.bool_)
        moved[own[acts]] = True
        source = np.arange(len(labels)) + shift.k
        beyond = (source < 0) | (source >= len(labels))
        taken = labels[source % len(labels)]
        if not shift.wrap:
            taken[beyond] = None
        labels = np.where(moved, taken, labels)
        last[acts] = np.maximum(last[acts], place)
    return labels[own].tolist()


def _read_shift(parameters_json: str) -> LabelShift:
    try:
        shift = msgspec.json.decode(parameters_json, type=LabelShift)
    except msgspec.DecodeError as error:
        raise ContractError(f"label_shift: parameters {parameters_json[:80]!r}: {error}; pass k and wrap") from error
    if not shift.k:
        raise ContractError("label_shift: k is 0, which moves nothing; pass how many boxes further the labels stand")
    return shift
