import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.segments.interfaces import SpeakerTurn, TimedWord
from mm_assets.aligned.segments.speech.utterances import divide_at_turns, divide_into_utterances, nearest_turn
from mm_assets.aligned.segments.speech.word_times import ClipWord, place_words, spread_words, trim_silence


def clip_words(*words: tuple[str, int, int]) -> tuple[ClipWord, ...]:
    return tuple(ClipWord(word, start, end, 1.0, "m") for word, start, end in words)


@given(
    times=st.lists(st.tuples(st.integers(-5_000_000, 40_000_000), st.integers(-5_000_000, 40_000_000)), max_size=40),
    origin_us=st.integers(0, 10**12),
    inside=st.tuples(st.integers(0, 1_000_000), st.integers(40, 30_000_000)),
)
def test_placed_words_are_in_order_apart_and_inside(times, origin_us, inside):
    start_us, end_us = origin_us + inside[0], origin_us + inside[0] + inside[1]
    words = [TimedWord(str(place), start, end, 0.5) for place, (start, end) in enumerate(times)]
    placed = place_words(words, "m", origin_us, start_us, end_us)
    assert [word.word for word in placed] == [word.word for word in words]
    edges = [edge for word in placed for edge in (word.start_us, word.end_us)]
    assert edges == sorted(edges)
    assert all(word.start_us < word.end_us for word in placed)
    assert not edges or (edges[0] >= start_us and edges[-1] <= end_us)


def test_words_in_order_keep_their_times():
    words = [TimedWord("a", 100_000, 200_000, 1.0), TimedWord("b", 250_000, 400_000, 0.5)]
    placed = place_words(words, "m", 1_000_000, 1_000_000, 2_000_000)
    assert [(word.start_us, word.end_us) for word in placed] == [(1_100_000, 1_200_000), (1_250_000, 1_400_000)]
    assert placed[1].confidence == 0.5


def test_an_overlap_ends_the_word_in_front():
    words = [TimedWord("a", 0, 300_000, 1.0), TimedWord("b", 200_000, 400_000, 1.0)]
    placed = place_words(words, "m", 0, 0, 1_000_000)
    assert [(word.start_us, word.end_us) for word in placed] == [(0, 200_000), (200_000, 400_000)]


def test_words_nobody_timed_are_spread_by_their_letters():
    assert [word.start_us for word in spread_words("one three", "even", 0, 800_000)] == [0, 300_000]


def test_a_word_begins_and_ends_where_something_is_heard():
    sound = np.zeros(32_000, np.float32)
    sound[8_000:16_000] = sound[24_000:30_000] = 0.1
    words = [
        TimedWord("a", 0, 1_400_000, 1.0),
        TimedWord("b", 1_400_000, 2_000_000, 1.0),
        TimedWord("c", 0, 300_000, 1.0),
    ]
    trimmed = trim_silence(words, sound)
    assert [(w.start_us, w.end_us) for w in trimmed] == [(500_000, 1_000_000), (1_500_000, 1_880_000), (0, 300_000)]
    assert trim_silence(words[:1], sound[:0]) == tuple(words[:1])


def test_a_pause_and_a_sentence_end_an_utterance_and_an_abbreviation_does_not():
    words = clip_words(("Mr.", 0, 10), ("Dash.", 10, 20), ("He", 20, 30), ("left", 30, 40), ("home", 700, 710))
    runs = divide_into_utterances(words, gap_us=600)
    assert [" ".join(word.word for word in run) for run in runs] == ["Mr. Dash.", "He left", "home"]


def turn(start_us: int, end_us: int, *vector: float) -> SpeakerTurn:
    return SpeakerTurn(start_us, end_us, np.array(vector, np.float32))


def test_another_voice_ends_an_utterance():
    (run,) = divide_into_utterances(clip_words(("a", 100, 200), ("b", 200, 300), ("c", 320, 400)), gap_us=600)
    turns = [turn(0, 150, 1, 0), turn(150, 210, 1, 0), turn(210, 300, 0, 1)]
    runs = divide_at_turns([run], turns, origin_us=100)
    assert [[word.word for word in part] for part in runs] == [["a", "b"], ["c"]]


def test_the_nearest_turn_is_the_one_that_overlaps_most():
    turns = [turn(0, 100, 1), turn(90, 300, 1)]
    assert nearest_turn(turns, 80, 150) == 1
    assert nearest_turn(turns, 400, 500) == 1
    assert nearest_turn([], 0, 1) is None
