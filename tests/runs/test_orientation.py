"""DICOM deliveries: headers, burned-in letters and manifests agree, or the batch halts with the reason and pictures."""

import json
import shutil

import dagster as dg
import numpy as np
import polars as pl
import pytest
from pydicom.data import get_testdata_file

from mm_assets.commands.repair import show_repair
from mm_assets.errors import HoldError
from resources.holds import describe_hold
from tests.runs.conftest import open_site
from tests.runs.radiographs import draw_chest, encode_dicom

CHESTS = 6
SLICES = ("CT_small.dcm", "MR_small.dcm")


def start_delivery(landing, name):
    """The folder of a delivery's pictures, beside its contract and a few texts."""
    images = landing / name / "images"
    images.mkdir(parents=True)
    contract = {"contract": "mm-batch/1", "source": "clinic", "license": "CC0-1.0", "language": "en"}
    (images.parent / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    (images.parent / "text").mkdir()
    texts = [{"text": f"Lemma {number} of {name}: every divisor divides.", "kind": "math"} for number in range(4)]
    write_lines(images.parent / "text" / "lemmas.jsonl", texts)
    return images


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def deliver_radiographs(landing, name, seed, chests, *, mirrored=(), manifest=None, slices=()):
    """Deliver chests marked R and L in turn, as taken but for those mirrored, and real slices without letters."""
    images = start_delivery(landing, name)
    lines = []
    for number in range(chests):
        pixels = draw_chest(1_000 * seed + number, "RL"[number % 2])
        file = f"chest-{number}.dcm"
        (images / file).write_bytes(
            encode_dicom(np.ascontiguousarray(pixels[:, ::-1] if number in mirrored else pixels))
        )
        orientation = (manifest or {}).get(number)
        lines.append({"file_name": file, "text": f"Chest radiograph number {number}.", "orientation": orientation})
    for file in slices:
        shutil.copy(str(get_testdata_file(file, download=False)), images / file)
        lines.append({"file_name": file, "text": f"A slice of {file.split('_')[0]}."})
    write_lines(images / "metadata.jsonl", lines)
    (images.parent / "_SUCCESS").touch()


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """Four deliveries of a clinic, run to a release."""
    root = tmp_path_factory.mktemp("clinic")
    landing = root / "landing"
    deliver_radiographs(landing, "as-taken", 1, CHESTS, slices=SLICES)
    deliver_radiographs(landing, "mirrored", 2, CHESTS, mirrored=range(CHESTS))
    deliver_radiographs(landing, "one-mirrored", 4, CHESTS, mirrored=[0])
    deliver_radiographs(landing, "turned", 3, 3, manifest={1: {"patient_orientation": ["R", "F"]}})
    with open_site(root) as site:
        yield site, site.run(release="first")


def check_metadata(site, batch):
    """Metadata of the gate's last check on this batch."""
    key = dg.AssetCheckKey(dg.AssetKey("orientation_agreement"), "sides_are_not_mirrored")
    records = site.instance.event_log_storage.get_asset_check_execution_history(key, limit=20)
    evaluations = [record.event.asset_check_evaluation for record in records]
    return next(found.metadata for found in evaluations if found.partition == batch)


@pytest.mark.slow
def test_only_the_deliveries_with_a_contradiction_are_held(clinic):
    site, summary = clinic
    assert summary.failed == {}
    assert summary.held == {"mirrored": "orientation", "turned": "orientation"}
    for batch, pictures in (("as-taken", CHESTS + len(SLICES)), ("mirrored", CHESTS), ("turned", 3)):
        assert (site.lake.count("images", batch), site.lake.count("rejected", batch)) == (pictures, 0)
    assert set(site.lake.scan("mixtures").collect()["batch"]) == {"as-taken", "one-mirrored"}
    samples = site.lake.scan("fusion_samples").filter(pl.col("image_id").is_not_null()).collect()
    assert dict(samples.group_by("batch").len().iter_rows()) == {
        "as-taken": CHESTS + len(SLICES),
        "one-mirrored": CHESTS - 1,
    }
    checks = samples.filter(pl.col("batch") == "as-taken")["checks_json"]
    assert {json.loads(values)["orientation"] for values in checks} == {0.0}


@pytest.mark.slow
def test_a_mirrored_picture_in_a_batch_that_passes_becomes_no_sample(clinic):
    site, _ = clinic
    rejected, bare = site.lake.read("rejected", "one-mirrored").sort("record_kind").to_dicts()
    assert (rejected["stage"], rejected["code"]) == ("fusion_samples", "ERR_CROSS_MDL_MIRROR")
    assert "reads only mirrored; correct" in rejected["reason"]
    assert (bare["record_kind"], bare["code"]) == ("image", "NO_CAPTION")
    caption = site.lake.scan("captions", "one-mirrored").filter(pl.col("caption_id") == rejected["record_id"]).collect()
    assert caption["text"].to_list() == ["Chest radiograph number 0."]


@pytest.mark.slow
def test_what_headers_declare_and_letters_say_are_findings(clinic):
    site, _ = clinic
    for batch, verdict in (("as-taken", "consistent"), ("mirrored", "contradicted")):
        declared = [json.loads(text)["orientation"] for text in site.lake.read("images", batch)["annotations_json"]]
        assert all(orientation["patient_orientation"] == ["L", "F"] for orientation in declared[:CHESTS])
        findings = site.lake.read("orientation_checks", batch)
        stated = findings.filter(pl.col("subject") == "declared")["verdict"].to_list()
        # Slices state the cosines of their plane and nothing to compare them with.
        assert stated == ["consistent"] * CHESTS + ["undecided"] * (len(declared) - CHESTS)
        markers = findings.filter(pl.col("subject") == "marker")
        assert markers.height >= CHESTS // 2
        assert set(markers["verdict"]) == {verdict}
    costs = site.lake.scan("costs").filter(pl.col("asset") == "orientation_checks").collect()
    read = dict(costs.select("batch", "units").iter_rows())
    assert read == {
        "as-taken": CHESTS,
        "mirrored": CHESTS,
        "one-mirrored": CHESTS,
        "turned": 3,
    }  # slices carry no letters
    assert costs["model"].str.starts_with("rapidocr").all()
    assert costs["price"].min() > 0.0


@pytest.mark.slow
def test_the_reason_names_the_pictures_and_the_view_shows_them(clinic):
    site, _ = clinic
    holds = {row["batch"]: describe_hold(row) for row in site.workspace.holds.active().to_dicts()}
    hold = holds["mirrored"]
    assert (hold["gate"], hold["code"]) == ("orientation", "ERR_CROSS_MDL_MIRROR")
    assert hold["measured"] == 1.0 > hold["threshold"]
    assert "% interval" in hold["reason"]
    affected = pl.col("image_id").is_in(hold["diagnosis"]["affected_images"])
    names = site.lake.scan("images", "mirrored").filter(affected).collect()["file_name"].to_list()
    assert sum(name in hold["reason"] for name in names) == 3
    metadata = check_metadata(site, "mirrored")
    assert metadata["fix"].value.startswith("Validate orientation metadata")
    assert "data:image/png" in metadata["side_by_side"].value
    assert len(metadata["contradictions"].records) == len(names)
    (view,) = site.instance.fetch_materializations(dg.AssetKey("held_batches"), limit=1).records
    assert "orientation of mirrored" in view.asset_materialization.metadata

    assert holds["turned"]["reason"].startswith("1 of 3 declared orientations")
    assert "Contradicted: chest-1.dcm." in holds["turned"]["reason"]
    found = site.lake.read("orientation_checks", "turned").filter(pl.col("verdict") == "contradicted")
    declared = found.filter(pl.col("subject") == "declared")["evidence"]
    assert declared.str.contains("file's own header").sum() == 1


@pytest.mark.slow
def test_no_repair_mirrors_a_medical_picture_and_a_person_may_accept_it(clinic):
    site, _ = clinic
    with pytest.raises(HoldError, match="mended at their source: Validate orientation metadata"):
        show_repair(site.workspace, "mirrored", None, None)
    refused = site.materialize("mirrored", "visual_codes")
    failures = [event for event in refused.all_events if event.is_step_failure]
    assert "is held by gate 'orientation'" in str(failures[0].event_specific_data)
    site.workspace.holds.release("mirrored", "orientation", "ada", "accepted for the test")
    assert site.run("mirrored").held == {"turned": "orientation"}
    assert site.lake.count("fusion_samples", "mirrored") > 0
