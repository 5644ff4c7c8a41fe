import json
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.corrections import make_correction
from mm_assets.aligned.objects.boxes.boxes import ConvertedBoxes, convert_boxes, list_declared_boxes
from mm_assets.errors import ContractError
from mm_assets.policy import ObjectPolicy
from mm_assets.schemas import TABLES

POLICY = ObjectPolicy()
REF = "b1/images/metadata.jsonl"


def image(position: int, annotations: dict[str, Any] | None, width: int = 200, height: int = 100) -> dict[str, Any]:
    return {
        "batch": "b1",
        "image_id": f"img_{position}",
        "position": position,
        "form": "imagefolder",
        "record_ref": f"{REF}:{position + 1}",
        "source_ref": None,
        "file_name": f"{position}.png",
        "sha256": "0" * 64,
        "size_bytes": 1,
        "source": "vendor-a",
        "source_id": None,
        "license": "CC0-1.0",
        "annotations_json": None if annotations is None else json.dumps(annotations),
        "format": "PNG",
        "width": width,
        "height": height,
        "nsfw_score": None,
    }


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=TABLES["images"].schema)


def convert(boxes: list[list[float | None]], box_format: str | None = "xyxy_pixels", **more: Any) -> ConvertedBoxes:
    annotations = {"box_format": box_format, "objects": {"bbox": boxes}} | more
    return convert_boxes(frame(image(0, annotations)), POLICY)


def corners(rows: pl.DataFrame) -> list[tuple[float, ...]]:
    return rows.select("x1", "y1", "x2", "y2").rows()


def test_box_becomes_a_row_with_where_it_came_from() -> None:
    annotations = {
        "box_format": "xywh_pixels",
        "objects": {
            "bbox": [[30, 20, 50, 40], [0, 0, 10, 10]],
            "categories": [" duck ", 7],
            "annotators": ["kim", None],
        },
        "annotator": "lee",
        "descriptions": ["A duck."],
    }
    converted = convert_boxes(frame(image(0, None), image(1, {"width": 3}), image(2, annotations)), POLICY)
    assert converted.seen == 2
    first, second = converted.kept.rows(named=True)
    assert (first["x1"], first["y1"], first["x2"], first["y2"]) == (30.0, 20.0, 80.0, 60.0)
    assert (first["image_id"], first["position"], first["box_index"]) == ("img_2", 2, 0)
    assert (first["record_ref"], first["source"]) == (f"{REF}:3", "vendor-a")
    assert (first["label"], first["annotator"]) == ("duck", "kim")
    assert (second["label"], second["annotator"]) == ("7", "lee")
    assert first["declared"] == [30.0, 20.0, 50.0, 40.0]
    assert (first["source_convention"], first["conversion_version"]) == ("xywh_pixels", "1")
    assert (first["clipped"], first["correction_id"], first["drawn_width"]) == (False, None, None)
    assert converted.kept.schema == TABLES["boxes"].schema


@pytest.mark.parametrize(
    ("box", "code"),
    [
        ([10, 10, 30], "BOX_NUMBERS"),
        ([10, 10, 30, 40, 1], "BOX_NUMBERS"),
        ([], "BOX_NUMBERS"),
        ([10, 10, None, 40], "NAN_VALUE"),
        ([10, 10, 10, 40], "BOX_SIZE"),
        ([10, 40, 30, 10], "BOX_SIZE"),
        ([199.9999999, 10, 199.99999999, 20], "BOX_SIZE"),
        ([10, 10, 205, 40], "BOX_OUTSIDE"),
        ([10, -3, 30, 40], "BOX_OUTSIDE"),
        ([200, 10, 203, 40], "BOX_OUTSIDE"),
        ([-3, 10, 0, 40], "BOX_OUTSIDE"),
        ([1e300, 10, 1.7e308, 40], "BOX_OUTSIDE"),
    ],
)
def test_unusable_box_is_rejected_alone_and_named(box: list[float | None], code: str) -> None:
    converted = convert([[1, 2, 3, 4], box, [5, 6, 7, 8]])
    assert converted.kept["box_index"].to_list() == [0, 2]
    (row,) = converted.rejected.rows(named=True)
    assert (row["stage"], row["record_kind"], row["code"]) == ("boxes", "box", code)
    assert row["record_ref"] == f"{REF}:1#box/1"
    assert row["reason"].startswith(f"{REF}:1: box 1 (")
    assert row["record_id"].startswith("box_")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"box_format": None}, "MISSING_BOX_FORMAT"),
        ({"box_format": "polar"}, "UNKNOWN_BOX_FORMAT"),
        ({"objects": {"bbox": [[1, 2, 3, 4]], "categories": ["a", "b"]}}, "BOX_COUNT"),
        ({"objects": {"bbox": [[1, 2, 3, 4]], "annotators": []}}, "BOX_COUNT"),
        ({"objects": {"bbox": [[1, 2, 3, 4]], "categories": ["a\0b"]}}, "NUL_BYTE"),
        ({"width": 100, "height": 200}, "SIZE_MISMATCH"),
        ({"width": 150, "height": 100}, "SIZE_MISMATCH"),
        ({"width": 0, "height": 0}, "SIZE_MISMATCH"),
        ({"width": 10**30, "height": 10**30}, "SIZE_MISMATCH"),
        ({"width": -200, "height": 100}, "SIZE_MISMATCH"),
    ],
)
def test_faults_of_the_whole_record_reject_each_of_its_boxes(more: dict[str, Any], code: str) -> None:
    annotations = {"box_format": "xyxy_pixels", "objects": {"bbox": [[1, 2, 3, 4]]}} | more
    converted = convert_boxes(frame(image(0, annotations)), POLICY)
    assert converted.rejected["code"].to_list() == [code]
    assert not len(converted.kept)


def test_slightly_outside_is_clipped_and_marked_and_rounding_is_neither() -> None:
    converted = convert([[-1.5, 0, 50, 101], [0, 0, 203.9, 50], [0, 0, 200.001, 100], [0, 0, 200, 100]])
    assert corners(converted.kept) == [(0, 0, 50, 100), (0, 0, 200, 50), (0, 0, 200, 100), (0, 0, 200, 100)]
    assert converted.kept["clipped"].to_list() == [True, True, False, False]
    assert converted.kept["declared"][0].to_list() == [-1.5, 0.0, 50.0, 101.0]


@pytest.mark.parametrize(
    ("declared", "drawn"),
    [
        ({"width": 400, "height": 200}, (400, 200)),
        ({"width": 400}, (400, 200)),
        ({"height": 200}, (400, 200)),
    ],
)
def test_boxes_drawn_on_another_size_are_scaled_and_marked(declared: dict[str, int], drawn: tuple[int, int]) -> None:
    converted = convert([[60, 40, 160, 120]], **declared)
    assert corners(converted.kept) == [(30, 20, 80, 60)]
    assert converted.kept.select("drawn_width", "drawn_height").row(0) == drawn


def test_sides_rounded_by_a_resize_are_no_mismatch_and_shares_hold_for_any_size() -> None:
    thumbnail = frame(image(0, {"box_format": "xyxy_pixels", "objects": {"bbox": [[0, 0, 1000, 667]]}}, 50, 33))
    rounded = thumbnail.with_columns(
        annotations_json=pl.lit(
            json.dumps(
                {"box_format": "xyxy_pixels", "width": 1000, "height": 667, "objects": {"bbox": [[0, 0, 1000, 667]]}}
            )
        )
    )
    assert convert_boxes(thumbnail, POLICY).rejected["code"].to_list() == ["BOX_OUTSIDE"]
    assert corners(convert_boxes(rounded, POLICY).kept) == [(0, 0, 50, 33)]
    shares = convert([[0.25, 0.5, 0.75, 1.0]], "xyxy_0_1", width=100, height=200)
    assert corners(shares.kept) == [(50, 50, 150, 100)]


def test_declared_size_equal_to_the_stored_is_no_mark() -> None:
    converted = convert([[1, 2, 3, 4]], width=200, height=100)
    assert converted.kept["drawn_width"].to_list() == [None]


def test_ids_depend_on_image_place_and_numbers_only() -> None:
    first = convert([[1, 2, 3, 4], [1, 2, 3, 4]])
    again = convert([[1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0]], annotator="kim")
    moved = convert([[1, 2, 3, 5], [1, 2, 3, 4]])
    assert first.kept["box_id"].to_list() == again.kept["box_id"].to_list()
    assert first.kept["box_id"].n_unique() == 2
    assert [a == b for a, b in zip(first.kept["box_id"], moved.kept["box_id"], strict=True)] == [False, True]


def test_chunks_give_the_rows_of_the_whole() -> None:
    rows = [
        image(place, {"box_format": "cxcywh_0_1", "objects": {"bbox": [[0.5, 0.5, 0.2, place / 5], [0.5, 0.5, 9, 9]]}})
        for place in range(7)
    ]
    whole = convert_boxes(frame(*rows), POLICY)
    parts = [convert_boxes(frame(*rows[start : start + 3]), POLICY) for start in range(0, 7, 3)]
    assert pl.concat([part.kept for part in parts]).equals(whole.kept)
    assert pl.concat([part.rejected for part in parts]).equals(whole.rejected)
    assert sum(part.seen for part in parts) == whole.seen == len(whole.kept) + len(whole.rejected)


def test_images_without_boxes_are_nothing() -> None:
    converted = convert_boxes(frame(image(0, None), image(1, {"objects": {"bbox": []}})), POLICY)
    assert (len(converted.kept), len(converted.rejected), converted.seen) == (0, 0, 0)
    assert convert_boxes(frame(), POLICY).kept.schema == TABLES["boxes"].schema


def test_foreign_annotations_are_our_fault() -> None:
    broken = frame(image(0, None)).with_columns(annotations_json=pl.lit('{"objects": {"bbox": 7}}'))
    with pytest.raises(ContractError, match=f"{REF}:1: annotations are not as the readers write them"):
        convert_boxes(broken, POLICY)


def test_declared_boxes_of_raw_images_have_no_size() -> None:
    raw = frame(image(1, {"objects": {"bbox": [[1, 2]], "categories": ["b"]}}), image(0, {"objects": {"bbox": [[3]]}}))
    listed = list_declared_boxes(raw.drop("width", "height"))
    assert listed.select("position", "box_index", "label", "image_width").rows() == [
        (0, 0, None, None),
        (1, 0, "b", None),
    ]


def correction(kind: str, **more: Any) -> pl.DataFrame:
    event = {"batch": "b1", "level": "object", "kind": kind, "parameters": {}, "rows": [], "evaluation_id": "eval_1"}
    return make_correction(**(event | {"by": "kim", "reason": "diagnosed", "at_us": 1} | more))


def test_convention_is_corrected_before_boxes_are_judged() -> None:
    annotations = {"box_format": "xyxy_pixels", "objects": {"bbox": [[100, 50, 40, 30], [10, 10, 40, 30]]}}
    images = frame(image(0, annotations))
    as_given = convert_boxes(images, POLICY)
    assert as_given.rejected["code"].to_list() == ["BOX_SIZE"]
    fix = correction("xywh_as_xyxy")
    corrected = convert_boxes(images, POLICY, fix)
    assert corners(corrected.kept) == [(100, 50, 140, 80), (10, 10, 50, 40)]
    assert corrected.kept["correction_id"].to_list() == fix["correction_id"].to_list() * 2
    assert not len(corrected.rejected)
    assert as_given.kept["box_id"][0] == corrected.kept["box_id"][1]


def test_pixels_declared_as_shares_are_read_on_the_size_they_were_drawn_on() -> None:
    annotations = {"box_format": "xyxy_0_1", "objects": {"bbox": [[60, 40, 160, 120]]}, "width": 400, "height": 200}
    fix = correction("pixels_as_normalised")
    assert corners(convert_boxes(frame(image(0, annotations)), POLICY, fix).kept) == [(30, 20, 80, 60)]
    turned = frame(image(0, annotations | {"width": 200, "height": 400}))
    assert convert_boxes(turned, POLICY, fix).rejected["code"].to_list() == ["SIZE_MISMATCH"]


def test_box_that_a_correction_breaks_is_rejected_and_the_correction_named() -> None:
    annotations = {"box_format": "xywh_pixels", "objects": {"bbox": [[150, 50, 40, 30]]}}
    fix = correction("xyxy_as_xywh")
    rejected = convert_boxes(frame(image(0, annotations)), POLICY, fix).rejected
    assert rejected["code"].to_list() == ["BOX_SIZE"]
    assert f"corrected by {fix['correction_id'][0]}" in rejected["reason"][0]


number = st.floats(-50, 400) | st.sampled_from([0.0, 100.0, 200.0, 1e308, -1e308, 1e-320]) | st.none()
anything = st.lists(
    st.tuples(
        st.lists(st.lists(number, min_size=3, max_size=5) | st.lists(number, min_size=4, max_size=4), max_size=4),
        st.sampled_from(["xyxy_pixels", "xywh_pixels", "cxcywh_0_1", "xyxy_0_1", "xyxy_0_1000", None, "?"]),
        st.none() | st.integers(-5, 800),
        st.none() | st.integers(-5, 800),
        st.integers(32, 800),
        st.integers(32, 800),
    ),
    max_size=5,
)
kinds = st.sampled_from(
    [None, "mirror_x", "xywh_as_xyxy", "normalised_as_pixels", "pixels_as_normalised", "swapped_axes"]
)


@given(anything, kinds)
def test_every_box_is_kept_inside_its_image_or_rejected(drawn, kind: str | None) -> None:
    images = frame(
        *(
            image(
                place,
                {"box_format": name, "objects": {"bbox": boxes}, "width": declared[0], "height": declared[1]},
                *stored,
            )
            for place, (boxes, name, *sizes) in enumerate(drawn)
            for declared, stored in [(sizes[:2], sizes[2:])]
        )
    )
    converted = convert_boxes(images, POLICY, None if kind is None else correction(kind))
    kept = converted.kept
    assert converted.seen == sum(len(boxes) for boxes, *_ in drawn) == len(kept) + len(converted.rejected)
    counted = Counter(kept["box_id"]) + Counter(converted.rejected["record_id"])
    assert len(counted) == converted.seen
    inside = (
        (pl.col("x1") < pl.col("x2"))
        & (pl.col("y1") < pl.col("y2"))
        & (pl.min_horizontal("x1", "y1") >= 0)
        & (pl.col("x2") <= pl.col("image_width"))
        & (pl.col("y2") <= pl.col("image_height"))
    )
    assert kept.filter(~inside).is_empty()
