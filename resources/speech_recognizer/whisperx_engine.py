"""Any Whisper through whisperx: its batched pipeline, on the GPU when there is one."""

import functools
import importlib.metadata
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from mm_assets.aligned.segments.interfaces import RecognizedSpeech, TimedWord, Waveform
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, sha256_of
from resources.speech_recognizer.whisper import choose_language, resolve_device
from resources.speech_recognizer.whisper_words import time_words
from resources.speech_recognizer.whisperx_import import import_whisperx

PREFIX: Final = "whisperx:"
_WEIGHTS: Final = "model.bin"


class WhisperXRecognizer:
    """A Whisper of any size under whisperx; whisperx is imported and the weights load on the first call.

    Args:
        model: a size that faster-whisper knows, or the folder of a CTranslate2 model.
        device: ``auto``, ``cpu`` or ``cuda``.
        compute_type: CTranslate2's name; ``default`` is float16 on a GPU and int8 on a CPU.
        threads: on a CPU.
        beam_size: hypotheses kept while decoding.
        language_certainty: probability from which a detected language stands against the delivered one.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str,
        compute_type: str,
        threads: int,
        beam_size: int,
        language_certainty: float,
    ) -> None:
        self._name = model
        self._device = device
        self._compute_type = compute_type
        self._threads = threads
        self._beam_size = beam_size
        self._certainty = language_certainty

    @property
    def identity(self) -> ModelIdentity:
        """Size or folder, whisperx's version, and the hash of the weights. Raises `WeightsMissingError`."""
        path = _find_folder(self._name) / _WEIGHTS
        stat = path.stat()
        digest = _sha256(path, stat.st_mtime_ns, stat.st_size)
        return ModelIdentity(f"{PREFIX}{Path(self._name).name}", importlib.metadata.version("whisperx"), digest)

    @property
    def device(self) -> str:
        """``cuda`` where there is one, unless configured."""
        return resolve_device(self._device)

    def recognize(self, waveforms: Sequence[Waveform], languages: Sequence[str | None]) -> list[RecognizedSpeech]:
        """Recognise waveforms of 30 s at most: one batch of whisperx's pipeline for each language among them."""
        try:
            chosen = [self._choose(w, hint) for w, hint in zip(waveforms, languages, strict=True)]
            found: dict[int, RecognizedSpeech] = {}
            for language in dict.fromkeys(language for language, _ in chosen):
                places = [place for place, (of, _) in enumerate(chosen) if of == language]
                outputs = self._transcribe([waveforms[place] for place in places], language)
                for place, (text, avg_logprob) in zip(places, outputs, strict=True):
                    found[place] = RecognizedSpeech(text, language, chosen[place][1], avg_logprob, None)
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self.identity}: {error}; check whisperx and the device") from error
        return [found[place] for place in range(len(waveforms))]

    def time_words(
        self, waveforms: Sequence[Waveform], texts: Sequence[str], languages: Sequence[str]
    ) -> list[tuple[TimedWord, ...]]:
        """Word times from Whisper's cross-attention."""
        model = self._pipeline.model
        try:
            return [
                time_words(model, self._tokenizer(language), self._encode(waveform), waveform, text)
                for waveform, text, language in zip(waveforms, texts, languages, strict=True)
            ]
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self.identity}: {error}; check whisperx and the device") from error

    def _transcribe(self, waveforms: list[Waveform], language: str) -> list[tuple[str, float]]:
        """Text and mean log probability of each, through the pipeline's own batching."""
        pipeline = self._pipeline
        pipeline.tokenizer = self._tokenizer(language)
        batch = max(2, len(waveforms))  # of one it returns lists
        outputs = pipeline(({"inputs": waveform} for waveform in waveforms), batch_size=batch, num_workers=0)
        read = [(str(output["text"]).strip(), float(output["avg_logprob"])) for output in outputs]
        if any(not math.isfinite(score) for _, score in read):
            raise InferenceError(f"{self.identity} returned no score; check the device and speech.compute_type")
        return read

    def _choose(self, waveform: Waveform, hint: str | None) -> tuple[str, float | None]:
        model = self._pipeline.model
        if not model.model.is_multilingual:
            return "en", None
        ((*found,),) = model.model.detect_language(self._encode(waveform))
        return choose_language({token[2:-2]: float(p) for token, p in found}, hint, self._certainty)

    def _encode(self, waveform: Waveform) -> Any:  # noqa: ANN401 - CTranslate2's own array
        features = self._pipeline.preprocess({"inputs": waveform})["inputs"]
        return self._pipeline.model.encode(np.asarray(features)[None])

    def _tokenizer(self, language: str) -> Any:  # noqa: ANN401 - faster-whisper is imported here only
        from faster_whisper.tokenizer import Tokenizer  # noqa: PLC0415 - loads CTranslate2

        model = self._pipeline.model
        return Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language)

    @functools.cached_property
    def _pipeline(self) -> Any:  # noqa: ANN401 - whisperx is imported here only
        folder = _find_folder(self._name)
        compute_type = self._compute_type
        if compute_type == "default":
            compute_type = "float16" if self.device == "cuda" else "int8"
        try:
            return import_whisperx().load_model(
                str(folder),
                self.device,
                compute_type=compute_type,
                vad_method="pyannote",  # the one whose checkpoint whisperx ships
                asr_options={"beam_size": self._beam_size},
                threads=self._threads,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise WeightsMissingError(
                f"whisperx model {folder} does not load: {error}; check speech.recognizer and speech.compute_type"
            ) from error


@functools.lru_cache(maxsize=4)
def _find_folder(name: str) -> Path:
    """The model's folder, fetched from the hub where it is a size and the hub is reachable."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        from faster_whisper.utils import download_model  # noqa: PLC0415 - asks the hub

        try:
            folder = Path(download_model(name))
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsMissingError(
                f"Whisper {name!r} is no folder and cannot be fetched ({error}); bring the CTranslate2 model here and "
                "set speech.recognizer = 'whisperx:FOLDER'"
            ) from error
    if not (folder / _WEIGHTS).is_file():
        raise WeightsMissingError(f"folder {folder} holds no {_WEIGHTS}; convert the model for CTranslate2")
    return folder


@functools.lru_cache(maxsize=4)
def _sha256(path: Path, mtime_ns: int, size_bytes: int) -> str:  # noqa: ARG001 - they make a changed file another key
    return sha256_of(path)
