"""The embedded speech models on real speech, and on what is none."""

import shutil

import numpy as np
import pytest

from mm_assets.aligned.segments.speech.hearing import HearingFigures, SpeechModels, hear_windows
from mm_assets.aligned.segments.speech.windows import Window
from mm_assets.errors import WeightsHashError
from mm_assets.policy import SpeechPolicy
from resources.image_text_encoder.model_cache import cache_root
from resources.speaker_embedder import build_embedder
from resources.speech_recognizer import build_recognizer, whisper_weights
from resources.word_aligner import build_aligner

SPEECH = SpeechPolicy()
TEXT = "Had he married a more amiable woman, he might have been made still more respectable than he was."


@pytest.fixture(scope="module")
def recognizer():
    return build_recognizer("whisper-base", device="cpu", threads=2, padding_seconds=3.0, least_seconds=12.0)


@pytest.fixture(scope="module")
def aligner():
    return build_aligner("pocketsphinx", device="cpu", max_unknown_share=0.5, min_word_logprob=-2.0)


@pytest.fixture(scope="module")
def embedder():
    return build_embedder("resemblyzer", device="cpu")


def test_speech_becomes_text_and_a_declared_language_is_a_hint(recognizer, sentence, other_sentence):
    first, second = recognizer.recognize([sentence, other_sentence], ["fr", None])
    assert first.text.startswith("And Mr. John Dashwood had then leisure")
    assert second.text == TEXT
    assert (first.language, second.language) == ("en", "en")  # it is certain
    assert first.language_probability > 0.9
    assert min(first.avg_logprob, second.avg_logprob) > -0.3
    assert max(first.no_speech_probability, second.no_speech_probability) < 0.2
    assert recognizer.device == "cpu"


def test_the_recogniser_times_each_word(recognizer, other_sentence):
    (words,) = recognizer.time_words([other_sentence], [TEXT], ["en"])
    assert " ".join(word.word for word in words) == TEXT
    edges = [edge for word in words for edge in (word.start_us, word.end_us)]
    assert edges == sorted(edges)
    assert words[2].word == "married"
    assert words[2].end_us == pytest.approx(980_000, abs=200_000)
    assert recognizer.time_words([other_sentence], [" "], ["en"]) == [()]


@pytest.mark.parametrize("language", [None, "en"])
def test_what_is_no_speech_has_no_text(recognizer, media_files, language):
    """As if voice activity had let it through."""
    rng = np.random.default_rng(5)
    chord = sum(media_files.tone(4.0, hz, level=0.1)[0] for hz in (220.0, 277.2, 329.6, 440.0))
    sounds = [
        media_files.noise(4.0)[0],
        np.zeros(64_000, np.float32),
        chord,
        np.cumsum(rng.standard_normal(64_000)) / 900,
        media_files.voice(4.0)[0],
    ]
    waveforms = [np.asarray(sound, np.float32) for sound in sounds]
    figures, window = HearingFigures(), Window(0, 4_000_000, 0, 4_000_000, 0.5)
    heard = hear_windows([window] * 5, waveforms, [language] * 5, SpeechModels(recognizer, None, None), SPEECH, figures)
    assert [result.utterances for result in heard] == [()] * 5
    assert sum(figures.doubts.values()) == 5


def test_joined_weights_that_were_changed_are_refused(tmp_path):
    folder = whisper_weights.embedded_whisper(cache_root(""))
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    with (copy / "model.bin").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\0" * 8)
    with pytest.raises(WeightsHashError, match="delete"):
        whisper_weights.embedded_whisper(tmp_path)


def test_words_are_laid_along_speech(aligner, other_sentence):
    (aligned,) = aligner.align([other_sentence], [TEXT], ["en"])
    assert aligned.refusal is None
    assert " ".join(word.word for word in aligned.words) == TEXT
    edges = [edge for word in aligned.words for edge in (word.start_us, word.end_us)]
    assert edges == sorted(edges)
    loud = np.flatnonzero(np.abs(other_sentence) > 0.02) * 62.5
    assert aligned.words[0].start_us == pytest.approx(loud[0], abs=60_000)
    assert aligned.words[-1].end_us == pytest.approx(loud[-1], abs=80_000)
    assert all(0.0 < word.confidence <= 1.0 for word in aligned.words)


def test_an_unknown_word_moves_none_of_the_others(aligner, other_sentence):
    strange = (
        TEXT.replace("amiable", "4096").replace("respectable", "respecktabbel").replace("than he", "than \u2014 he")
    )
    right, odd = aligner.align([other_sentence] * 2, [TEXT, strange], ["en", "en"])
    by_word = {word.word: word for word in odd.words}
    assert by_word["4096"].confidence == 0.0
    assert by_word["woman,"].start_us == pytest.approx(right.words[6].start_us, abs=30_000)
    assert by_word["was."].end_us == right.words[-1].end_us
    assert by_word["4096"].start_us == pytest.approx(right.words[5].start_us, abs=80_000)  # amiable
    assert by_word["4096"].end_us == pytest.approx(right.words[5].end_us, abs=30_000)
    assert by_word["respecktabbel"].start_us == pytest.approx(right.words[14].start_us, abs=50_000)
    assert by_word["respecktabbel"].end_us == pytest.approx(right.words[14].end_us, abs=50_000)
    assert [word.word for word in odd.words] == strange.split()


@pytest.mark.parametrize(
    ("text", "language", "refusal"),
    [
        ("Your call cannot be completed as dialed, please check the number and dial again.", "en", "mismatch"),
        ("Zxqvy plomf grrk had", "en", "unknown_words"),
        ("\u2014 ...", "en", "unknown_words"),
        ("Had he married", "fr", "language"),
    ],
)
def test_another_text_is_refused(aligner, other_sentence, text, language, refusal):
    (aligned,) = aligner.align([other_sentence], [text], [language])
    assert (aligned.words, aligned.refusal) == ((), refusal)


def test_one_voice_is_near_itself_and_another_is_not(embedder, sentence, other_sentence):
    at = np.arange(0, len(other_sentence) - 1, 0.72)
    lower = np.interp(at, np.arange(len(other_sentence)), other_sentence).astype(np.float32)  # another throat
    turns = embedder.embed(
        [sentence, other_sentence, lower], [[(0, 3_500_000), (3_500_000, 7_000_000)], *[[(0, 6_000_000)]] * 2]
    )
    assert [len(of) for of in turns] == [2, 1, 1]
    vectors = np.stack([turn.embedding for of in turns for turn in of])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    similar = vectors @ vectors.T
    assert similar[:3, :3].min() > 0.8
    assert similar[3, :3].max() < 0.74
    assert embedder.embed([sentence], [[]]) == [[]]


def test_a_short_or_faint_sound_has_a_voice_too(embedder, sentence):
    ((short, faint),) = embedder.embed([sentence * 1e-3], [[(1_000_000, 1_200_000), (1_000_000, 3_000_000)]])
    assert np.isfinite(short.embedding).all()
    ((loud,),) = embedder.embed([sentence], [[(1_000_000, 3_000_000)]])
    assert faint.embedding @ loud.embedding > 0.99
