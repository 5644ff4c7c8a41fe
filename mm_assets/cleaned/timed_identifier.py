"""A language identifier with a stopwatch, for steps that meter what their model calls cost."""

from collections.abc import Callable, Sequence
from time import perf_counter

from mm_assets.cleaned.interfaces import IdentifiedLanguage, LanguageIdentifier
from mm_assets.models import ModelIdentity


class TimedIdentifier:
    """Hands every call on and reports it.

    Args:
        identifier: what names the languages.
        report: takes the number of texts of a call and its wall time in seconds.
    """

    def __init__(self, identifier: LanguageIdentifier, report: Callable[[float, float], None]) -> None:
        self._identifier = identifier
        self._report = report

    @property
    def identity(self) -> ModelIdentity:
        """As the identifier's."""
        return self._identifier.identity

    def identify(self, texts: Sequence[str]) -> list[IdentifiedLanguage]:
        """As the identifier's, timed."""
        started = perf_counter()
        found = self._identifier.identify(texts)
        self._report(len(texts), perf_counter() - started)
        return found
