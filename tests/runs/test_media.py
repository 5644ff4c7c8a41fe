"""A delivery of sound and video through the graph."""

import json

import numpy as np
import pytest

from mm_assets.steps import STEPS, steps_of

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
        "MISSING_FILE": 1,
        "SILENT": 1,
    }
    before = rows_of(lake, "clips")
    assert site.run().current == ["clips"]
    again = site.materialize("clips", *STEPS["raw_media"].assets, *STEPS["cleaned_media"].assets, *STEPS["cues"].assets)
    assert again.success
    for table, rows in rows_of(lake, "clips").items():
        assert rows.equals(before[table]), table
