"""What alignment asks of models that read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mm_assets.models import ModelIdentity


@dataclass(frozen=True)
class ReadText:
    """What a line says and how sure the reader is.

    Attributes:
        text: the characters; empty if the line says nothing.
        confidence: mean probability of the characters, 0 to 1; 0 for nothing.
    """

    text: str
    confidence: float


@dataclass(frozen=True)
class PlacedText:
    """A line found on a page.

    Attributes:
        text: the characters.
        confidence: mean probability of the characters, 0 to 1.
        box: left, upper, right and lower edge in pixels of the page.
    """

    text: str
    confidence: float
    box: tuple[float, float, float, float]


class Ocr(Protocol):
    """Reads printed text in pictures."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    def read_lines(self, crops: Sequence[NDArray[np.uint8]]) -> list[ReadText]:
        """Read crops that hold one line each, uint8 RGB of any shape (H, W, 3); one result per crop.

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model failed.
        """
        ...

    def read_page(self, pixels: NDArray[np.uint8]) -> list[PlacedText]:
        """Find and read the lines of a page, uint8 RGB (H, W, 3), in reading order. Raises as `read_lines`."""
        ...
