# pyright: strict
"""Words on the clip's clock: in order, apart, inside their window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mm_assets.aligned.segments.interfaces import TimedWord

_LEAST_US: Final = 10_000


@dataclass(frozen=True)
class ClipWord:
    """A word on the clip's clock, and who timed it."""

    word: str
    start_us: int
    end_us: int
    confidence: float
    method: str


def place_words(
    words: Sequence[TimedWord], method: str, origin_us: int, start_us: int, end_us: int
) -> tuple[ClipWord, ...]:
    """Move words from the clock of a waveform to the clip's and put them in order.

    A word that would start before the one in front of it ends starts there; one without a duration gets 10 ms, or
    less where there is less for each.

    Args:
        words: timed from the first sample.
        method: who timed them.
        origin_us: clock of that sample.
        start_us: no word starts before it.
        end_us: no word ends behind it; a microsecond a word lies between them at least.
    """
    if not words:
        return ()
    least = max(1, min(_LEAST_US, (end_us - start_us) // len(words)))
    starts = [min(max(word.start_us + origin_us, start_us), end_us) for word in words]
    ends = [min(max(word.end_us + origin_us, start_us), end_us) for word in words]
    floor = start_us
    for place in range(len(words)):
        starts[place] = max(starts[place], floor)
        if place + 1 < len(words):
            ends[place] = min(ends[place], max(starts[place + 1], starts[place]))
        ends[place] = floor = max(ends[place], starts[place] + least)
    ceiling = end_us
    for place in reversed(range(len(words))):
        ends[place] = min(ends[place], ceiling)
        starts[place] = ceiling = min(starts[place], ends[place] - least)
    return tuple(
        ClipWord(word.word, start, end, word.confidence, method)
        for word, start, end in zip(words, starts, ends, strict=True)
    )


def spread_words(text: str, method: str, start_us: int, end_us: int) -> tuple[ClipWord, ...]:
    """Words of a text that nobody could time, evenly by their letters.

    >>> [(word.word, word.end_us) for word in spread_words("ab cd", "even", 0, 1_000_000)]
    [('ab', 500000), ('cd', 1000000)]
    """
    words = text.split()
    total = sum(map(len, words))
    done = 0
    timed: list[TimedWord] = []
    for word in words:
        begin, done = done, done + len(word)
        span = end_us - start_us
        timed.append(TimedWord(word, begin * span // total, done * span // total, 0.0))
    return place_words(timed, method, start_us, start_us, end_us)
