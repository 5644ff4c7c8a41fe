# pyright: strict
"""Words on the clip's clock: in order, apart, inside their window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.segments.interfaces import TimedWord, Waveform

_LEAST_US: Final = 10_000
_FRAME_US: Final = 10_000
_FRAME_SAMPLES: Final = 160
_SOFT: Final = 0.02  # of the mean power: 17 dB under it


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


def sounding_frames(waveform: Waveform) -> NDArray[np.bool_]:
    """Which 10 ms are not much softer than the whole, shape (N,)."""
    whole = len(waveform) // _FRAME_SAMPLES
    powers = np.square(waveform[: whole * _FRAME_SAMPLES]).reshape(whole, _FRAME_SAMPLES).mean(axis=1)
    return powers > _SOFT * powers.mean() if whole else np.zeros(0, np.bool_)


def trim_silence(words: Sequence[TimedWord], waveform: Waveform) -> tuple[TimedWord, ...]:
    """Move the edges of words to where something is heard; a recogniser lets a word begin where the one before ends.

    Args:
        words: timed from the first sample of the waveform.
        waveform: what they are said in.
    """
    sounds = sounding_frames(waveform)
    trimmed: list[TimedWord] = []
    for word in words:
        first, last = word.start_us // _FRAME_US, -(-word.end_us // _FRAME_US)
        heard = np.flatnonzero(sounds[first:last])
        if len(heard):
            start_us = max(word.start_us, (first + int(heard[0])) * _FRAME_US)
            end_us = min(word.end_us, (first + int(heard[-1]) + 1) * _FRAME_US)
            trimmed.append(TimedWord(word.word, start_us, max(end_us, start_us), word.confidence))
        else:
            trimmed.append(word)
    return tuple(trimmed)


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
