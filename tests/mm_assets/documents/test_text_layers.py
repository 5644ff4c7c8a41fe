"""A text layer is compared with what its page shows, in a band of it, by the real engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from mm_assets.documents.pages import Words
from mm_assets.documents.reading import DocumentReader, Models
from mm_assets.documents.text_layers import sampled_band, within
from mm_assets.policy import DocumentReadingPolicy, DocumentRecognitionPolicy
from resources.object_store import LocalLanding
from resources.ocr import OcrResource

SHOWN = tuple(
    f"{word} of the {place} stands in line {line}"
    for line, (word, place) in enumerate(zip(("tower", "harbour", "garden") * 4, ("town", "river") * 6, strict=True))
)


def _words(tops: list[float]) -> Words:
    boxes = np.array([(0, top, 10, top + 8) for top in tops], np.float32).reshape(-1, 4)
    zeros = np.zeros(len(tops), np.float32)
    return Words(tuple("w" * len(tops)), boxes, zeros, zeros.astype(np.uint8), zeros)


@given(st.lists(st.floats(0, 700, width=32), min_size=1, max_size=200), st.text(max_size=5))
def test_a_band_holds_as_many_words_as_asked(tops: list[float], name: str) -> None:
    policy = DocumentRecognitionPolicy(words_of_band=30)
    words = _words(tops)
    band = sampled_band(name, words, policy)
    assert within(band, words.boxes).sum() >= min(30, len(tops))
    assert band == sampled_band(name, words, policy)


def _page(make_pdf: Callable[..., bytes], make_stream: Callable[..., bytes], layer: tuple[str, ...]) -> bytes:
    """A page that shows the lines as a picture, under a layer that nobody sees."""
    image = Image.new("L", (1200, 1600), 255)
    draw = ImageDraw.Draw(image)
    for line, text in enumerate(SHOWN):
        draw.text((100, 100 + 100 * line), text, font=ImageFont.load_default(44), fill=0)
    told = "/Type /XObject /Subtype /Image /Width 1200 /Height 1600 /ColorSpace /DeviceGray /BitsPerComponent 8"
    unseen = "".join(
        f"BT 3 Tr /F1 22 Tf 50 {800 - 50 - 50 * line - 22} Td ({text}) Tj ET\n" for line, text in enumerate(layer)
    )
    return make_pdf(
        f"q 600 0 0 800 0 0 cm /Im Do Q\n{unseen}",
        size=(600, 800),
        resources="/XObject << /Im 100 0 R >>",
        objects={100: make_stream(image.tobytes(), told, packed=True)},
    )


@pytest.mark.parametrize(("words_of_band", "words_read"), [(24, 60), (1_000, 96)])
def test_a_layer_that_says_something_else_is_far_from_its_page(
    tmp_path: Path, make_pdf: Callable, make_stream: Callable, words_of_band: int, words_read: int
) -> None:
    (tmp_path / "b1").mkdir()
    (tmp_path / "b1" / "right.pdf").write_bytes(_page(make_pdf, make_stream, SHOWN))
    other = tuple("quick zebras jump by dozens every evening" for _ in SHOWN)
    (tmp_path / "b1" / "wrong.pdf").write_bytes(_page(make_pdf, make_stream, other))
    landing, engine = LocalLanding(tmp_path), OcrResource().handle
    seen: list[int] = []

    class Counted:
        identity, device = engine.identity, engine.device

        def read_pages(self, pages):
            read = engine.read_pages(pages)
            seen.extend(len(words) for words in read)
            return read

    apart = {}
    policy = DocumentRecognitionPolicy(words_of_band=words_of_band)
    with DocumentReader(landing, Models(Counted()), DocumentReadingPolicy(), policy) as reader:
        for name in ("right", "wrong"):
            row = {
                "form": "pdf",
                "file_name": f"{name}.pdf",
                "source_ref": {"uri": landing.uri(f"b1/{name}.pdf")},
            }
            with reader.open(row) as document:
                apart[name] = document.compare(1)
    assert apart["right"] < 0.15
    assert apart["wrong"] > 0.85
    assert max(seen) <= words_read
