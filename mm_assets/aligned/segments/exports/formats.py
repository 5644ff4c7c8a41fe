# pyright: strict
"""WebVTT, SRT, CTM and RTTM: recordings as text, and CTM and RTTM back.

========  ============================================================================  ===================
format    a line of it                                                                  files
========  ============================================================================  ===================
``vtt``   ``00:00:01.000 --> 00:00:02.500`` and its text, ``<v speaker>`` before it     one per recording
``srt``   the same with a number above and a comma in its times                         one per recording
``ctm``   recording, channel, start, duration, word, confidence                         one per batch
``rttm``  ``SPEAKER``, recording, channel, start, duration, and the speaker             one per batch
========  ============================================================================  ===================

WebVTT and SRT know milliseconds; times are rounded to them, and a cue shorter than one is made one long. CTM and RTTM
hold microseconds. In WebVTT and SRT ``&``, ``<`` and ``>`` of the text are escaped, so that no text is taken for a tag.

Sources: W3C WebVTT; NIST SCTK ``infmts`` (CTM); NIST RT-09 evaluation plan (RTTM).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from mm_assets.aligned.segments.exports.timed_text import Line, Recording, Word
from mm_assets.errors import RecordError

_CHANNEL: Final = "1"
_NOTHING: Final = "<NA>"
_CTM_FIELDS: Final = (5, 6)
_RTTM_FIELDS: Final = (9, 10)
_MILLISECOND_US: Final = 1_000


@dataclass(frozen=True)
class TextFormat:
    """A format of timed text.

    Attributes:
        suffix: of its files, with the dot.
        head: what a file starts with.
        render: the lines of one recording.
        is_shared: whether the recordings of a batch share a file.
        needs_words: whether it holds words, not lines.
    """

    suffix: str
    head: str
    render: Callable[[Recording], str]
    is_shared: bool
    needs_words: bool


def render_vtt(recording: Recording) -> str:
    """The cues of a recording as WebVTT, without the header."""
    return "".join(
        f"{_span(line, '.')}\n{'' if line.speaker is None else f'<v {_one_line(line.speaker)}>'}{_text(line)}\n\n"
        for line in _shown(recording)
    )


def render_srt(recording: Recording) -> str:
    """The cues of a recording as SRT."""
    return "".join(
        f"{number}\n{_span(line, ',')}\n{_text(line)}\n\n" for number, line in enumerate(_shown(recording), start=1)
    )


def render_ctm(recording: Recording) -> str:
    """The words of a recording, one a line; a confidence that is not known is left out."""
    return "".join(
        f"{recording.name} {_CHANNEL} {_seconds(word.start_us)} {_seconds(max(word.end_us - word.start_us, 0))} "
        f"{_field(word.text)}{'' if word.confidence is None else f' {word.confidence:.4f}'}\n"
        for word in recording.words
        if word.text.strip()
    )


def render_rttm(recording: Recording) -> str:
    """Who speaks when, one turn a line; ``<NA>`` where nobody was told apart."""
    return "".join(
        f"SPEAKER {recording.name} {_CHANNEL} {_seconds(turn.start_us)} {_seconds(turn.end_us - turn.start_us)} "
        f"{_NOTHING} {_NOTHING} {_NOTHING if turn.speaker is None else _field(turn.speaker)} {_NOTHING} {_NOTHING}\n"
        for turn in recording.lines
        if turn.end_us > turn.start_us
    )


TEXT_FORMATS: Final[dict[str, TextFormat]] = {
    "vtt": TextFormat(".vtt", "WEBVTT\n\n", render_vtt, is_shared=False, needs_words=False),
    "srt": TextFormat(".srt", "", render_srt, is_shared=False, needs_words=False),
    "ctm": TextFormat(".ctm", "", render_ctm, is_shared=True, needs_words=True),
    "rttm": TextFormat(".rttm", "", render_rttm, is_shared=True, needs_words=False),
}


def read_ctm(lines: Iterable[str]) -> Iterator[tuple[str, Word]]:
    """The words of a CTM file, each with its recording; comments and empty lines are passed over.

    Raises:
        RecordError: code ``MALFORMED_LINE``.
    """
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or line.startswith(";;"):
            continue
        if len(fields) not in _CTM_FIELDS:
            raise _malformed(number, f"{len(fields)} fields; write recording, channel, start, duration, word")
        start, duration = _microseconds(fields[2], number), _microseconds(fields[3], number)
        confidence = _number(fields[5], number) if len(fields) == _CTM_FIELDS[1] else None
        yield fields[0], Word(start, start + duration, fields[4], confidence)


def read_rttm(lines: Iterable[str]) -> Iterator[tuple[str, Line]]:
    """The turns of an RTTM file, each with its recording; other objects than speakers are passed over.

    Raises:
        RecordError: code ``MALFORMED_LINE``.
    """
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        if len(fields) not in _RTTM_FIELDS:
            raise _malformed(number, f"{len(fields)} fields; a SPEAKER line has 10")
        start, duration = _microseconds(fields[3], number), _microseconds(fields[4], number)
        yield fields[1], Line(start, start + duration, "", None if fields[7] == _NOTHING else fields[7])


def _shown(recording: Recording) -> list[Line]:
    return [line for line in recording.lines if line.text.strip() and line.end_us > 0]


def _span(line: Line, point: str) -> str:
    start = max(0, round(line.start_us / _MILLISECOND_US))
    end = max(start + 1, round(line.end_us / _MILLISECOND_US))
    return f"{_clock(start, point)} --> {_clock(end, point)}"


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1_000)
    return f"{seconds // 3_600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def _text(line: Line) -> str:
    return _one_line(line.text)


def _one_line(text: str) -> str:
    return escape(" ".join(text.split()), quote=False)


def _field(text: str) -> str:
    """A text as one field: blanks inside it become underscores."""
    return "_".join(text.split())


def _seconds(microseconds: int) -> str:
    sign, value = ("-", -microseconds) if microseconds < 0 else ("", microseconds)
    return f"{sign}{value // 1_000_000}.{value % 1_000_000:06d}"


def _microseconds(field: str, number: int) -> int:
    return round(_number(field, number) * 1_000_000)


def _number(field: str, number: int) -> float:
    try:
        return float(field)
    except ValueError:
        raise _malformed(number, f"{field!r} is no number") from None


def _malformed(number: int, cause: str) -> RecordError:
    return RecordError("MALFORMED_LINE", f"line {number}: {cause}")
