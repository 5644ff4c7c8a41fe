"""The demo's media batches are as demo/README.md says: one passes, the late one is held, planted faults are found."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.segments.offsets.cue_placement import place_cues
from mm_assets.aligned.segments.offsets.offset_gate import evaluate_offsets
from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks, Envelope, SpeechActivity, TimedTexts
from mm_assets.cleaned.cues import clean_cues
from mm_assets.cleaned.media_clips import CleanedClips, Ears, clean_audio, clean_videos
from mm_assets.media.decoder import MediaDecoder
from mm_assets.policy import Policy
from mm_assets.raw_pools.contract import read_contract
from mm_assets.raw_pools.media_folders import read_media_batch
from mm_assets.raw_pools.media_records import MediaChunk
from resources.object_store import LocalLanding
from resources.voice_activity import SileroVad

POLICY = Policy()
DEMO = Path(__file__).parents[2] / "demo"
EXPECTED = json.loads((DEMO / "expected.json").read_text(encoding="utf-8"))
CODES = {"truncated": "TRUNCATED_MEDIA", "no_audio": "NO_AUDIO"}
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
