"""The speech recogniser: the policy's choice, loaded on first use."""

import functools
from typing import Final

import dagster as dg
from pydantic import Field

from mm_assets.aligned.segments.interfaces import SpeechRecognizer
from mm_assets.errors import PolicyError
from mm_assets.models import ModelIdentity
from mm_assets.policy import SpeechPolicy
from resources.image_text_encoder.model_cache import cache_root
from resources.speech_recognizer import whisper_weights, whisperx_engine
from resources.speech_recognizer.whisper import WhisperRecognizer

NAME: Final = "whisper-base"
_DEFAULTS: Final = SpeechPolicy()


class SpeechRecognizerResource(dg.ConfigurableResource):
    """Gives assets a `SpeechRecognizer`."""

    recognizer: str = Field(default=_DEFAULTS.recognizer, description="As speech.recognizer in the policy.")
    device: str = Field(default=_DEFAULTS.device, description="auto, cpu or cuda.")
    compute_type: str = Field(default=_DEFAULTS.compute_type, description="As speech.compute_type in the policy.")
    threads: int = Field(default=_DEFAULTS.threads, ge=1, description="Threads on a CPU.")
    beam_size: int = Field(default=_DEFAULTS.beam_size, ge=1, description="As speech.beam_size in the policy.")
    padding_seconds: float | None = Field(
        default=_DEFAULTS.padding_seconds, description="As speech.padding_seconds in the policy."
    )
    least_seconds: float = Field(default=_DEFAULTS.least_seconds, description="As speech.least_seconds in the policy.")
    language_certainty: float = Field(
        default=_DEFAULTS.language_certainty, description="As speech.language_certainty in the policy."
    )
    cache: str = Field(default="", description="Folder of joined models; empty for MM_CACHE, else ~/.cache/mm_assets.")

    @property
    def handle(self) -> SpeechRecognizer:
        """The recogniser, one per process; its weights load on the first call.

        Raises:
            PolicyError: the configured name is not one of ours.
        """
        return build_recognizer(
            self.recognizer,
            device=self.device,
            compute_type=self.compute_type,
            threads=self.threads,
            beam_size=self.beam_size,
            padding_seconds=self.padding_seconds,
            least_seconds=self.least_seconds,
            language_certainty=self.language_certainty,
            cache=self.cache,
        )

    @property
    def identity(self) -> ModelIdentity:
        """Which model, without loading it. Raises as `handle`, and `WeightsMissingError`."""
        return self.handle.identity


@functools.lru_cache(maxsize=4)
def build_recognizer(
    recognizer: str,
    *,
    device: str = "auto",
    compute_type: str = "default",
    threads: int = 2,
    beam_size: int = 5,
    padding_seconds: float | None = None,
    least_seconds: float = 0.0,
    language_certainty: float = 0.9,
    cache: str = "",
) -> SpeechRecognizer:
    """The recogniser a policy string names, with nothing loaded yet; equal arguments share one.

    Args:
        recognizer: ``whisper-base`` or ``whisperx:SIZE-OR-FOLDER``.
        device: ``auto``, ``cpu`` or ``cuda``.
        compute_type: CTranslate2's name, or ``default``.
        threads: on a CPU.
        beam_size: hypotheses kept while decoding.
        padding_seconds: silence behind the longest waveform of a batch; None: up to 30 s.
        least_seconds: what a batch is padded to at least.
        language_certainty: probability from which a detected language stands against the delivered one.
        cache: folder of joined models; empty for ``MM_CACHE``, else ``~/.cache/mm_assets``.

    Raises:
        PolicyError: the name is not one of ours.
    """
    if recognizer == NAME:
        return WhisperRecognizer(
            whisper_weights.IDENTITY,
            lambda: whisper_weights.embedded_whisper(cache_root(cache)),
            device=device,
            compute_type=compute_type,
            threads=threads,
            beam_size=beam_size,
            padding_seconds=padding_seconds,
            least_seconds=least_seconds,
            language_certainty=language_certainty,
        )
    model = recognizer.removeprefix(whisperx_engine.PREFIX)
    if recognizer.startswith(whisperx_engine.PREFIX) and model:
        return whisperx_engine.WhisperXRecognizer(
            model,
            device=device,
            compute_type=compute_type,
            threads=threads,
            beam_size=beam_size,
            language_certainty=language_certainty,
        )
    raise PolicyError(f"speech.recognizer {recognizer!r} is unknown; use {NAME!r} or 'whisperx:SIZE-OR-FOLDER'")
