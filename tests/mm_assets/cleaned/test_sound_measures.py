"""Real speech, spoilt in known ways."""

from itertools import pairwise
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.cleaned.sound_levels import estimate_snr_db, find_pauses, silent_share
from mm_assets.cleaned.sound_measures import SoundMeasures, SoundMeter, refuse_sound
from mm_assets.errors import DecodeError
from mm_assets.media.messages import AudioBlock, AudioStream
from mm_assets.policy import SoundPolicy
from resources.sound_events import OmniEvents
from resources.voice_activity import SileroVad

POLICY = SoundPolicy()
STREAM = AudioStream("flac", 16_000, 1, None)
SPEECH = Path(__file__).parents[2] / "data" / "librivox"
VOICE, EVENTS = SileroVad(threads=1), OmniEvents()


def load(name: str) -> np.ndarray:
    with av.open(SPEECH / name) as container:
        pieces = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(pieces).astype(np.float32) / 32_768


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return np.concatenate([load("austen-0870.flac"), load("austen-0920.flac")])


def measure(samples: np.ndarray, *, cuts: tuple[int, ...] = (), clipped: int = 0) -> SoundMeasures:
    meter = SoundMeter(VOICE, EVENTS, POLICY)
    edges = [0, *sorted(cuts), len(samples)]
    for first, last in pairwise(edges):
        if last > first:
            piece = samples[first:last].astype("<f4")
            start_us = round(first * 62.5)
            meter.add(AudioBlock(start_us, piece.tobytes(), clipped, len(piece), float(np.abs(piece).max())))
    return meter.finish()


def with_noise(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Noise below the mean power of the sounding parts, those within 30 dB of the loudest."""
    windows = np.square(speech[: len(speech) // 160 * 160]).reshape(-1, 160).mean(axis=1)
    power = windows[windows > 1e-3 * windows.max()].mean()
    return speech + noise * np.sqrt(power / np.square(noise).mean() / 10 ** (snr_db / 10))


def code_of(measured: SoundMeasures, stream: AudioStream = STREAM, **keywords: bool) -> str:
    try:
        refuse_sound(measured, stream, "a record", POLICY, **keywords)
    except DecodeError as error:
        return error.code if error.reason.startswith("a record: ") else f"no record named in {error.reason}"
    return "OK"


def test_real_speech_is_kept_as_speech(speech: np.ndarray) -> None:
    measured = measure(speech)
    assert measured.sound_class == "speech"
    assert measured.speech_share > 0.7
    assert measured.snr_db is not None
    assert measured.snr_db > 15
    assert measured.squeal_share == 0
    assert measured.music_share is not None
    assert measured.music_share < 0.1
    assert measured.seconds == pytest.approx(len(speech) / 16_000)
    assert code_of(measured, declares_speech=True) == "OK"


@pytest.mark.parametrize("snr_db", [0.0, 3.0, 8.0, 15.0])
@pytest.mark.parametrize("colour", ["white", "brown"])
def test_snr_is_estimated_within_two_decibels(speech: np.ndarray, snr_db: float, colour: str) -> None:
    noise = np.random.default_rng(7).standard_normal(len(speech)).astype(np.float32)
    if colour == "brown":
        noise = np.convolve(noise, np.exp(-np.arange(200) / 20), mode="same").astype(np.float32)
    measured = measure(with_noise(speech, noise, snr_db))
    assert measured.snr_db == pytest.approx(snr_db, abs=2.0)
    assert code_of(measured) == ("LOW_SNR" if snr_db < 5 else "OK")


def test_speech_buried_in_noise_betrays_its_transcription(speech: np.ndarray) -> None:
    noise = np.random.default_rng(3).standard_normal(len(speech)).astype(np.float32)
    measured = measure(with_noise(speech, noise, -20.0))
    assert code_of(measured, declares_speech=True) == "NO_SPEECH"
    assert code_of(measured) == "OK", "noise may be what the record is about"


@pytest.mark.parametrize(("hz", "level"), [(900.0, 0.3), (2_500.0, 0.15), (5_000.0, 0.15)])
def test_a_squeal_over_speech_is_found(speech: np.ndarray, media_files: ModuleType, hz: float, level: float) -> None:
    tone = media_files.tone(len(speech) / 16_000, hz, level=level)[0][: len(speech)]
    assert code_of(measure(speech * 0.3 + tone)) == "SQUEAL"


def test_a_melody_is_no_squeal(media_files: ModuleType) -> None:
    notes = [media_files.tone(0.4, hz)[0] for hz in np.random.default_rng(1).choice([659, 784, 880, 988, 1175], 20)]
    assert measure(np.concatenate(notes)).squeal_share < 0.5


def test_silence_and_near_silence_are_refused(speech: np.ndarray) -> None:
    quiet = np.random.default_rng(2).standard_normal(48_000).astype(np.float32) * 10 ** (-75 / 20)
    assert code_of(measure(np.zeros(48_000, np.float32))) == "SILENT"
    assert code_of(measure(quiet)) == "SILENT"
    assert measure(quiet).sound_class == "silence"
    assert code_of(measure(speech * 0.02)) == "OK"


def test_short_clipped_and_narrow_sounds_are_refused(speech: np.ndarray) -> None:
    assert code_of(measure(speech[:3_000])) == "TOO_SHORT"
    assert code_of(measure(speech, clipped=round(0.02 * len(speech)))) == "CLIPPED"
    assert code_of(measure(speech), AudioStream("pcm", 4_000, 1, None)) == "SAMPLE_RATE_TOO_LOW"


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(1, 100_000), max_size=6))
def test_measures_do_not_depend_on_how_the_sound_is_cut_into_blocks(cuts: list[int]) -> None:
    samples = load("austen-0920.flac")[:60_000]
    whole, cut = measure(samples), measure(samples, cuts=tuple(c for c in cuts if c < len(samples)))
    for name in ("silent_share", "squeal_share", "sound_class", "peak", "seconds", "speech_share", "music_share"):
        assert getattr(cut, name) == pytest.approx(getattr(whole, name)), name
    assert cut.snr_db == pytest.approx(whole.snr_db, abs=1e-3)
    assert np.abs(cut.pauses_us - whole.pauses_us).max(initial=0) <= 63
    np.testing.assert_allclose(cut.tracks.speech, whole.tracks.speech, atol=1e-4)


def test_pauses_lie_on_the_clock_of_their_blocks(speech: np.ndarray) -> None:
    silence = np.zeros(16_000, np.float32)
    meter = SoundMeter(VOICE, EVENTS, POLICY)
    piece = speech[:48_000]
    for start_us, samples in (
        (1_000_000, np.concatenate((piece, silence))),
        (9_000_000, np.concatenate((silence, piece))),
    ):
        meter.add(AudioBlock(start_us, samples.astype("<f4").tobytes(), 0, len(samples), 1.0))
    measured = meter.finish()
    ends = measured.pauses_us
    assert any(abs(start - 4_000_000) < 300_000 for start in ends[:, 0].tolist())
    assert any(abs(end - 10_000_000) < 300_000 for end in ends[:, 1].tolist())
    assert (ends[:, 0] < ends[:, 1]).all()
    assert measured.tracks.start_us == 1_000_000
    assert len(measured.tracks.speech) == (13_000_000 - 1_000_000) // 10_000
    assert measured.tracks.speech[450:700].max() == 0  # between the blocks nothing is heard


def test_levels_by_hand() -> None:
    powers = np.array([1e-9] * 40 + [1e-2] * 40 + [1e-4] * 40, np.float32)
    speech = np.array([0.0] * 40 + [0.9] * 40 + [0.0] * 40, np.float32)
    assert silent_share(powers, -60.0) == pytest.approx(1 / 3)
    snr = estimate_snr_db(powers, speech, speech=0.5, pause=0.15)
    assert snr == pytest.approx(10 * np.log10((1e-2 - (1e-4 + 1e-9) / 2) / ((1e-4 + 1e-9) / 2)), abs=0.01)
    assert estimate_snr_db(powers, np.zeros_like(speech), speech=0.5, pause=0.15) is None
    pauses = find_pauses(powers, speech, pause=0.15, silence_dbfs=-60.0, min_seconds=0.2)
    assert pauses.tolist() == [[0, 40 * 160], [80 * 160, 120 * 160]]
    assert len(find_pauses(powers, speech, pause=0.15, silence_dbfs=-60.0, min_seconds=0.5)) == 0
