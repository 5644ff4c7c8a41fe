# pyright: strict
"""Language models that tell how long each call took."""

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mm_assets.hard_negatives.interfaces import LanguageModel, TextRater
from mm_assets.models import ModelIdentity

Count = Callable[[float, float], None]
"""Called with requests or texts, and seconds, after each call; also of one that failed, for it may have its price."""


class TimedAnswers:
    """A `LanguageModel` that hands every prompt on."""

    def __init__(self, model: LanguageModel, count: Count) -> None:
        self._model, self._count = model, count

    @property
    def identity(self) -> ModelIdentity:
        """As the model's."""
        return self._model.identity

    def ask(self, prompt: str) -> str:
        """As the model's, timed."""
        started = perf_counter()
        try:
            return self._model.ask(prompt)
        finally:
            self._count(1, perf_counter() - started)


class TimedRater:
    """A `TextRater` that hands every text on."""

    def __init__(self, model: TextRater, count: Count) -> None:
        self._model, self._count = model, count

    @property
    def identity(self) -> ModelIdentity:
        """As the model's."""
        return self._model.identity

    def rate(self, lead: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """As the model's, timed."""
        started = perf_counter()
        try:
            return self._model.rate(lead, texts)
        finally:
            self._count(len(texts), perf_counter() - started)


def timed(model: LanguageModel | TextRater | None, count: Count) -> LanguageModel | TextRater | None:
    """The model with its calls counted; None stays None."""
    if model is None:
        return None
    return TimedRater(model, count) if isinstance(model, TextRater) else TimedAnswers(model, count)
