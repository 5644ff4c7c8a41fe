"""Forced alignment of English by pocketsphinx, with the acoustic model and dictionary its package carries."""

import functools
import importlib.util
import itertools
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from mm_assets.aligned.segments.interfaces import (
    POCKETSPHINX_METHOD,
    AlignedWords,
    TimedWord,
    Waveform,
)
from mm_assets.aligned.segments.speech.word_times import sounding_frames
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256
from resources.word_aligner.pronunciation import guess_pronunciation, spell_number

NAME: Final = "pocketsphinx"
IDENTITY: Final = ModelIdentity(
    "pocketsphinx-en-us", "5.1.1", "8c9564c0d5bef69ca9d9bf1014abe162f071644cf02cf1fa8a483c3dc165a7a8"
)
_PINNED: Final = {
    "en-us/sendump": IDENTITY.sha256,
    "en-us/means": "832019e32cac12eb318964f96f469034acb12d0348eeddc3831831a100cb4dd4",
    "cmudict-en-us.dict": "20b5c293e1f311fb375fe067e500ec5636f4fc7af5594967263696def9b23bfe",
}
_FILLER: Final = "[SPEECH]"  # the model's own noise word for speech that is no word it knows
_FRAME_US: Final = 10_000
_FRAME_SAMPLES: Final = 160
_FULL_SCALE: Final = 32_767
_NOT_SPOKEN: Final = re.compile(r"[^a-z0-9']+")


class PocketSphinxAligner:
    """Times the words of English texts; those its dictionary lacks by a guess, or as what lies between others.

    Args:
        max_unknown_share: share of words that the dictionary lacks above which a text is refused.
        min_word_logprob: log likelihood of 10 ms of the median word, relative to the best state, below which a text is
            not what is said.
    """

    def __init__(self, *, max_unknown_share: float, min_word_logprob: float) -> None:
        self._max_unknown_share = max_unknown_share
        self._min_word_logprob = min_word_logprob
        self._known: set[str] = set()
        self._guessed: set[str] = set()

    @property
    def identity(self) -> ModelIdentity:
        """Which acoustic model."""
        return IDENTITY

    @property
    def device(self) -> str:
        """Always the CPU."""
        return "cpu"

    @property
    def method(self) -> str:
        """What stands beside every word it has timed."""
        return POCKETSPHINX_METHOD

    def align(
        self, waveforms: Sequence[Waveform], texts: Sequence[str], languages: Sequence[str]
    ) -> list[AlignedWords]:
        """Time the words of each text in its waveform, or say why not."""
        return [
            self._align(waveform, text) if language == "en" else AlignedWords((), "language")
            for waveform, text, language in zip(waveforms, texts, languages, strict=True)
        ]

    def _align(self, waveform: Waveform, text: str) -> AlignedWords:
        written = text.split()
        spoken = [self._read(word) for word in written]
        counted = [parts for parts in spoken if parts]
        unknown = sum(not self._known.issuperset(parts) for parts in counted)
        if not counted or unknown > self._max_unknown_share * len(counted):
            return AlignedWords((), "unknown_words")
        found = self._search(waveform, " ".join(part for parts in spoken for part in parts))
        if found is None or len(found) != sum(map(len, spoken)):
            return AlignedWords((), "mismatch")
        # The noise word fits nothing well, and takes from the words beside it: so the median, without it.
        scores = [score / max(1, end - start) for part, start, end, score in found if not part.startswith(_FILLER)]
        if not scores or float(np.median(scores)) < self._min_word_logprob:
            return AlignedWords((), "mismatch")
        return AlignedWords(_gather(written, spoken, found, waveform))

    def _read(self, word: str) -> list[str]:
        """The dictionary words that a written word is read as, its pronunciation guessed if it is none of them.

        The noise word for one without letters, such as a large number; nothing for what is no word, such as a dash.
        """
        plain = word.lower().replace("\u2019", "'")
        parts = [spell_number(part.strip("'")) for part in _NOT_SPOKEN.split(plain) if part.strip("'")]
        for part in parts:
            if self._decoder.lookup_word(part) is None:
                phones = guess_pronunciation(part)
                if not phones:
                    return [_FILLER]
                self._decoder.add_word(part, phones, True)
            elif part not in self._guessed:
                self._known.add(part)
                continue
            self._guessed.add(part)
        return parts

    def _search(self, waveform: Waveform, text: str) -> list[tuple[str, int, int, float]] | None:
        """Words with first and last frame (exclusive) and log likelihood, or None where no path leads through."""
        decoder = self._decoder
        pcm = np.rint(np.clip(waveform, -1.0, 1.0) * _FULL_SCALE).astype("<i2").tobytes()
        try:
            decoder.set_align_text(text)
            decoder.start_utt()
            decoder.process_raw(pcm, full_utt=True)
            decoder.end_utt()
        except RuntimeError as error:
            raise InferenceError(f"{IDENTITY}: {error} on {text!r}; check the package pocketsphinx") from error
        if decoder.hyp() is None:
            return None
        return [
            (part.word, part.start_frame, part.end_frame + 1, math.log(max(part.ascore, sys.float_info.min)))
            for part in decoder.seg()
            if not part.word.startswith("<") and part.word != "(NULL)"
        ]

    @functools.cached_property
    def _decoder(self) -> Any:  # noqa: ANN401 - pocketsphinx is imported here only
        folder = _model_folder()
        from pocketsphinx import Decoder  # noqa: PLC0415 - a native library

        try:
            return Decoder(
                hmm=str(folder / "en-us"), dict=str(folder / "cmudict-en-us.dict"), lm=None, loglevel="FATAL"
            )
        except RuntimeError as error:
            raise WeightsMissingError(f"{IDENTITY}: {error}; reinstall the package pocketsphinx") from error


def _gather(
    written: list[str], spoken: list[list[str]], found: list[tuple[str, int, int, float]], waveform: Waveform
) -> tuple[TimedWord, ...]:
    """Words as written from the parts they are read as; one that is not read shares the moment its neighbour ends."""
    end_us = round(len(waveform) / 16_000 * 1e6)
    frames: list[tuple[int, int, float]] = []  # first and last of each word, and its confidence
    place, last = 0, found[0][1]
    for parts in spoken:
        of = found[place : place + len(parts)]
        place += len(parts)
        if of:
            count = max(1, sum(end - begin for _, begin, end, _ in of))
            likely = 0.0 if parts == [_FILLER] else math.exp(sum(score for *_, score in of) / count)
            frames.append((of[0][1], of[-1][2], min(1.0, likely)))
            last = of[-1][2]
        else:
            frames.append((last, last, 0.0))
    for first, behind in _runs([parts == [_FILLER] for parts in spoken]):
        before = frames[first - 1][1] if first else 0
        after = frames[behind][0] if behind < len(frames) else len(waveform) // _FRAME_SAMPLES
        begin, end = _sounding(waveform, before, after) or (frames[first][0], frames[behind - 1][1])
        shares = np.cumsum([0, *(len(word) for word in written[first:behind])])
        edges = np.rint(begin + (end - begin) * shares / shares[-1]).astype(int).tolist()
        frames[first:behind] = [(*edge, 0.0) for edge in itertools.pairwise(edges)]
    return tuple(
        TimedWord(word, min(begin * _FRAME_US, end_us), min(end * _FRAME_US, end_us), confidence)
        for word, (begin, end, confidence) in zip(written, frames, strict=True)
    )


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """First and last (exclusive) place of each run of what is true."""
    edges = np.flatnonzero(np.diff(np.array([False, *flags, False]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _sounding(waveform: Waveform, before: int, after: int) -> tuple[int, int] | None:
    """First and last (exclusive) frame between two that is not much softer than the rest, or None.

    The search takes a word it does not know for silence where that is likelier than its noise word.
    """
    heard = np.flatnonzero(sounding_frames(waveform)[before:after])
    return (before + int(heard[0]), before + int(heard[-1]) + 1) if len(heard) else None


@functools.lru_cache(maxsize=1)
def _model_folder() -> Path:
    found = importlib.util.find_spec("pocketsphinx")
    if found is None or not found.submodule_search_locations:
        raise WeightsMissingError("the package pocketsphinx is not installed; run make demo")
    folder = Path(found.submodule_search_locations[0]) / "model" / "en-us"
    for name, digest in _PINNED.items():
        verify_sha256(folder / name, digest)
    return folder
