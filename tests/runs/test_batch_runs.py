"""Real materializations: real pictures, real models, real Delta tables."""

import json
import re

import polars as pl
import pytest

from mm_assets.cleaned.checks import account
from mm_assets.commands.repair import show_repair
from mm_assets.commands.review import write_tasks
from mm_assets.commands.status import read_status
from mm_assets.errors import HoldError
from mm_assets.fusion.linter import lint_paths
from mm_assets.schemas import TABLES
from resources import local_language_model
from resources.holds import describe_hold
from tests.runs.conftest import metadata_of, open_site, upload

CONTENT = [
    name
    for name, table in TABLES.items()
    if "batch" in table.columns
    and name not in {"provenance", "gate_evaluations", "holds", "costs", "mixtures", "batches", "mixture_exclusions"}
]


def content(site, batch):
    return {table: site.lake.read(table, batch) for table in CONTENT}


@pytest.fixture(scope="module")
def spine(tmp_path_factory):
    """A good and a shifted delivery, run to a release; each test goes on where the one before it ended."""
    with open_site(tmp_path_factory.mktemp("spine")) as site:
        site.cut("clean", "good", 40)
        site.cut("spoiled", "shifted", None)
        yield site, site.run(release="first")


def check_spine(site, summary):
    """One batch in the release, one held with its reason, nothing lost, and nothing to do the second time."""
    assert summary.failed == {}
    assert summary.held == {"shifted": "recall"}
    hold = describe_hold(site.workspace.holds.active().row(0, named=True))
    assert hold["code"] == "ERR_CROSS_MDL_TEMPORAL"
    assert hold["diagnosis"]["hypothesis"].startswith("shift(")

    for batch in ("good", "shifted"):
        assert all(line["rows_in"] == line["rows_out"] + line["rejected"] for line in account(site.lake, batch))
    assert site.lake.count("fusion_samples", "shifted") == 0
    samples = site.lake.read("fusion_samples", "good")
    assert samples.height == site.lake.count("captions", "good") + site.lake.count("texts", "good")
    drawn = site.lake.scan("mixtures").collect()
    assert set(drawn["batch"]) == {"good"}
    status = read_status(site.workspace)
    assert [entry["batch"] for entry in status["batches"] if entry["held"]] == ["shifted"]
    assert status["releases"][0]["excluded_batches"] == {"shifted": "recall"}
    assert status["releases"][0]["samples"] == samples.height

    before = content(site, "good")
    again = site.run(release="first")
    assert again.ran == {}
    assert again.current == ["good"]
    assert all(rows.equals(before[table]) for table, rows in content(site, "good").items())


@pytest.mark.slow
def test_from_landing_to_release_with_one_batch_held(spine):
    check_spine(*spine)


@pytest.mark.slow
def test_from_landing_to_release_on_s3(s3_site):
    s3_site.cut("clean", "good", 40)
    s3_site.cut("spoiled", "shifted", None)
    upload(s3_site)
    check_spine(s3_site, s3_site.run(release="first"))


@pytest.mark.slow
def test_a_release_is_lint_clean_and_the_same_bytes_when_drawn_again(spine):
    site, _ = spine
    folder = site.landing_folder.parent / "lake" / "releases" / "first"
    report = lint_paths([folder])
    assert report.errors == []
    assert report.rows == site.lake.count("fusion_samples", "good")
    before = {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    job = site.workspace.definitions.resolve_job_def("make_release")
    assert job.execute_in_process(instance=site.instance, partition_key="first").success
    assert {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


@pytest.mark.slow
def test_what_is_not_held_or_has_no_repair_is_said(spine):
    site, _ = spine
    with pytest.raises(HoldError, match="a repair is known for"):
        show_repair(site.workspace, "shifted", None, None)
    with pytest.raises(HoldError, match="held by nothing"):
        show_repair(site.workspace, "other", None, None)


@pytest.mark.slow
def test_a_held_batch_is_refused_released_and_run_on(spine):
    site, _ = spine
    refused = site.materialize("shifted", "visual_codes")
    assert not refused.success
    failures = [event for event in refused.all_events if event.is_step_failure]
    assert "is held by gate 'recall'" in str(failures[0].event_specific_data)
    with pytest.raises(HoldError, match="needs a name"):
        site.workspace.holds.release("shifted", "recall", "ada", " ")
    site.workspace.holds.release("shifted", "recall", "ada", "accepted for the test")
    summary = site.run()
    assert summary.held == {}
    assert site.lake.count("fusion_samples", "shifted") > 0


@pytest.mark.slow
def test_a_changed_delivery_is_read_again_and_leaves_no_orphans(site):
    site.cut("clean", "good", 30)
    site.run()
    before = site.lake.read("images", "good")
    manifest = site.landing_folder / "good" / "images" / "metadata.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines()
    gone = json.loads(lines[0])["file_name"]
    manifest.write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")
    (site.landing_folder / "good" / "images" / gone).unlink()
    summary = site.run()
    assert "raw_pools" in summary.ran["good"]
    images = site.lake.read("images", "good")
    assert gone not in images["file_name"].to_list()
    assert images.height == before.height - 1
    for table in ("captions", "image_embeddings", "visual_codes"):
        assert set(site.lake.read(table, "good")["image_id"]) <= set(images["image_id"])
    samples = site.lake.read("fusion_samples", "good").drop_nulls("image_id")
    assert set(samples["image_id"]) <= set(images["image_id"])


@pytest.mark.slow
def test_a_step_that_would_overspend_is_refused_until_released(site):
    policy = site.landing_folder.parent / "policy.toml"
    policy.write_text("[budget]\nper_batch = 0.00000001\n", encoding="utf-8")
    site.policy = str(policy)
    site.cut("clean", "good", 20)
    summary = site.run()
    assert summary.held == {"good": "budget"}
    assert site.lake.count("costs") == 0
    hold = site.workspace.holds.active().row(0, named=True)
    assert hold["measured"] > hold["threshold"]
    while site.workspace.holds.held_batches():
        site.workspace.holds.release("good", "budget", "ada", "worth it")
        site.run()
    spent = site.lake.scan("costs").group_by("asset").agg(pl.col("units").sum()).collect()
    assert dict(spent.iter_rows())["image_embeddings"] == site.lake.count("images", "good")


@pytest.mark.slow
def test_negatives_of_a_model_are_metered_and_shown_under_their_pictures(site, monkeypatch, tmp_path):
    monkeypatch.setenv("MM_LLM_MODEL", local_language_model.NAME)
    site.cut("clean", "good", 20)
    assert site.run().failed == {}
    spent = site.lake.scan("costs").filter(pl.col("asset") == "hard_negatives").collect()
    units = dict(spent.select(pl.col("model").str.split("@").list.first(), "units").iter_rows())
    assert units[local_language_model.NAME] > 0
    shown = metadata_of(site, "hard_negatives", "good")
    assert "data:image/png;base64" in shown["pictures_for_review"].value
    assert re.fullmatch(r"\d+ requests, 0 malformed", str(shown["language_model"].value))
    out = tmp_path / "tasks.json"
    written = write_tasks(site.workspace, "good", out, None)
    tasks = [task["data"] for task in json.loads(out.read_text(encoding="utf-8"))]
    assert len(tasks) == written.tasks > 0
    assert all(task["image"].startswith("data:image/jpeg;base64,") for task in tasks)
    assert all(task["image"] in task["seen_html"] for task in tasks)


@pytest.mark.slow
def test_a_broken_delivery_harms_no_other(site):
    site.cut("clean", "good", 20)
    site.cut("clean", "broken", 5)
    (site.landing_folder / "broken" / "batch.json").write_text("{", encoding="utf-8")
    site.cut("clean", "unfinished", 5)
    (site.landing_folder / "unfinished" / "_SUCCESS").unlink()
    (site.landing_folder / "Bad Name").mkdir()
    (site.landing_folder / "Bad Name" / "_SUCCESS").touch()
    summary = site.run()
    assert list(summary.refused) == ["Bad Name"]
    assert list(summary.failed) == ["broken"]
    assert "batch.json" in summary.failed["broken"]
    assert site.lake.count("fusion_samples", "good") > 0
    assert site.lake.count("raw_images", "unfinished") == 0
