"""A delivery of spoken clips through the graph, to a release that is read for training."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from mm_assets.fusion.linter import lint_paths
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.steps import STEPS

SPEECH = Path(__file__).resolve().parents[1] / "data" / "librivox"
SAID = (
    "and mister john dashwood had then leisure to consider how much there might be prudently in his power "
    "to do for them"
)


@pytest.fixture
def delivery(site, media_files):
    """A video with its sentence as subtitles, one with the subtitles of another, a sound with its words, and texts."""
    batch = site.landing_folder / "spoken"
    audio, video, text = batch / "audio", batch / "video", batch / "text"
    for folder in (audio, video, text):
        folder.mkdir(parents=True)
    contract = {"contract": "mm-batch/1", "source": "test", "license": "CC0-1.0", "language": "en"}
    (batch / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    shutil.copy(SPEECH / "austen-0870.flac", audio / "sentence.flac")
    row = {"file_name": "sentence.flac", "transcription": SAID}
    (audio / "metadata.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    cues = {
        "right": f"WEBVTT\n\n00:00.200 --> 00:03.500\n{SAID[:50]}\n\n00:03.600 --> 00:06.900\n{SAID[50:]}\n",
        "wrong": "WEBVTT\n\n00:00.200 --> 00:06.800\nthe weather in the mountains will be cold and rather windy\n",
    }
    times = [index * 40_000 for index in range(175)]
    for number, (name, subtitles) in enumerate(cues.items()):
        pictures = [media_files.scene(10 * number + at // 90, 160, 96, shift=at) for at in range(175)]
        media_files.write_media(video / f"{name}.mp4", pictures=pictures, pts_us=times)
        shutil.copy(SPEECH / "austen-0870.flac", video / f"{name}.flac")
        (video / f"{name}.vtt").write_text(subtitles, encoding="utf-8")
    rows = [{"file_name": f"{name}.mp4", "audio": f"{name}.flac", "subtitles": f"{name}.vtt"} for name in cues]
    (video / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    records = [{"text": f"Lemma {number}: every divisor divides.", "kind": "math"} for number in range(4)]
    (text / "lemmas.jsonl").write_text("".join(json.dumps(row) + "\n" for row in records), encoding="utf-8")
    (batch / "_SUCCESS").touch()
    return batch


def test_spoken_clips_become_segments_of_a_release(site, delivery):
    summary = site.run(release="r1")
    assert not summary.failed
    assert not summary.held
    lake = site.lake
    rows = lake.read("segment_alignments", "spoken")
    told = {row["text_origin"]: row for row in rows.iter_rows(named=True)}
    assert set(told) == {"cue", "transcription"}
    cue = told["cue"]
    assert cue["text_audio"] > 0.8
    assert cue["text"].startswith("and mister john")
    assert len(cue["cue_ids"]) == 2
    assert cue["words"][0]["word"].casefold() == "and"
    assert cue["start_us"] <= cue["words"][0]["start_us"] < cue["words"][-1]["end_us"] <= cue["end_us"]
    assert cue["speakers"] == ["S0"]
    assert (cue["verdict"], told["transcription"]["verdict"]) == ("audio_text", "audio_text")
    assert lake.rejected_by_code("spoken", "segment_alignments") == {"ERR_CROSS_MDL_FUSION": 1}
    assert lake.count("clip_pieces", "spoken") == 3

    frames = lake.read("key_frames", "spoken")
    assert frames.group_by("clip_id").len()["len"].to_list() == [2, 2]
    shots = lake.read("shots", "spoken")
    assert set(frames["time_us"]) <= set(shots["key_frame_us"])
    tokens = lake.read("audio_embeddings", "spoken")
    codes = lake.read("audio_codes", "spoken")
    assert codes["codes"].list.len().to_list() == tokens["tokens"].to_list()
    book = lake.read("audio_codebook").row(0, named=True)
    assert book["dimension"] == 160
    assert book["trained_on"] == ["spoken"]
    assert codes.select(pl.col("codes").explode().max()).item() < book["size"]

    release = Path(site.lake_root) / "releases" / "r1"
    assert lint_paths([release]).clean
    samples = [sample for sample in ReleaseDataset(release) if sample["kind"] == "segment"]
    assert len(samples) == 2
    for sample in samples:
        assert len(sample["audio_codes"]) == len(sample["audio_features"]) > 70
        assert sample["segment"].words[0].method == "forced:pocketsphinx"
    manifest = json.loads((release / "manifest.json").read_text())
    assert manifest["counts"]["modality_combinations"]["audio+text"] == 2
    assert manifest["counts"]["segment_seconds"]["audio"] == 14

    again = site.run(release="r1")
    assert again.current == ["spoken"]
    assert not again.ran
    before = {table: lake.read(table, "spoken") for step in _SEGMENT_STEPS for table in STEPS[step].tables}
    assert site.materialize("spoken", *(asset for step in _SEGMENT_STEPS for asset in STEPS[step].assets)).success
    for table, frame in before.items():
        assert lake.read(table, "spoken").equals(frame), table


_SEGMENT_STEPS = ("clip_features", "segment_alignments", "audio_codes", "fusion_samples")
