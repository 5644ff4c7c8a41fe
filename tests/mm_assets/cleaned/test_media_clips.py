"""From a delivery to cleaned clips: real files, real models."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.segments.offsets.cue_placement import place_cues
from mm_assets.aligned.segments.slicing import slice_clips
from mm_assets.cleaned.cues import clean_cues
from mm_assets.cleaned.media_clips import CleanedClips, Ears, clean_audio, clean_videos
from mm_assets.media.decoder import MediaDecoder
from mm_assets.policy import Policy
from mm_assets.raw_pools.contract import read_contract
from mm_assets.raw_pools.media_folders import read_media_batch
from mm_assets.schemas import TABLES
from resources.object_store import LocalLanding
from resources.sound_events import OmniEvents
from resources.voice_activity import SileroVad

POLICY = Policy()
EARS = Ears(SileroVad(threads=1), OmniEvents())
SPEECH = Path(__file__).parents[2] / "data" / "librivox"
TIMES = list(range(0, 4_000_000, 40_000))


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder(POLICY.media) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b1" / "audio").mkdir(parents=True)
    (tmp_path / "b1" / "video").mkdir()
    document = {"contract": "mm-batch/1", "source": "vendor-a", "license": "CC-BY-4.0", "language": "en"}
    (tmp_path / "b1" / "batch.json").write_text(json.dumps(document))
    (tmp_path / "b1" / "_SUCCESS").touch()
    return tmp_path / "b1"


@pytest.fixture
def clean(folder: Path, decoder: MediaDecoder) -> Callable[..., tuple[CleanedClips, dict[str, pl.DataFrame]]]:
    """Read the delivery and clean its sound or its video."""

    def run(kind: str, *rows: dict, policy: Policy = POLICY) -> tuple[CleanedClips, dict[str, pl.DataFrame]]:
        (folder / kind / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        landing = LocalLanding(folder.parent)
        (chunk,) = read_media_batch(landing, read_contract(landing, "b1", policy.ingest), policy.ingest, policy.media)
        raw = chunk.tables["raw_audio" if kind == "audio" else "raw_videos"]
        work = clean_audio if kind == "audio" else clean_videos
        (cleaned,) = work([raw], landing, decoder, EARS, policy)
        assert cleaned.kept.height + cleaned.rejected.height == raw.height
        return cleaned, chunk.tables

    return run


def codes(cleaned: CleanedClips) -> dict[str, str]:
    return dict(cleaned.rejected.select("record_ref", "code").iter_rows())


def ref(kind: str, line: int) -> str:
    return f"b1/{kind}/metadata.jsonl:{line}"


def test_sounds_are_kept_with_measures_or_rejected_with_codes(
    clean: Callable, folder: Path, media_files: ModuleType
) -> None:
    audio = folder / "audio"
    speech = (SPEECH / "austen-0870.flac").read_bytes()
    (audio / "speech.flac").write_bytes(speech)
    (audio / "cut.flac").write_bytes(speech[: len(speech) // 2])
    (audio / "text.mp3").write_bytes(b"this is no sound at all")
    media_files.write_media(audio / "silent.wav", sound=np.zeros((1, 32_000), np.float32))
    clipped = np.clip(media_files.voice(3.0, level=6.0), -1.0, 1.0)
    media_files.write_media(audio / "clipped.wav", sound=clipped)
    media_files.write_media(audio / "squeal.ogg", sound=media_files.tone(3.0, 2_000.0, 48_000), rate=48_000)
    media_files.write_media(audio / "rain.m4a", sound=media_files.noise(3.0))
    media_files.write_media(folder / "pictures.mp4", pictures=[media_files.scene(1)] * 100, pts_us=TIMES).rename(
        audio / "mute.m4a"
    )
    names = ["speech.flac", "cut.flac", "text.mp3", "silent.wav", "clipped.wav", "squeal.ogg", "rain.m4a", "mute.m4a"]
    cleaned, _ = clean(
        "audio", {"file_name": names[0], "transcription": "and mister"}, *({"file_name": name} for name in names[1:])
    )
    assert codes(cleaned) == {
        ref("audio", 2): "TRUNCATED_MEDIA",
        ref("audio", 3): "UNREADABLE_MEDIA",
        ref("audio", 4): "SILENT",
        ref("audio", 5): "CLIPPED",
        ref("audio", 6): "SQUEAL",
        ref("audio", 8): "NO_AUDIO",
    }
    assert all(
        reason.startswith(f"{where}: ") and ";" in reason
        for where, reason in cleaned.rejected.select("record_ref", "reason").iter_rows()
    )
    spoken, rain = cleaned.kept.iter_rows(named=True)
    assert (spoken["sound_class"], rain["sound_class"]) == ("speech", "other")
    assert (spoken["start_us"], spoken["end_us"]) == (0, 7_100_000)
    assert spoken["snr_db"] > 15
    assert -35 < spoken["loudness_lufs"] < -10
    assert rain["snr_db"] is None
    tracks = {row["clip_id"]: row for row in cleaned.tracks.iter_rows(named=True)}
    assert len(tracks[spoken["clip_id"]]["speech"]) == 710
    assert tracks[spoken["clip_id"]]["motion"] is None
    pauses = cleaned.pauses.filter(pl.col("clip_id") == spoken["clip_id"])
    assert (pauses["end_us"] <= 7_100_000).all()


def test_a_video_has_one_clock_for_pictures_sound_shots_and_cues(
    clean: Callable, folder: Path, media_files: ModuleType
) -> None:
    video = folder / "video"
    pictures = [media_files.scene(10 + index // 50, 160, 96, shift=index // 5) for index in range(100)]
    media_files.write_media(
        video / "v.mkv",
        sound=media_files.voice(3.0, rate=16_000),
        sound_start_us=400_000,
        pictures=pictures,
        pts_us=[time + 200_000 for time in TIMES],
    )
    (video / "v.vtt").write_text(
        "WEBVTT\n\n00:00.400 --> 00:02.000\nhello\n\n00:05.000 --> 00:06.000\nbehind the end\n"
    )
    cleaned, tables = clean(
        "video", {"file_name": "v.mkv", "subtitles": "v.vtt", "text": "blocks", "start_us": 60_000_000}
    )
    (clip,) = cleaned.kept.iter_rows(named=True)
    assert clip["clock_offset_us"] == 59_800_000  # the first frame stands at 0.2 s in the file
    assert clip["start_us"] == 60_000_000
    assert clip["sound_start_us"] == pytest.approx(60_200_000, abs=2_000)
    assert clip["end_us"] == 60_000_000 + 4_000_000
    assert (clip["width"], clip["height"], clip["frames"]) == (160, 96, 100)
    assert cleaned.shots.select("start_us", "end_us").rows() == [
        (60_000_000, 62_000_000),
        (62_000_000, 64_000_000),
    ]
    (track,) = cleaned.tracks.iter_rows(named=True)
    assert track["motion_start_us"] == 60_000_000
    assert int(np.argmax(track["motion"])) == 50  # the cut
    cues, rejected = clean_cues(place_cues(tables["raw_cues"], cleaned.kept), POLICY.cues)
    assert cues.select("start_us", "end_us", "text").rows() == [(60_200_000, 61_800_000, "hello")]
    assert rejected["code"].to_list() == ["CUE_OUTSIDE_MEDIA"]
    pieces = slice_clips(cleaned.kept, busy=cues, pauses=cleaned.pauses, shots=cleaned.shots, policy=POLICY.slicing)
    assert pieces.select("start_us", "end_us", "cut").rows() == [(60_000_000, 64_000_000, "end")]


def test_videos_are_rejected_with_codes(clean: Callable, folder: Path, media_files: ModuleType) -> None:
    video, moving = folder / "video", [media_files.scene(1, 160, 96, shift=index) for index in range(100)]
    sound = media_files.voice(4.0)
    media_files.write_media(video / "good.mp4", sound=sound, pictures=moving, pts_us=TIMES)
    media_files.write_media(video / "mute.mp4", pictures=moving, pts_us=TIMES)
    media_files.write_media(
        video / "black.mp4", sound=sound, pictures=[np.zeros((96, 160, 3), np.uint8)] * 100, pts_us=TIMES
    )
    media_files.write_media(video / "still.mp4", sound=sound, pictures=moving[:1] * 100, pts_us=TIMES)
    media_files.write_media(
        video / "tiny.mp4", sound=sound, pictures=[media_files.scene(1, 64, 32)] * 100, pts_us=TIMES
    )
    media_files.write_media(video / "heard.mkv", sound=sound)
    media_files.write_media(video / "silent.wav", sound=0 * sound)
    cleaned, _ = clean(
        "video",
        {"file_name": "good.mp4"},
        {"file_name": "mute.mp4"},
        {"file_name": "black.mp4"},
        {"file_name": "still.mp4"},
        {"file_name": "tiny.mp4"},
        {"file_name": "heard.mkv"},
    )
    assert codes(cleaned) == {
        ref("video", 2): "NO_AUDIO",
        ref("video", 3): "BLACK_VIDEO",
        ref("video", 4): "FROZEN_VIDEO",
        ref("video", 5): "TOO_SMALL",
        ref("video", 6): "NO_VIDEO",
    }
    lenient = Policy.model_validate({"videos": {"require_sound": False}})
    kept, _ = clean(
        "video", {"file_name": "mute.mp4"}, {"file_name": "good.mp4", "audio": "silent.wav"}, policy=lenient
    )
    assert codes(kept) == {ref("video", 2): "SILENT"}
    (mute,) = kept.kept.iter_rows(named=True)
    assert (mute["codec"], mute["sound_class"], mute["sound_start_us"]) == (None, None, None)


def test_a_separate_track_replaces_the_sound_of_the_file(
    clean: Callable, folder: Path, media_files: ModuleType
) -> None:
    video = folder / "video"
    pictures = [media_files.scene(1, 160, 96, shift=index) for index in range(100)]
    media_files.write_media(video / "v.mp4", sound=np.zeros((1, 64_000), np.float32), pictures=pictures, pts_us=TIMES)
    (video / "v.flac").write_bytes((SPEECH / "austen-0920.flac").read_bytes())
    cleaned, _ = clean("video", {"file_name": "v.mp4", "audio": "v.flac"})
    (clip,) = cleaned.kept.iter_rows(named=True)
    assert (clip["codec"], clip["sound_class"]) == ("flac", "speech")
    assert clip["end_us"] == clip["sound_end_us"] > 4_000_000


def test_rows_keep_the_constraints_of_their_tables(clean: Callable, folder: Path, media_files: ModuleType) -> None:
    media_files.write_media(folder / "audio" / "a.wav", sound=media_files.noise(1.0))
    first, _ = clean("audio", {"file_name": "a.wav"})
    second, _ = clean("audio", {"file_name": "a.wav"})
    assert first.kept.equals(second.kept)
    constraints = TABLES["audio_clips"].constraints.values()
    assert first.kept.filter(*(pl.sql_expr(rule) for rule in constraints)).height == 1
    backwards = first.kept.with_columns(end_us=pl.col("start_us"))
    assert backwards.filter(pl.sql_expr(TABLES["audio_clips"].constraints["starts_before_it_ends"])).height == 0
