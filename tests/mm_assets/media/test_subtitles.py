import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.errors import RecordError
from mm_assets.media.subtitles import BadCue, Cue, read_cues

VTT = b"""\xef\xbb\xbfWEBVTT - a title

STYLE
::cue { color: red }

NOTE a comment
over two lines

intro
00:01.000 --> 00:02.500 align:start position:10%
<v Roger Bingham>Hello &amp; <b>welcome</b>
second line

00:00:03.000 --> 00:00:02.000
ends before it starts

00:0x.000 --> 00:05.000
no times

00:06.000 --> 00:07.000

00:08.000 --> 00:09.000
no blank line below
00:09.000 --> 100:00:10.500
last"""

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hi</i> {\\an8}there

still the first

2
00:00:03,000 --> 00:00:04,000
1999
was a year
00:00:05,500 --> 00:00:06,000 X1:1
without a number

7
aa --> bb
no times
"""


def cues_of(content: bytes, form="vtt", most: int = 100):
    return list(read_cues(content, form, f"b/video/a.{form}", most))


def test_webvtt_cues_have_times_names_voices_and_lines() -> None:
    cues = cues_of(VTT)
    assert cues[0] == Cue(9, 1_000_000, 2_500_000, "Hello & welcome\nsecond line", "intro", "Roger Bingham")
    assert cues[1] == Cue(14, 3_000_000, 2_000_000, "ends before it starts", None, None)
    assert isinstance(cues[2], BadCue)
    assert cues[2].error.code == "MALFORMED_CUE"
    assert cues[2].error.reason.startswith("b/video/a.vtt:17: ")
    assert cues[3:] == [
        Cue(20, 6_000_000, 7_000_000, "", None, None),
        Cue(22, 8_000_000, 9_000_000, "no blank line below", None, None),
        Cue(24, 9_000_000, 360_010_500_000, "last", None, None),
    ]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_srt_cues_keep_texts_with_empty_lines(ends: str, encoding: str) -> None:
    cues = cues_of(SRT.replace("\n", ends).encode(encoding), "srt")
    assert cues[:3] == [
        Cue(1, 1_000_000, 2_500_000, "Hi there\nstill the first", "1", None),
        Cue(7, 3_000_000, 4_000_000, "1999\nwas a year", "2", None),
        Cue(11, 5_500_000, 6_000_000, "without a number", None, None),
    ]
    assert isinstance(cues[3], BadCue)
    assert cues[3].line == 14


@pytest.mark.parametrize(
    ("content", "form", "code"),
    [
        (b"", "vtt", "EMPTY_FILE"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nx\n", "vtt", "NOT_WEBVTT"),
        (b"WEBVTT\n\nnothing\n", "vtt", "NO_CUES"),
        (b"hello\n", "srt", "NO_CUES"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n\xe9t\xe9\n", "srt", "INVALID_UTF8"),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\na\0b\n", "vtt", "NUL_BYTE"),
        (VTT * 1, "vtt", "TOO_MANY_CUES"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(content: bytes, form: str, code: str) -> None:
    with pytest.raises(RecordError) as caught:
        cues_of(content, form, most=3)
    assert caught.value.code == code
    assert caught.value.reason.startswith(f"b/video/a.{form}")


_TEXT = st.text("abcxyzéßüÅ019", min_size=1, max_size=12)


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**5), _TEXT), min_size=1, max_size=8),
    st.sampled_from(["vtt", "srt"]),
)
def test_what_is_written_is_read(items: list[tuple[int, int, str]], form: str) -> None:
    def stamp(ms: int) -> str:
        point = "." if form == "vtt" else ","
        return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1_000 % 60:02d}{point}{ms % 1_000:03d}"

    lines = ["WEBVTT", ""] if form == "vtt" else []
    for number, (start, length, text) in enumerate(items, 1):
        lines += [str(number), f"{stamp(start)} --> {stamp(start + length)}", text, ""]
    cues = cues_of("\n".join(lines).encode(), form)
    assert [(c.start_us, c.end_us, c.text, c.name) for c in cues if isinstance(c, Cue)] == [
        (start * 1_000, (start + length) * 1_000, text, str(number))
        for number, (start, length, text) in enumerate(items, 1)
    ]


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    for form in ("vtt", "srt"):
        code, cues = "", []
        try:
            cues = cues_of(b"WEBVTT\n\n" + content, form)
        except RecordError as error:
            code = error.code
        assert code in {"", "NO_CUES", "INVALID_UTF8", "NUL_BYTE", "TOO_MANY_CUES"}
        assert all(isinstance(cue, BadCue) or cue.start_us >= 0 for cue in cues)
