# pyright: strict
"""Runs of words by one voice without a long pause."""

from collections.abc import Sequence
from typing import Final

from mm_assets.aligned.segments.interfaces import SpeakerTurn
from mm_assets.aligned.segments.speech.word_times import ClipWord

_SENTENCE_ENDS: Final = (".", "!", "?", "\u3002", "\uff01", "\uff1f")
_ABBREVIATION_LETTERS: Final = 3

Run = tuple[ClipWord, ...]


def divide_into_utterances(words: Sequence[ClipWord], gap_us: int) -> list[Run]:
    """Divide words at long pauses and at the ends of sentences.

    Args:
        words: of one window, in order.
        gap_us: pause that ends an utterance.
    """
    runs: list[list[ClipWord]] = []
    for word in words:
        if runs and word.start_us - runs[-1][-1].end_us < gap_us and not _ends_sentence(runs[-1][-1].word):
            runs[-1].append(word)
        else:
            runs.append([word])
    return [tuple(run) for run in runs]


def divide_at_turns(runs: Sequence[Run], turns: Sequence[SpeakerTurn], origin_us: int) -> list[Run]:
    """Divide runs where another voice takes over.

    Args:
        runs: utterances of one window.
        turns: who speaks when in it, from its first sample.
        origin_us: clock of that sample.
    """
    divided: list[Run] = []
    for run in runs:
        part: list[ClipWord] = []
        voice: bytes | None = None
        for word in run:
            turn = nearest_turn(turns, word.start_us - origin_us, word.end_us - origin_us)
            heard = None if turn is None else turns[turn].embedding.tobytes()
            if part and heard != voice:
                divided.append(tuple(part))
                part = []
            voice = heard
            part.append(word)
        divided.append(tuple(part))
    return divided


def nearest_turn(turns: Sequence[SpeakerTurn], start_us: int, end_us: int) -> int | None:
    """The turn that overlaps a span most, or lies nearest to it; None where there is none."""
    if not turns:
        return None

    def overlap(place: int) -> int:
        return min(turns[place].end_us, end_us) - max(turns[place].start_us, start_us)

    return max(range(len(turns)), key=overlap)


def _ends_sentence(word: str) -> bool:
    """Whether a sentence ends behind a word; one of few letters and a full stop is an abbreviation.

    >>> _ends_sentence("home."), _ends_sentence("Mr."), _ends_sentence("no?")
    (True, False, True)
    """
    if not word.endswith(_SENTENCE_ENDS):
        return False
    return not (word.endswith(".") and len(word) <= _ABBREVIATION_LETTERS and word[0].isupper())
