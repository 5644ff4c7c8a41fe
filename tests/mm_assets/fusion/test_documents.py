"""Windows of documents from blocks to a release, linted and read."""

import json

import msgspec
import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.documents.windows.interleave import DocumentNames, interleave
from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens
from mm_assets.aligned.documents.windows.units import Binding, Use
from mm_assets.display.window_page import draw_window
from mm_assets.documents.blocks import Block, Picture
from mm_assets.errors import ContractError
from mm_assets.fusion.document_packing import join_figures, pack_document_chunks, pack_documents
from mm_assets.fusion.linter import lint_paths
from mm_assets.fusion.placeholders import Modality, parse_content
from mm_assets.fusion.samples import DocumentDetails, DocumentLine
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.policy import FusionPolicy, WindowPolicy

TEXTS = ("Mills <of> old & new", "The wheel turns as Figure 1 shows.", "", "Figure 1. A wheel.", "Sails & stones.", "",
         "In Figure 1 the wheel stands.")  # fmt: skip
KINDS = ("heading", "paragraph", "figure", "caption", "paragraph", "figure", "paragraph")
BINDINGS = pl.DataFrame(
    {"document_id": ["doc_1", "doc_1"], "position": [2, 5], "caption_position": [3, None], "score": [0.9, None]}
)
DOCUMENTS = pl.DataFrame(
    {"document_id": ["doc_1"], "source": ["vendor-a"], "license": ["CC0"], "language": ["en"], "record_ref": ["a.html"]}
)


@pytest.fixture
def windows():
    blocks = [
        Block(at, 1 + at // 4, kind, text, level=1 if kind == "heading" else None,
              picture=Picture("file", "a.png", None, None) if kind == "figure" else None)
        for at, (kind, text) in enumerate(zip(KINDS, TEXTS, strict=True))
    ]  # fmt: skip
    names = DocumentNames("b1", "doc_1", "a.html", lambda block: f"blk_{block.position}")
    made = interleave(
        blocks, [Use(1, 19, 2), Use(6, 3, 3)], [Binding(2, 3)], lambda _: 40, names, WindowPolicy(budget_tokens=256),
        EstimatedTokens(),
    )  # fmt: skip
    return pl.concat([window.rows for window in made])


@pytest.fixture
def figures(kit):
    codes = np.random.default_rng(7).integers(0, kit.CODES, (2, kit.VECTORS))
    ids = ["blk_2", "blk_5"]
    references = [f"features/b1/doc-0000.safetensors#{at}" for at in range(2)]
    table = pl.DataFrame({"block_id": ids, "codes": codes.tolist(), "codebook_version": ["cb-1"] * 2})
    places = pl.DataFrame({"block_id": ids, "spatial_features": references})
    return join_figures(places, table, kit.CODES)


def pack(windows, figures, documents=DOCUMENTS):
    return pack_documents(windows, documents, figures, BINDINGS, {"order": 0.0}, FusionPolicy())


def test_pictures_stand_in_place_and_anchors_point_at_them(windows, figures):
    packed = pack(windows, figures)
    assert packed.rejected.height == 0
    row = packed.samples.row(0, named=True)
    assert (row["kind"], row["modalities"], row["pool"]) == ("document", ["image", "text"], "fine_grained_interleaved")
    parsed = parse_content(row["content"])
    assert parsed.codes(Modality.IMAGE) == tuple(row["codes"]) == tuple(figures["codes"].explode())
    assert [part.strip() for part in parsed.text.split("\n\n") if part.strip()] == [text for text in TEXTS if text]
    details = msgspec.json.decode(row["document_json"], type=DocumentDetails)
    assert (details.document_id, details.pages) == ("doc_1", (1, 2))
    first, second = details.anchors
    content = row["content"]
    assert content[slice(*first.span)].startswith("<|image_start|>")
    assert content[slice(*first.span)].endswith("<|image_end|>")
    assert content[slice(*first.caption)] == "Figure 1. A wheel."
    assert [content[slice(*span)] for span in first.referring] == [TEXTS[1], TEXTS[6]]
    assert (first.caption_score, second.caption, second.referring) == (0.9, None, [])


def test_chunks_are_packed_as_the_whole(windows, figures):
    chunks = pack_document_chunks(iter([windows]), DOCUMENTS, figures, BINDINGS, {"order": 0.0}, FusionPolicy())
    assert next(chunks).samples.equals(pack(windows, figures).samples)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda w, f, d: (w, f, d.clear()), "NO_DOCUMENT"),
        (lambda w, f, d: (w, f.head(1), d), "NO_VISUAL_CODES"),
        (lambda w, f, d: (w.with_columns(text=pl.col("text") + "<IMG_TK_3>"), f, d), "PLACEHOLDER_IN_TEXT"),
    ],
)
def test_a_window_that_cannot_be_packed_is_rejected(windows, figures, spoil, code):
    packed = pack(*spoil(windows, figures, DOCUMENTS))
    assert packed.samples.height == 0
    assert packed.rejected.select("record_kind", "code").rows() == [("window", code)]


def test_doubles_and_codes_outside_the_codebook_are_refused(windows, figures, kit):
    with pytest.raises(ContractError, match="blk_2"):
        pack(windows, pl.concat([figures, figures]))
    codes = figures.select("block_id", "codebook_version", codes=pl.lit([kit.CODES], dtype=pl.List(pl.Int64)))
    with pytest.raises(ContractError, match="outside the codebook"):
        join_figures(figures.select("block_id", "spatial_features"), codes, kit.CODES)


def test_documents_pass_through_a_release(windows, figures, kit, release_maker):
    maker = release_maker
    maker.add(kit.make_batch("b0", [["A duck."], ["A car."]], [("prose", "The mill stands by the river.")]))
    rng = np.random.default_rng(3)
    for reference in figures["spatial_features"]:
        maker.features.rows[reference] = rng.normal(size=(kit.VECTORS, kit.CHANNELS)).astype(np.float16)
    maker.samples.append(pack(windows, figures).samples)
    maker.write()
    folder = maker.root / "r1"
    report = lint_paths([folder])
    assert report.rows == 4
    assert report.errors == []
    lines = [line for path in sorted(folder.glob("samples/*.jsonl")) for line in path.read_bytes().splitlines()]
    (document,) = [line for line in lines if json.loads(line)["kind"] == "document"]
    read = msgspec.json.decode(document, type=DocumentLine)
    assert read.document.anchors[0].figure == "blk_2"
    (sample,) = [sample for sample in ReleaseDataset(folder, max_norm=None) if sample["kind"] == "document"]
    expected = np.concatenate([maker.features.rows[reference] for reference in figures["spatial_features"]])
    assert np.array_equal(sample["features"].numpy(), expected.astype(np.float32))


def test_a_window_is_drawn_with_its_pictures(windows):
    png = b"\x89PNG\r\n\x1a\n"
    page = draw_window(windows, lambda name: png if name == "blk_2" else None, 'A "book" of <mills>')
    assert page.count("<section") == windows.height
    assert page.count("data:image/png;base64,") == 1
    assert "no picture of blk_5" in page
    assert "Mills &lt;of&gt; old &amp; new" in page
    assert "<mills>" not in page
    assert '<a class="to" href="#e2">' in page
    assert "http" not in page.replace("http-equiv", "")
