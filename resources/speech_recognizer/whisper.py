"""Whisper through faster-whisper (CTranslate2): batches across clips, windows no longer than the speech in them."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.segments.interfaces import RecognizedSpeech, TimedWord, Waveform
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity
from resources.speech_recognizer.whisper_words import time_words

SAMPLE_RATE: Final = 16_000
_FRAMES_PER_SECOND: Final = 100
_MAX_SECONDS: Final = 30.0
_SUPPRESS_DEFAULTS: Final = [-1]


class WhisperRecognizer:
    """A Whisper model; its weights load on the first call.

    Args:
        identity: which weights.
        find_folder: gives the folder of the CTranslate2 model, proven.
        device: ``auto``, ``cpu`` or ``cuda``.
        compute_type: CTranslate2's name; ``default`` is float16 on a GPU and int8 on a CPU.
        threads: on a CPU.
        beam_size: hypotheses kept while decoding.
        padding_seconds: silence behind the longest waveform of a batch; None: up to Whisper's 30 s.
        least_seconds: what a batch is padded to at least.
        language_certainty: probability from which a detected language stands against the delivered one.
    """

    def __init__(
        self,
        identity: ModelIdentity,
        find_folder: Callable[[], Path],
        *,
        device: str,
        compute_type: str,
        threads: int,
        beam_size: int,
        padding_seconds: float | None,
        least_seconds: float,
        language_certainty: float,
    ) -> None:
        self._identity = identity
        self._find_folder = find_folder
        self._device = device
        self._compute_type = compute_type
        self._threads = threads
        self._beam_size = beam_size
        self._padding_seconds = padding_seconds
        self._least_seconds = least_seconds
        self._certainty = language_certainty

    @property
    def identity(self) -> ModelIdentity:
        """Which weights."""
        return self._identity

    @property
    def device(self) -> str:
        """``cuda`` where there is one, unless configured."""
        return resolve_device(self._device)

    def recognize(self, waveforms: Sequence[Waveform], languages: Sequence[str | None]) -> list[RecognizedSpeech]:
        """Recognise waveforms of 30 s at most, in one batch."""
        try:
            encoded = self._encode(waveforms)
            heard = self._detect(encoded, len(waveforms))
            chosen = [
                choose_language(probabilities, hint, self._certainty)
                for probabilities, hint in zip(heard, languages, strict=True)
            ]
            model = self._model
            prompts = [
                model.get_prompt(self.tokenizer(language), [], without_timestamps=True) for language, _ in chosen
            ]
            results = model.model.generate(
                encoded,
                prompts,
                beam_size=self._beam_size,
                suppress_tokens=_SUPPRESS_DEFAULTS,
                max_length=model.max_length,
                return_scores=True,
                return_no_speech_prob=True,
            )
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self._identity}: {error}; check faster-whisper and the device") from error
        return [
            self._read(result, language, probability)
            for result, (language, probability) in zip(results, chosen, strict=True)
        ]

    def time_words(
        self, waveforms: Sequence[Waveform], texts: Sequence[str], languages: Sequence[str]
    ) -> list[tuple[TimedWord, ...]]:
        """Word times from Whisper's cross-attention."""
        timed: list[tuple[TimedWord, ...]] = []
        try:
            for waveform, text, language in zip(waveforms, texts, languages, strict=True):
                timed.append(
                    time_words(self._model, self.tokenizer(language), self._encode([waveform]), waveform, text)
                )
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self._identity}: {error}; check faster-whisper and the device") from error
        return timed

    def tokenizer(self, language: str) -> Any:  # noqa: ANN401 - faster-whisper is imported here only
        """The tokenizer that transcribes a language."""
        from faster_whisper.tokenizer import Tokenizer  # noqa: PLC0415 - loads CTranslate2

        model = self._model
        return Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language)

    def _read(self, result: Any, language: str, probability: float | None) -> RecognizedSpeech:  # noqa: ANN401
        tokens = result.sequences_ids[0]
        avg_logprob = float(result.scores[0]) * len(tokens) / (len(tokens) + 1)
        no_speech = float(result.no_speech_prob)
        if not math.isfinite(avg_logprob) or not math.isfinite(no_speech):
            raise InferenceError(f"{self._identity} returned no score; check the device and speech.compute_type")
        text = self.tokenizer(language).decode(tokens).strip()
        return RecognizedSpeech(text, language, probability, avg_logprob, no_speech)

    def _detect(self, encoded: Any, count: int) -> list[dict[str, float]]:  # noqa: ANN401 - CTranslate2's own array
        model = self._model.model
        if not model.is_multilingual:
            return [{"en": 1.0}] * count
        return [{token[2:-2]: float(p) for token, p in found} for found in model.detect_language(encoded)]

    def _encode(self, waveforms: Sequence[Waveform]) -> Any:  # noqa: ANN401 - CTranslate2's own array
        longest = max(len(waveform) for waveform in waveforms) / SAMPLE_RATE
        if longest > _MAX_SECONDS:
            raise InferenceError(f"{self._identity} hears 30 s at once, not {longest:.1f} s; cut windows shorter")
        padded = _MAX_SECONDS
        if self._padding_seconds is not None:
            padded = max(longest + self._padding_seconds, self._least_seconds)
        frames = 2 * math.ceil(min(padded, _MAX_SECONDS) * _FRAMES_PER_SECOND / 2)  # the encoder halves them
        return self._model.encode(np.stack([self._features(waveform, frames) for waveform in waveforms]))

    def _features(self, waveform: Waveform, frames: int) -> NDArray[np.float32]:
        features = self._model.feature_extractor(waveform)[:, :-1][:, :frames]
        return np.pad(features, ((0, 0), (0, frames - features.shape[1])))

    @functools.cached_property
    def _model(self) -> Any:  # noqa: ANN401 - faster-whisper is imported here only
        from faster_whisper import WhisperModel  # noqa: PLC0415 - loads CTranslate2

        compute_type = self._compute_type
        if compute_type == "default":
            compute_type = "float16" if self.device == "cuda" else "int8"
        folder = self._find_folder()
        try:
            return WhisperModel(str(folder), device=self.device, compute_type=compute_type, cpu_threads=self._threads)
        except (RuntimeError, ValueError, OSError) as error:
            raise WeightsMissingError(
                f"{self._identity} in {folder} does not load: {error}; check speech.recognizer and speech.compute_type"
            ) from error


@functools.lru_cache(maxsize=4)
def resolve_device(configured: str) -> str:
    """``cpu`` or ``cuda``, looking for a GPU where it is ``auto``."""
    if configured != "auto":
        return configured
    import ctranslate2  # noqa: PLC0415 - a native library

    return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"


def choose_language(probabilities: dict[str, float], hint: str | None, certainty: float) -> tuple[str, float | None]:
    """The language to decode in: the delivered one, unless the model is certain of another.

    >>> choose_language({"cy": 0.4, "en": 0.3}, "en-GB", 0.9)
    ('en', 0.3)
    >>> choose_language({"fr": 0.97, "en": 0.01}, "en", 0.9)
    ('fr', 0.97)
    >>> choose_language({"fr": 0.6, "en": 0.3}, None, 0.9)
    ('fr', 0.6)
    """
    heard = max(probabilities, key=lambda language: probabilities[language])
    delivered = "" if hint is None else hint.lower().replace("_", "-").split("-")[0]
    if delivered in probabilities and probabilities[heard] < certainty:
        return delivered, probabilities[delivered]
    return heard, probabilities[heard]
