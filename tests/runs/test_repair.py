"""Mirrored boxes: held by their gate, repaired in a layer beside the raw data, run again, released, true in samples."""

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from mm_assets.commands.progress_bars import ConsoleBars
from mm_assets.commands.repair import apply_repair, repairable_batches, show_repair, withdraw_repairs
from mm_assets.commands.run import Runner

CLEAN, MIRRORED = "scenes-coco-04", "scenes-mirrored-10"
SCENES = 30
WIDTH = 480


@pytest.mark.slow
def test_a_mirrored_batch_is_held_repaired_and_released(site, tmp_path):
    site.cut_scenes(CLEAN, "a-clean", SCENES)
    site.cut_scenes(MIRRORED, "b-mirrored", SCENES)
    summary = site.run()
    assert summary.failed == {}
    assert summary.held == {"b-mirrored": "objects"}
    workspace, lake = site.workspace, site.lake
    hold = workspace.holds.active().row(0, named=True)
    assert hold["code"] == "ERR_CROSS_MDL_OBJ_FLIP"
    assert "mirror_x" in hold["reason"]
    assert lake.count("fusion_samples", "b-mirrored") == 0
    raw, given = lake.read("raw_images", "b-mirrored"), lake.read("boxes", "b-mirrored")

    seen = site.instance.get_latest_materialization_event(dg.AssetKey("object_recall"))
    shown = seen.asset_materialization.metadata
    for name in ("similarities", "recall_over_batches", "hypotheses", "worst_and_random"):
        assert "](data:image/png;base64," in shown[name].value

    plan, sheet = show_repair(workspace, "b-mirrored", None, tmp_path / "sheet.png")
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert (plan.kind, len(plan.rows), plan.of) == ("mirror_x", given.height, given.height)
    assert lake.read("boxes", "b-mirrored").equals(given)  # showing changes nothing

    assert repairable_batches(workspace) == ["b-mirrored"]

    runner = Runner(workspace, ConsoleBars(Console(quiet=True)))
    done = apply_repair(workspace, runner, plan, "ada", "the pictures were flipped after annotation")
    assert (done.passed, done.released) == (True, True)
    assert workspace.holds.held_batches() == {}
    assert lake.read("raw_images", "b-mirrored").equals(raw)
    repaired = lake.read("boxes", "b-mirrored")
    assert repaired["correction_id"].unique().to_list() == [done.correction_id]
    assert (repaired["x1"] - (WIDTH - given["x2"])).abs().max() <= 1e-3
    assert repaired.select("box_id", "y1", "y2").equals(given.select("box_id", "y1", "y2"))

    assert site.run().failed == {}
    assert lake.count("fusion_samples", "b-mirrored") > 0
    event = lake.scan("corrections").filter(pl.col("correction_id") == done.correction_id).collect().row(0, named=True)
    assert (event["by"], event["kind"]) == ("ada", "mirror_x")
    assert len(event["rows"]) == given.height

    # Taken back, the batch is mirrored again, and its old verdict, which was released, is not held twice.
    assert withdraw_repairs(workspace, "b-mirrored", "ada", "for the test") == [done.correction_id]
    site.run()
    assert lake.read("boxes", "b-mirrored").equals(given)
