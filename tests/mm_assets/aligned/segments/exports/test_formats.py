"""What is written can be read again: by this project's readers, and by webvtt-py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.segments.exports.formats import (
    TEXT_FORMATS,
    read_ctm,
    read_rttm,
    render_ctm,
    render_rttm,
    render_srt,
    render_vtt,
)
from mm_assets.aligned.segments.exports.timed_text import Line, Recording, Word, name_recordings
from mm_assets.errors import RecordError
from mm_assets.media.subtitles import Cue, SubtitleForm, read_cues

TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")), min_size=1, max_size=40).filter(
    lambda text: bool(text.strip()) and "{\\" not in text
)
TIMES = st.integers(0, 36_000_000)
NAMES = st.from_regex(r"[A-Za-z][\w.-]{0,12}", fullmatch=True)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    start = draw(TIMES) * 1_000
    end = start + draw(st.integers(1, 60_000)) * 1_000
    return Line(start, end, draw(TEXTS), draw(st.none() | NAMES))


@st.composite
def words(draw: st.DrawFn) -> Word:
    start = draw(TIMES)
    confidence = draw(st.none() | st.integers(0, 10_000).map(lambda value: value / 10_000))
    return Word(start, start + draw(st.integers(0, 5_000_000)), draw(TEXTS), confidence)


@given(st.lists(lines(), min_size=1, max_size=8), st.sampled_from(["vtt", "srt"]))
def test_cues_come_back(drawn: list[Line], form: SubtitleForm) -> None:
    chosen = TEXT_FORMATS[form]
    content = chosen.head + chosen.render(Recording("r", tuple(drawn)))
    found = [cue for cue in read_cues(content.encode(), form, "r", 100) if isinstance(cue, Cue)]
    assert [(cue.start_us, cue.end_us) for cue in found] == [(line.start_us, line.end_us) for line in drawn]
    assert [" ".join(cue.text.split()) for cue in found] == [" ".join(line.text.split()) for line in drawn]
    if form == "vtt":
        assert [cue.speaker for cue in found] == [line.speaker for line in drawn]


@given(st.lists(words(), max_size=8), NAMES)
def test_words_come_back_to_the_microsecond(drawn: list[Word], name: str) -> None:
    found = list(read_ctm(render_ctm(Recording(name, (Line(0, 1, "x", None, tuple(drawn)),))).split("\n")))
    assert [recording for recording, _ in found] == [name] * len(drawn)
    assert [word for _, word in found] == [
        Word(word.start_us, word.end_us, "_".join(word.text.split()), word.confidence) for word in drawn
    ]


@given(st.lists(lines(), max_size=8), NAMES)
def test_turns_come_back(drawn: list[Line], name: str) -> None:
    found = list(read_rttm(render_rttm(Recording(name, tuple(drawn))).split("\n")))
    expected = [Line(line.start_us, line.end_us, "", line.speaker) for line in drawn]
    assert found == [(name, turn) for turn in expected]


def test_lines_as_the_formats_prescribe() -> None:
    spoken = (Word(1_000_000, 1_240_000, "a", 0.5, "S0"), Word(1_240_000, 1_900_000, "zebra"))
    recording = Recording("clip-01", (Line(999_600, 2_000_400, "a <b> & --> c", "S0", spoken),))
    assert render_vtt(recording) == "00:00:01.000 --> 00:00:02.000\n<v S0>a &lt;b&gt; &amp; --&gt; c\n\n"
    assert render_srt(recording) == "1\n00:00:01,000 --> 00:00:02,000\na &lt;b&gt; &amp; --&gt; c\n\n"
    assert render_ctm(recording) == "clip-01 1 1.000000 0.240000 a 0.5000\nclip-01 1 1.240000 0.660000 zebra\n"
    assert render_rttm(recording) == "SPEAKER clip-01 1 0.999600 1.000800 <NA> <NA> S0 <NA> <NA>\n"


def test_what_cannot_be_shown_is_left_out() -> None:
    recording = Recording("r", (Line(-500_000, 0, "before"), Line(0, 200, "short"), Line(5, 9, "  ")))
    assert render_srt(recording) == "1\n00:00:00,000 --> 00:00:00,001\nshort\n\n"


@pytest.mark.parametrize("line", ["clip 1 0.5 word", "clip 1 half 0.2 word", "clip 1 0.5 0.2 word sure more"])
def test_a_bad_line_is_named(line: str) -> None:
    with pytest.raises(RecordError, match="line 2"):
        list(read_ctm([";; a comment", line]))


def test_a_bad_turn_is_named() -> None:
    with pytest.raises(RecordError, match="line 1: 3 fields"):
        list(read_rttm(["SPEAKER clip 1"]))


@given(st.lists(st.text(max_size=12), max_size=8))
def test_names_are_apart_and_safe(files: list[str]) -> None:
    named = name_recordings((f"c{place}", name) for place, name in enumerate(files))
    assert len({name.casefold() for name in named.values()}) == len(files)
    for name in named.values():
        assert name
        assert not name.startswith(".")
        assert not set(name) & set("/\\ \t\n")
