"""Documents of every form become pages: text layers as they are, scans and pictures by real models."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mm_assets.documents.interfaces import ReadWord
from mm_assets.documents.pages import Page, PageFigure, PageRegion, Words
from mm_assets.documents.reading import DocumentReader, Models, read_document, read_html
from mm_assets.documents.recognition import needs_recognition
from mm_assets.errors import ContractError, DecodeError, InputError
from mm_assets.models import ModelIdentity
from mm_assets.policy import DocumentReadingPolicy, DocumentRecognitionPolicy
from resources.layout_model import LayoutResource
from resources.object_store import LocalLanding
from resources.ocr import OcrResource

TEXT = "BT /F1 12 Tf 60 120 Td (Hello layer words) Tj ET"
SCAN = ("The quick brown fox", "jumps over the lazy dog")


def scanned(*lines: str, size: tuple[int, int] = (620, 300)) -> Image.Image:
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for at, line in enumerate(lines):
        draw.text((40, 40 + 60 * at), line, font=ImageFont.load_default(28), fill="black")
    return page


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


class Counting:
    """Says which pages it was shown at once; reads the mean brightness as a word."""

    identity = ModelIdentity("counting", "1", "0" * 64)
    device = "cpu"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def read_pages(self, pages: Sequence[NDArray[np.uint8]]) -> list[list[ReadWord]]:
        self.calls.append(len(pages))
        return [[ReadWord(str(int(page.mean())), 1.0, (0, 0, page.shape[1], 10), 0)] for page in pages]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Page]]:
    """Land files and read them as one document."""

    def run(files: dict[str, bytes], form: str, name: str, models: Models | None = None, **policy: Any) -> list[Page]:
        for path, content in files.items():
            (tmp_path / "b1" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "b1" / path).write_bytes(content)
        landing = LocalLanding(tmp_path)
        row = {"form": form, "file_name": name, "source_ref": {"uri": landing.uri(f"b1/{name}")}}
        recognition = DocumentRecognitionPolicy(**policy)
        with DocumentReader(landing, models or Models(), DocumentReadingPolicy(), recognition) as reader:
            return list(read_document(row, reader))

    return run


def test_a_scan_is_read_and_a_text_layer_is_left_alone(read: Callable, make_pdf: Callable) -> None:
    image = scanned(*SCAN)
    scan = encoded(image, "PDF", resolution=144)
    models = Models(OcrResource().handle, LayoutResource().handle)
    (page,) = read({"a.pdf": scan}, "pdf", "a.pdf", models)
    assert page.words.texts == tuple(" ".join(SCAN).split())
    assert (page.text_from, page.unit, page.figures) == ("ocr", "pt", ())
    assert (page.width, page.height) == (pytest.approx(310), pytest.approx(150))
    ink = np.argwhere(np.asarray(image).min(axis=2) < 128) / 2
    (upper, left), (lower, right) = ink.min(axis=0), ink.max(axis=0)
    box = [*page.words.boxes[:, :2].min(axis=0), *page.words.boxes[:, 2:].max(axis=0)]
    assert box == pytest.approx([left, upper, right, lower], abs=6)
    assert np.all(page.words.confidences > 0.9)
    (layer,) = read({"b.pdf": make_pdf(TEXT)}, "pdf", "b.pdf", models)
    assert (layer.text_from, layer.words.texts) == ("layer", ("Hello", "layer", "words"))


def test_without_models_scans_stay_without_words(read: Callable) -> None:
    (page,) = read({"a.pdf": encoded(scanned(*SCAN), "PDF")}, "pdf", "a.pdf")
    assert (page.text_from, page.words.texts, len(page.figures)) == ("none", (), 1)


def test_pictures_of_a_folder_are_read_in_the_order_of_their_numbers(read: Callable) -> None:
    shades = {"10": 30, "9": 20, "1": 10}
    files = {f"scan/{name}.png": encoded(Image.new("L", (40, 30), shade)) for name, shade in shades.items()}
    model = Counting()
    pages = read(files | {"scan/sub/0.png": b"x"}, "page_image", "scan", Models(model), pages_at_once=2)
    assert [page.words.texts for page in pages] == [("10",), ("20",), ("30",)]
    assert [(page.number, page.unit, page.width, page.height) for page in pages] == [
        (number, "px", 40.0, 30.0) for number in (1, 2, 3)
    ]
    assert model.calls == [2, 1]


def test_frames_of_a_tiff_are_pages_and_turned_pictures_stand_upright(read: Callable) -> None:
    frames = [Image.new("L", (40, 30), shade) for shade in (10, 20)]
    tiff = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert [page.words.texts for page in read({"a.tif": tiff}, "page_image", "a.tif", Models(Counting()))] == [
        ("10",),
        ("20",),
    ]
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees
    (page,) = read({"b.jpg": encoded(frames[0], "JPEG", exif=turned)}, "page_image", "b.jpg")
    assert (page.width, page.height) == (30, 40)


def test_large_pages_are_shown_smaller_and_boxes_lead_back(read: Callable) -> None:
    content = encoded(Image.new("L", (400, 100), 50))
    (page,) = read({"a.png": content}, "page_image", "a.png", Models(Counting()), max_side_px=200)
    assert page.words.boxes.tolist() == [[0, 0, 400, 20]]


def test_regions_of_pictures_are_cut_from_them(tmp_path: Path) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[5:10, 6:12] = 255
    (tmp_path / "b1").mkdir()
    (tmp_path / "b1" / "a.png").write_bytes(encoded(Image.fromarray(pixels)))
    landing = LocalLanding(tmp_path)
    row = {"form": "page_image", "file_name": "a.png", "source_ref": {"uri": landing.uri("b1/a.png")}}
    with DocumentReader(landing, Models(), DocumentReadingPolicy(), DocumentRecognitionPolicy()) as reader:
        with reader.open(row) as document:
            assert len(document) == 1
            assert document.render_region(1, (6, 5, 12, 10), 72).tolist() == pixels[5:10, 6:12].tolist()
            with pytest.raises(DecodeError, match="BROKEN_PAGE"):
                document.render_region(1, (40, 5, 50, 10), 72)
        with pytest.raises(ContractError, match="has no pages"), reader.open({**row, "form": "html"}):
            pass


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no picture", "BROKEN_PAGE"),
        (encoded(scanned("x"))[:200], "BROKEN_PAGE"),
        (encoded(Image.new("1", (20_000, 20_000))), "PAGE_TOO_LARGE"),
        (None, "MISSING_FILE"),
    ],
    ids=["garbage", "truncated", "bomb", "gone"],
)
def test_pages_that_are_no_pictures_are_refused(read: Callable, content: bytes | None, code: str) -> None:
    files = {} if content is None else {"a.png": content}
    with pytest.raises(InputError, match=code):
        read(files, "page_image", "a.png")


@pytest.mark.parametrize(
    ("texts", "figures", "image_share", "wanted"),
    [
        (("plain", "words", "here"), 0, 0.0, False),
        (("\ue001\ue002\ue003", "\ufffd\ufffd", "a"), 0, 0.0, True),
        (("12",), 0, 1.0, True),
        (("12",), 1, 0.1, True),
        ((), 0, 0.0, False),
        (("a", "hidden", "layer"), 0, 1.0, False),
    ],
    ids=["text", "nonsense", "scan", "drawing", "blank", "scan-with-layer"],
)
def test_a_layer_that_says_nothing_is_not_used(
    texts: tuple[str, ...], figures: int, image_share: float, wanted: bool
) -> None:
    count = len(texts)
    sizes = np.zeros(count, np.float32)
    words = Words(texts, np.zeros((count, 4), np.float32), sizes, np.zeros(count, np.uint8), sizes)
    figure = PageFigure((0, 0, 50, 50), "vector")
    page = Page(1, 100, 100, "pt", words, (figure,) * figures, np.zeros((0, 4), np.float32))
    assert needs_recognition(page, image_share, 0.85, DocumentRecognitionPolicy()) is wanted


def test_figures_of_a_scan_are_those_the_layout_sees(read: Callable) -> None:
    class Seeing:
        identity = ModelIdentity("seeing", "1", "0" * 64)
        device = "cpu"

        def find_regions(self, pages: Sequence[NDArray[np.uint8]]) -> list[list[PageRegion]]:
            found = [PageRegion((10, 10, 30, 20), "figure", 0.9), PageRegion((0, 0, 5, 5), "figure", 0.3)]
            return [[*found, PageRegion((0, 22, 40, 30), "caption", 0.8)] for _ in pages]

    content = encoded(Image.new("L", (40, 30), 50))
    (page,) = read({"a.png": content}, "page_image", "a.png", Models(Counting(), Seeing()))
    assert page.figures == (PageFigure((10, 10, 30, 20), "raster"),)
    assert [region.type for region in page.regions] == ["figure", "caption"]
    assert page.regions[1].box == (0, 22, 40, 30)


def test_html_is_read_from_its_place(tmp_path: Path) -> None:
    (tmp_path / "b1").mkdir()
    (tmp_path / "b1" / "p.html").write_bytes(b"<title>T</title><img src=../x.png>")
    landing = LocalLanding(tmp_path)
    row = {"form": "html", "file_name": "p.html", "source_ref": {"uri": landing.uri("b1/p.html")}}
    reader = read_html(row, landing, DocumentReadingPolicy())
    assert (reader.title, [block.type for block in reader.blocks()]) == ("T", ["figure"])
    assert [error.code for error in reader.faults] == ["UNSAFE_PATH"]
