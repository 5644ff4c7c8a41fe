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
from tests.runs.radiographs import draw_chest, encode_dicom

PICTURES = 8


def deliver_radiographs(site, name, seed, *, mirrored=False, manifest=None):
    """Deliver chests marked R and L in turn, two of three with a caption, as they were taken or all mirrored."""
    images = site.landing_folder / name / "images"
    images.mkdir(parents=True)
    contract = {"contract": "mm-batch/1", "source": "clinic", "license": "CC0-1.0", "language": "en"}
    (images.parent / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    lines = []
    for number in range(PICTURES):
        pixels = draw_chest(1_000 * seed + number, "RL"[number % 2])
        file = f"chest-{number}.dcm"
        (images / file).write_bytes(encode_dicom(np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)))
        record = {"file_name": file} | ({} if number % 3 else {"text": f"A frontal chest radiograph, number {number}."})
        lines.append(record | ({} if manifest is None else {"orientation": manifest(number)}))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (images / "metadata.jsonl").write_text(text, encoding="utf-8")
    (images.parent / "_SUCCESS").touch()


def check_metadata(site, batch):
    """Metadata of the gate's last check on this batch."""
    key = dg.AssetCheckKey(dg.AssetKey("orientation_agreement"), "sides_are_not_mirrored")
    records = site.instance.event_log_storage.get_asset_check_execution_history(key, limit=20)
    evaluations = [record.event.asset_check_evaluation for record in records]
    return next(found.metadata for found in evaluations if found.partition == batch)


@pytest.mark.slow
def test_a_mirrored_delivery_is_held_and_one_as_taken_is_released(site):
    deliver_radiographs(site, "as-taken", 1)
    deliver_radiographs(site, "mirrored", 2, mirrored=True)
    summary = site.run(release="first")
    assert (summary.failed, summary.held) == ({}, {"mirrored": "orientation"})
    lake, workspace = site.lake, site.workspace

    for batch in ("as-taken", "mirrored"):
        assert (lake.count("images", batch), lake.count("rejected", batch)) == (PICTURES, 0)
        declared = [json.loads(text)["orientation"] for text in lake.read("images", batch)["annotations_json"]]
        assert all(orientation["patient_orientation"] == ["L", "F"] for orientation in declared)
        findings = lake.read("orientation_checks", batch)
        markers = findings.filter(pl.col("subject") == "marker")
        assert markers.height >= PICTURES // 2
        assert set(markers["verdict"]) == {"consistent" if batch == "as-taken" else "contradicted"}
        assert set(findings.filter(pl.col("subject") == "declared")["verdict"]) == {"consistent"}

    hold = describe_hold(workspace.holds.active().row(0, named=True))
    assert (hold["gate"], hold["code"]) == ("orientation", "ERR_CROSS_MDL_MIRROR")
    assert hold["measured"] == 1.0 > hold["threshold"]
    assert "% interval" in hold["reason"]
    assert "mirrored" in hold["reason"]
    affected = lake.scan("images", "mirrored").filter(pl.col("image_id").is_in(hold["diagnosis"]["affected_images"]))
    names = affected.sort("position").collect()["file_name"].to_list()
    assert len(names) >= PICTURES // 2
    assert sum(name in hold["reason"] for name in names) == 3
    metadata = check_metadata(site, "mirrored")
    assert metadata["fix"].value.startswith("Validate orientation metadata")
    assert "data:image/png" in metadata["side_by_side"].value
    assert len(metadata["contradictions"].value) == len(names)
    (view,) = site.instance.fetch_materializations(dg.AssetKey("held_batches"), limit=1).records
    assert "orientation of mirrored" in view.asset_materialization.metadata

    costs = lake.scan("costs").filter(pl.col("asset") == "orientation_checks").collect()
    assert dict(costs.select("batch", "units").iter_rows()) == {"as-taken": PICTURES, "mirrored": PICTURES}
    assert costs["model"].str.starts_with("rapidocr").all()
    assert set(lake.scan("mixtures").collect()["batch"]) == {"as-taken"}
    samples = lake.read("fusion_samples", "as-taken")
    assert (samples.height, lake.count("fusion_samples", "mirrored")) == (lake.count("captions", "as-taken"), 0)
    assert json.loads(samples["checks_json"][0])["orientation"] == 0.0

    with pytest.raises(HoldError, match="mended at their source: Validate orientation metadata"):
        show_repair(workspace, "mirrored", None, None)
    refused = site.materialize("mirrored", "visual_codes")
    assert not refused.success
    workspace.holds.release("mirrored", "orientation", "ada", "accepted for the test")
    assert site.run().held == {}
    assert lake.count("fusion_samples", "mirrored") > 0


@pytest.mark.slow
def test_a_manifest_that_contradicts_the_headers_is_held(site):
    def turned(number):
        return {"patient_orientation": ["R", "F"]} if number in {2, 5} else None

    deliver_radiographs(site, "turned", 3, manifest=turned)
    summary = site.run()
    assert (summary.failed, summary.held) == ({}, {"turned": "orientation"})
    reason = site.workspace.holds.active()["reason"][0]
    assert "chest-2.dcm, chest-5.dcm" in reason
    assert reason.startswith("2 of 8 declared orientations")
    found = site.lake.read("orientation_checks", "turned").filter(pl.col("verdict") == "contradicted")
    assert found.filter(pl.col("subject") == "declared")["evidence"].str.contains("file's own header").any()


@pytest.mark.slow
def test_real_dicom_files_go_through_and_are_not_read_without_need(site):
    """Slices of CT and MR carry no lead letters; their cosines are compared with what is declared."""
    images = site.landing_folder / "slices" / "images"
    images.mkdir(parents=True)
    contract = {"contract": "mm-batch/1", "source": "pydicom", "license": "MIT", "language": "en"}
    (images.parent / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    lines = []
    for name in ("CT_small.dcm", "MR_small.dcm"):
        shutil.copy(get_testdata_file(name, download=False), images / name)
        lines.append({"file_name": name, "text": f"The slice {name.split('_')[0]}."})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (images / "metadata.jsonl").write_text(text, encoding="utf-8")
    (images.parent / "_SUCCESS").touch()
    summary = site.run()
    assert (summary.failed, summary.held) == ({}, {})
    assert site.lake.count("images", "slices") == len(lines)
    row = site.lake.read("orientation_agreement", "slices").row(0, named=True)
    assert (row["passed"], row["pictures_read"]) == (True, 0)
    assert set(site.lake.read("orientation_checks", "slices")["subject"]) == {"declared"}
    assert site.lake.count("fusion_samples", "slices") == len(lines)
