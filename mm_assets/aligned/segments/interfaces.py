"""What segments ask of models that hear speech.

A waveform is mono float32, shape (T,), at 16 kHz, full scale 1; times are microseconds from its first sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mm_assets.models import ModelIdentity

Waveform = NDArray[np.float32]
Refusal = Literal["language", "unknown_words", "mismatch"]
"""Why a text was not aligned: another language, words without a pronunciation, or it is not what is said."""

POCKETSPHINX_METHOD: Final = "forced:pocketsphinx"
WHISPERX_METHOD: Final = "forced:whisperx"
RECOGNISER_METHOD: Final = "recogniser"


@dataclass(frozen=True)
class RecognizedSpeech:
    """What a recogniser made of one waveform.

    Attributes:
        text: stripped; may be empty, and may be invented where nothing is said.
        language: ISO 639-1 code it was decoded in.
        language_probability: of that language; None: not told.
        avg_logprob: mean log probability of the text's tokens.
        no_speech_probability: that nothing is said; None: not told.
    """

    text: str
    language: str
    language_probability: float | None
    avg_logprob: float
    no_speech_probability: float | None


@dataclass(frozen=True)
class TimedWord:
    """A word and when it is said; the word as it stands in the text, punctuation included."""

    word: str
    start_us: int
    end_us: int
    confidence: float


@dataclass(frozen=True)
class AlignedWords:
    """What an aligner made of one text.

    Attributes:
        words: every word of the text, split at white space, in order; none if it was refused.
        refusal: why; None: it was not.
    """

    words: tuple[TimedWord, ...]
    refusal: Refusal | None = None


@dataclass(frozen=True)
class SpeakerTurn:
    """A stretch of one voice, and what the voice sounds like: a vector of length one, shape (D,)."""

    start_us: int
    end_us: int
    embedding: NDArray[np.float32]


class SpeechRecognizer(Protocol):
    """Turns speech into text."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    def recognize(self, waveforms: Sequence[Waveform], languages: Sequence[str | None]) -> list[RecognizedSpeech]:
        """Recognise waveforms of 30 s at most, in one batch.

        Args:
            waveforms: one at least.
            languages: the code each is said to be in; None: find out.

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model failed.
        """
        ...

    def time_words(
        self, waveforms: Sequence[Waveform], texts: Sequence[str], languages: Sequence[str]
    ) -> list[tuple[TimedWord, ...]]:
        """The recogniser's own estimate of when each word of a text is said; every word of it, in order.

        Raises as `recognize`.
        """
        ...


class WordAligner(Protocol):
    """Lays a known text along speech."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    @property
    def method(self) -> str:
        """What stands beside every word it has timed."""
        ...

    def align(
        self, waveforms: Sequence[Waveform], texts: Sequence[str], languages: Sequence[str]
    ) -> list[AlignedWords]:
        """Time the words of each text in its waveform, or say why not.

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model failed.
        """
        ...


class SpeakerEmbedder(Protocol):
    """Tells what voices sound like."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    def embed(
        self, waveforms: Sequence[Waveform], spans: Sequence[Sequence[tuple[int, int]]]
    ) -> list[list[SpeakerTurn]]:
        """Say who speaks when.

        Args:
            waveforms: speech.
            spans: start and end, microseconds, of the utterances found in each.

        Returns:
            Turns of each waveform: its spans, or what the model itself finds.

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model failed.
        """
        ...
