"""What is read of a page: words, figures, rules, links."""

import io
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pdfplumber
import pytest
from matplotlib.figure import Figure

from mm_assets.documents.pages import BOLD, ITALIC, MONOSPACE
from mm_assets.documents.pdf import PdfProcess
from mm_assets.errors import ContractError

TEXT = "BT /F1 12 Tf 60 120 Td (Hello big) Tj 0 -30 Td (world) Tj ET"
GREY = "BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI"


def image(x: float, y: float, width: float, height: float) -> str:
    return f"q {width} 0 0 {height} {x} {y} cm {GREY} Q "


def area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def test_words_stand_where_another_reader_sees_them(first_page: Callable, make_pdf: Callable) -> None:
    content = make_pdf("BT /F1 11 Tf 30 150 Td (The Apt ace gypsum, 12.5%) Tj /F2 9 Tf 0 -40 Td (x = y) Tj ET")
    page = first_page(content)
    with pdfplumber.open(io.BytesIO(content)) as other:
        words = other.pages[0].extract_words(x_tolerance=1)
    assert page.words.texts == tuple(word["text"] for word in words)
    assert page.words.boxes == pytest.approx(
        np.asarray([[word["x0"], word["top"], word["x1"], word["bottom"]] for word in words]), abs=0.05
    )
    assert page.words.sizes == pytest.approx([11] * 5 + [9] * 3)
    assert (page.text_from, page.unit, page.width, page.height) == ("layer", "pt", 300, 200)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", ["", "/CropBox [40 60 220 180]"])
def test_turned_and_cropped_pages_are_read_as_they_are_shown(
    pdfium: PdfProcess, make_pdf: Callable, rotation: int, crop: str
) -> None:
    content = make_pdf(TEXT, page=f"/Rotate {rotation} {crop}")
    with pdfium.open(io.BytesIO(content), "a.pdf") as reader:
        page = reader.page(1)
        pixels = reader.render_page(1, 144)
    sides = (180.0, 120.0) if crop else (300.0, 200.0)
    assert (page.width, page.height) == (sides if rotation % 180 == 0 else sides[::-1])
    assert pixels.shape[:2] == (page.height * 2, page.width * 2)
    assert sorted(page.words.texts) == ["Hello", "big", "world"]  # PDFium orders turned lines anew
    ink = np.argwhere(pixels.min(axis=2) < 128) / 2
    (upper, left), (lower, right) = ink.min(axis=0), ink.max(axis=0)
    low, high = page.words.boxes[:, :2].min(axis=0), page.words.boxes[:, 2:].max(axis=0)
    assert np.all(low <= np.asarray([left, upper]) + 0.5)
    assert np.all(high >= np.asarray([right, lower]) - 0.5)
    assert np.all(high - low <= np.asarray([right - left, lower - upper]) + 7)


def test_hyphens_ligatures_and_raised_marks(first_page: Callable, make_pdf: Callable) -> None:
    page = first_page(
        make_pdf(
            "BT /F1 12 Tf 14 TL 30 150 Td (an exam-) ' (ple) ' /F5 12 Tf (\x01nd) ' "
            "/F1 12 Tf (word) ' 5 Ts 8 Tf 0 Ts ET BT /F1 12 Tf 30 60 Td (note) Tj /F1 7 Tf 5 Ts (12) Tj "
            "0 Ts /F1 14 Tf 60 0 Td (S) Tj /F1 10 Tf (MALL) Tj ET"
        )
    )
    assert page.words.texts == ("an", "exam-", "ple", "find", "word", "note", "12", "SMALL")


def test_styles_come_from_fonts(first_page: Callable, make_pdf: Callable) -> None:
    fonts = {"F1": 0, "F2": BOLD, "F3": MONOSPACE, "F4": ITALIC}
    lines = " ".join(f"/{font} 10 Tf 0 -20 Td ({font}) Tj" for font in fonts)
    page = first_page(make_pdf(f"BT 30 190 Td {lines} ET"))
    assert dict(zip(page.words.texts, page.words.styles.tolist(), strict=True)) == fonts


def test_size_is_that_on_the_page(first_page: Callable, make_pdf: Callable) -> None:
    page = first_page(make_pdf("q 2 0 0 2 0 0 cm BT /F1 1 Tf 7 0 0 7 20 40 Tm (big) Tj ET Q"))
    assert page.words.sizes == pytest.approx([14.0])


def test_strips_of_a_picture_are_one_figure_and_icons_are_none(first_page: Callable, make_pdf: Callable) -> None:
    strips = "".join(image(50, 60 + 20 * row, 100, 20) for row in range(4))
    page = first_page(make_pdf(strips + image(200, 100, 8, 8) + image(200, 20, 60, 40) + TEXT))
    assert [(figure.kind, figure.box) for figure in page.figures] == [
        ("raster", pytest.approx((50, 60, 150, 140), abs=0.1)),
        ("raster", pytest.approx((200, 140, 260, 180), abs=0.1)),
    ]


def test_a_picture_is_cut_to_its_clip(first_page: Callable, make_pdf: Callable) -> None:
    page = first_page(make_pdf("q 50 50 100 40 re W n " + image(0, 0, 300, 200) + "Q"))
    assert [figure.box for figure in page.figures] == [pytest.approx((50, 110, 150, 150), abs=0.1)]


def test_a_scan_is_the_page_where_it_has_words(pdfium: PdfProcess, make_pdf: Callable) -> None:
    content = make_pdf(image(0, 0, 300, 200) + TEXT, image(0, 0, 300, 200))
    with pdfium.open(io.BytesIO(content), "a.pdf") as reader:
        with_text = reader.page(1)
        assert reader.image_share == pytest.approx(1.0)
        without = reader.page(2)
    assert (with_text.figures, with_text.text_from) == ((), "layer")
    assert (len(without.figures), without.text_from) == (1, "none")


@pytest.mark.parametrize("kind", ["line", "bar"])
def test_charts_are_drawings_with_their_axes(first_page: Callable, kind: str) -> None:
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure = Figure(figsize=(6, 4))
        axes = figure.add_subplot()
        values = np.asarray([3.0, 5, 2, 7, 1, 4, 6])
        axes.bar(range(len(values)), values) if kind == "bar" else axes.plot(values)
        axes.set_xlabel("time")
        out = io.BytesIO()
        figure.savefig(out, format="pdf")
    page = first_page(out.getvalue())
    (drawing,) = page.figures
    assert drawing.kind == "vector"
    left, upper, right, lower = axes.get_position().extents * [432, 288, 432, 288]
    assert drawing.box[0] <= left
    assert drawing.box[2] >= right
    assert drawing.box[1] <= 288 - lower
    assert drawing.box[3] >= 288 - upper
    assert area(drawing.box) < 432 * 288
    labels = np.asarray(
        [box for text, box in zip(page.words.texts, page.words.boxes, strict=True) if text in {"0", "time"}]
    )
    assert np.all(labels[:, :2] >= np.asarray(drawing.box[:2]) - 0.01)
    assert np.all(labels[:, 2:] <= np.asarray(drawing.box[2:]) + 2)
    assert len(page.rules) == 0


def test_tables_and_framed_text_are_no_drawings(first_page: Callable, make_pdf: Callable) -> None:
    lines = "".join(f"30 {40 + 20 * row} m 230 {40 + 20 * row} l S " for row in range(5))
    shaded = "0.9 g 30 100 200 20 re f 0 g "
    callout = (
        "40 140 m 40 160 50 170 60 170 c 240 170 l 250 170 260 160 260 150 c 260 140 250 135 240 135 c 60 135 l "
        "50 135 40 136 40 140 c S BT /F1 12 Tf 50 155 Td (framed text that goes on and on here) Tj "
        "0 -14 Td (framed text that goes on and on here) Tj ET "
    )
    page = first_page(make_pdf(shaded + lines + callout))
    assert page.figures == ()
    level = page.rules[(page.rules[:, 2] - page.rules[:, 0] > 100)]
    assert sorted({round(float(box[1:4:2].mean())) for box in level}) == [80, 100, 120, 140, 160]
    assert level[:, 0] == pytest.approx([30] * len(level), abs=1.1)


def test_links_outline_and_labels(pdfium: PdfProcess, make_pdf: Callable) -> None:
    content = make_pdf(
        TEXT,
        TEXT,
        page="/Annots [100 0 R 101 0 R]",
        catalog="/Outlines 102 0 R /PageLabels << /Nums [0 << /S /r >>] >>",
        trailer="/Info 104 0 R",
        objects={
            100: b"<< /Type /Annot /Subtype /Link /Rect [60 118 90 132] /Dest [12 0 R /XYZ 0 150 0] >>",
            101: b"<< /Type /Annot /Subtype /Link /Rect [60 88 90 102] /A << /S /URI /URI (https://a.example) >> >>",
            104: b"<< /Title (A  title) >>",
            102: b"<< /Type /Outlines /First 103 0 R /Last 103 0 R /Count 1 >>",
            103: b"<< /Title (Chapter) /Parent 102 0 R /Dest [12 0 R /Fit] >>",
        },
    )
    with pdfium.open(io.BytesIO(content), "a.pdf") as reader:
        assert (reader.info.title, reader.info.pages) == ("A title", 2)
        first, second = reader.pages()
    inside, outside = first.links
    assert (inside.page, inside.y, inside.address) == (2, 50.0, None)
    assert inside.box == pytest.approx((60, 68, 90, 82))
    assert (outside.page, outside.address) == (None, "https://a.example")
    assert (first.outline, second.outline) == ((), ("Chapter",))
    assert (first.label, second.label) == ("i", "ii")


def test_one_document_is_open_at_a_time(pdfium: PdfProcess, make_pdf: Callable) -> None:
    with pdfium.open(io.BytesIO(make_pdf(TEXT)), "a.pdf") as first:
        with pdfium.open(io.BytesIO(make_pdf("")), "b.pdf") as second:
            assert second.page(1).words.texts == ()
        with pytest.raises(ContractError, match=r"a\.pdf: another document"):
            first.page(1)


def test_regions_are_rendered_as_they_are_shown(pdfium: PdfProcess, make_pdf: Callable) -> None:
    content = make_pdf("1 0 0 rg 100 150 50 50 re f 0 0 1 rg 0 0 10 10 re f")
    with pdfium.open(io.BytesIO(content), "a.pdf") as reader:
        region = reader.render_region(1, (100, 0, 150, 50), 72)
        assert region.shape == (50, 50, 3)
        assert np.all(region[5:-5, 5:-5] == [255, 0, 0])
        assert np.all(reader.render_region(1, (-20, 190, 10, 400), 144)[2:-2, 2:-2] == [0, 0, 255])
        large = reader.render_page(1, 10_000)
    assert 30_000_000 < large.shape[0] * large.shape[1] <= 41_000_000
