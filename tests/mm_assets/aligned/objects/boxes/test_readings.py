import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.objects.boxes.conventions import CONVENTIONS
from mm_assets.aligned.objects.boxes.readings import READING_KINDS, Reading, acts_on, read_boxes, write_boxes
from mm_assets.errors import ContractError

SIZE = np.array([[200.0, 100.0]])
TRUE = np.array([[30.0, 20.0, 80.0, 60.0]])
READINGS = [
    Reading("as_given"),
    Reading("mirror_x"),
    Reading("mirror_y"),
    Reading("xywh_as_xyxy"),
    Reading("xyxy_as_xywh"),
    Reading("normalised_as_pixels"),
    Reading("normalised_as_pixels", {"range": 1000}),
    Reading("pixels_as_normalised"),
    Reading("swapped_axes"),
    Reading("scale", {"factor": 0.5}),
    Reading("scale", {"factor": 3.0}),
    *(Reading("convention", {"name": name}) for name in CONVENTIONS),
]


@pytest.mark.parametrize(
    ("convention", "reading", "declared"),
    [
        ("xyxy_pixels", Reading("as_given"), [30, 20, 80, 60]),
        ("xyxy_pixels", Reading("mirror_x"), [120, 20, 170, 60]),
        ("xyxy_pixels", Reading("mirror_y"), [30, 40, 80, 80]),
        ("xywh_pixels", Reading("mirror_x"), [120, 20, 50, 40]),
        ("xyxy_pixels", Reading("xywh_as_xyxy"), [30, 20, 50, 40]),
        ("xyxy_0_1", Reading("xywh_as_xyxy"), [0.15, 0.2, 0.25, 0.4]),
        ("xyxy_0_1000", Reading("xywh_as_xyxy"), [150, 200, 250, 400]),
        ("xywh_pixels", Reading("xyxy_as_xywh"), [30, 20, 80, 60]),
        ("xyxy_pixels", Reading("normalised_as_pixels"), [0.15, 0.2, 0.4, 0.6]),
        ("xywh_pixels", Reading("normalised_as_pixels"), [0.15, 0.2, 0.25, 0.4]),
        ("xyxy_pixels", Reading("normalised_as_pixels", {"range": 1000}), [150, 200, 400, 600]),
        ("xyxy_0_1", Reading("pixels_as_normalised"), [30, 20, 80, 60]),
        ("xyxy_0_1000", Reading("pixels_as_normalised"), [30, 20, 80, 60]),
        ("cxcywh_0_1", Reading("pixels_as_normalised"), [55, 40, 50, 40]),
        ("xyxy_pixels", Reading("swapped_axes"), [20, 30, 60, 80]),
        ("xywh_pixels", Reading("swapped_axes"), [20, 30, 40, 50]),
        ("xyxy_0_1", Reading("swapped_axes"), [0.2, 0.15, 0.6, 0.4]),
        ("xyxy_pixels", Reading("scale", {"factor": 2.0}), [60, 40, 160, 120]),
        ("xyxy_pixels", Reading("convention", {"name": "cxcywh_0_1"}), [0.275, 0.4, 0.25, 0.4]),
        ("xyxy_pixels", [Reading("mirror_x"), Reading("xywh_as_xyxy")], [120, 20, 50, 40]),
        ("xyxy_pixels", [Reading("xywh_as_xyxy"), Reading("mirror_x")], [120, 20, 50, 40]),
        ("xyxy_pixels", [Reading("mirror_x"), Reading("scale", {"factor": 2.0})], [40, 40, 140, 120]),
    ],
)
def test_fault_is_undone_and_written(convention: str, reading, declared: list[float]) -> None:
    numbers = np.array([declared], dtype=np.float64)
    np.testing.assert_allclose(read_boxes(numbers, convention, SIZE, reading), TRUE, atol=1e-9)
    np.testing.assert_allclose(write_boxes(TRUE, convention, SIZE, reading), numbers, atol=1e-9)


def test_boxes_drawn_on_another_size_are_scaled() -> None:
    drawn = SIZE * 2.0
    numbers = TRUE * 2.0
    np.testing.assert_allclose(read_boxes(numbers, "xyxy_pixels", SIZE, Reading("as_given"), drawn), TRUE)
    mirrored = read_boxes(numbers, "xyxy_pixels", SIZE, Reading("mirror_x"), drawn)
    np.testing.assert_allclose(mirrored, [[120.0, 20.0, 170.0, 60.0]])


def test_reading_that_cannot_act_leaves_the_row_as_given() -> None:
    conventions = list(CONVENTIONS)
    numbers = np.tile([1.0, 2.0, 3.0, 4.0], (len(conventions), 1))
    sizes = np.repeat(SIZE, len(conventions), axis=0)
    as_given = read_boxes(numbers, conventions, sizes, Reading("as_given"))
    for reading in READINGS:
        moved = (read_boxes(numbers, conventions, sizes, reading) != as_given).any(axis=1)
        assert not moved[~acts_on(reading, conventions, len(conventions))].any()
    assert acts_on(Reading("xyxy_as_xywh"), conventions, 5).tolist() == [name == "xywh_pixels" for name in conventions]
    assert acts_on(Reading("convention", {"name": "xyxy_0_1"}), conventions, 5).sum() == 4
    assert not acts_on(Reading("as_given"), conventions, 5).any()


corners = st.tuples(*[st.floats(0.0, 4_000.0)] * 2, *[st.floats(0.5, 2_000.0)] * 2).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
rows = st.lists(
    st.tuples(corners, st.sampled_from(list(CONVENTIONS)), st.integers(1, 5_000), st.integers(1, 5_000)), min_size=1
)


@given(rows, st.lists(st.sampled_from(READINGS), max_size=3))
def test_reading_what_was_written_restores_the_boxes(drawn, readings) -> None:
    true = np.array([box for box, *_ in drawn])
    conventions = [name for _, name, *_ in drawn]
    sizes = np.array([(width, height) for *_, width, height in drawn], dtype=np.float64)
    declared = write_boxes(true, conventions, sizes, readings, sizes * 1.5)
    np.testing.assert_allclose(
        read_boxes(declared, conventions, sizes, readings, sizes * 1.5), true, atol=1e-6, rtol=1e-9
    )


@given(rows, st.sampled_from(["mirror_x", "mirror_y"]))
def test_mirroring_twice_is_as_given(drawn, kind: str) -> None:
    numbers = np.array([box for box, *_ in drawn])
    sizes = np.array([(width, height) for *_, width, height in drawn], dtype=np.float64)
    twice = read_boxes(numbers, "xyxy_pixels", sizes, [Reading(kind), Reading(kind)])
    np.testing.assert_allclose(twice, numbers, atol=1e-9)


def test_broken_numbers_pass_through_without_a_warning() -> None:
    numbers = np.array([[np.nan, np.inf, -np.inf, 1e308]])
    for reading in READINGS:
        assert read_boxes(numbers, "cxcywh_0_1", SIZE, reading).shape == (1, 4)


def test_names_and_json_round_trip() -> None:
    assert Reading("normalised_as_pixels", {"range": 1000}).name == "normalised_as_pixels(1000)"
    assert Reading("convention", {"name": "xyxy_0_1"}).name == "convention(xyxy_0_1)"
    assert {reading.kind for reading in READINGS} == set(READING_KINDS)
    assert len({reading.name for reading in READINGS}) == len(set(READINGS)) == len(READINGS)
    for reading in READINGS:
        assert Reading.from_json(reading.kind, reading.parameters_json) == reading
    assert Reading("scale", {"factor": 2}) == Reading("scale", {"factor": 2.0})
    assert Reading("scale", {"factor": 2}).parameters_json == Reading("scale", {"factor": 2.0}).parameters_json


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("rotate", "{}", "unknown reading 'rotate'"),
        ("scale", "{}", "factor None"),
        ("scale", '{"factor": 0}', "factor 0.0"),
        ("scale", '{"factor": "big"}', "factor 'big'"),
        ("mirror_x", '{"factor": 2}', "unknown parameters"),
        ("convention", '{"name": "polar"}', "unknown box convention"),
        ("convention", "{}", "unknown box convention"),
        ("normalised_as_pixels", '{"range": 255}', "pass 1 or 1000"),
        ("scale", "[2]", "no JSON object"),
        ("scale", '{"factor": [2]}', "no JSON object"),
        ("scale", "{", "no JSON object"),
    ],
)
def test_impossible_readings_are_refused(kind: str, parameters: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        Reading.from_json(kind, parameters)


def test_shapes_must_agree() -> None:
    with pytest.raises(ContractError, match=r"must be \(N, 4\)"):
        read_boxes(np.zeros((2, 4)), "xyxy_pixels", SIZE, Reading("as_given"))
