# pyright: strict
"""A detector with a stopwatch, for steps that meter what their model calls cost."""

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.objects.claims.interfaces import ObjectDetector, SeenObjects
from mm_assets.models import ModelIdentity


class TimedDetector:
    """Hands every call on and tells what it took.

    Args:
        model: the detector; called from one thread.
        count: called with pictures and seconds after each call that succeeds; a picture counts when it is prepared.
    """

    def __init__(self, model: ObjectDetector, count: Callable[[float, float], None]) -> None:
        self._model = model
        self._count = count

    @property
    def identity(self) -> ModelIdentity:
        """As the detector's."""
        return self._model.identity

    @property
    def device(self) -> str:
        """As the detector's."""
        return self._model.device

    @property
    def vocabulary(self) -> frozenset[str]:
        """As the detector's."""
        return self._model.vocabulary

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As the detector's, timed."""
        started = perf_counter()
        prepared = self._model.prepare(pixels)
        self._count(1, perf_counter() - started)
        return prepared

    def detect(self, prepared: Sequence[NDArray[np.uint8]], wanted: Sequence[frozenset[str]]) -> list[SeenObjects]:
        """As the detector's, timed."""
        started = perf_counter()
        seen = self._model.detect(prepared, wanted)
        self._count(0, perf_counter() - started)
        return seen
