import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.objects.orientation.patient_orientation import (
    OrientationError,
    flip_orientation,
    is_medical,
    turn_orientation,
)

CHEST = {"patient_orientation": ["L", "F"], "laterality": "R"}


@pytest.mark.parametrize(
    ("quarters", "directions"), [(0, ["L", "F"]), (1, ["H", "L"]), (2, ["R", "H"]), (3, ["F", "R"]), (4, ["L", "F"])]
)
def test_directions_turn_with_the_picture_and_laterality_does_not(quarters: int, directions: list[str]) -> None:
    assert turn_orientation(CHEST, quarters) == {"patient_orientation": directions, "laterality": "R"}


def test_flips_exchange_one_direction() -> None:
    assert flip_orientation(CHEST, horizontal=True)["patient_orientation"] == ["R", "F"]
    assert flip_orientation(CHEST, horizontal=False)["patient_orientation"] == ["L", "H"]
    oblique = {"patient_orientation": ["LPH", "FA"]}
    assert flip_orientation(oblique, horizontal=True) == {"patient_orientation": ["RAF", "FA"]}


def test_only_laterality_stays_as_it_is() -> None:
    assert turn_orientation({"laterality": "L"}, 1) == {"laterality": "L"}
    assert turn_orientation({"patient_orientation": None}, 1) == {"patient_orientation": None}


@pytest.mark.parametrize("orientation", [None, {}, {"laterality": None}, {"patient_orientation": []}, {"a": ""}])
def test_nothing_declared_is_not_medical(orientation) -> None:
    assert not is_medical(orientation)


@pytest.mark.parametrize("orientation", [CHEST, {"laterality": "L"}, {"view": "PA"}])
def test_anything_declared_is(orientation) -> None:
    assert is_medical(orientation)


@pytest.mark.parametrize(
    "orientation",
    [
        {"patient_orientation": ["L"]},
        {"patient_orientation": "LF"},
        {"patient_orientation": ["L", "Q"]},
        {"patient_orientation": ["", "F"]},
        {"patient_orientation": ["l", "f"]},
        {"patient_orientation": ["L", "F"], "image_orientation": [1, 0, 0, 0, 1, 0]},
    ],
)
def test_what_cannot_follow_is_refused(orientation) -> None:
    for follow in (lambda: turn_orientation(orientation, 1), lambda: flip_orientation(orientation, horizontal=True)):
        with pytest.raises(OrientationError) as raised:
            follow()
        assert raised.value.code == "ORIENTATION"


# A picture whose pixels are where they lie in the body: (to the left, to the feet), of a frontal view.
BODY = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), axis=-1)
AXES = {"L": (0, 1.0), "R": (0, -1.0), "F": (1, 1.0), "H": (1, -1.0)}


@given(st.lists(st.sampled_from(["turn", "horizontal", "vertical"]), max_size=5))
def test_metadata_says_where_the_pixels_went(steps: list[str]) -> None:
    body, orientation = BODY, {"patient_orientation": ["L", "F"]}
    for step in steps:
        if step == "turn":
            body, orientation = np.rot90(body, -1), turn_orientation(orientation, 1)
        else:
            horizontal = step == "horizontal"
            body = body[:, ::-1] if horizontal else body[::-1]
            orientation = flip_orientation(orientation, horizontal=horizontal)
    right, down = orientation["patient_orientation"]
    for direction, difference in ((right, body[0, 1] - body[0, 0]), (down, body[1, 0] - body[0, 0])):
        axis, sign = AXES[direction]
        assert difference[axis] == sign
        assert difference[1 - axis] == 0.0
