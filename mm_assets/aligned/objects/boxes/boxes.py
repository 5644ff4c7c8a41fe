"""Convert declared boxes, once, to pixel corners of the stored image; turn away the unusable ones one by one.

Declared sizes: where a delivery states a ``width`` and ``height`` other than the stored image's, numbers in pixels were
drawn on a picture of that size. If it has the stored image's aspect the picture was resized, and the box is scaled
(``drawn_width`` and ``drawn_height`` keep the mark); if not, it was cropped or turned (EXIF orientation), nobody knows
how, and the box is rejected with ``SIZE_MISMATCH``. Shares of the sides hold for any size and are taken as they are.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from mm_assets.aligned.objects.boxes.conventions import CONVENTIONS, CONVERSION_VERSION, Floats
from mm_assets.aligned.objects.boxes.corrections import CorrectionScope, read_corrected, scope_corrections
from mm_assets.aligned.objects.boxes.placement import Booleans, Placement, place_boxes
from mm_assets.aligned.objects.boxes.readings import reads_pixels
from mm_assets.errors import ContractError
from mm_assets.identifiers import make_id
from mm_assets.policy import ObjectPolicy
from mm_assets.schemas import TABLES

STAGE: Final = "boxes"
RECORD_KIND: Final = "box"
_NUMBERS: Final = 4
_NUMBERS_TOLD: Final = 6
_NO_SIDE: Final = 2**31 - 1
_FIXES: Final = {
    "BOX_COUNT": "its record has not as many categories or annotators as boxes; give each box one of each",
    "NUL_BYTE": "its category holds the NUL character; write it as plain text",
    "MISSING_BOX_FORMAT": "no convention is declared; state box_format in batch.json",
    "UNKNOWN_BOX_FORMAT": f"its convention is unknown; use one of {', '.join(CONVENTIONS)}",
    "BOX_NUMBERS": "it has not four numbers; write four",
    "NAN_VALUE": "a number is missing or not finite; write four finite numbers or drop the box",
    "SIZE_MISMATCH": "it was drawn on a picture of another shape; deliver the picture as it was drawn on, upright",
    "BOX_SIZE": "its width or height is zero or negative; check the order of the numbers and box_format",
    "BOX_OUTSIDE": "it reaches too far outside the picture; check box_format and the size it was drawn on",
}
_DECLARED: Final = pl.Schema(
    {
        "batch": pl.String,
        "image_id": pl.String,
        "position": pl.Int64,
        "box_index": pl.Int32,
        "record_ref": pl.String,
        "source": pl.String,
        "annotator": pl.String,
        "label": pl.String,
        "declared": pl.List(pl.Float64),
        "source_convention": pl.String,
        "image_width": pl.Int32,
        "image_height": pl.Int32,
        "declared_width": pl.Int64,
        "declared_height": pl.Int64,
        "counted": pl.Boolean,
    }
)


class _Objects(msgspec.Struct):
    bbox: list[list[float | None]]
    categories: list[str | int | None] | None = None
    annotators: list[str | None] | None = None


class _Annotations(msgspec.Struct):
    box_format: str | None = None
    objects: _Objects | None = None
    annotator: str | None = None
    width: int | None = None
    height: int | None = None


_ANNOTATIONS: Final = msgspec.json.Decoder(_Annotations)


@dataclass(frozen=True)
class ConvertedBoxes:
    """What became of the boxes of some images.

    Attributes:
        kept: rows of ``boxes``.
        rejected: rows of ``rejected``, stage and kind ``boxes`` and ``box``.
        seen: boxes declared; kept and rejected ones together.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame
    seen: int


def convert_boxes(
    images: pl.DataFrame, policy: ObjectPolicy, corrections: pl.DataFrame | None = None
) -> ConvertedBoxes:
    """Convert the boxes of images; a chunk of images at a time will do.

    Codes of rejected boxes: ``BOX_COUNT``, ``NUL_BYTE``, ``MISSING_BOX_FORMAT``, ``UNKNOWN_BOX_FORMAT``,
    ``BOX_NUMBERS``, ``NAN_VALUE``, ``SIZE_MISMATCH``, ``BOX_SIZE`` and ``BOX_OUTSIDE``.

    Args:
        images: rows of ``images``.
        policy: tolerances.
        corrections: rows of ``corrections`` in force, oldest first. All but shifts of labels act here, before boxes
            are judged: a misread convention makes most boxes look invalid. Shifts of labels need the whole batch, see
            `mm_assets.aligned.objects.boxes.corrections.correct_boxes`.
    """
    declared = list_declared_boxes(images)
    if not len(declared):
        return ConvertedBoxes(TABLES["boxes"].empty(), TABLES["rejected"].empty(), 0)
    numbers = _numbers(declared["declared"])
    identified = declared.with_columns(code=_judge_declaration())
    readable = identified["code"].is_null().to_numpy()
    usable = identified.filter(readable)
    scope = scope_corrections(usable, corrections)
    sizes = usable.select("image_width", "image_height").cast(pl.Float64).to_numpy()
    drawn, is_resized = _drawn_sizes(usable, sizes, policy)
    in_pixels = _read_as_pixels(usable, scope)
    misdrawn: Booleans = np.any(np.isnan(drawn), axis=1)
    corners = read_corrected(numbers[readable], usable, sizes, np.where(misdrawn[:, None], sizes, drawn), scope)
    placed = place_boxes(corners, sizes, policy)
    faults = np.where(misdrawn & in_pixels, "SIZE_MISMATCH", placed.faults)
    judged = _describe(usable, placed, drawn, is_resized, scope).with_columns(code=pl.Series(faults))
    kept = judged.filter(pl.col("code") == "").select(list(TABLES["boxes"].columns))
    refused = pl.concat(
        [
            identified.filter(~readable).with_columns(correction_id=pl.lit(None, pl.String)),
            judged.filter(pl.col("code") != ""),
        ],
        how="diagonal",
    ).sort("position", "box_index")
    return ConvertedBoxes(TABLES["boxes"].conform(kept), _reject(refused), len(declared))


def list_declared_boxes(images: pl.DataFrame) -> pl.DataFrame:
    """Every box that image records declare, unjudged, in delivery order.

    Args:
        images: rows of ``images``, or of ``raw_images``, which know no size.

    Returns:
        Columns batch, box_id, image_id, position, box_index, record_ref, source, annotator, label, declared (as many
        numbers as delivered, null for what is no finite number), source_convention (null if not declared),
        image_width, image_height, declared_width, declared_height, counted (whether labels are as many as boxes).

    Raises:
        ContractError: annotations are not as the readers write them.
    """
    columns = ["batch", "image_id", "position", "record_ref", "source", "annotations_json"]
    sized = images.select(
        *columns, *(pl.col(name) if name in images.columns else pl.lit(None, pl.Int32).alias(name) for name in _SIZE)
    )
    rows: list[tuple[Any, ...]] = []
    for *record, annotations_json, width, height in sized.sort("position").iter_rows():
        if annotations_json is not None and '"bbox"' in annotations_json:
            rows.extend(_boxes_of(record, annotations_json, width, height))
    listed = pl.DataFrame(rows, schema=_DECLARED, orient="row")
    return listed.with_columns(pl.Series("box_id", _make_ids(listed), dtype=pl.String))


_SIZE: Final = ("width", "height")


def _boxes_of(record: list[Any], annotations_json: str, width: int | None, height: int | None) -> list[tuple[Any, ...]]:
    batch, image_id, position, record_ref, source = record
    try:
        annotations = _ANNOTATIONS.decode(annotations_json)
    except msgspec.DecodeError as error:
        raise ContractError(f"{record_ref}: annotations are not as the readers write them: {error}") from error
    objects = annotations.objects
    if objects is None:
        return []
    count = len(objects.bbox)
    categories = [None] * count if objects.categories is None else objects.categories
    annotators = [None] * count if objects.annotators is None else objects.annotators
    counted = len(categories) == len(annotators) == count
    if not counted:
        categories = annotators = [None] * count
    return [
        (
            batch,
            image_id,
            position,
            index,
            record_ref,
            source,
            annotator or annotations.annotator,
            (None if category is None else str(category).strip()) or None,
            box,
            annotations.box_format,
            width,
            height,
            _side(annotations.width),
            _side(annotations.height),
            counted,
        )
        for index, (box, category, annotator) in enumerate(zip(objects.bbox, categories, annotators, strict=True))
    ]


def _side(declared: int | None) -> int | None:
    """A declared side, bounded: nonsense is told apart later, it only has to fit."""
    return None if declared is None else min(max(declared, 0), _NO_SIDE)


def _numbers(declared: pl.Series) -> Floats:
    """The four numbers of every box, shape (N, 4); NaN where there are not four."""
    four = [pl.col("declared").list.get(place, null_on_oob=True).alias(str(place)) for place in range(_NUMBERS)]
    return declared.to_frame("declared").select(four).fill_null(float("nan")).to_numpy()


def _make_ids(declared: pl.DataFrame) -> list[str]:
    return [
        make_id(RECORD_KIND, image_id, index, *map(str, numbers))
        for image_id, index, numbers in declared.select("image_id", "box_index", "declared").iter_rows()
    ]


def _judge_declaration() -> pl.Expr:
    """What is wrong with a box before its place is known; null if nothing."""
    convention, numbers = pl.col("source_convention"), pl.col("declared")
    return (
        pl.when(~pl.col("counted"))
        .then(pl.lit("BOX_COUNT"))
        .when(pl.col("label").str.contains("\0", literal=True).fill_null(value=False))
        .then(pl.lit("NUL_BYTE"))
        .when(convention.is_null())
        .then(pl.lit("MISSING_BOX_FORMAT"))
        .when(~convention.is_in(list(CONVENTIONS)))
        .then(pl.lit("UNKNOWN_BOX_FORMAT"))
        .when(numbers.list.len() != _NUMBERS)
        .then(pl.lit("BOX_NUMBERS"))
        .when(numbers.list.eval(pl.element().is_null() | ~pl.element().is_finite()).list.any())
        .then(pl.lit("NAN_VALUE"))
    )


def _drawn_sizes(usable: pl.DataFrame, sizes: Floats, policy: ObjectPolicy) -> tuple[Floats, Booleans]:
    """Sizes the numbers were drawn on, NaN where that picture has another shape; and which differ from the stored."""
    declared = usable.select("declared_width", "declared_height").cast(pl.Float64).fill_null(float("nan")).to_numpy()
    ratio = declared / sizes
    other = ratio[:, ::-1]
    drawn = np.rint(np.where(np.isnan(declared), sizes * np.where(np.isnan(other), 1.0, other), declared))
    scale = drawn / sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        aspect = np.abs(scale[:, 0] / scale[:, 1] - 1.0)
        # A resize rounds each side to a pixel, on the smaller of the two pictures.
        rounding = 1.0 / np.minimum(drawn, sizes).min(axis=1)
    is_resize = ((drawn > 0.0) & (drawn < _NO_SIDE)).all(axis=1) & (
        aspect <= np.maximum(policy.resize_tolerance, rounding)
    )
    return np.where(is_resize[:, None], drawn, np.nan), is_resize & (drawn != sizes).any(axis=1)


def _read_as_pixels(usable: pl.DataFrame, scope: CorrectionScope) -> Booleans:
    in_pixels = np.zeros(len(usable), dtype=np.bool_)
    conventions: npt.NDArray[np.object_] = usable["source_convention"].to_numpy()
    for group in scope.groups:
        declared = conventions[group.rows].tolist()
        in_pixels[group.rows] = reads_pixels(declared, len(declared), group.readings)
    return in_pixels


def _describe(
    usable: pl.DataFrame, placed: Placement, drawn: Floats, is_resized: Booleans, scope: CorrectionScope
) -> pl.DataFrame:
    x1, y1, x2, y2 = placed.corners.T
    ids = pl.Series(["", *scope.ids], dtype=pl.String)
    resized = pl.Series(is_resized)
    return usable.with_columns(
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        clipped=placed.clipped,
        conversion_version=pl.lit(CONVERSION_VERSION),
        drawn_width=pl.when(resized).then(pl.Series(drawn[:, 0])).cast(pl.Int32),
        drawn_height=pl.when(resized).then(pl.Series(drawn[:, 1])).cast(pl.Int32),
        correction_id=pl.when(pl.Series(scope.last) >= 0).then(ids.gather(scope.last + 1)),
    )


def _reject(refused: pl.DataFrame) -> pl.DataFrame:
    told = (
        pl.col("declared")
        .list.head(_NUMBERS_TOLD)
        .list.eval(pl.element().cast(pl.String).fill_null("null"))
        .list.join(", ")
    )
    return TABLES["rejected"].conform(
        refused.select(
            "batch",
            pl.lit(STAGE).alias("stage"),
            pl.lit(RECORD_KIND).alias("record_kind"),
            pl.format("{}#box/{}", "record_ref", "box_index").alias("record_ref"),
            pl.col("box_id").alias("record_id"),
            "code",
            pl.format(
                "{}: box {} ({}) of a picture of {} x {} px{}{}: {}",
                "record_ref",
                "box_index",
                told,
                "image_width",
                "image_height",
                pl.when(pl.col("declared_width").is_not_null())
                .then(pl.format(", declared as {} x {}", "declared_width", pl.col("declared_height").fill_null("?")))
                .otherwise(pl.lit("")),
                pl.when(pl.col("correction_id").is_not_null())
                .then(pl.format(", corrected by {}", "correction_id"))
                .otherwise(pl.lit("")),
                pl.col("code").replace_strict(_FIXES, return_dtype=pl.String),
            ).alias("reason"),
        )
    )
