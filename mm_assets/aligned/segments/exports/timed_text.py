# pyright: strict
"""Timed text of a recording on the clock of its own file, whatever table it came from."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_UNSAFE: Final = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word: microseconds on the recording's clock; ``confidence`` 0 to 1, or None."""

    start_us: int
    end_us: int
    text: str
    confidence: float | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What one cue shows: an utterance, a delivered cue or a segment; microseconds on the recording's clock."""

    start_us: int
    end_us: int
    text: str
    speaker: str | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Recording:
    """The timed text of one file.

    Attributes:
        name: file name without its suffix; no white space, no separators.
        lines: in order.
    """

    name: str
    lines: tuple[Line, ...]

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all lines, in order."""
        return tuple(word for line in self.lines for word in line.words)


def name_recordings(files: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names that can stand in file names and in lines divided by blanks, each once, by clip.

    Args:
        files: id and delivered file name of each clip.

    >>> name_recordings([("c1", "a b/one.mp4"), ("c2", "two.mp4"), ("c3", "two.wav"), ("c4", ".mp3")])
    {'c1': 'a_b_one', 'c2': 'two.mp4', 'c3': 'two.wav', 'c4': 'c4'}
    """
    listed = [(clip_id, _UNSAFE.sub("_", name.strip()).strip("._")) for clip_id, name in files]
    stems = {clip_id: name.rpartition(".")[0].strip("._") for clip_id, name in listed}
    shared = Counter(stems.values())
    return _apart(
        {
            clip_id: clip_id if not stems[clip_id] else stems[clip_id] if shared[stems[clip_id]] == 1 else name
            for clip_id, name in listed
        }
    )


def _apart(named: Mapping[str, str]) -> dict[str, str]:
    """Names that two clips still share get the clip's id behind them; so do those that differ in case alone."""
    counts = Counter(name.casefold() for name in named.values())
    return {clip: name if counts[name.casefold()] == 1 else f"{name}-{clip}" for clip, name in named.items()}


def to_words(rows: Sequence[Mapping[str, Any]], clock_offset_us: int) -> tuple[Word, ...]:
    """Words of a table, moved from the global clock to the recording's.

    Args:
        rows: word, start_us, end_us, confidence, speaker.
        clock_offset_us: global clock less the recording's.
    """
    return tuple(
        Word(
            row["start_us"] - clock_offset_us,
            row["end_us"] - clock_offset_us,
            row["word"],
            row["confidence"],
            row["speaker"],
        )
        for row in rows
    )


def divide_words(words: Sequence[Word], lines: Sequence[Line]) -> list[Line]:
    """Lines with the words that begin within them; words between lines go to the one before.

    >>> lines = [Line(0, 10, "a b"), Line(20, 30, "c")]
    >>> [len(line.words) for line in divide_words([Word(0, 1, "a"), Word(12, 13, "b"), Word(20, 21, "c")], lines)]
    [2, 1]
    """
    taken: list[list[Word]] = [[] for _ in lines]
    place = 0
    for word in sorted(words, key=lambda item: item.start_us):
        while place + 1 < len(lines) and lines[place + 1].start_us <= word.start_us:
            place += 1
        if taken:
            taken[place].append(word)
    return [
        Line(line.start_us, line.end_us, line.text, line.speaker, tuple(own))
        for line, own in zip(lines, taken, strict=True)
    ]


def find_turns(words: Sequence[Word]) -> list[Line]:
    """Runs of words by one speaker, in order.

    >>> turns = find_turns([Word(0, 2, "a", None, "S0"), Word(2, 3, "b", None, "S0"), Word(4, 5, "c", None, "S1")])
    >>> [(turn.start_us, turn.end_us, turn.text, turn.speaker) for turn in turns]
    [(0, 3, 'a b', 'S0'), (4, 5, 'c', 'S1')]
    """
    runs: list[list[Word]] = []
    for word in words:
        if runs and runs[-1][-1].speaker == word.speaker:
            runs[-1].append(word)
        else:
            runs.append([word])
    return [
        Line(
            run[0].start_us,
            max(word.end_us for word in run),
            " ".join(word.text for word in run),
            run[0].speaker,
            tuple(run),
        )
        for run in runs
    ]
