"""The engines of whisperx, on local folders: Whisper base as joined, and a wav2vec 2.0 of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest

from mm_assets.errors import PolicyError, WeightsMissingError
from resources.image_text_encoder.model_cache import cache_root
from resources.speaker_embedder import build_embedder
from resources.speech_recognizer import build_recognizer
from resources.speech_recognizer.whisper_weights import IDENTITY, embedded_whisper
from resources.word_aligner import build_aligner

LIMITS = {"device": "cpu", "max_unknown_share": 0.5, "min_word_logprob": -2.0}


def tiny_aligner(folder: Path) -> Path:
    """A CTC model of two small layers that has learnt nothing, saved as transformers saves one."""
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    folder.mkdir()
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
    (folder / "vocab.json").write_text(json.dumps({letter: place for place, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(feature_extractor=Wav2Vec2FeatureExtractor(), tokenizer=tokenizer).save_pretrained(folder)
    config = Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(32,) * 7,
        pad_token_id=0,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # whisperx, pyannote and lightning warn on import
def test_whisperx_recognises_and_aligns_from_local_folders(tmp_path, sentence, other_sentence):
    """One test for both, since importing whisperx takes most of its time."""
    folder = embedded_whisper(cache_root(""))
    recognizer = build_recognizer(f"whisperx:{folder}", device="cpu", threads=2)
    assert recognizer.identity.sha256 == IDENTITY.sha256
    heard = recognizer.recognize([sentence, other_sentence], ["en", None])
    assert [speech.language for speech in heard] == ["en", "en"]
    assert heard[0].text.startswith("And Mr. John Dashwood had then leisure")
    assert heard[1].text.endswith("still more respectable than he was.")
    assert all(speech.avg_logprob > -0.3 for speech in heard)
    (words,) = recognizer.time_words([other_sentence], [heard[1].text], ["en"])
    assert " ".join(word.word for word in words) == heard[1].text

    aligner = build_aligner(f"whisperx:en:{tiny_aligner(tmp_path / 'tiny')}", **LIMITS)
    aligned, refused = aligner.align([other_sentence, other_sentence], [heard[1].text, "bonjour"], ["en", "fr"])
    assert aligner.method == "forced:whisperx"
    assert refused.refusal == "language"
    assert " ".join(word.word for word in aligned.words) == heard[1].text
    assert all(0 <= word.start_us <= word.end_us <= len(other_sentence) * 62.5 for word in aligned.words)


def test_models_that_are_not_there_are_named_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for build in (
        lambda: build_recognizer(f"whisperx:{tmp_path}").identity,
        lambda: build_recognizer("whisperx:no-such-size").identity,
        lambda: build_aligner(f"whisperx:en:{tmp_path}", **LIMITS).identity,
        lambda: build_embedder(f"pyannote:{tmp_path}", device="cpu").identity,
    ):
        with pytest.raises(WeightsMissingError, match="folder"):
            build()
    for build in (
        lambda: build_recognizer("kaldi"),
        lambda: build_aligner("whisperx:en", **LIMITS),
        lambda: build_embedder("somebody", device="cpu"),
    ):
        with pytest.raises(PolicyError, match="is unknown; use"):
            build()


def test_none_and_recogniser_need_no_model():
    assert build_aligner("recogniser", **LIMITS) is None
    assert build_embedder("none", device="cpu") is None


def test_a_turn_of_pyannote_is_a_unit_vector(tmp_path):
    """Its pipeline has no weights here: only what is made of its answer is tested."""
    import polars as pl

    class Turns:
        def to_dict(self, form: str) -> list[dict]:
            assert form == "records"
            return pl.DataFrame({"speaker": ["A", "B"], "start": [0.0, 1.5], "end": [1.0, 2.0]}).to_dicts()

    (tmp_path / "config.yaml").write_text("pipeline: none\n")
    diarizer = build_embedder(f"pyannote:{tmp_path}", device="cpu")
    diarizer.__dict__["_pipeline"] = lambda waveform, return_embeddings: (Turns(), {"A": [3.0, 4.0], "B": [np.nan, 0]})
    (turns,) = diarizer.embed([np.zeros(32_000, np.float32)], [[(0, 2_000_000)]])
    assert [(turn.start_us, turn.end_us) for turn in turns] == [(0, 1_000_000)]
    assert turns[0].embedding == pytest.approx([0.6, 0.8])
