"""What cleaning asks of models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mm_assets.models import ModelIdentity


class SafetyModel(Protocol):
    """Scores pictures for unsafe content."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One decoded picture, uint8 RGB (H, W, 3), as the model takes it; safe to call from several threads."""
        ...

    def score(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Probability of unsafe content of each prepared picture, float32, shape (B,).

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model returned something that is not a probability.
        """
        ...


@dataclass(frozen=True)
class IdentifiedLanguage:
    """A language and how sure the model is.

    Attributes:
        code: ISO 639-1.
        confidence: 0 to 1.
    """

    code: str
    confidence: float


class LanguageIdentifier(Protocol):
    """Names the language of texts."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    def identify(self, texts: Sequence[str]) -> list[IdentifiedLanguage]:
        """The most likely language of each text."""
        ...


class SpeechStream(Protocol):
    """One sound on its way through a voice activity model."""

    def add(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next mono samples at 16 kHz, shape (T,).

        Returns:
            Probability of speech in each window that is complete now, shape (N,).
        """
        ...

    def finish(self) -> NDArray[np.float32]:
        """The probability of the last, incomplete window, shape (1,) or (0,)."""
        ...


class VoiceActivity(Protocol):
    """Tells speech from everything else."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    @property
    def window_samples(self) -> int:
        """Samples behind each probability."""
        ...

    def begin(self) -> SpeechStream:
        """Start on a new sound.

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
        """
        ...


class SoundEvents(Protocol):
    """Tells music and singing from everything else."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    def score(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of speech, singing and music, shape (N, 3), of mono samples at 16 kHz, shape (T,).

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model failed.
        """
        ...
