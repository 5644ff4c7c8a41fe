"""Models with a stopwatch, for steps that meter what their model calls cost."""

from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar, cast

from wrapt import ObjectProxy

Count = Callable[[float, float], None]
"""Takes the units of a call and its wall time in seconds."""
ModelT = TypeVar("ModelT")


def _given(batch: Any, *_: Any) -> float:  # noqa: ANN401 - what any model takes
    """How many things a model was given in one call."""
    return len(batch)


def timed(model: ModelT, method: str, count: Count, units: Callable[..., float] = _given) -> ModelT:
    """The model, with every call of one of its methods counted, also of a call that fails: it may have its price.

    Args:
        model: any model; all else about it stays as it is.
        method: name of the method that is metered.
        count: told of each call.
        units: what a call is counted as, from its arguments; by default the length of the first.

    >>> calls = []
    >>> timed("a-b", "split", lambda units, seconds: calls.append(units)).split("-"), calls
    (['a', 'b'], [1])
    """
    return cast("ModelT", _Timed(model, method, count, units))


class _Timed(ObjectProxy):
    def __init__(self, model: object, method: str, count: Count, units: Callable[..., float]) -> None:
        super().__init__(model)
        self._self_method, self._self_count, self._self_units = method, count, units

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the model has
        found = super().__getattr__(name)
        return self._self_watched(found) if name == self._self_method else found

    def _self_watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*given: Any) -> Any:  # noqa: ANN401 - as the model's
            started = perf_counter()
            try:
                return call(*given)
            finally:
                self._self_count(self._self_units(*given), perf_counter() - started)

        return watched
