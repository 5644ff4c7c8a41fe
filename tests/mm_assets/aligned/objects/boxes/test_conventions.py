import numpy as np
import pytest

from mm_assets.aligned.objects.boxes.conventions import CONVENTIONS, encode_conventions, from_corners, to_corners
from mm_assets.errors import ContractError
from mm_assets.raw_pools.coco import BOX_FORMAT as COCO_FORMAT
from mm_assets.raw_pools.contract import BOX_FORMATS

SIZE = np.array([[200.0, 100.0]])
# The same box, 30 px from the left and 20 px from the top, 50 px wide and 40 px high.
CORNERS = np.array([[30.0, 20.0, 80.0, 60.0]])
DECLARED = {
    "xyxy_pixels": [30.0, 20.0, 80.0, 60.0],
    "xywh_pixels": [30.0, 20.0, 50.0, 40.0],
    "cxcywh_0_1": [0.275, 0.4, 0.25, 0.4],
    "xyxy_0_1": [0.15, 0.2, 0.4, 0.6],
    "xyxy_0_1000": [150.0, 200.0, 400.0, 600.0],
}


@pytest.mark.parametrize("name", DECLARED)
def test_one_box_in_every_convention(name: str) -> None:
    declared = np.array([DECLARED[name]])
    codes = encode_conventions(name, 1)
    np.testing.assert_allclose(to_corners(declared, *codes, SIZE), CORNERS, atol=1e-9)
    np.testing.assert_allclose(from_corners(CORNERS, *codes, SIZE), declared, atol=1e-9)


def test_rows_of_different_conventions_and_sizes_convert_together() -> None:
    names = list(DECLARED)
    declared = np.array([DECLARED[name] for name in names])
    sizes = np.repeat(SIZE, len(names), axis=0)
    np.testing.assert_allclose(
        to_corners(declared, *encode_conventions(names, len(names)), sizes), np.repeat(CORNERS, len(names), axis=0)
    )
    doubled = to_corners(declared, *encode_conventions(names, len(names)), sizes * 2.0)
    in_pixels = np.array([name.endswith("pixels") for name in names])
    np.testing.assert_allclose(doubled[~in_pixels], np.repeat(CORNERS * 2.0, 3, axis=0))
    np.testing.assert_allclose(doubled[in_pixels], np.repeat(CORNERS, 2, axis=0))


def test_conventions_are_those_of_the_batch_contract_and_of_coco() -> None:
    assert set(CONVENTIONS) == set(BOX_FORMATS) == set(DECLARED)
    assert COCO_FORMAT in CONVENTIONS


def test_nothing_is_judged() -> None:
    declared = np.array([[np.nan, 1.0, np.inf, -np.inf], [5.0, 5.0, -3.0, 0.0]])
    corners = to_corners(declared, *encode_conventions("xywh_pixels", 2), np.array([[10.0, 10.0]] * 2))
    assert np.isnan(corners[0]).any()
    assert corners[1].tolist() == [5.0, 5.0, 2.0, 5.0]


def test_unknown_names_and_wrong_counts_are_refused() -> None:
    with pytest.raises(ContractError, match="unknown box convention 'polar'"):
        encode_conventions("polar", 1)
    with pytest.raises(ContractError, match="2 conventions for 3 boxes"):
        encode_conventions(["xyxy_0_1", "xyxy_0_1"], 3)


@pytest.mark.parametrize(
    ("name", "peer"), [("xyxy_pixels", "pascal_voc"), ("xywh_pixels", "coco"), ("cxcywh_0_1", "yolo")]
)
def test_albumentations_agrees(monkeypatch: pytest.MonkeyPatch, name: str, peer: str) -> None:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    from albumentations.core.bbox_utils import convert_bboxes_to_albumentations

    generator = np.random.default_rng(7)
    low = generator.uniform(0.0, 0.5, (50, 2)) * (640, 480)
    corners = np.hstack((low, low + generator.uniform(0.01, 0.5, (50, 2)) * (640, 480)))
    sizes = np.tile([640.0, 480.0], (50, 1))
    codes = encode_conventions(name, 50)
    declared = from_corners(corners, *codes, sizes)
    shares = convert_bboxes_to_albumentations(declared, peer, (480, 640))
    np.testing.assert_allclose(to_corners(declared, *codes, sizes), shares * (640, 480, 640, 480), atol=1e-3)
