"""Diarization by pyannote through whisperx, from a pipeline in a folder of this machine."""

import functools
import hashlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from mm_assets.aligned.segments.interfaces import SpeakerTurn, Waveform
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, sha256_of
from resources.speech_recognizer.whisper import resolve_device
from resources.speech_recognizer.whisperx_import import import_whisperx

PREFIX: Final = "pyannote:"
_CONFIG: Final = "config.yaml"


class PyannoteDiarizer:
    """Finds the turns of voices itself; whisperx is imported and the pipeline loads on the first call.

    Args:
        folder: a pyannote diarization pipeline with its models and ``config.yaml``.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    def __init__(self, folder: Path, *, device: str) -> None:
        self._folder = folder
        self._device = device

    @property
    def identity(self) -> ModelIdentity:
        """The folder's name, pyannote's version and one hash over its files. Raises `WeightsMissingError`."""
        if not (self._folder / _CONFIG).is_file():
            raise WeightsMissingError(
                f"folder {self._folder} holds no {_CONFIG}; bring a pyannote pipeline there or correct speech.speakers"
            )
        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        stats = tuple((str(path), path.stat().st_mtime_ns) for path in files)
        version = importlib.metadata.version("pyannote-audio")
        return ModelIdentity(f"{PREFIX}{self._folder.name}", version, _digest(stats))

    @property
    def device(self) -> str:
        """``cuda`` where there is one, unless configured."""
        return resolve_device(self._device)

    def embed(
        self, waveforms: Sequence[Waveform], spans: Sequence[Sequence[tuple[int, int]]]
    ) -> list[list[SpeakerTurn]]:
        """Turns as the pipeline finds them, each with the embedding of its voice; the spans only say how many."""
        if len(waveforms) != len(spans):
            raise InferenceError(f"{len(waveforms)} waveforms with spans of {len(spans)}; pass one list of each")
        return [self._diarize(waveform) for waveform in waveforms]

    def _diarize(self, waveform: Waveform) -> list[SpeakerTurn]:
        try:
            turns, voices = self._pipeline(np.ascontiguousarray(waveform), return_embeddings=True)
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self.identity}: {error}; check whisperx and the device") from error
        found: list[SpeakerTurn] = []
        for turn in turns.to_dict("records"):
            vector = np.asarray(voices[turn["speaker"]], np.float32)
            length = float(np.linalg.norm(vector))
            if not np.isfinite(length) or length == 0.0:  # pyannote gives none to a voice too short to embed
                continue
            found.append(SpeakerTurn(round(turn["start"] * 1e6), round(turn["end"] * 1e6), vector / length))
        return found

    @functools.cached_property
    def _pipeline(self) -> Any:  # noqa: ANN401 - whisperx is imported here only
        identity = self.identity
        import_whisperx()
        from whisperx.diarize import DiarizationPipeline  # noqa: PLC0415 - takes half a minute

        try:
            return DiarizationPipeline(str(self._folder), device=self.device)
        except (RuntimeError, ValueError, OSError, KeyError, AttributeError) as error:
            raise WeightsMissingError(f"{identity} does not load: {error}; correct speech.speakers") from error


@functools.lru_cache(maxsize=4)
def _digest(files: tuple[tuple[str, int], ...]) -> str:
    joined = "".join(sha256_of(Path(path)) for path, _ in files)
    return hashlib.sha256(joined.encode()).hexdigest()
