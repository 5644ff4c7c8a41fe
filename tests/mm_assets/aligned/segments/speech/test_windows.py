import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.segments.speech.windows import Window, cut_windows, find_windows
from mm_assets.media.messages import AudioBlock
from mm_assets.policy import SpeechPolicy

STEP_US = 10_000
POLICY = SpeechPolicy()


def track(*runs: tuple[int, float]) -> np.ndarray:
    """A speech track of (steps, probability)."""
    return np.concatenate([np.full(steps, probability, np.float32) for steps, probability in runs])


def times(windows: list[Window]) -> list[tuple[int, int]]:
    return [(window.start_us, window.end_us) for window in windows]


def test_speech_is_one_window_with_a_margin_and_a_long_pause_ends_it():
    speech = track((100, 0.0), (200, 0.9), (50, 0.1), (100, 0.9), (300, 0.0), (100, 0.9), (5, 0.0))
    first, second = find_windows(speech, 1_000_000, STEP_US, POLICY)
    assert (first.start_us, first.end_us) == (1_700_000, 4_800_000 + 1_000_000)
    assert (first.speech_start_us, first.speech_end_us) == (2_000_000, 5_500_000)
    assert first.voice_share == pytest.approx(300 / 350)
    assert second.end_us == 1_000_000 + len(speech) * STEP_US


def test_nothing_said_is_no_window_and_a_click_is_nothing():
    assert find_windows(track((500, 0.1)), 0, STEP_US, POLICY) == []
    assert find_windows(track((100, 0.1), (5, 1.0), (100, 0.1)), 0, STEP_US, POLICY) == []
    assert find_windows(np.zeros(0, np.float32), 0, STEP_US, POLICY) == []


def test_long_speech_is_cut_at_its_longest_pause():
    speech = track((2_000, 0.9), (40, 0.0), (500, 0.9), (90, 0.0), (300, 0.9), (30, 0.0), (900, 0.9))
    first, second = find_windows(speech, 0, STEP_US, POLICY)
    assert first.speech_end_us == 25_400_000
    assert second.speech_start_us == 26_300_000
    assert first.end_us <= second.start_us


@given(
    runs=st.lists(st.tuples(st.integers(1, 4_000), st.sampled_from([0.0, 0.4, 0.6, 1.0])), max_size=12),
    seconds=st.floats(2.0, 30.0),
    margin=st.floats(0.0, 0.4),
)
def test_windows_are_in_order_apart_short_enough_and_hold_all_speech(runs, seconds, margin):
    policy = SpeechPolicy(window_seconds=seconds, margin_seconds=margin, min_speech_seconds=0.0)
    speech = track((1, 0.0), *runs)
    windows = find_windows(speech, 7, STEP_US, policy)
    edges = [edge for window in windows for edge in (window.start_us, window.end_us)]
    assert edges == sorted(edges)
    assert all(window.start_us < window.end_us for window in windows)
    assert all(window.end_us - window.start_us <= seconds * 1e6 + 1 for window in windows)
    covered = np.zeros(len(speech), bool)
    for window in windows:
        covered[(window.start_us - 7) // STEP_US : (window.end_us - 7) // STEP_US] = True
        assert window.start_us >= 7
        assert window.end_us <= 7 + len(speech) * STEP_US
    assert covered[speech >= policy.speech_probability].all()


@given(cuts=st.lists(st.integers(1, 15_999), max_size=6, unique=True), offset_us=st.sampled_from([0, -500_000, 62_500]))
def test_sound_of_windows_is_that_of_the_clip_however_it_is_blocked(cuts, offset_us):
    sound = np.arange(1, 16_001, dtype=np.float32)
    edges = [0, *sorted(cuts), 16_000]
    blocks = [
        AudioBlock(round(first * 62.5), sound[first:last].astype("<f4").tobytes(), 0, 0, 0.0)
        for first, last in itertools.pairwise(edges)
    ]
    spans = [(0, 100_000), (100_000, 400_000), (900_000, 1_000_000)]
    windows = [Window(start + offset_us, end + offset_us, 0, 1, 1.0) for start, end in spans]
    found = list(cut_windows(blocks, windows, offset_us))
    assert [window for window, _ in found] == windows
    for (start, end), (_, samples) in zip(spans, found, strict=True):
        assert np.array_equal(samples, sound[start * 16 // 1000 : end * 16 // 1000])


def test_time_the_sound_leaves_out_is_silent():
    block = AudioBlock(500_000, np.ones(8_000, "<f4").tobytes(), 0, 0, 0.0)
    ((_, samples),) = cut_windows([block], [Window(0, 2_000_000, 0, 1, 1.0)], 0)
    assert len(samples) == 32_000
    assert samples[:8_000].sum() == samples[16_000:].sum() == 0
    assert samples[8_000:16_000].all()
