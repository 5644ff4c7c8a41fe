"""Cues of WebVTT and SRT subtitles, each with the line it starts on.

The file is divided into blocks here, because a block that cannot be read must be named by its line and not be lost;
webvtt-py reads each block: times, identifier, voice and tags.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Final, Literal

import webvtt
from webvtt.errors import MalformedCaptionError, MalformedFileError

from mm_assets.errors import RecordError

SubtitleForm = Literal["vtt", "srt"]
SUBTITLE_FORMS: Final[dict[str, SubtitleForm]] = {".vtt": "vtt", ".srt": "srt"}
_ARROW: Final = "-->"
_HEADER: Final = "WEBVTT"
_BYTE_ORDER_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_PLACEMENT: Final = re.compile(r"\{\\[^{}]*\}")  # {\an8} and the like, from SubStation Alpha
_MAX_CUE_LINES: Final = 200
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue as its file states it.

    Attributes:
        line: of the file, from 1: its identifier, or else its times.
        start_us: on the clock of the subtitles.
        end_us: on the clock of the subtitles; nothing says yet that it lies behind the start.
        text: without tags; lines kept.
        name: identifier in the file, if it has one.
        speaker: of its voice tag, if it has one.
    """

    line: int
    start_us: int
    end_us: int
    text: str
    name: str | None
    speaker: str | None


@dataclass(frozen=True, slots=True)
class BadCue:
    """A block that is meant as a cue and cannot be read."""

    line: int
    error: RecordError


def read_cues(content: bytes, form: SubtitleForm, where: str, max_cues: int) -> Iterator[Cue | BadCue]:
    """Yield the cues in the order of the file; what cannot be read is yielded too.

    Args:
        content: the whole file.
        form: how it is written.
        where: the file, for messages.
        max_cues: most cues it may hold.

    Raises:
        RecordError: code ``EMPTY_FILE``, ``INVALID_UTF8``, ``NUL_BYTE``, ``NOT_WEBVTT``, ``NO_CUES`` or
            ``TOO_MANY_CUES``: the file as a whole cannot be used.
    """
    lines = _decode(content, where).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if form == "vtt" and not lines[0].startswith(_HEADER):
        raise RecordError("NOT_WEBVTT", f"{where}:1: does not start with {_HEADER}; write the header, or name it .srt")
    starts = _cue_starts(lines, form)
    if not starts:
        raise RecordError("NO_CUES", f"{where}: no line with '{_ARROW}'; deliver subtitles with times, or none")
    if len(starts) > max_cues:
        raise RecordError("TOO_MANY_CUES", f"{where}: {len(starts)} cues, at most {max_cues}; divide the medium")
    for index, start in enumerate(starts):
        end = starts[index + 1] if index + 1 < len(starts) else len(lines)
        yield _read_block(lines[start:end], form, start + 1, where)


def _decode(content: bytes, where: str) -> str:
    if not content:
        raise RecordError("EMPTY_FILE", f"{where}: the file has no bytes; deliver it again")
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise RecordError(
            "INVALID_UTF8", f"{where}: byte {error.start} is not valid {encoding.upper()}; save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise RecordError("NUL_BYTE", f"{where}:{line}: holds the NUL character; save the file as UTF-8 text")
    return text


def _cue_starts(lines: list[str], form: SubtitleForm) -> list[int]:
    """Index of the first line of each cue: the one of its times, or of its identifier just above."""
    starts: list[int] = []
    for index, line in enumerate(lines):
        if _ARROW not in line:
            continue
        above = lines[index - 1].strip() if index else ""
        is_name = bool(above) and _ARROW not in above
        if form == "srt":
            is_name = is_name and above.isdecimal()
        else:
            is_name = is_name and index > 1 and not lines[index - 2].strip()
        starts.append(index - 1 if is_name else index)
    return starts


def _read_block(block: list[str], form: SubtitleForm, line: int, where: str) -> Cue | BadCue:
    named = _ARROW not in block[0]
    times = block[1 if named else 0].strip()
    payload = _payload(block[2 if named else 1 :], form)
    if len(payload) > _MAX_CUE_LINES:
        return _bad(line, where, f"{len(payload)} lines of text; write one cue per utterance")
    # An empty payload would make the library drop the block; whether a cue may be empty is decided later.
    lines = [*([block[0]] if named else ["1"] if form == "srt" else []), times, *(payload or ["\u200b"])]
    try:
        if form == "vtt":
            captions = webvtt.from_string("\n".join([_HEADER, "", *lines])).captions
        else:
            captions = webvtt.from_buffer((f"{text}\n" for text in lines), format="srt").captions
    except (MalformedCaptionError, MalformedFileError, ValueError) as error:
        return _bad(line, where, str(error))
    if len(captions) != 1:
        return _bad(line, where, f"{times[:_SHOWN]!r} is no pair of times")
    (caption,) = captions
    return Cue(
        line=line,
        start_us=caption.start_time.in_milliseconds() * 1_000,
        end_us=caption.end_time.in_milliseconds() * 1_000,
        text=_PLACEMENT.sub("", unescape(caption.text)).replace("\u200b", "").strip(),
        name=block[0].strip()[:_SHOWN] if named else None,
        speaker=caption.voice.strip()[:_SHOWN] if caption.voice else None,
    )


def _payload(lines: list[str], form: SubtitleForm) -> list[str]:
    """Lines of text; in WebVTT they end at the first empty line, in SRT files some texts have empty lines."""
    if form == "vtt":
        for index, text in enumerate(lines):
            if not text:
                return lines[:index]
        return lines
    return [text for text in lines if text.strip()]


def _bad(line: int, where: str, cause: str) -> BadCue:
    return BadCue(
        line,
        RecordError("MALFORMED_CUE", f"{where}:{line}: {cause}; write '00:00:01.000 --> 00:00:02.500' above the text"),
    )
