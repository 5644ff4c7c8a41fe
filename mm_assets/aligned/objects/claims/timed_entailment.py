# pyright: strict
"""An NLI model with a stopwatch, for steps that meter what their model calls cost."""

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.objects.claims.interfaces import Entailment
from mm_assets.models import ModelIdentity


class TimedEntailment:
    """Hands every call on and tells what it took.

    Args:
        model: the model.
        count: called with pairs and seconds after each call that succeeds.
    """

    def __init__(self, model: Entailment, count: Callable[[float, float], None]) -> None:
        self._model = model
        self._count = count

    @property
    def identity(self) -> ModelIdentity:
        """As the model's."""
        return self._model.identity

    @property
    def device(self) -> str:
        """As the model's."""
        return self._model.device

    def contradiction(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """As the model's, timed."""
        started = perf_counter()
        found = self._model.contradiction(pairs)
        self._count(len(pairs), perf_counter() - started)
        return found
