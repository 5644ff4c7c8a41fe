from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.aligned.segments.offsets.alignment_profile import Profile, list_lags, list_rates, log_mean_exp
from mm_assets.aligned.segments.offsets.clip_offset import Timing, judge_clip, name_rate, rejudge_clip
from mm_assets.aligned.segments.offsets.cue_profile import fit_cues
from mm_assets.aligned.segments.offsets.envelope_profile import fit_envelopes
from mm_assets.aligned.segments.offsets.speech_edges import find_edges
from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks, Envelope, TimedTexts
from mm_assets.aligned.segments.offsets.word_matches import fit_words, match_words, measure_order
from mm_assets.policy import OffsetGatePolicy

POLICY = OffsetGatePolicy()
PAL = 25.0 / 23.976


def by_speech(clip: ClipTracks):
    return judge_clip(
        clip.clip_id, "cues_speech", fit_cues(find_edges(clip.speech), clip.cues, 0, clip.duration_us, POLICY), POLICY
    )


def by_words(clip: ClipTracks):
    matches = match_words(clip.cues, clip.words, POLICY)
    return judge_clip(clip.clip_id, "cues_words", fit_words(matches, 0, clip.duration_us, POLICY), POLICY)


def by_envelopes(clip: ClipTracks):
    profile = fit_envelopes(clip.onsets, clip.motion, 0, clip.duration_us, POLICY)
    return judge_clip(clip.clip_id, "audio_video", profile, POLICY)


@pytest.fixture(scope="module")
def clip(scenes):
    return scenes.draw_clip(np.random.default_rng(3), "clip", 40_000_000, words=True, envelopes=True)


@pytest.mark.parametrize("judge", [by_speech, by_words, by_envelopes])
def test_a_sound_clip_is_in_place(clip, judge) -> None:
    found = judge(clip)
    assert found.timing is Timing.IN_PLACE
    assert abs(found.offset_us) < 80_000
    assert found.beyond < 0.01
    assert found.rate == 1.0


@pytest.mark.parametrize("offset_us", [-3_000_000, -800_000, -500_000, 500_000, 800_000, 3_000_000])
@pytest.mark.parametrize("judge", [by_speech, by_words])
def test_an_offset_of_cues_is_measured_with_its_sign(scenes, clip, judge, offset_us: int) -> None:
    found = judge(scenes.move_cues(clip, offset_us))
    assert found.timing is Timing.OFFSET
    assert found.offset_us == pytest.approx(offset_us, abs=80_000)
    assert found.offset_interval_us[0] <= offset_us <= found.offset_interval_us[1]
    assert found.displacement_us == abs(found.offset_us)


@pytest.mark.parametrize("offset_us", [-900_000, 500_000])
def test_late_sound_has_a_positive_offset(scenes, clip, offset_us: int) -> None:
    found = by_envelopes(scenes.move_sound(clip, offset_us))
    assert found.timing is Timing.OFFSET
    assert found.offset_us == pytest.approx(offset_us, abs=60_000)


@pytest.mark.parametrize(("rate", "name"), [(PAL, "25/2"), (1 / PAL, "2")])
@pytest.mark.parametrize("judge", [by_speech, by_words])
def test_a_drift_is_measured_and_named(scenes, clip, judge, rate: float, name: str) -> None:
    found = judge(scenes.move_cues(clip, rate=rate))
    assert found.timing is Timing.DRIFT
    assert found.rate == pytest.approx(rate, abs=0.004)
    assert found.rate_interval[0] <= rate <= found.rate_interval[1]
    assert abs(found.offset_us) < 150_000
    assert found.drift_ppm == pytest.approx((found.rate - 1) * 1e6)
    assert name_rate(found.rate, found.rate_interval, POLICY).startswith(name)


def test_a_clip_played_backwards_is_told(scenes, clip) -> None:
    found = by_speech(scenes.reverse_media(clip))
    assert found.timing is Timing.REVERSED
    assert found.beyond > 0.99
    assert np.isnan(found.offset_us)


@pytest.mark.parametrize("judge", [by_speech, by_words, by_envelopes])
def test_unrelated_tracks_are_not_judged(scenes, clip, judge) -> None:
    other = scenes.draw_clip(np.random.default_rng(4), "other", 40_000_000, words=True, envelopes=True)
    found = judge(replace(clip, cues=other.cues, onsets=other.onsets))
    assert found.timing is Timing.UNJUDGED
    assert found.reason
    assert found.beyond_ratio < 1.0


def test_too_little_tells_nothing(clip) -> None:
    few = replace(clip.cues, texts=clip.cues.texts[:2], start_us=clip.cues.start_us[:2], end_us=clip.cues.end_us[:2])
    assert not by_speech(replace(clip, cues=few)).is_judged
    assert not by_words(replace(clip, cues=few)).is_judged
    flat = Envelope(np.ones(4_000))
    assert fit_envelopes(flat, clip.motion, 0, clip.duration_us, POLICY) is None


def test_the_tolerance_follows_the_task(scenes, clip) -> None:
    moved = scenes.move_cues(clip, 600_000)
    profile = fit_cues(find_edges(moved.speech), moved.cues, 0, moved.duration_us, POLICY)
    loose = OffsetGatePolicy(task="retrieval")
    assert judge_clip("c", "cues_speech", profile, POLICY).timing is Timing.OFFSET
    assert judge_clip("c", "cues_speech", profile, loose).timing is Timing.IN_PLACE


def test_a_clip_on_a_global_clock_is_judged_as_at_zero(clip) -> None:
    start = 3_600_000_000
    cues = replace(clip.cues, start_us=clip.cues.start_us + start, end_us=clip.cues.end_us + start)
    moved = fit_cues(find_edges(clip.speech), cues, start, clip.duration_us, POLICY)
    assert np.allclose(moved.forward, fit_cues(find_edges(clip.speech), clip.cues, 0, clip.duration_us, POLICY).forward)


def test_a_batch_asks_a_clip_about_its_own_fault(scenes, clip) -> None:
    profile = fit_cues(find_edges(clip.speech), scenes.move_cues(clip, 800_000).cues, 0, clip.duration_us, POLICY)
    right = rejudge_clip(profile, Timing.OFFSET, 800_000, 1.0, 0.9, POLICY, "cues_speech")
    wrong = rejudge_clip(profile, Timing.OFFSET, -800_000, 1.0, 0.9, POLICY, "cues_speech")
    assert right > 0.99
    assert wrong < 0.05


@settings(deadline=None)
@given(st.integers(1_000_000, 7_200_000_000))
def test_rates_hold_1_and_can_be_told_apart(duration_us: int) -> None:
    rates = list_rates(duration_us, POLICY)
    assert 1.0 in rates
    assert (np.diff(rates) > 0).all()
    assert len(rates) <= 140
    others = rates[rates != 1.0]
    assert (np.abs(others - 1.0) * duration_us >= 80_000).all()


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_mean_of_exponentials(values: list[float]) -> None:
    assert log_mean_exp(np.array(values)) == pytest.approx(np.log(np.mean(np.exp(values))), abs=1e-9)


def test_displacement_grows_with_lag_and_rate() -> None:
    lags = list_lags(POLICY)
    profile = Profile(np.array([0.96, 1.0]), lags, np.zeros((2, len(lags))), np.zeros(len(lags)), 30_000_000)
    found = profile.displacement_us()
    middle = len(lags) // 2
    assert found[profile.unit, middle] == 0.0
    assert found[profile.unit, middle + 50] == 500_000.0
    assert found[0, middle] == pytest.approx(600_000.0)


def words(*texts: str) -> TimedTexts:
    times = np.arange(len(texts)) * 400_000
    return TimedTexts(texts, times, times + 300_000)


def cues(*rows: tuple[str, int]) -> TimedTexts:
    starts = np.array([start for _, start in rows])
    return TimedTexts(tuple(text for text, _ in rows), starts, starts + 900_000)


def test_cues_are_found_where_they_are_spoken() -> None:
    spoken = words("we", "saw", "the", "grey", "heron", "by", "the", "old", "mill", "then", "it", "flew", "away")
    shown = cues(("We saw the grey heron", 0), ("by the old mill,", 2_100_000), ("Then it FLEW away.", 3_700_000))
    found = match_words(shown, spoken, POLICY)
    assert found.cues.tolist() == [0, 1, 2]
    assert found.word_us.tolist() == [0, 2_000_000, 3_600_000]
    assert measure_order(found) == 1.0
    assert measure_order(match_words(replace(shown, texts=shown.texts[::-1]), spoken, POLICY)) == -1.0


def test_a_cue_that_fits_two_places_is_left_out() -> None:
    spoken = words("come", "here", "now", "please", "come", "here", "now", "friend")
    assert len(match_words(cues(("come here now", 0)), spoken, POLICY)) == 0


def test_a_missed_first_word_moves_the_start_back() -> None:
    spoken = words("uh", "heron", "stood", "still")
    found = match_words(cues(("The heron stood still", 0)), spoken, POLICY)
    assert found.word_us.tolist() == [0]


def test_an_empty_transcript_matches_nothing() -> None:
    found = match_words(cues(("The heron stood still", 0)), words(), POLICY)
    assert len(found) == 0
    assert found.looked_up == 1
    assert np.isnan(measure_order(found))
