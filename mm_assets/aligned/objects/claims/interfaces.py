# pyright: strict
"""What checking captions asks of models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mm_assets.models import ModelIdentity


@dataclass(frozen=True, slots=True)
class SeenObjects:
    """What a detector saw in one picture.

    Attributes:
        seen: names of its vocabulary that may be there.
        certain: those of them it is certain of.
        clarity: probability of what it is surest of, 0 to 1; a picture it makes nothing of says little by its misses.
    """

    seen: frozenset[str]
    certain: frozenset[str]
    clarity: float


class ObjectDetector(Protocol):
    """Finds objects in pictures. What it does not find may still be there."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    @property
    def vocabulary(self) -> frozenset[str]:
        """Names of the objects it can see; of all others its silence says nothing."""
        ...

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One decoded picture, uint8 RGB (H, W, 3), as `detect` takes it; safe to call from several threads."""
        ...

    def detect(self, prepared: Sequence[NDArray[np.uint8]], wanted: Sequence[frozenset[str]]) -> list[SeenObjects]:
        """Look for objects.

        Args:
            prepared: B pictures, each as `prepare` made it.
            wanted: per picture, the names somebody asks about; once all are found the detector may stop looking.

        Returns:
            What it saw, one entry per picture.

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model returned something unusable.
        """
        ...


class Entailment(Protocol):
    """Judges whether one sentence contradicts another (natural language inference)."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    def contradiction(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Probability that each premise contradicts its hypothesis, float32, shape (B,).

        Raises:
            WeightsMissingError: the weights are not on this machine.
            InferenceError: the model returned something that is not a probability.
        """
        ...


class VisionLanguage(Protocol):
    """Answers a request about one picture in words."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model at which endpoint."""
        ...

    def ask(self, picture: bytes, prompt: str) -> str:
        """The model's answer.

        Args:
            picture: an encoded picture.
            prompt: what to do with it.

        Raises:
            DecodeError: the bytes are no picture.
            InferenceError: the endpoint did not answer, or not in its protocol.
        """
        ...
