"""Voice activity: Silero VAD on ONNX Runtime, from the package that carries its weights."""

import functools
import importlib.util
from pathlib import Path
from typing import Any, Final

import dagster as dg
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mm_assets.cleaned.interfaces import SpeechStream, VoiceActivity
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256

IDENTITY: Final = ModelIdentity(
    "silero-vad-16k-sequence", "6.2.3", "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"
)
WINDOW_SAMPLES: Final = 512
_CONTEXT_SAMPLES: Final = 64
_STATE: Final = (1, 1, 128)


def _weights() -> Path:
    found = importlib.util.find_spec("silero_vad")  # importing the package itself would load torch
    if found is None or not found.submodule_search_locations:
        raise WeightsMissingError("the package silero-vad is not installed; run make demo")
    path = Path(found.submodule_search_locations[0]) / "data" / "silero_vad_16k_sequence.onnx"
    verify_sha256(path, IDENTITY.sha256)
    return path


class SileroVad:
    """Silero VAD 6 in its form for many windows a call; weights load on the first one."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY

    @property
    def device(self) -> str:
        """Always the CPU: it takes 0.3 % of the time of the sound."""
        return "cpu"

    @property
    def window_samples(self) -> int:
        """Samples behind each probability: 32 ms."""
        return WINDOW_SAMPLES

    def begin(self) -> SpeechStream:
        """Start on a new sound."""
        return _Stream(self._session)

    @functools.cached_property
    def _session(self) -> Any:  # noqa: ANN401 - onnxruntime is imported here only
        import onnxruntime  # noqa: PLC0415 - heavy

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(_weights(), options, providers=["CPUExecutionProvider"])


class _Stream:
    """One sound: the model's state, the samples before the next window and those of it that are there."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - onnxruntime is imported by the handle only
        self._session = session
        self._hidden = np.zeros(_STATE, np.float32)
        self._cell = np.zeros(_STATE, np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._left = np.zeros(0, np.float32)

    def add(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of the windows that are complete now."""
        joined = np.concatenate((self._left, samples))
        whole = len(joined) // WINDOW_SAMPLES * WINDOW_SAMPLES
        self._left = joined[whole:].copy()
        return self._score(joined[:whole].reshape(-1, WINDOW_SAMPLES))

    def finish(self) -> NDArray[np.float32]:
        """The probability of the last, incomplete window, padded with silence."""
        if not len(self._left):
            return np.zeros(0, np.float32)
        padded = np.pad(self._left, (0, WINDOW_SAMPLES - len(self._left)))
        self._left = np.zeros(0, np.float32)
        return self._score(padded[None])

    def _score(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(windows):
            return np.zeros(0, np.float32)
        contexts = np.concatenate((self._context[None], windows[:-1, -_CONTEXT_SAMPLES:]))
        self._context = windows[-1, -_CONTEXT_SAMPLES:].copy()
        inputs = {"input": np.concatenate((contexts, windows), axis=1), "h": self._hidden, "c": self._cell}
        scores, self._hidden, self._cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
        scores = np.asarray(scores, np.float32).reshape(-1)
        if len(scores) != len(windows) or not np.isfinite(scores).all():
            raise InferenceError(f"{IDENTITY} returned no probability for some window; check onnxruntime")
        return scores


@functools.lru_cache(maxsize=2)
def _build(threads: int) -> SileroVad:
    return SileroVad(threads)


class VoiceActivityResource(dg.ConfigurableResource):
    """Gives assets a `VoiceActivity`, one per process."""

    threads: int = Field(default=1, ge=1, description="Threads of the model; it gains nothing from more.")

    @property
    def handle(self) -> VoiceActivity:
        """The model; its weights load on first use."""
        return _build(self.threads)

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY
