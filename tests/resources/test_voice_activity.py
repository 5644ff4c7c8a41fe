import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.errors import WeightsHashError, WeightsMissingError
from mm_assets.models import ModelIdentity
from resources import voice_activity
from resources.voice_activity import IDENTITY, WINDOW_SAMPLES, SileroVad, VoiceActivityResource

SPEECH = Path(__file__).parents[1] / "data" / "librivox"
MODEL = SileroVad(threads=1)


def load(name: str) -> np.ndarray:
    with av.open(SPEECH / name) as container:
        pieces = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(pieces).astype(np.float32) / 32_768


def score(samples: np.ndarray, cuts: list[int]) -> np.ndarray:
    stream = MODEL.begin()
    edges = [0, *sorted(cuts), len(samples)]
    pieces = [stream.add(samples[a:b]) for a, b in pairwise(edges)]
    return np.concatenate((*pieces, stream.finish()))


def test_speech_is_told_from_noise_and_tones() -> None:
    speech = load("austen-0870.flac")
    assert (score(speech, []) >= 0.5).mean() > 0.7
    rng = np.random.default_rng(1)
    assert score(0.1 * rng.standard_normal(32_000).astype(np.float32), []).max() < 0.5
    assert score(0.2 * np.sin(np.arange(32_000) * 0.2).astype(np.float32), []).max() < 0.5


def test_scores_are_those_of_the_published_streaming_model() -> None:
    samples = load("austen-0920.flac")[: 60 * WINDOW_SAMPLES]
    path = voice_activity._weights().with_name("silero_vad.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32)
    reference = []
    for window in samples.reshape(-1, 1, WINDOW_SAMPLES):
        inputs = {"input": np.concatenate((context, window), axis=1), "state": state, "sr": np.array(16_000)}
        probability, state = session.run(None, inputs)
        reference.append(probability.item())
        context = window[:, -64:]
    np.testing.assert_allclose(score(samples, [10_001, 20_000]), reference, atol=1e-3)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 20_000), max_size=5))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    samples = load("austen-0920.flac")[:20_000]
    scores = score(samples, cuts)
    assert len(scores) == -(-len(samples) // WINDOW_SAMPLES)
    np.testing.assert_allclose(scores, score(samples, []), atol=1e-5)


def test_missing_and_altered_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_activity, "IDENTITY", ModelIdentity("silero", "0", "0" * 64))
    with pytest.raises(WeightsHashError, match="SHA-256"):
        SileroVad(threads=1).begin()
    monkeypatch.setattr(voice_activity.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WeightsMissingError, match="silero-vad is not installed"):
        SileroVad(threads=1).begin()


def test_the_weights_load_without_the_package_that_would_load_torch() -> None:
    assert VoiceActivityResource().identity == IDENTITY
    assert VoiceActivityResource().handle.begin().finish().shape == (0,)
    assert "silero_vad" not in sys.modules
