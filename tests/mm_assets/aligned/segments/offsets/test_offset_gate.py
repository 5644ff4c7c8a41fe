import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.corrections import make_correction
from mm_assets.aligned.segments.offsets.batch_timing import weigh_share
from mm_assets.aligned.segments.offsets.offset_gate import evaluate_offsets
from mm_assets.aligned.segments.offsets.offset_verdict import verdict_of_row
from mm_assets.aligned.segments.offsets.pointer_channels import AUDIO, compare_embeddings
from mm_assets.aligned.segments.offsets.time_corrections import correct_pointers, correct_times
from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks
from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.policy import OffsetGatePolicy, WarpingPolicy

POLICY, WARPING = OffsetGatePolicy(permutations=200), WarpingPolicy()
PAL = 25.0 / 23.976


def judge(clips, channels=()):
    return evaluate_offsets(clips, POLICY, WARPING, channels)


def events(verdict) -> pl.DataFrame:
    return pl.concat(
        make_correction(
            batch="b1",
            level="segment",
            kind=item.kind,
            parameters=item.parameters,
            rows=item.rows,
            evaluation_id=verdict.evaluation_id("b1"),
            by="kim",
            reason="diagnosed",
            at_us=1,
        )
        for item in verdict.diagnosis.corrections
    )


def correct(clips, corrections):
    """The clips with their cue times corrected."""
    rows = pl.concat(
        pl.DataFrame(
            {
                "batch": "b1",
                "clip_id": clip.clip_id,
                "clip_start_us": clip.start_us,
                "start_us": clip.cues.start_us,
                "end_us": clip.cues.end_us,
                "text": clip.cues.texts,
            }
        )
        for clip in clips
    )
    found = correct_times(rows, corrections).partition_by("clip_id", maintain_order=True)
    return [
        replace(
            clip,
            cues=replace(
                clip.cues,
                texts=tuple(part["text"]),
                start_us=part["start_us"].to_numpy(),
                end_us=part["end_us"].to_numpy(),
            ),
        )
        for clip, part in zip(clips, found, strict=True)
    ]


def apart_us(clips, others) -> np.ndarray:
    return np.concatenate(
        [np.abs(clip.cues.start_us - other.cues.start_us) for clip, other in zip(clips, others, strict=True)]
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_batch_passes(draw_batch, seed: int) -> None:
    verdict = judge(draw_batch(seed, words=seed == 0, envelopes=seed == 1))
    assert verdict.passed
    assert verdict.judged
    assert verdict.code is None
    assert verdict.affected_share == 0.0
    assert verdict.diagnosis.kind == "in_place"
    assert "no offset, drift, reversal or displaced pointer is proven" in verdict.reason


def test_late_cues_hold_a_batch_and_are_put_right(scenes, draw_batch) -> None:
    true = draw_batch(4)
    clips = [scenes.move_cues(clip, 800_000) for clip in true]
    verdict = judge(clips)
    found = verdict.diagnosis
    assert (verdict.passed, verdict.code, found.kind) == (False, CrossModalCode.TEMPORAL, "offset")
    assert found.value == pytest.approx(800, abs=40)
    assert found.interval[0] <= found.value <= found.interval[1]
    assert len(found.affected) >= 11
    assert REMEDIES[CrossModalCode.TEMPORAL].fix in verdict.reason
    restored = correct(clips, events(verdict))
    assert apart_us(restored, true).max() < 100_000
    assert judge(restored).passed


def test_a_drift_is_named_and_put_right(scenes, draw_batch) -> None:
    true = draw_batch(5)
    clips = [scenes.move_cues(clip, rate=PAL) for clip in true]
    verdict = judge(clips)
    found = verdict.diagnosis
    assert found.kind == "drift"
    assert found.value == pytest.approx(PAL, abs=0.002)
    assert found.hypothesis in {"drift(25/23.976)", "drift(25/24)"}
    restored = correct(clips, events(verdict))
    assert apart_us(restored, true).max() < 250_000
    assert judge(restored).passed


def test_offsets_of_several_sizes_are_put_right_one_by_one(scenes, draw_batch) -> None:
    true = draw_batch(6, words=True)
    sizes = np.linspace(-3e6, 3e6, len(true)) + 200_000
    clips = [scenes.move_cues(clip, size) for clip, size in zip(true, sizes, strict=True)]
    verdict = judge(clips)
    assert verdict.diagnosis.hypothesis == "offsets of several sizes"
    assert len(verdict.diagnosis.corrections) >= 8
    restored = correct(clips, events(verdict))
    assert np.median(apart_us(restored, true)) < 60_000


def test_a_little_lateness_of_all_clips_is_proven_together(scenes, draw_batch) -> None:
    clips = [scenes.move_cues(clip, 330_000) for clip in draw_batch(7)]
    verdict = judge(clips)
    assert verdict.diagnosis.kind == "offset"
    assert verdict.diagnosis.value == pytest.approx(330, abs=40)


def test_clips_played_backwards_hold_a_batch_and_only_the_source_can_mend_them(scenes, draw_batch) -> None:
    clips = draw_batch(8)
    clips[2:8] = [scenes.reverse_media(clip) for clip in clips[2:8]]
    verdict = judge(clips)
    assert verdict.diagnosis.kind == "reversed"
    assert set(verdict.diagnosis.affected) <= {clip.clip_id for clip in clips[2:8]}
    assert not verdict.diagnosis.is_repairable


def test_cues_told_backwards_are_turned_round(scenes, draw_batch) -> None:
    true = draw_batch(9, words=True)
    clips = [scenes.reverse_cues(clip) if row % 2 else clip for row, clip in enumerate(true)]
    verdict = judge(clips)
    assert verdict.diagnosis.kind == "reversed_cues"
    restored = correct(clips, events(verdict))
    assert sum(clip.cues.texts == other.cues.texts for clip, other in zip(restored, true, strict=True)) >= 11
    assert judge(restored).passed


def test_overlapping_cues_hold_a_batch(scenes, draw_batch) -> None:
    generator = np.random.default_rng(1)
    clips = [scenes.overlap_cues(clip, generator) if row % 2 else clip for row, clip in enumerate(draw_batch(10))]
    assert judge(clips).diagnosis.kind == "overlapping_cues"


def test_displaced_subtitles_are_named_and_led_back(scenes, draw_batch) -> None:
    true = draw_batch(11)
    sources = np.arange(12)
    sources[3:9] += 1
    clips = scenes.take_attachments(true, sources)
    verdict = judge(clips)
    found = verdict.diagnosis
    assert (found.kind, found.value) == ("pointer_shift", 1.0)
    assert found.hypothesis == "subtitles shift(+1)"
    assert set(found.affected) == {f"clip_{row:02}" for row in range(3, 9)}
    assert found.lost == ("clip_03",)
    rows = pl.DataFrame(
        {
            "batch": "b1",
            "clip_id": [clip.clip_id for clip in clips],
            "position": range(12),
            "subtitles": [f"{source}.vtt" for source in sources],
        }
    )
    led = correct_pointers(rows, events(verdict), "subtitles")["subtitles"].to_list()
    assert led == ["0.vtt", "1.vtt", "2.vtt", None, *(f"{row}.vtt" for row in range(4, 12))]


def test_displaced_sound_is_named_by_its_own_evidence(scenes, draw_batch) -> None:
    true = [replace(clip, cues=None, speech=None) for clip in draw_batch(12, duration_us=None, envelopes=True)]
    verdict = judge(scenes.take_attachments(true, np.roll(np.arange(12), -1)))
    assert verdict.diagnosis.hypothesis == "audio shift(+1)"
    assert verdict.diagnosis.corrections[0].parameters == {"side": "audio", "k": 1, "wrap": True}


def test_embeddings_of_transcripts_and_captions_count(draw_batch) -> None:
    clips = [ClipTracks(f"clip_{row}", 30_000_000) for row in range(16)]
    generator = np.random.default_rng(1)
    captions = generator.normal(size=(16, 64))
    transcripts = captions[np.roll(np.arange(16), -2)] + 0.5 * generator.normal(size=(16, 64))
    verdict = judge(clips, [compare_embeddings(captions, transcripts, "transcripts and captions", AUDIO)])
    assert verdict.diagnosis.hypothesis == "audio shift(+2)"


def test_late_sound_holds_a_batch(scenes, draw_batch) -> None:
    clips = [
        scenes.move_sound(replace(clip, cues=None, speech=None), 700_000)
        for clip in draw_batch(13, duration_us=60_000_000, envelopes=True)
    ]
    verdict = judge(clips)
    assert verdict.diagnosis.kind == "offset"
    assert verdict.diagnosis.value == pytest.approx(700, abs=40)
    assert verdict.diagnosis.corrections[0].parameters["side"] == "audio"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_few_clips_are_not_judged(scenes, draw_batch, count: int) -> None:
    verdict = judge([scenes.move_cues(clip, 2_000_000) for clip in draw_batch(14, count=count)])
    assert verdict.passed
    assert not verdict.judged
    assert verdict.reason.startswith("Not judged")


def test_clips_without_tracks_keep_their_places(draw_batch) -> None:
    clips = draw_batch(15)
    clips[5] = ClipTracks("rejected", 1_000_000)
    verdict = judge(clips)
    assert verdict.passed
    assert verdict.cues[5] is None


def test_a_verdict_is_the_same_again_and_tells_its_input(scenes, draw_batch) -> None:
    clips = [scenes.move_cues(clip, 900_000) for clip in draw_batch(16, count=6)]
    first, again = judge(clips), judge(clips)
    row = verdict_of_row(first.to_row("b1", "s")).to_row()
    assert row == verdict_of_row(again.to_row("b1", "s")).to_row()
    assert (row["gate"], row["code"], row["passed"]) == ("offset", "ERR_CROSS_MDL_TEMPORAL", False)
    assert row["measured"] > row["threshold"]
    stored = json.loads(row["diagnosis_json"])
    assert stored["kind"] == "offset"
    assert stored["corrections"][0]["kind"] == "time_shift"
    assert stored["fix"] == REMEDIES[CrossModalCode.TEMPORAL].fix
    moved = [scenes.move_cues(clips[0], 1), *clips[1:]]
    assert judge(moved).digest != first.digest
    frame = first.to_frame("b1")
    assert frame.height == 6
    assert frame["offset_us"].drop_nulls().median() == pytest.approx(900_000, abs=60_000)


def test_the_share_of_a_sound_batch_is_no_evidence() -> None:
    ratios = np.full(100, -8.0)
    ratios[:1] = 30.0
    assert weigh_share(ratios, 0.01) < 0.0
    ratios[:20] = 30.0
    assert weigh_share(ratios, 0.01) > 20.0
