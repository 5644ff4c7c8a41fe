# pyright: strict
"""The boxes an object gate looks at, in delivery order: the kept ones, and those turned away for where they lie.

Refused boxes matter: a convention misread sends most boxes outside their picture, where conversion rejects them, and
what is left looks merely sparse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import polars as pl

from mm_assets.aligned.objects.boxes.boxes import RECORD_KIND, STAGE, list_declared_boxes
from mm_assets.aligned.objects.boxes.conventions import Floats
from mm_assets.aligned.objects.boxes.corrections import CorrectionScope, read_corrected, scope_corrections
from mm_assets.aligned.objects.boxes.placement import NO_AREA, OUTSIDE
from mm_assets.gates.recall_input import Booleans, Integers, caption_key

_KEY: Final = ["position", "box_index"]
_REFUSED_CODES: Final = (NO_AREA, OUTSIDE)
_COLUMNS: Final = (
    "batch",
    "box_id",
    "image_id",
    "position",
    "box_index",
    "label",
    "declared",
    "source_convention",
    "image_width",
    "image_height",
    "drawn_width",
    "drawn_height",
)


class _Orientation(msgspec.Struct):
    orientation: dict[str, object] | None = None


_ORIENTATION: Final = msgspec.json.Decoder(_Orientation)


@dataclass(frozen=True, eq=False)
class GateBoxes:
    """Labelled boxes of one batch, ordered by position and box index.

    Attributes:
        frame: n rows: the columns a reading needs, and ``kept``.
        label_of: shape (n,), row of ``labels``.
        labels: distinct labels; those that differ in case or space only are one.
        image_of: shape (n,), row of ``image_ids``.
        image_ids: images with boxes, in delivery order.
        places: shape (n,), place of each box among all declared ones, unlabelled ones among them.
        declared_boxes: how many those are.
        is_medical: shape (n,), whether the image declares an orientation.
        scope: corrections in force on each box.
    """

    frame: pl.DataFrame
    label_of: Integers
    labels: tuple[str, ...]
    image_of: Integers
    image_ids: tuple[str, ...]
    places: Integers
    declared_boxes: int
    is_medical: Booleans
    scope: CorrectionScope

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def kept(self) -> Booleans:
        """Which boxes passed conversion, shape (n,)."""
        return self.frame["kept"].to_numpy()

    @property
    def sizes(self) -> Floats:
        """Width and height of the stored images, pixels, shape (n, 2)."""
        return self.frame.select("image_width", "image_height").cast(pl.Float64).to_numpy()

    @property
    def drawn_sizes(self) -> Floats:
        """Width and height of the pictures the numbers were drawn on, pixels, shape (n, 2)."""
        stated = (pl.coalesce("drawn_width", "image_width"), pl.coalesce("drawn_height", "image_height"))
        return self.frame.select(stated).cast(pl.Float64).to_numpy()

    @property
    def declared(self) -> Floats:
        """The numbers as delivered, shape (n, 4)."""
        return self.frame["declared"].explode(empty_as_null=False).to_numpy().astype(np.float64).reshape(-1, 4)

    @property
    def conventions(self) -> list[str]:
        """The declared conventions, n names."""
        return self.frame["source_convention"].to_list()

    @property
    def box_ids(self) -> list[str]:
        """Their n ids."""
        return self.frame["box_id"].to_list()

    def read_as_given(self) -> Floats:
        """Corners under the corrections in force, not clipped, shape (n, 4)."""
        return read_corrected(self.declared, self.frame, self.sizes, self.drawn_sizes, self.scope)

    def neighbours(self, k: int) -> Integers:
        """Row of the box that stands ``k`` declared boxes further, round the ends, shape (n,); -1 if it is no row."""
        row_at = np.full(max(self.declared_boxes, 1), -1, dtype=np.int64)
        row_at[self.places] = np.arange(len(self))
        return row_at[(self.places + k) % len(row_at)]


def read_gate_boxes(
    boxes: pl.DataFrame,
    images: pl.DataFrame,
    rejected: pl.DataFrame | None = None,
    corrections: pl.DataFrame | None = None,
    delivered: pl.DataFrame | None = None,
) -> GateBoxes:
    """Gather the labelled boxes of a batch.

    Args:
        boxes: rows of ``boxes``.
        images: rows of ``images``: image_id, and for refused boxes and orientations position, record_ref, source,
            width, height and annotations_json.
        rejected: rows of ``rejected``; of stage ``boxes`` those without area or outside their image are gathered too.
        corrections: rows of ``corrections`` in force, oldest first.
        delivered: every box the delivery declares (position, box_index), those of rejected images among them; labels
            are shifted along it. By default the boxes that ``images`` declare.
    """
    kept = boxes.select(_COLUMNS).with_columns(kept=pl.lit(value=True))
    declared = _list_declared(images)
    refused = _list_refused(declared, rejected)
    rows = pl.concat([kept, refused.select(*_COLUMNS, "kept")], how="vertical_relaxed").sort(_KEY)
    rows = rows.join(images.select("image_id"), on="image_id", how="semi", maintain_order="left")
    everything = rows.select(_KEY)
    sequenced = declared if delivered is None else delivered
    if sequenced is not None:
        everything = pl.concat([everything, sequenced.select(_KEY)], how="vertical_relaxed").unique().sort(_KEY)
    labelled = rows.filter(pl.col("label").is_not_null())
    order = everything.with_row_index("place")
    places = labelled.select(_KEY).join(order, on=_KEY, how="left", maintain_order="left")["place"]
    place_of = places.to_numpy().astype(np.int64)
    image_ids = labelled["image_id"].unique(maintain_order=True)
    image_rows = pl.DataFrame({"image_id": image_ids}).with_row_index("row")
    of_image = labelled.select("image_id").join(image_rows, on="image_id", how="left", maintain_order="left")["row"]
    labels, label_of = _number_labels(labelled["label"].to_list())
    return GateBoxes(
        frame=labelled,
        label_of=label_of,
        labels=labels,
        image_of=of_image.to_numpy().astype(np.int64),
        image_ids=tuple(image_ids.to_list()),
        places=place_of,
        declared_boxes=len(everything),
        is_medical=labelled["image_id"].is_in(_list_medical(images)).to_numpy(),
        scope=scope_corrections(labelled, corrections),
    )


def take_boxes(boxes: GateBoxes, rows: Integers, corrections: pl.DataFrame | None = None) -> GateBoxes:
    """Some of the boxes with their labels; images and places keep their numbers.

    Args:
        boxes: all of them.
        rows: which, increasing.
        corrections: the corrections in force.
    """
    frame = boxes.frame[rows]
    codes: list[int] = boxes.label_of[rows].tolist()
    labels, label_of = _number_labels([boxes.labels[code] for code in codes])
    return GateBoxes(
        frame=frame,
        label_of=label_of,
        labels=labels,
        image_of=boxes.image_of[rows],
        image_ids=boxes.image_ids,
        places=boxes.places[rows],
        declared_boxes=boxes.declared_boxes,
        is_medical=boxes.is_medical[rows],
        scope=scope_corrections(frame, corrections),
    )


def sample_boxes(boxes: GateBoxes, *, max_boxes: int, images_per_window: int, seed: int) -> Integers:
    """Rows to judge: all, or those of whole windows of neighbouring images, drawn by seed, increasing.

    Args:
        boxes: the batch.
        max_boxes: most boxes; one window is taken whatever its size.
        images_per_window: images of a window.
        seed: seed of the draw.
    """
    if len(boxes) <= max_boxes:
        return np.arange(len(boxes), dtype=np.int64)
    window_of = boxes.image_of // images_per_window
    counts = np.bincount(window_of)
    drawn = np.random.default_rng(seed).permutation(len(counts))
    chosen = drawn[np.cumsum(counts[drawn]) <= max_boxes]
    if not len(chosen):
        return np.flatnonzero(window_of == drawn[0])[:max_boxes].astype(np.int64)
    return np.flatnonzero(np.isin(window_of, chosen)).astype(np.int64)


def _number_labels(spelled: list[str]) -> tuple[tuple[str, ...], Integers]:
    """Distinct labels in order of appearance, and the number of each; case and space do not count."""
    codes: dict[str, int] = {}
    numbers = np.array([codes.setdefault(caption_key(label), len(codes)) for label in spelled], dtype=np.int64)
    firsts: list[int] = np.unique(numbers, return_index=True)[1].tolist()
    return tuple(spelled[first] for first in firsts), numbers


def _list_declared(images: pl.DataFrame) -> pl.DataFrame | None:
    needed = {"batch", "image_id", "position", "record_ref", "source", "annotations_json"}
    return list_declared_boxes(images) if needed <= set(images.columns) else None


def _list_refused(declared: pl.DataFrame | None, rejected: pl.DataFrame | None) -> pl.DataFrame:
    """Boxes turned away for where they lie, with what a reading needs."""
    if declared is None or rejected is None:
        return pl.DataFrame(schema=_REFUSED_SCHEMA)
    turned_away = rejected.filter(
        (pl.col("stage") == STAGE) & (pl.col("record_kind") == RECORD_KIND) & pl.col("code").is_in(_REFUSED_CODES)
    ).select("record_ref", box_id="record_id")
    stated = (pl.col("declared_width") > 0) & (pl.col("declared_height") > 0)
    return (
        declared.with_columns(record_ref=pl.format("{}#box/{}", "record_ref", "box_index"))
        .join(turned_away, on="record_ref", how="inner", maintain_order="left")
        .with_columns(
            drawn_width=pl.when(stated).then("declared_width").cast(pl.Int32),
            drawn_height=pl.when(stated).then("declared_height").cast(pl.Int32),
            kept=pl.lit(value=False),
        )
        .select(list(_REFUSED_SCHEMA))
    )


_REFUSED_SCHEMA: Final = pl.Schema(
    {
        "batch": pl.String,
        "box_id": pl.String,
        "image_id": pl.String,
        "position": pl.Int64,
        "box_index": pl.Int32,
        "label": pl.String,
        "declared": pl.List(pl.Float64),
        "source_convention": pl.String,
        "image_width": pl.Int32,
        "image_height": pl.Int32,
        "drawn_width": pl.Int32,
        "drawn_height": pl.Int32,
        "kept": pl.Boolean,
    }
)


def _list_medical(images: pl.DataFrame) -> Sequence[str]:
    """Images that declare an orientation."""
    if "annotations_json" not in images.columns:
        return []
    mentions = pl.col("annotations_json").str.contains('"orientation"', literal=True)
    stated = images.filter(mentions.fill_null(value=False))
    found: list[str] = []
    for image_id, text in stated.select("image_id", "annotations_json").iter_rows():
        if _ORIENTATION.decode(text).orientation:
            found.append(image_id)
    return found
