"""The language identifier: py3langid, from the package that carries its model."""

import functools
import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg

from mm_assets.cleaned.interfaces import IdentifiedLanguage, LanguageIdentifier
from mm_assets.errors import WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256

IDENTITY: Final = ModelIdentity(
    "py3langid", "0.4.0", "f4f4a2c3465ca1f081541037f9cac23021d68151c2f709c55ae5eedfca522963"
)


class Py3LangId:
    """langid.py's model on NumPy; it loads on the first text."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model."""
        return IDENTITY

    def identify(self, texts: Sequence[str]) -> list[IdentifiedLanguage]:
        """The most likely language of each text, with its normalised probability."""
        found = (self._classifier.classify(text) for text in texts)
        return [IdentifiedLanguage(str(code), float(confidence)) for code, confidence in found]

    @functools.cached_property
    def _classifier(self) -> Any:  # noqa: ANN401 - the package has no types
        try:
            path = Path(str(importlib.resources.files("py3langid"))) / "data" / "model.npz.xz"
        except ModuleNotFoundError as error:
            raise WeightsMissingError("the package py3langid is not installed; run make demo") from error
        verify_sha256(path, IDENTITY.sha256)
        from py3langid.langid import LanguageIdentifier as Classifier  # noqa: PLC0415 - loads NumPy tables

        return Classifier.from_model_file(str(path), norm_probs=True)


@functools.lru_cache(maxsize=1)
def _build() -> Py3LangId:
    return Py3LangId()


class LanguageIdentifierResource(dg.ConfigurableResource):
    """Gives assets a `LanguageIdentifier`, one per process."""

    @property
    def handle(self) -> LanguageIdentifier:
        """The identifier; its model loads on the first text."""
        return _build()

    @property
    def identity(self) -> ModelIdentity:
        """Which model."""
        return IDENTITY
