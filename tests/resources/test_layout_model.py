import socket

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import resources.layout_model
from mm_assets.documents.interfaces import PageLayout
from mm_assets.errors import InferenceError, WeightsHashError, WeightsMissingError
from resources.layout_model import IDENTITY, LayoutResource, RapidPageLayout


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the model must not reach for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def layout() -> PageLayout:
    return LayoutResource().handle


@pytest.fixture(scope="module")
def page() -> NDArray[np.uint8]:
    """A title above a paragraph of twelve lines."""
    image = Image.new("RGB", (800, 1_000), "white")
    draw = ImageDraw.Draw(image)
    draw.text((100, 100), "Results of the survey", font=ImageFont.load_default(44), fill="black")
    for line in range(12):
        words = "ponds and ducks and the animals that live beside them in spring"
        draw.text((100, 220 + 30 * line), words, font=ImageFont.load_default(20), fill="black")
    return np.asarray(image)


def test_regions_stand_where_they_are_printed(layout: PageLayout, page: NDArray[np.uint8]) -> None:
    (regions, nothing) = layout.find_regions([page, np.full((300, 300, 3), 255, np.uint8)])
    sure = {region.type: region for region in regions if region.score > 0.5}
    assert {"title", "text"} <= sure.keys()
    assert sure["text"].box == pytest.approx((100, 220, 670, 575), abs=30)
    assert 80 < sure["title"].box[1] < sure["title"].box[3] < 180
    assert [region.score for region in regions] == sorted((region.score for region in regions), reverse=True)
    assert [region for region in nothing if region.score > 0.5] == []


def test_nothing_is_logged(page: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]) -> None:
    RapidPageLayout(1).find_regions([page])
    assert capfd.readouterr() == ("", "")


def test_other_weights_are_not_loaded(monkeypatch: pytest.MonkeyPatch, page: NDArray[np.uint8]) -> None:
    monkeypatch.setattr(resources.layout_model, "_DIGEST", "0" * 64)
    with pytest.raises(WeightsHashError):
        RapidPageLayout(1).find_regions([page])
    monkeypatch.setattr(resources.layout_model, "_WEIGHTS", "absent.onnx")
    with pytest.raises(WeightsMissingError):
        RapidPageLayout(1).find_regions([page])


def test_failure_of_the_model_is_ours(layout: PageLayout) -> None:
    with pytest.raises(InferenceError, match="rapid-layout"):
        layout.find_regions([np.zeros((0, 10, 3), np.uint8)])


def test_identity_is_known_before_loading() -> None:
    handle = RapidPageLayout(1)
    assert handle.identity == LayoutResource().identity == IDENTITY
    assert handle.device == "cpu"
