import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.corrections import active_corrections, make_correction, withdraw_correction
from mm_assets.aligned.objects.boxes.boxes import convert_boxes, list_declared_boxes
from mm_assets.aligned.objects.boxes.corrections import correct_boxes
from mm_assets.aligned.objects.boxes.readings import Reading, write_boxes
from mm_assets.errors import ContractError
from mm_assets.policy import ObjectPolicy
from mm_assets.schemas import TABLES

POLICY = ObjectPolicy()
WIDTH, HEIGHT = 640, 480
PER_IMAGE = 3


def deliver(numbers: np.ndarray, convention: str, labels: list[str] | None = None, **more: Any) -> pl.DataFrame:
    """Rows of ``images`` that declare these numbers, three boxes to an image."""
    rows: list[dict[str, Any]] = []
    for position, start in enumerate(range(0, len(numbers), PER_IMAGE)):
        span = slice(start, start + PER_IMAGE)
        objects = {"bbox": numbers[span].tolist(), "categories": None if labels is None else labels[span]}
        annotations = {"box_format": convention, "objects": objects} | more
        rows.append(
            {
                "batch": "b1",
                "image_id": f"img_{position}",
                "position": position,
                "form": "imagefolder",
                "record_ref": f"b1/images/metadata.jsonl:{position + 1}",
                "file_name": f"{position}.png",
                "sha256": "0" * 64,
                "size_bytes": 1,
                "source": "vendor-a",
                "license": "CC0-1.0",
                "annotations_json": json.dumps(annotations),
                "format": "PNG",
                "width": WIDTH,
                "height": HEIGHT,
            }
        )
    return pl.DataFrame(rows, schema=TABLES["images"].schema)


def correction(kind: str, rows: list[str] | None = None, at_us: int = 1, **parameters: Any) -> pl.DataFrame:
    return make_correction(
        batch="b1",
        level="object",
        kind=kind,
        parameters=parameters,
        rows=rows or [],
        evaluation_id="eval_1",
        by="kim",
        reason="diagnosed",
        at_us=at_us,
    )


def scatter(count: int, seed: int) -> np.ndarray:
    """Corners of boxes that keep their order and stay inside under every fault of this module's tests."""
    generator = np.random.default_rng(seed)
    low = generator.uniform(0.0, 0.4, (count, 2)) * (WIDTH, HEIGHT)
    return np.hstack((low, low + generator.uniform(0.05, 0.3, (count, 2)) * (WIDTH, HEIGHT)))


def corners(rows: pl.DataFrame) -> np.ndarray:
    return rows.select("x1", "y1", "x2", "y2").to_numpy()


def intersection_over_union(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    common = np.prod(np.clip(high - low, 0.0, None), axis=1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return common / (areas[0] + areas[1] - common)


FAULTS = [
    ("xyxy_pixels", "mirror_x", {}),
    ("xywh_pixels", "mirror_y", {}),
    ("xyxy_pixels", "xywh_as_xyxy", {}),
    ("xyxy_0_1000", "xywh_as_xyxy", {}),
    ("xywh_pixels", "xyxy_as_xywh", {}),
    ("xyxy_pixels", "normalised_as_pixels", {}),
    ("xywh_pixels", "normalised_as_pixels", {"range": 1000}),
    ("xyxy_0_1", "pixels_as_normalised", {}),
    ("xyxy_pixels", "swapped_axes", {}),
    ("xyxy_pixels", "scale", {"factor": 0.5}),
    ("xyxy_pixels", "scale", {"factor": 2.0}),
    ("xyxy_0_1", "convention", {"name": "cxcywh_0_1"}),
]


@pytest.mark.parametrize(("convention", "kind", "parameters"), FAULTS)
def test_fault_of_some_rows_is_repaired_and_the_others_are_not_harmed(
    convention: str, kind: str, parameters: dict[str, Any]
) -> None:
    true = scatter(200, seed=11)
    sizes = np.tile([float(WIDTH), float(HEIGHT)], (len(true), 1))
    spoiled = np.random.default_rng(12).random(len(true)) < 0.3
    good = write_boxes(true, convention, sizes, Reading("as_given"))
    bad = write_boxes(true, convention, sizes, Reading(kind, parameters))
    images = deliver(np.where(spoiled[:, None], bad, good), convention)
    ids = list_declared_boxes(images)["box_id"]
    as_given = convert_boxes(images, POLICY)
    fix = correction(kind, ids.filter(pl.Series(spoiled)).to_list(), **parameters)

    repaired = convert_boxes(images, POLICY, fix).kept
    assert len(repaired) == len(true)
    assert intersection_over_union(corners(repaired), true).min() >= 0.99
    assert repaired["correction_id"].is_not_null().to_list() == spoiled.tolist()
    untouched = repaired.filter(~pl.Series(spoiled))
    given_rows = as_given.kept.join(untouched, on="box_id", how="semi")
    assert untouched.equals(given_rows)
    assert repaired["box_id"].to_list() == ids.to_list()

    kept = correct_boxes(as_given.kept, fix)
    assert kept.schema == as_given.kept.schema
    assert kept.equals(repaired.join(as_given.kept, on="box_id", how="semi"))
    assert correct_boxes(kept, fix).equals(kept)
    assert correct_boxes(kept, TABLES["corrections"].empty()).equals(as_given.kept)


def test_what_clipping_cut_off_comes_back() -> None:
    images = deliver(np.array([[-2.0, 10.0, 60.0, 50.0]]), "xywh_pixels")
    given_rows = convert_boxes(images, POLICY).kept
    assert (given_rows["x1"][0], given_rows["clipped"][0]) == (0.0, True)
    halved = correct_boxes(given_rows, correction("scale", factor=0.5))
    assert corners(halved).tolist() == [[0.0, 20.0, 116.0, 120.0]]
    corners_read = correct_boxes(given_rows, correction("xyxy_as_xywh"))
    assert corners(corners_read).tolist() == [[0.0, 10.0, 60.0, 50.0]]
    images = deliver(np.array([[600.0, 10.0, 640.0, 50.0]]), "xyxy_pixels")
    once = correct_boxes(convert_boxes(images, POLICY).kept, correction("scale", factor=0.99))
    assert (once["clipped"][0], once["x2"][0]) == (True, 640.0)
    back = correct_boxes(once, TABLES["corrections"].empty())
    assert (back["clipped"][0], corners(back).tolist()) == (False, [[600.0, 10.0, 640.0, 50.0]])


def test_several_corrections_hold_together_and_the_last_is_named() -> None:
    true = np.array([[100.0, 50.0, 200.0, 120.0]])
    mirrored = np.array([[440.0, 50.0, 100.0, 70.0]])
    given_rows = convert_boxes(deliver(mirrored, "xyxy_pixels"), POLICY, correction("xywh_as_xyxy")).kept
    both = pl.concat([correction("mirror_x", at_us=1), correction("xywh_as_xyxy", at_us=2)])
    fixed = correct_boxes(given_rows, both)
    assert corners(fixed).tolist() == true.tolist()
    assert fixed["correction_id"][0] == both["correction_id"][1]


def test_correction_that_cannot_act_changes_nothing() -> None:
    given_rows = convert_boxes(deliver(scatter(3, 1), "cxcywh_0_1"), POLICY)
    assert given_rows.seen == 3
    images = deliver(np.array([[10.0, 10.0, 20.0, 20.0]]), "xywh_pixels")
    given_rows = convert_boxes(images, POLICY).kept
    for fix in (
        correction("xywh_as_xyxy"),
        correction("mirror_x", ["box_of_nobody"]),
        correction("as_given"),
        correction("mirror_x").with_columns(batch=pl.lit("b2")),
        correction("mirror_x").with_columns(level=pl.lit("segment")),
    ):
        assert correct_boxes(given_rows, fix).equals(given_rows)


def test_box_without_area_after_correction_is_an_error_that_names_it() -> None:
    given_rows = convert_boxes(deliver(np.array([[150.0, 50.0, 40.0, 30.0]]), "xywh_pixels"), POLICY).kept
    with pytest.raises(ContractError, match=r"metadata\.jsonl:1: box 0 has no area"):
        correct_boxes(given_rows, correction("xyxy_as_xywh"))


LABELS = ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize(
    ("delivered", "k", "wrap", "expected"),
    [
        (["?", "a", "b", "c", "d", "e"], 1, False, ["a", "b", "c", "d", "e", None]),
        (["f", "a", "b", "c", "d", "e"], 1, True, LABELS),
        (["c", "d", "e", "f", "a", "b"], -2, True, LABELS),
        (["b", "c", "d", "e", "f", "?"], -1, False, [None, *LABELS[1:]]),
        (LABELS, 9, False, [None] * 6),
    ],
)
def test_labels_are_shifted_back(delivered: list[str], k: int, wrap: bool, expected: list[str | None]) -> None:
    given_rows = convert_boxes(deliver(scatter(6, 2), "xyxy_pixels", delivered), POLICY).kept
    fix = correction("label_shift", k=k, wrap=wrap)
    shifted = correct_boxes(given_rows, fix)
    assert shifted["label"].to_list() == expected
    assert shifted["correction_id"].unique().to_list() == fix["correction_id"].to_list()
    assert shifted.drop("label", "correction_id").equals(given_rows.drop("label", "correction_id"))


def test_labels_shift_along_everything_delivered_not_along_what_was_kept() -> None:
    numbers = scatter(6, 3)
    numbers[2] = [5.0, 5.0, 1.0, 1.0]
    images = deliver(numbers, "xyxy_pixels", ["?", *LABELS[:5]])
    kept_images = images[:1]
    given_rows = convert_boxes(kept_images, POLICY).kept
    assert given_rows["box_index"].to_list() == [0, 1]
    delivered = list_declared_boxes(images)
    shifted = correct_boxes(given_rows, correction("label_shift", k=1), delivered)
    assert shifted["label"].to_list() == ["a", "b"]
    assert correct_boxes(shifted, correction("label_shift", k=1), delivered).equals(shifted)
    last = convert_boxes(images[1:], POLICY).kept
    assert correct_boxes(last, correction("label_shift", k=1), delivered)["label"].to_list() == ["d", "e", None]
    with pytest.raises(ContractError, match="not among the delivered"):
        correct_boxes(last, correction("label_shift", k=1), delivered[:3])


def test_labels_of_named_boxes_only_are_shifted_and_places_may_be_corrected_too() -> None:
    given_rows = convert_boxes(deliver(scatter(6, 4), "xyxy_pixels", ["a", "?", "b", "c", "e", "f"]), POLICY).kept
    named = given_rows["box_id"].to_list()
    shift = correction("label_shift", named[1:4], at_us=2, k=1)
    both = pl.concat([correction("mirror_x", named[:2], at_us=1), shift])
    fixed = correct_boxes(given_rows, both)
    assert fixed["label"].to_list() == ["a", "b", "c", "e", "e", "f"]
    mirror_id, shift_id = both["correction_id"].to_list()
    assert fixed["correction_id"].to_list() == [mirror_id, shift_id, shift_id, shift_id, None, None]
    moved = corners(fixed)[:, [0, 2]] != corners(given_rows)[:, [0, 2]]
    assert moved.any(axis=1).tolist() == [True, True, False, False, False, False]


def test_events_are_rows_of_the_table_with_deterministic_ids() -> None:
    first = correction("scale", ["b", "a"], factor=2)
    same = correction("scale", ["a", "b", "b"], at_us=9, factor=2.0)
    assert first.schema == TABLES["corrections"].schema
    assert first["correction_id"].to_list() == same["correction_id"].to_list()
    assert first["rows"][0].to_list() == ["a", "b"]
    others = [
        correction("scale", ["a"], factor=2),
        correction("scale", ["a", "b"], factor=3),
        correction("mirror_x", ["a", "b"]),
        correction("label_shift", ["a", "b"], k=2),
    ]
    assert len({*first["correction_id"], *(event["correction_id"][0] for event in others)}) == 5
    assert others[3]["parameters_json"].to_list() == ['{"k":2,"wrap":false}']


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("permuted", {}, "unknown reading 'permuted'"),
        ("scale", {}, "factor None"),
        ("label_shift", {}, "missing required field `k`"),
        ("label_shift", {"k": 0}, "k is 0"),
        ("label_shift", {"k": 1.5}, "Expected `int`"),
        ("label_shift", {"k": 1, "by_image": True}, "unknown field"),
    ],
)
def test_impossible_corrections_are_refused(kind: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        correction(kind, **parameters)


def test_who_and_why_are_mandatory() -> None:
    event = {"batch": "b1", "level": "object", "kind": "mirror_x", "parameters": {}, "rows": [], "evaluation_id": "e"}
    for by, reason in ((" ", "why"), ("kim", "")):
        with pytest.raises(ContractError, match="who applies it and why"):
            make_correction(**event, by=by, reason=reason, at_us=1)
        with pytest.raises(ContractError, match="who withdraws"):
            withdraw_correction(correction("mirror_x"), by=by, reason=reason, at_us=2)


def test_withdrawn_corrections_are_not_in_force_until_applied_again() -> None:
    mirror, scale = correction("mirror_x", at_us=5), correction("scale", at_us=3, factor=2)
    events = pl.concat([mirror, scale])
    assert active_corrections(events)["kind"].to_list() == ["scale", "mirror_x"]
    withdrawn = pl.concat([events, withdraw_correction(mirror, by="lee", reason="wrong", at_us=7)])
    assert active_corrections(withdrawn)["kind"].to_list() == ["scale"]
    assert withdrawn["by"].to_list() == ["kim", "kim", "lee"]
    again = pl.concat([withdrawn, correction("mirror_x", at_us=9)])
    assert active_corrections(again)["kind"].to_list() == ["scale", "mirror_x"]
    assert active_corrections(TABLES["corrections"].empty()).is_empty()


boxes = st.lists(
    st.tuples(st.floats(0, 600), st.floats(0, 440), st.floats(1, 600), st.floats(1, 440)).map(
        lambda b: [b[0], b[1], min(b[0] + b[2], 640.0), min(b[1] + b[3], 480.0)]
    ),
    min_size=1,
    max_size=9,
)


@given(boxes, st.sampled_from(["mirror_x", "mirror_y"]), st.data())
def test_correcting_and_withdrawing_restores_every_box(drawn, kind: str, data) -> None:
    given_rows = convert_boxes(deliver(np.array(drawn), "xyxy_pixels"), POLICY).kept
    rows = data.draw(st.lists(st.sampled_from(given_rows["box_id"].to_list()), min_size=1))
    corrected = correct_boxes(given_rows, correction(kind, rows))
    named = given_rows["box_id"].is_in(rows)
    assert corrected.filter(~named).equals(given_rows.filter(~named))
    assert corrected["correction_id"].is_not_null().equals(named)
    np.testing.assert_allclose(
        corners(corrected)[:, 2:] - corners(corrected)[:, :2],
        corners(given_rows)[:, 2:] - corners(given_rows)[:, :2],
        atol=1e-3,
    )
    assert correct_boxes(corrected, TABLES["corrections"].empty()).equals(given_rows)
