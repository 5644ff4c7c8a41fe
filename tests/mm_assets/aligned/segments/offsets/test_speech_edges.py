import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.segments.offsets.speech_edges import find_edges, weigh_edges
from mm_assets.aligned.segments.offsets.timed_tracks import SpeechActivity, TimedTexts
from mm_assets.errors import InputError
from mm_assets.policy import OffsetGatePolicy

POLICY = OffsetGatePolicy()


def activity(*spans: tuple[int, int], frames: int = 1_000) -> SpeechActivity:
    values = np.full(frames, 0.05)
    for start, stop in spans:
        values[start:stop] = 0.95
    return SpeechActivity(values)


def test_intervals_are_where_speech_is() -> None:
    edges = find_edges(activity((100, 250), (400, 1_000)))
    assert (edges.starts.tolist(), edges.stops.tolist()) == ([100, 400], [250, 1_000])
    assert edges.share == pytest.approx(0.75)


def test_closures_are_closed_and_blips_dropped() -> None:
    edges = find_edges(activity((100, 200), (206, 300), (500, 505)))
    assert (edges.starts.tolist(), edges.stops.tolist()) == ([100], [300])


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros(500), np.full(500, 0.5)])
def test_silence_has_no_edges(values: np.ndarray) -> None:
    assert len(find_edges(SpeechActivity(values))) == 0


@given(st.lists(st.integers(0, 1), min_size=2, max_size=40).filter(any), st.integers(20, 60))
def test_evidence_is_that_of_a_likelihood_ratio(pattern: list[int], width: int) -> None:
    """Its exponential has mean 1 over the clip, so that products of it cannot favour chance."""
    edges = find_edges(SpeechActivity(np.repeat(pattern, width).astype(float)))
    evidence = weigh_edges(edges, POLICY)
    assert np.exp(evidence.start).mean() == pytest.approx(1.0, abs=1e-6)
    assert np.exp(evidence.end).mean() == pytest.approx(1.0, abs=1e-6)


@given(st.lists(st.integers(0, 1), min_size=2, max_size=40).filter(any))
def test_playing_backwards_twice_is_playing_forwards(pattern: list[int]) -> None:
    edges = find_edges(SpeechActivity(np.repeat(pattern, 30).astype(float)))
    again = edges.mirrored().mirrored()
    assert np.array_equal(again.starts, edges.starts)
    assert np.array_equal(again.stops, edges.stops)


def test_evidence_peaks_before_speech_starts_and_after_it_ends() -> None:
    evidence = weigh_edges(find_edges(activity((300, 600))), POLICY)
    assert int(np.argmax(evidence.start)) == 300 - round(POLICY.cue_lead_us / 10_000)
    assert int(np.argmax(evidence.end)) == 600 + round(POLICY.cue_tail_us / 10_000)


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(InputError, match="no probabilities"):
        SpeechActivity(np.array([0.5, 1.5]))
    with pytest.raises(InputError, match="no probabilities"):
        SpeechActivity(np.array([0.5, np.nan]))


def test_cues_that_end_before_they_start_are_refused() -> None:
    with pytest.raises(InputError, match="text 1 ends before it starts"):
        TimedTexts(("a", "b"), np.array([0, 5]), np.array([1, 4]))
