# pyright: strict
"""An OCR engine with a stopwatch, for steps that meter what their model calls cost."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mm_assets.documents.interfaces import PageOcr, ReadWord
from mm_assets.models import ModelIdentity


class TimedOcr:
    """Hands every call on and adds up its wall time.

    Attributes:
        seconds: wall time inside the engine so far.
    """

    def __init__(self, engine: PageOcr) -> None:
        self._engine = engine
        self.seconds = 0.0

    @property
    def identity(self) -> ModelIdentity:
        """As the engine's."""
        return self._engine.identity

    @property
    def device(self) -> str:
        """As the engine's."""
        return self._engine.device

    def read_pages(self, pages: Sequence[NDArray[np.uint8]]) -> list[list[ReadWord]]:
        """As the engine's."""
        started = perf_counter()
        read = self._engine.read_pages(pages)
        self.seconds += perf_counter() - started
        return read
