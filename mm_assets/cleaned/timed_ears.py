"""The models that listen, with a watch: how long they were busy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from mm_assets.cleaned.interfaces import SoundEvents, SpeechStream, VoiceActivity
from mm_assets.models import ModelIdentity


class Watch:
    """Adds up the seconds in which a model was busy."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


class TimedVoice:
    """A `VoiceActivity` whose busy seconds are counted."""

    def __init__(self, voice: VoiceActivity, watch: Watch) -> None:
        self._voice = voice
        self._watch = watch

    @property
    def identity(self) -> ModelIdentity:
        """Of the model."""
        return self._voice.identity

    @property
    def device(self) -> str:
        """Of the model."""
        return self._voice.device

    @property
    def window_samples(self) -> int:
        """Of the model."""
        return self._voice.window_samples

    def begin(self) -> SpeechStream:
        """Start on a new sound."""
        return _TimedStream(self._voice.begin(), self._watch)


class _TimedStream:
    def __init__(self, stream: SpeechStream, watch: Watch) -> None:
        self._stream = stream
        self._watch = watch

    def add(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._watch.running():
            return self._stream.add(samples)

    def finish(self) -> NDArray[np.float32]:
        with self._watch.running():
            return self._stream.finish()


class TimedEvents:
    """A `SoundEvents` whose busy seconds are counted."""

    def __init__(self, events: SoundEvents, watch: Watch) -> None:
        self._events = events
        self._watch = watch

    @property
    def identity(self) -> ModelIdentity:
        """Of the model."""
        return self._events.identity

    @property
    def device(self) -> str:
        """Of the model."""
        return self._events.device

    def score(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the model."""
        with self._watch.running():
            return self._events.score(samples)
