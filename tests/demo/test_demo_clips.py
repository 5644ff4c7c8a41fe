"""The demo's media batches are as demo/README.md says: one passes, the late one is held, planted faults are found."""

import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mm_assets.aligned.segments.offsets.cue_placement import place_cues
from mm_assets.aligned.segments.offsets.offset_figures import draw_clip_offsets, draw_offset_history, history_rows
from mm_assets.aligned.segments.offsets.offset_gate import evaluate_offsets
from mm_assets.aligned.segments.offsets.offset_verdict import verdict_of_row
from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks, Envelope, SpeechActivity, TimedTexts
from mm_assets.cleaned.cues import clean_cues
from mm_assets.cleaned.media_clips import CleanedClips, Ears, clean_audio, clean_videos
from mm_assets.commands.repair import repairable_batches, tell_repair
from mm_assets.display.excerpts import draw_shots, read_frames
from mm_assets.gates.evidence import evidence_sheet, tell_sheet
from mm_assets.media.decoder import MediaDecoder
from mm_assets.policy import Policy
from mm_assets.raw_pools.contract import read_contract
from mm_assets.raw_pools.media_folders import read_media_batch
from mm_assets.raw_pools.media_records import MediaChunk
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LocalLanding
from resources.voice_activity import SileroVad

POLICY = Policy()
DEMO = Path(__file__).parents[2] / "demo"
EXPECTED = json.loads((DEMO / "expected.json").read_text(encoding="utf-8"))
CODES = {"truncated": "TRUNCATED_MEDIA", "no_audio": "NO_AUDIO"}
CRIMSON, SEAGREEN, BLUE = (220, 20, 60), (46, 139, 87), (0, 114, 178)
SOUND, LATE = "clips-animals-11", "clips-late-12"


@dataclass(frozen=True)
class Cleaned:
    raw: MediaChunk
    videos: CleanedClips
    sounds: CleanedClips | None
    cues: pl.DataFrame

    @property
    def names(self) -> dict[str, str]:
        return dict(self.raw.tables["raw_videos"].select("clip_id", "file_name").iter_rows())

    def tracks(self) -> list[ClipTracks]:
        rows = {row["clip_id"]: row for row in self.videos.tracks.iter_rows(named=True)}
        kept = {row["clip_id"]: row for row in self.videos.kept.iter_rows(named=True)}
        return [
            self._track(kept[clip_id], rows[clip_id]) if clip_id in kept else ClipTracks(clip_id, 1_000_000)
            for clip_id in self.raw.tables["raw_videos"]["clip_id"]
        ]

    def _track(self, clip: dict, row: dict) -> ClipTracks:
        cues = self.cues.filter(pl.col("clip_id") == clip["clip_id"])
        speech, onsets, motion = (np.array(row[name], dtype=np.float64) for name in ("speech", "onsets", "motion"))
        return ClipTracks(
            clip["clip_id"],
            clip["end_us"] - clip["start_us"],
            clip["start_us"],
            SpeechActivity(np.clip(speech, 0.0, 1.0), row["sound_start_us"]),
            TimedTexts.from_frame(cues) if cues.height else None,
            None,
            Envelope(onsets, row["sound_start_us"], row["sound_step_us"]),
            Envelope(motion, row["motion_start_us"], row["motion_step_us"]),
        )


@pytest.fixture(scope="module")
def cleaned() -> dict[str, Cleaned]:
    landing = LocalLanding(DEMO / "data" / "landing")
    ears = Ears(SileroVad(threads=1), events=None)
    found = {}
    with MediaDecoder(POLICY.media) as decoder:
        for batch in (SOUND, LATE):
            contract = read_contract(landing, batch, POLICY.ingest)
            (raw,) = read_media_batch(landing, contract, POLICY.ingest, POLICY.media)
            (videos,) = clean_videos([raw.tables["raw_videos"]], landing, decoder, ears, POLICY)
            sounds = list(clean_audio([raw.tables["raw_audio"]], landing, decoder, ears, POLICY))
            cues, _ = clean_cues(place_cues(raw.tables["raw_cues"], videos.kept), POLICY.cues)
            found[batch] = Cleaned(raw, videos, sounds[0] if raw.tables["raw_audio"].height else None, cues)
    return found


@pytest.mark.parametrize("batch", [SOUND, LATE])
def test_every_record_is_kept_or_planted(cleaned: dict[str, Cleaned], batch: str) -> None:
    delivery, expected = cleaned[batch], EXPECTED["batches"][batch]
    assert delivery.raw.rejected.height == 0
    videos = delivery.videos
    assert videos.kept.height + videos.rejected.height == expected["videos"]
    assert Counter(videos.rejected["code"]) == {CODES[kind]: count for kind, count in expected["planted"].items()}
    sounds = delivery.sounds
    assert (sounds.kept.height if sounds else 0) == expected["sounds"]
    assert sounds is None or sounds.rejected.height == 0


def test_prompts_are_speech_and_animals_are_not(cleaned: dict[str, Cleaned]) -> None:
    sounds = cleaned[SOUND].sounds
    assert sounds is not None
    declares_speech = pl.col("transcription").is_not_null()
    assert sounds.kept.filter(declares_speech)["sound_class"].to_list() == ["speech"] * 3
    assert "speech" not in sounds.kept.filter(~declares_speech)["sound_class"].to_list()


def test_a_cut_stands_where_each_cue_begins(cleaned: dict[str, Cleaned]) -> None:
    """The construction: the picture changes 80 ms behind the start of a cue, on a grid of frames."""
    delivery = cleaned[SOUND]
    for clip_id in delivery.cues["clip_id"].unique():
        starts = delivery.cues.filter(pl.col("clip_id") == clip_id)["start_us"].to_numpy() + 80_000
        shots = delivery.videos.shots.filter(pl.col("clip_id") == clip_id)["start_us"].to_numpy()
        apart = np.abs(starts[:, None] - shots[None, :]).min(axis=1)
        assert np.mean(apart <= 40_000) >= 0.8, delivery.names[clip_id]  # first shots are short and may be joined


def test_the_sound_batch_passes(cleaned: dict[str, Cleaned]) -> None:
    verdict = evaluate_offsets(cleaned[SOUND].tracks(), POLICY.offset_gate, POLICY.warping)
    assert (verdict.judged, verdict.passed) == (True, True), verdict.reason
    judged = {timing.tracks: timing.judged for timing in verdict.timings}
    assert judged["cues"] >= POLICY.offset_gate.min_clips
    assert judged["audio_video"] >= POLICY.offset_gate.min_clips


def test_the_late_batch_is_held_with_its_offset(cleaned: dict[str, Cleaned]) -> None:
    delivery = cleaned[LATE]
    verdict = evaluate_offsets(delivery.tracks(), POLICY.offset_gate, POLICY.warping)
    assert not verdict.passed
    assert verdict.diagnosis.value == pytest.approx(800.0, abs=80.0)
    late = {name for clip_id, name in delivery.names.items() if clip_id in verdict.diagnosis.affected}
    assert late == set(delivery.names.values()) - {"clip-05.webm"}
    (correction,) = verdict.diagnosis.corrections
    assert correction.kind == "time_shift"
    assert LATE in EXPECTED["spoiled"]
    assert SOUND not in EXPECTED["spoiled"]


@pytest.fixture(scope="module")
def lake(cleaned: dict[str, Cleaned], tmp_path_factory: pytest.TempPathFactory) -> DeltaLake:
    lake = DeltaLake(root=str(tmp_path_factory.mktemp("lake")))
    late = cleaned[LATE]
    for table, rows in (("video_clips", late.videos.kept), ("shots", late.videos.shots), ("cues", late.cues)):
        lake.replace(table, LATE, rows)
    return lake


def shades(png: bytes) -> tuple[tuple[int, int], np.ndarray]:
    """Size, and every colour once, shape (N, 3)."""
    with Image.open(io.BytesIO(png)) as picture:
        packed = np.asarray(picture.convert("RGB"), np.uint32) @ np.array([65_536, 256, 1], np.uint32)
        colours = np.unique(packed)
        return picture.size, np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.int32)


def is_among(colour: tuple[int, ...], found: np.ndarray) -> bool:
    return bool((np.abs(found - np.array(colour)).max(axis=1) <= 12).any())


def test_a_hold_shows_late_cues_and_where_they_belong(cleaned: dict[str, Cleaned], lake: DeltaLake) -> None:
    verdict = evaluate_offsets(cleaned[LATE].tracks(), POLICY.offset_gate, POLICY.warping)
    landing = LocalLanding(DEMO / "data" / "landing")
    sheet = evidence_sheet(lake, landing, LATE, verdict.to_json())
    assert sheet is not None
    (width, height), found = shades(sheet)
    assert (width, height) == (1_100, 3 * 430)
    assert is_among(CRIMSON, found)
    assert is_among(SEAGREEN, found)
    assert len(sheet) < 200_000
    assert tell_sheet(verdict.to_json()).startswith("Crimson: cues as delivered")
    unmoved = evidence_sheet(lake, landing, LATE, verdict.to_json() | {"corrections": []})
    assert unmoved is not None
    assert not is_among(SEAGREEN, shades(unmoved)[1])
    elsewhere = verdict.to_json() | {"clip_examples": [{"clip_id": "vid_of_a_rejected_clip"}]}
    assert evidence_sheet(lake, landing, LATE, elsewhere) is None


def test_a_late_batch_is_told_how_it_is_repaired(cleaned: dict[str, Cleaned], lake: DeltaLake) -> None:
    holds = Holds(lake=lake)
    verdict = evaluate_offsets(cleaned[LATE].tracks(), POLICY.offset_gate, POLICY.warping)
    row = verdict.to_row(LATE, "tuxpaint-clips")
    lake.replace("raw_videos", LATE, cleaned[LATE].raw.tables["raw_videos"])
    lake.replace("segment_offsets", LATE, pl.DataFrame([row], schema=TABLES["segment_offsets"].schema))
    workspace: Any = SimpleNamespace(holds=holds, lake=lake)
    assert repairable_batches(workspace) == []  # nothing is held yet
    holds.record(verdict_of_row(row))
    holds.place_due(by="test")
    assert repairable_batches(workspace) == [LATE]
    assert tell_repair(LATE).endswith(f": mm repair {LATE}")
    assert tell_repair(LATE, "demo/data/landing").endswith(f": MM_LANDING=demo/data/landing mm repair {LATE}")
    holds.release(LATE, "offset", "ada", "for the test")
    assert repairable_batches(workspace) == []


def test_cues_that_were_never_cleaned_are_shown_as_delivered(cleaned: dict[str, Cleaned], tmp_path: Path) -> None:
    lake, late = DeltaLake(root=str(tmp_path)), cleaned[LATE]
    for table, rows in (("video_clips", late.videos.kept), ("raw_cues", late.raw.tables["raw_cues"])):
        lake.replace(table, LATE, rows)
    verdict = evaluate_offsets(late.tracks(), POLICY.offset_gate, POLICY.warping)
    one = verdict.to_json() | {"clip_examples": verdict.to_json()["clip_examples"][:1]}
    sheet = evidence_sheet(lake, LocalLanding(DEMO / "data" / "landing"), LATE, one)
    assert sheet is not None
    assert is_among(CRIMSON, shades(sheet)[1])


def test_shots_are_shown_by_their_key_frames(cleaned: dict[str, Cleaned]) -> None:
    videos = cleaned[LATE].videos
    clip = videos.kept.row(0, named=True)
    shots = videos.shots.filter(pl.col("clip_id") == clip["clip_id"]).sort("shot_index")
    path = DEMO / "data" / "landing" / LATE / "video" / clip["file_name"]
    with MediaDecoder(POLICY.media) as decoder, path.open("rb") as stream:
        sheet = draw_shots(
            decoder, stream, "clip", clip["clock_offset_us"], shots.select("start_us", "end_us", "key_frame_us").rows()
        )
        stream.seek(0)
        times = [0, 1_000_001, 10**9]
        frames = read_frames(decoder, stream, "clip", [-40_000, *times], 80)
    assert list(frames) == times
    with Image.open(io.BytesIO(frames[0])) as first:
        assert first.size == (80, 60)
    assert frames[0] != frames[10**9]
    size, found = shades(sheet)
    assert size[0] == 6 * (160 + 8) + 8
    assert len(found) > 1_000


def test_clips_and_batches_are_shown_beside_their_tolerance(cleaned: dict[str, Cleaned]) -> None:
    tracks = ("cues_speech", "cues_words", "audio_video", "cues")
    tolerances = {name: POLICY.offset_gate.tolerance_us(name) for name in tracks}
    rows = []
    for batch, is_held in ((SOUND, False), (LATE, True)):
        verdict = evaluate_offsets(cleaned[batch].tracks(), POLICY.offset_gate, POLICY.warping)
        clips = draw_clip_offsets(verdict.to_frame(batch), tolerances, cleaned[batch].names)
        assert is_among(BLUE, shades(clips)[1])
        assert is_among(CRIMSON, shades(clips)[1]) == is_held
        rows.append(verdict.to_row(batch, "tuxpaint-clips"))
    history = pl.DataFrame(rows, schema=TABLES["segment_offsets"].schema)
    assert history_rows(history, tolerances)["proven"].to_list() == [False, False, True, False]
    assert is_among(CRIMSON, shades(draw_offset_history(history, tolerances))[1])
    assert not is_among(CRIMSON, shades(draw_offset_history(history.head(1), tolerances))[1])
    for nothing in (
        draw_offset_history(history.clear(), tolerances),
        draw_clip_offsets(TABLES["clip_offsets"].empty(), tolerances, {}),
    ):
        assert len(shades(nothing)[1]) > 5  # says why there is nothing
