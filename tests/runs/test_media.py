"""A delivery of sound and video through the graph."""

import json
import shutil
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from rich.console import Console

from mm_assets.commands.progress_bars import ConsoleBars
from mm_assets.commands.repair import apply_repair, show_repair
from mm_assets.commands.run import Runner
from mm_assets.gates.verdicts import GateVerdict
from mm_assets.steps import STEPS, steps_of
from sensors.offset_halt import offset_halt
from sensors.recall_halt import recall_halt

DEMO = Path(__file__).resolve().parents[2] / "demo" / "data" / "landing"

TIMES = [index * 40_000 for index in range(125)]


def describe(folder, *rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture
def delivery(site, media_files):
    """Two sound videos with subtitles, one that is black, a sound and a silence."""
    batch = site.landing_folder / "clips"
    audio, video = batch / "audio", batch / "video"
    audio.mkdir(parents=True)
    video.mkdir()
    contract = {"contract": "mm-batch/1", "source": "test", "license": "CC0-1.0", "language": "en"}
    (batch / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    for index in range(2):
        pictures = [media_files.scene(10 * index + at // 60, 160, 96, shift=at) for at in range(125)]
        media_files.write_media(
            video / f"{index}.mp4", sound=media_files.voice(5.0, seed=index), pictures=pictures, pts_us=TIMES
        )
        (video / f"{index}.vtt").write_text(
            "WEBVTT\n\n00:00.400 --> 00:02.000\nhello\n\n00:02.500 --> 00:04.000\nagain\n"
            "\n00:09.000 --> 00:10.000\nlate\n"
        )
    black = [np.zeros((96, 160, 3), np.uint8)] * 125
    media_files.write_media(video / "black.mp4", sound=media_files.voice(5.0), pictures=black, pts_us=TIMES)
    media_files.write_media(audio / "rain.wav", sound=media_files.noise(3.0))
    media_files.write_media(audio / "silent.wav", sound=np.zeros((1, 48_000), np.float32))
    describe(
        video,
        *({"file_name": f"{index}.mp4", "subtitles": f"{index}.vtt", "text": "blocks"} for index in range(2)),
        {"file_name": "black.mp4", "text": "nothing"},
    )
    describe(audio, {"file_name": "rain.wav", "text": "rain"}, {"file_name": "silent.wav"}, {"file_name": "gone.wav"})
    (batch / "_SUCCESS").touch()
    return batch


def rows_of(lake, batch):
    tables = [table for name in steps_of({"audio", "video"}, STEPS) for table in STEPS[name].tables]
    return {table: lake.read(table, batch) for table in tables}


def test_media_become_clips_cues_and_pieces_and_nothing_else_runs(site, delivery):
    summary = site.run()
    assert not summary.failed
    assert set(summary.ran["clips"]) == set(steps_of({"audio", "video"}, STEPS))
    lake = site.lake
    assert lake.count("video_clips", "clips") == 2
    assert lake.count("audio_clips", "clips") == 1
    assert lake.count("shots", "clips") == 6
    assert sorted(lake.read("cues", "clips")["text"]) == ["again", "again", "hello", "hello"]
    assert lake.count("clip_pieces", "clips") == 3
    assert lake.rejected_by_code("clips") == {
        "BLACK_VIDEO": 1,
        "CUE_OUTSIDE_MEDIA": 2,
        "ERR_CROSS_MDL_FUSION": 1,
        "MISSING_FILE": 1,
        "SILENT": 1,
    }
    before = rows_of(lake, "clips")
    assert site.run().current == ["clips"]
    again = site.materialize("clips", *STEPS["raw_media"].assets, *STEPS["cleaned_media"].assets, *STEPS["cues"].assets)
    assert again.success
    for table, rows in rows_of(lake, "clips").items():
        assert rows.equals(before[table]), table


@pytest.fixture
def late(site):
    """The demo's batch of constructed clips whose cues are 0.8 s late, as delivered."""
    shutil.copytree(DEMO / "clips-late-12", site.landing_folder / "late")
    return site.landing_folder / "late"


@pytest.mark.slow
def test_late_cues_are_held_cancelled_and_repaired(site, late, tmp_path):
    summary = site.run()
    assert summary.failed == {}
    assert summary.held == {"late": "offset"}
    workspace, lake = site.workspace, site.lake
    (hold,) = workspace.holds.active().to_dicts()
    assert hold["code"] == "ERR_CROSS_MDL_TEMPORAL"
    assert lake.count("fusion_samples", "late") == 0
    refused = site.materialize("late", "fusion_samples")
    assert not refused.success

    given = lake.read("cues", "late")
    clips = lake.read("clip_offsets", "late")
    offset = clips.filter(pl.col("affected") & pl.col("tracks").str.starts_with("cues"))["offset_us"].median()
    assert offset == pytest.approx(800_000, abs=80_000)

    plan, sheet = show_repair(workspace, "late", None, tmp_path / "sheet.png")
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert [item.kind for item in plan.proposals] == ["time_shift"]
    decoded_before = lake.version("video_clips")
    done = apply_repair(
        workspace, Runner(workspace, ConsoleBars(Console(quiet=True))), plan, "ada", "cues were made from another cut"
    )
    assert (done.passed, done.released) == (True, True)
    assert lake.version("video_clips") == decoded_before  # what cues say of time does not touch the media
    moved = given.join(lake.read("cues", "late"), on="cue_id", suffix="_now").filter(
        pl.col("correction_id_now").is_not_null()
    )
    assert moved.height > 0
    shift = plan.proposals[0].parameters["offset_us"]
    assert (moved["start_us"] - moved["start_us_now"]).unique().to_list() == [shift]
    assert site.run().failed == {}
    assert workspace.holds.held_batches() == {}


def test_the_offset_sensor_holds_what_the_offset_gate_failed(site):
    code = "ERR_CROSS_MDL_TEMPORAL"
    verdict = GateVerdict("eval_1", "b", "offset", passed=False, code=code, reason="late", measured=1.0, threshold=0.0)
    other = GateVerdict("eval_2", "c", "recall", passed=False, code="X", reason="shifted", measured=0.1, threshold=0.5)
    workspace = site.workspace
    for item in (verdict, other):
        workspace.holds.record(item)

    def look(sensor):
        with dg.build_sensor_context(
            site.instance, resources={"holds": workspace.holds}, sensor_name=sensor.name
        ) as context:
            return sensor(context)

    (request,) = look(offset_halt)
    assert request.job_name == "refresh_views"
    assert site.lake.read("holds").select("batch", "gate", "by").rows() == [("b", "offset", "offset_halt")]
    look(recall_halt)
    assert set(workspace.holds.active()["batch"]) == {"b", "c"}
