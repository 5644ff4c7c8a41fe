"""Rows of the tables as recordings."""

import polars as pl

from mm_assets.aligned.segments.exports.gathering import recordings_of_segments
from mm_assets.aligned.segments.exports.timed_text import Line, Word

CLOCK = 5_000_000


def word(start_us: int, text: str, speaker: str) -> dict:
    return {"word": text, "start_us": start_us, "end_us": start_us + 100, "confidence": 1.0, "speaker": speaker}


SEGMENTS = pl.DataFrame(
    {
        "clip_id": ["c1", "c1", "c2"],
        "segment_index": [1, 0, 0],
        "start_us": [CLOCK + 2_000, CLOCK, 0],
        "end_us": [CLOCK + 3_000, CLOCK + 1_000, 9],
        "text": ["b c", "a", "elsewhere"],
        "words": [
            [word(CLOCK + 2_000, "b", "S0"), word(CLOCK + 2_500, "c", "S1")],
            [word(CLOCK, "a", "S0")],
            [],
        ],
    }
)


def test_segments_stand_in_order_on_the_clock_of_their_file() -> None:
    (recording,) = recordings_of_segments(SEGMENTS, {"c1": "one"}, {"c1": CLOCK}, by_speaker=False)
    assert recording.name == "one"
    first, second = recording.lines
    assert first == Line(0, 1_000, "a", "S0", (Word(0, 100, "a", 1.0, "S0"),))
    assert (second.start_us, second.text, second.speaker) == (2_000, "b c", None)  # two voices
    assert [item.text for item in recording.words] == ["a", "b", "c"]


def test_turns_of_segments_part_where_the_voice_changes() -> None:
    (recording,) = recordings_of_segments(SEGMENTS, {"c1": "one"}, {"c1": CLOCK}, by_speaker=True)
    assert [(turn.start_us, turn.end_us, turn.speaker) for turn in recording.lines] == [
        (0, 100, "S0"),
        (2_000, 2_100, "S0"),
        (2_500, 2_600, "S1"),
    ]
