from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mm_assets.aligned.interfaces import Ocr, PlacedText, ReadText
from mm_assets.aligned.objects.orientation.side_markers import MARKER_SCHEMA, SideMarker, marker_rows, read_side_markers
from mm_assets.models import ModelIdentity
from mm_assets.policy import OrientationPolicy
from resources.ocr import OcrResource

POLICY = OrientationPolicy()
FACE = str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
WIDTH, HEIGHT = 900, 1000


@pytest.fixture(scope="module")
def ocr() -> Ocr:
    return OcrResource().handle


def _radiograph(*texts: tuple[str, int, int, int], bright: bool = True, seed: int = 0) -> NDArray[np.uint8]:
    """A body with two lungs, noise, and texts at x and y of a size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = (x / WIDTH - 0.5) * 2, (y / HEIGHT - 0.5) * 2
    shades = np.where(np.abs(x) < 0.8, 0.6 + 0.1 * y, 0.1)
    for middle in (-0.4, 0.4):
        shades = shades - 0.35 * np.clip(1.2 - ((x - middle) / 0.3) ** 2 - ((y + 0.1) / 0.7) ** 2, 0, 1)
    image = Image.fromarray((shades * 255).astype(np.uint8))
    for text, left, upper, size in texts:
        ImageDraw.Draw(image).text((left, upper), text, font=ImageFont.truetype(FACE, size), fill=235 if bright else 5)
    blurred = cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), 1.0)
    noisy = np.clip(blurred + rng.normal(size=blurred.shape) * 5.0, 0, 255).astype(np.uint8)
    return np.repeat(noisy[:, :, None], 3, axis=2)


def _mirrored(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels[:, ::-1])


@pytest.mark.parametrize("text", ["L", "R", "LEFT", "RIGHT"])
def test_marker_is_read_and_its_mirror_image_is_known_for_one(ocr: Ocr, text: str) -> None:
    pixels = _radiograph((text, 110, 60, 50), seed=1)
    (marker,) = read_side_markers(pixels, ocr, POLICY)
    assert (marker.side, marker.text, marker.reads) == (text[0], text, "as_given")
    assert marker.confidence >= POLICY.min_finding_confidence
    left, upper, right, lower = marker.box
    assert 100 < left < 130 < right < 330
    assert 55 < upper < lower < 130
    (mirrored,) = read_side_markers(_mirrored(pixels), ocr, POLICY)
    assert (mirrored.side, mirrored.reads) == (text[0], "mirrored")
    assert mirrored.box[0] == pytest.approx(WIDTH - right, abs=6)


def test_dark_markers_and_markers_of_both_sides_are_read(ocr: Ocr) -> None:
    pixels = _radiograph(("R", 110, 80, 50), ("L", 770, 80, 50), bright=False)
    assert [(marker.side, marker.reads) for marker in read_side_markers(pixels, ocr, POLICY)] == [
        ("R", "as_given"),
        ("L", "as_given"),
    ]
    assert {marker.reads for marker in read_side_markers(_mirrored(pixels), ocr, POLICY)} == {"mirrored"}


def test_boxes_are_in_pixels_of_the_picture_given(ocr: Ocr) -> None:
    small = _radiograph(("R", 110, 60, 50))
    large = cv2.resize(small, (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    ((near,), (far,)) = (read_side_markers(pixels, ocr, POLICY) for pixels in (small, large))
    assert far.box == pytest.approx([2 * edge for edge in near.box], abs=12)


@pytest.mark.parametrize(
    "text", ["PORTABLE", "UPRIGHT", "AP", "JM", "ERECT", "DR. LEE", "O", "A", "H", "LL", "12:43", ""]
)
def test_other_writing_is_no_marker(ocr: Ocr, text: str) -> None:
    pixels = _radiograph((text, 130, 60, 40)) if text else _radiograph()
    assert read_side_markers(pixels, ocr, POLICY) == []
    assert read_side_markers(_mirrored(pixels), ocr, POLICY) == []


def test_faint_and_tiny_and_blank_give_nothing(ocr: Ocr) -> None:
    assert read_side_markers(_radiograph(("R", 110, 60, 12)), ocr, POLICY) == []
    assert read_side_markers(np.full((64, 80, 3), 127, np.uint8), ocr, POLICY) == []
    assert read_side_markers(np.zeros((1, 1, 3), np.uint8), ocr, POLICY) == []


class _Script:
    """A reader that says of crops in turn what it is told to."""

    device = "cpu"
    identity = ModelIdentity("script", "1", "0" * 64)

    def __init__(self, given: ReadText, mirrored: ReadText) -> None:
        self._said = (given, mirrored)
        self.crops = 0

    def read_lines(self, crops: Sequence[NDArray[np.uint8]]) -> list[ReadText]:
        self.crops += len(crops)
        return [self._said[place % 2] for place in range(len(crops))]

    def read_page(self, pixels: NDArray[np.uint8]) -> list[PlacedText]:
        raise AssertionError("only lines are read here")


@pytest.mark.parametrize(
    ("given", "mirrored", "reads"),
    [
        (ReadText("R", 0.99), ReadText("A", 0.6), "as_given"),
        (ReadText("(R)", 0.99), ReadText("", 0.0), "as_given"),
        (ReadText("」", 0.99), ReadText("L", 0.99), "mirrored"),
        (ReadText("R", 0.99), ReadText("R", 0.5), "as_given"),
        (ReadText("R", 0.99), ReadText("R", 0.9), None),  # as sure both ways round: no evidence
        (ReadText("R", 0.9), ReadText("", 0.0), None),
        (ReadText("r", 0.99), ReadText("", 0.0), None),
        (ReadText("RL", 0.99), ReadText("", 0.0), None),
        (ReadText("O", 0.99), ReadText("O", 0.99), None),
    ],
)
def test_only_a_sure_reading_one_way_round_is_evidence(given: ReadText, mirrored: ReadText, reads: str | None) -> None:
    found = read_side_markers(_radiograph(("R", 110, 60, 50)), _Script(given, mirrored), POLICY)
    assert {marker.reads for marker in found} == ({reads} if reads else set())


def test_a_doubtful_reading_is_believed_less() -> None:
    pixels = _radiograph(("R", 110, 60, 50))
    sure, doubtful = (
        read_side_markers(pixels, _Script(ReadText("R", 0.99), counter), POLICY)[0].confidence
        for counter in (ReadText("A", 0.6), ReadText("R", 0.6))
    )
    assert sure > doubtful
    letter = read_side_markers(pixels, _Script(ReadText("L", 0.99), ReadText("J", 0.9)), POLICY)[0].confidence
    assert letter < sure  # a corner bracket reads as an L too


def test_candidates_are_bounded() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 700), np.uint8)
    pixels = np.repeat(cv2.GaussianBlur(noise, (0, 0), 4.0)[:, :, None] // 1, 3, axis=2).astype(np.uint8)
    stretched = np.clip((pixels.astype(np.float32) - 127) * 12 + 127, 0, 255).astype(np.uint8)
    reader = _Script(ReadText("", 0.0), ReadText("", 0.0))
    assert read_side_markers(stretched, reader, OrientationPolicy(max_marker_candidates=5)) == []
    assert reader.crops <= 10


def test_markers_become_rows() -> None:
    marker = SideMarker("R", "RIGHT", "mirrored", 0.9, (1.0, 2.0, 3.0, 4.0))
    rows = marker_rows([("img_1", [marker]), ("img_2", [])])
    assert rows.schema == MARKER_SCHEMA
    assert rows.rows() == [("img_1", "R", "RIGHT", "mirrored", 0.9, 1.0, 2.0, 3.0, 4.0)]
