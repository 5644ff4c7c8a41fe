import logging
import socket
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import resources.ocr
from mm_assets.aligned.interfaces import Ocr
from mm_assets.errors import InferenceError, WeightsHashError, WeightsMissingError
from resources.ocr import IDENTITY, OcrResource, RapidOcr


@pytest.fixture(scope="module")
def ocr() -> RapidOcr:
    return OcrResource().handle


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the reader must not reach for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _line(text: str, colour: str = "black", ground: str = "white") -> NDArray[np.uint8]:
    font = ImageFont.load_default(40)
    left, upper, right, lower = (int(edge) for edge in font.getbbox(text))
    image = Image.new("RGB", (right - left + 24, lower - upper + 24), ground)
    ImageDraw.Draw(image).text((12 - left, 12 - upper), text, font=font, fill=colour)
    return np.asarray(image)


def test_lines_are_read_in_their_order(ocr: Ocr) -> None:
    words = ["A duck on a pond", "R", "17 May 1845", "LEFT"]
    crops = [_line(word) for word in words]
    crops.append(np.full((30, 60, 3), 255, np.uint8))
    read = ocr.read_lines(crops)
    assert [line.text.replace(" ", "") for line in read] == [*(word.replace(" ", "") for word in words), ""]
    assert all(line.confidence > 0.8 for line in read[:4])
    assert read[4].confidence == 0.0
    assert ocr.read_lines([]) == []


def test_a_letter_reads_one_way_round_only(ocr: Ocr) -> None:
    crop = _line("R")
    given, mirrored = ocr.read_lines([crop, crop[:, ::-1]])
    assert (given.text, given.confidence > 0.95) == ("R", True)
    assert mirrored.text != "R" or mirrored.confidence < 0.8


def test_a_page_is_read_with_its_places(ocr: Ocr) -> None:
    page = np.full((400, 600, 3), 255, np.uint8)
    for text, (left, upper) in {"Figure one": (40, 60), "second line": (250, 300)}.items():
        line = _line(text)
        page[upper : upper + line.shape[0], left : left + line.shape[1]] = line
    first, second = ocr.read_page(page)
    assert [first.text.replace(" ", ""), second.text.replace(" ", "")] == ["Figureone", "secondline"]
    assert 30 < first.box[0] < 70
    assert 50 < first.box[1] < first.box[3] < 140
    assert second.box[1] > 290
    assert ocr.read_page(np.full((200, 200, 3), 127, np.uint8)) == []


def test_words_of_a_page_stand_where_they_are_printed(ocr: RapidOcr) -> None:
    page = np.full((200, 700, 3), 255, np.uint8)
    line = _line("Two plain words")
    page[60 : 60 + line.shape[0], 40 : 40 + line.shape[1]] = line
    ((first, second, third), nothing) = ocr.read_pages([page, np.full((200, 200, 3), 127, np.uint8)])
    assert [word.text for word in (first, second, third)] == ["Two", "plain", "words"]
    assert nothing == []
    assert 40 <= first.box[0] < first.box[2] <= second.box[0] + 12 < second.box[2] <= third.box[0] + 12
    assert third.box[2] == pytest.approx(40 + line.shape[1] - 12, abs=12)
    assert all(word.confidence > 0.9 and word.line == 0 for word in (first, second, third))


def test_nothing_is_logged_or_downloaded(ocr: Ocr, capfd: pytest.CaptureFixture[str]) -> None:
    models = Path(str(resources.ocr.importlib.resources.files("rapidocr"))) / "models"
    before = sorted(models.iterdir())
    RapidOcr(1).read_lines([_line("L")])
    ocr.read_page(_line("Nothing to see"))
    assert sorted(models.iterdir()) == before
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("RapidOCR").level == logging.CRITICAL


def test_other_weights_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(resources.ocr.WEIGHTS, "Rec", (resources.ocr.WEIGHTS["Rec"][0], "0" * 64))
    with pytest.raises(WeightsHashError):
        RapidOcr(1).read_lines([_line("L")])
    monkeypatch.setitem(resources.ocr.WEIGHTS, "Rec", ("absent.onnx", "0" * 64))
    with pytest.raises(WeightsMissingError):
        RapidOcr(1).read_lines([_line("L")])


def test_failure_of_the_model_is_ours(ocr: Ocr) -> None:
    with pytest.raises(InferenceError, match="rapidocr"):
        ocr.read_lines([np.zeros((0, 10, 3), np.uint8)])


def test_identity_is_known_before_loading() -> None:
    handle = RapidOcr(1)
    assert handle.identity == OcrResource().identity == IDENTITY
    assert handle.device == "cpu"
    assert str(IDENTITY).startswith("rapidocr-pp-ocrv6-small@3.10.0#")
