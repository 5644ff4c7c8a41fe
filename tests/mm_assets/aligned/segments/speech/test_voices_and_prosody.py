import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mm_assets.aligned.segments.interfaces import RecognizedSpeech, SpeakerTurn
from mm_assets.aligned.segments.speech.hallucinations import doubt_text
from mm_assets.aligned.segments.speech.prosody import measure_prosody, track_pitch
from mm_assets.aligned.segments.speech.voices import tell_voices_apart
from mm_assets.aligned.segments.speech.windows import Window
from mm_assets.policy import SpeechPolicy

POLICY = SpeechPolicy()


def buzz(hz: float, seconds: float = 1.0, level: float = 0.2) -> np.ndarray:
    at = np.arange(round(seconds * 16_000)) / 16_000
    parts = [np.sin(2 * np.pi * hz * k * at) / k for k in range(1, 11) if hz * k < 7_000]
    return (level * sum(parts)).astype(np.float32)


@example(hz=426.5, level=0.2, noise=0.0)
@given(hz=st.floats(75.0, 450.0), level=st.floats(0.001, 0.4), noise=st.floats(0.0, 0.1))
def test_the_pitch_of_a_buzz_is_found_in_noise(hz, level, noise):
    sound = buzz(hz, 0.5, level)
    sound += (noise * level * np.random.default_rng(1).standard_normal(len(sound))).astype(np.float32)
    prosody = measure_prosody(sound, POLICY)
    assert prosody.pitch_hz == pytest.approx(hz, rel=0.01)
    assert prosody.pitch_range_semitones < 0.5


def test_pitch_follows_a_glide_and_its_range():
    at = np.arange(32_000) / 16_000
    phase = 2 * np.pi * np.cumsum(100 * 2 ** (at / 2)) / 16_000
    sound = (0.2 * sum(np.sin(k * phase) / k for k in range(1, 8))).astype(np.float32)
    prosody = measure_prosody(sound, POLICY)
    assert prosody.pitch_hz == pytest.approx(141.4, rel=0.03)
    assert prosody.pitch_range_semitones == pytest.approx(0.8 * 12, abs=0.6)


@pytest.mark.parametrize("sound", [np.zeros(16_000), np.random.default_rng(3).standard_normal(16_000) / 10, np.ones(9)])
def test_nothing_voiced_has_no_pitch(sound):
    assert measure_prosody(sound.astype(np.float32), POLICY).pitch_hz is None


def test_energy_is_the_mean_power():
    assert measure_prosody(np.full(16_000, 0.1, np.float32), POLICY).energy_db == pytest.approx(-20.0, abs=0.01)


def test_a_voice_has_a_pitch_most_of_the_time(sentence):
    pitches = track_pitch(sentence, POLICY)
    voiced = pitches[np.isfinite(pitches)]
    assert 0.3 < len(voiced) / len(pitches) < 0.9
    assert 80 < np.median(voiced) < 300
    assert np.mean(np.abs(np.log2(voiced / np.median(voiced))) > 0.8) < 0.05  # octave errors


def turns(
    centres: list[np.ndarray], owners: list[int], seconds: list[float], spread: float = 0.02
) -> list[SpeakerTurn]:
    rng = np.random.default_rng(0)
    made = []
    for place, (owner, length) in enumerate(zip(owners, seconds, strict=True)):
        vector = centres[owner] + spread * rng.standard_normal(len(centres[0]))
        start = place * 10_000_000
        made.append(SpeakerTurn(start, start + round(length * 1e6), (vector / np.linalg.norm(vector)).astype("f4")))
    return made


CENTRES = [np.eye(64)[0], 0.6 * np.eye(64)[0] + 0.8 * np.eye(64)[1]]


def test_voices_are_numbered_in_order_and_short_turns_join_the_nearest():
    owners = [1, 0, 1, 0, 0]
    assert tell_voices_apart(turns(CENTRES, owners, [3.0, 3.0, 0.5, 0.3, 4.0]), POLICY) == [0, 1, 0, 1, 1]
    assert tell_voices_apart([], POLICY) == []
    assert tell_voices_apart(turns(CENTRES, [0, 1], [0.4, 0.3]), POLICY) == [0, 0]


@given(owners=st.lists(st.integers(0, 1), min_size=1, max_size=20))
def test_the_number_of_voices_does_not_hang_on_the_order(owners):
    labels = tell_voices_apart(turns(CENTRES, owners, [3.0] * len(owners)), POLICY)
    assert len(set(labels)) == len(set(owners))
    assert len({(label, owner) for label, owner in zip(labels, owners, strict=True)}) == len(set(owners))


def test_thousands_of_turns_are_clustered_in_parts():
    owners = [place % 2 for place in range(2_300)]
    labels = tell_voices_apart(turns(CENTRES, owners, [3.0] * len(owners)), POLICY)
    assert labels == owners


def heard(text: str, avg_logprob: float, no_speech: float | None = 0.1) -> RecognizedSpeech:
    return RecognizedSpeech(text, "en", 0.9, avg_logprob, no_speech)


WINDOW, EMPTY = Window(0, 4_000_000, 300_000, 3_700_000, 0.8), Window(0, 4_000_000, 300_000, 3_700_000, 0.1)


@pytest.mark.parametrize(
    ("speech", "window", "doubt"),
    [
        (heard("Press one now.", -0.12), WINDOW, None),
        (heard("Press one now.", -0.12, 0.9), WINDOW, None),
        (heard("Your.", -0.9, 0.2), WINDOW, None),
        (heard("1 cm x 2 cm x 2 cm x 2 cm x 2 cm x 2 cm x 2 cm x 2 cm x 2 cm", -0.2, 0.4), WINDOW, "repeated"),
        (heard("Faint words.", -0.7), WINDOW, None),
        (heard("Faint words.", -0.7), EMPTY, "no_voice"),
        (heard("Y'n yw'n", -0.74, 0.65), WINDOW, "no_voice"),
        (heard("Thank you.", -1.4, None), WINDOW, "improbable"),
        (heard("...", -0.1), WINDOW, "empty"),
        (heard(" ".join(map(str, range(40))), -0.1), WINDOW, "too_fast"),
    ],
)
def test_texts_are_doubted_for_a_reason(speech, window, doubt):
    assert doubt_text(speech, window, POLICY) == doubt
