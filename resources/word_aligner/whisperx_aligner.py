"""Forced alignment by whisperx, with a wav2vec 2.0 model from a folder of this machine."""

import functools
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from mm_assets.aligned.segments.interfaces import WHISPERX_METHOD, AlignedWords, TimedWord, Waveform
from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, sha256_of
from resources.speech_recognizer.whisper import SAMPLE_RATE, resolve_device
from resources.speech_recognizer.whisperx_import import import_whisperx

PREFIX: Final = "whisperx:"
_WEIGHT_FILES: Final = ("model.safetensors", "pytorch_model.bin")


class WhisperXAligner:
    """Times the words of texts in the language a wav2vec 2.0 model was trained on.

    Args:
        folder: a CTC model with its processor, as transformers saves it.
        language: the code of its language.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    def __init__(self, folder: Path, language: str, *, device: str) -> None:
        self._folder = folder
        self._language = language
        self._device = device

    @property
    def identity(self) -> ModelIdentity:
        """The folder's name, whisperx's version and the hash of the weights. Raises `WeightsMissingError`."""
        path = next((self._folder / name for name in _WEIGHT_FILES if (self._folder / name).is_file()), None)
        if path is None:
            raise WeightsMissingError(
                f"folder {self._folder} holds none of {', '.join(_WEIGHT_FILES)}; correct speech.aligner in the policy"
            )
        stat = path.stat()
        digest = _sha256(path, stat.st_mtime_ns, stat.st_size)
        return ModelIdentity(f"{PREFIX}{self._folder.name}", importlib.metadata.version("whisperx"), digest)

    @property
    def device(self) -> str:
        """``cuda`` where there is one, unless configured."""
        return resolve_device(self._device)

    @property
    def method(self) -> str:
        """What stands beside every word it has timed."""
        return WHISPERX_METHOD

    def align(
        self, waveforms: Sequence[Waveform], texts: Sequence[str], languages: Sequence[str]
    ) -> list[AlignedWords]:
        """Time the words of each text in its waveform, or say why not."""
        return [
            self._align(waveform, text) if language == self._language else AlignedWords((), "language")
            for waveform, text, language in zip(waveforms, texts, languages, strict=True)
        ]

    def _align(self, waveform: Waveform, text: str) -> AlignedWords:
        whisperx, model, metadata = self._model
        seconds = len(waveform) / SAMPLE_RATE
        segment = {"start": 0.0, "end": seconds, "text": text}
        try:
            aligned = whisperx.align(
                [segment], model, metadata, np.ascontiguousarray(waveform), self.device, return_char_alignments=False
            )
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self.identity}: {error}; check whisperx and the device") from error
        found = aligned["word_segments"]
        if [word["word"] for word in found] != text.split():
            return AlignedWords((), "mismatch")
        timed = [word for word in found if "start" in word and "end" in word]
        if not timed:
            return AlignedWords((), "unknown_words")
        words: list[TimedWord] = []
        last = timed[0]["start"]
        for word in found:  # one of signs the model does not know has no times
            start, end = word.get("start", last), word.get("end", last)
            last = end
            start_us, end_us = (min(round(at * 1e6), round(seconds * 1e6)) for at in (start, end))
            words.append(TimedWord(word["word"], start_us, end_us, float(word.get("score", 0.0))))
        return AlignedWords(tuple(words))

    @functools.cached_property
    def _model(self) -> tuple[Any, Any, Any]:
        """The module, the model and what belongs to it."""
        identity = self.identity
        whisperx = import_whisperx()
        from whisperx import alignment  # noqa: PLC0415 - its own imports take half a minute

        # It fetches NLTK's sentence splitter from the web, only to group words that we ask for one by one.
        alignment.nltk_load = lambda _: _OneSentence()
        try:
            model, metadata = whisperx.load_align_model(
                self._language, self.device, model_name=str(self._folder), model_cache_only=True
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise WeightsMissingError(f"{identity} does not load: {error}; correct speech.aligner") from error
        return whisperx, model, metadata


class _OneSentence:
    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


@functools.lru_cache(maxsize=4)
def _sha256(path: Path, mtime_ns: int, size_bytes: int) -> str:  # noqa: ARG001 - they make a changed file another key
    return sha256_of(path)
