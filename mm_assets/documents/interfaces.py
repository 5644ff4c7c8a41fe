"""What reading documents asks of models that see pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mm_assets.documents.pages import Box, PageRegion
from mm_assets.models import ModelIdentity


@dataclass(frozen=True, slots=True)
class ReadWord:
    """A word found on a page.

    Attributes:
        text: its characters, without white space.
        confidence: mean probability of the characters, 0 to 1.
        box: left, upper, right and lower edge in pixels.
        line: index of its line among those found on the page; lines are in reading order as far as the model sees it.
    """

    text: str
    confidence: float
    box: Box
    line: int


class PageOcr(Protocol):
    """Reads the words of whole pages."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    def read_pages(self, pages: Sequence[NDArray[np.uint8]]) -> list[list[ReadWord]]:
        """Words of pages, uint8 RGB (H, W, 3) each.

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model failed.
        """
        ...


class PageLayout(Protocol):
    """Finds the regions of pages: titles, text, tables, figures, captions, headers, footers, formulas."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        ...

    def find_regions(self, pages: Sequence[NDArray[np.uint8]]) -> list[list[PageRegion]]:
        """Regions of pages, uint8 RGB (H, W, 3) each, boxes in pixels. Raises as `PageOcr.read_pages`."""
        ...
