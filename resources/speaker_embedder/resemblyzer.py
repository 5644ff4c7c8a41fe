"""What voices sound like: Resemblyzer's LSTM over mel spectra, with the weights its package carries.

The package itself imports a voice activity detector and a resampler that nothing here needs, so its three layers are
built anew and its checkpoint is read as plain tensors. Source: Wan et al. 2018, as trained by Resemblyzer 0.1.4.
"""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.segments.interfaces import SpeakerTurn, Waveform
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256
from resources.speech_recognizer.whisper import SAMPLE_RATE, resolve_device

NAME: Final = "resemblyzer"
IDENTITY: Final = ModelIdentity(
    "resemblyzer", "0.1.4", "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
)
_MELS, _UNITS, _LAYERS = 40, 256, 3
_WINDOW, _HOP = 400, 160
_PARTIAL_FRAMES: Final = 160
_PARTIAL_STEP: Final = 77  # 1.3 partials a second
_MIN_COVERAGE: Final = 0.75
_LEVEL: Final = 10 ** (-30 / 20)  # training raised quieter sounds to it; with louder ones lowered voices differ more
_BATCH: Final = 128


class ResemblyzerEmbedder:
    """Embeds the spans it is given; weights load on the first call."""

    def __init__(self, *, device: str) -> None:
        self._device = device

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return IDENTITY

    @property
    def device(self) -> str:
        """``cuda`` where there is one, unless configured."""
        return resolve_device(self._device)

    def embed(
        self, waveforms: Sequence[Waveform], spans: Sequence[Sequence[tuple[int, int]]]
    ) -> list[list[SpeakerTurn]]:
        """The voice of each span, from its parts of 1.6 s."""
        flat = [
            (waveform[_sample(start) : max(_sample(end), _sample(start) + 1)], start, end)
            for waveform, of in zip(waveforms, spans, strict=True)
            for start, end in of
        ]
        voices = iter(self._embed([samples for samples, _, _ in flat]))
        return [[SpeakerTurn(start, end, next(voices)) for start, end in of] for of in spans]

    def _embed(self, sounds: list[Waveform]) -> NDArray[np.float32]:
        if not sounds:
            return np.zeros((0, _UNITS), np.float32)
        parts = [self._partials(sound) for sound in sounds]
        stacked = np.concatenate(parts)
        vectors = np.concatenate([self._run(stacked[at : at + _BATCH]) for at in range(0, len(stacked), _BATCH)])
        owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        sums = np.zeros((len(parts), _UNITS), np.float64)
        np.add.at(sums, owner, vectors)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise InferenceError(f"{IDENTITY} gave no voice for some utterance; check torch")
        return (sums / lengths).astype(np.float32)

    def _partials(self, sound: Waveform) -> NDArray[np.float32]:
        """Mel spectra of the parts of a sound, shape (P, 160, 40)."""
        level = float(np.sqrt(np.mean(np.square(sound), dtype=np.float64)))
        levelled = sound * np.float32(_LEVEL / level) if level > 0.0 else sound
        frames = -(-(len(sound) + 1) // _HOP)
        starts = list(range(0, max(1, frames - _PARTIAL_FRAMES + _PARTIAL_STEP + 1), _PARTIAL_STEP))
        covered = (len(sound) - starts[-1] * _HOP) / (_PARTIAL_FRAMES * _HOP)
        if covered < _MIN_COVERAGE and len(starts) > 1:
            starts.pop()
        needed = (starts[-1] + _PARTIAL_FRAMES) * _HOP
        mels = self._mel_spectrum(np.pad(levelled, (0, max(0, needed - len(sound)))))
        return np.stack([mels[start : start + _PARTIAL_FRAMES] for start in starts])

    def _mel_spectrum(self, sound: Waveform) -> NDArray[np.float32]:
        """Power in mel bands every 10 ms, not in decibels, shape (N, 40)."""
        padded = np.pad(sound, _WINDOW // 2)
        windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
        power = np.abs(np.fft.rfft(windows * hann.astype(np.float32), axis=1)) ** 2
        return (power.astype(np.float32) @ self._filters).astype(np.float32)

    @functools.cached_property
    def _filters(self) -> NDArray[np.float32]:
        from torchaudio.functional import melscale_fbanks  # noqa: PLC0415 - loads torch

        filters = melscale_fbanks(_WINDOW // 2 + 1, 0.0, SAMPLE_RATE / 2, _MELS, SAMPLE_RATE, "slaney", "slaney")
        return filters.numpy()

    def _run(self, mels: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch  # noqa: PLC0415 - heavy

        lstm, linear = self._layers
        with torch.inference_mode():
            _, (hidden, _) = lstm(torch.from_numpy(mels).to(self.device))
            raw = torch.relu(linear(hidden[-1]))
            return (raw / torch.linalg.vector_norm(raw, dim=1, keepdim=True).clamp_min(1e-8)).cpu().numpy()

    @functools.cached_property
    def _layers(self) -> tuple[Any, Any]:
        import torch  # noqa: PLC0415 - heavy

        torch.set_num_threads(1)  # of three small layers; more threads wait for one another
        state = torch.load(_weights(), map_location="cpu", weights_only=True)["model_state"]
        lstm = torch.nn.LSTM(_MELS, _UNITS, _LAYERS, batch_first=True)
        linear = torch.nn.Linear(_UNITS, _UNITS)
        for layer, prefix in ((lstm, "lstm."), (linear, "linear.")):
            layer.load_state_dict(
                {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            )
            layer.to(self.device).eval()
        return lstm, linear


def _sample(time_us: int) -> int:
    return round(time_us * SAMPLE_RATE / 1e6)


def _weights() -> Path:
    found = importlib.util.find_spec("resemblyzer")  # importing it would ask for packages that nothing needs
    if found is None or not found.submodule_search_locations:
        raise WeightsMissingError("the package resemblyzer is not installed; run make demo")
    path = Path(found.submodule_search_locations[0]) / "pretrained.pt"
    verify_sha256(path, IDENTITY.sha256)
    return path
