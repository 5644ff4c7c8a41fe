import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from mm_assets.features.log_mel import FLOOR_DB, LogMel, mel_filters
from mm_assets.features.piece_sounds import PieceSounds, summarise
from mm_assets.policy import AudioFeaturePolicy

POLICY = AudioFeaturePolicy()
PART_US = POLICY.token_us // POLICY.parts_per_token


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16_000))).astype(np.float32)


def collect(bounds, blocks, policy=POLICY):
    sounds = PieceSounds(np.array(bounds, np.int64), policy)
    found = [piece for start, samples in blocks for piece in sounds.add(start, samples)]
    return [*found, *sounds.finish()]


def test_filters_share_out_the_power_and_stand_on_slaneys_scale():
    filters = mel_filters(40)
    shares = filters.sum(axis=1) / filters.sum(axis=1).max()
    peaks = filters.argmax(axis=0) * 16_000 / 512
    assert shares[5:230] == pytest.approx(np.ones(225), abs=1e-5)
    # 42 edges from 0 to 45.245 mel, 66.67 Hz a mel up to 1 kHz and 27 to a factor of 6.4 above
    assert peaks[[0, 10, 39]] == pytest.approx([73.6, 809.3, 7_397.0], abs=16.0)


def test_frames_are_scipys_spectrogram_through_them():
    sound = noise(1.0)
    mel = LogMel(40)
    frames = np.concatenate((mel.add(sound), mel.finish()))
    window = signal.get_window("hann", 400)
    transform = signal.ShortTimeFFT(window, 160, 16_000, mfft=512, scale_to=None)
    power = np.abs(transform.stft(sound, p0=0, p1=100).T) ** 2
    assert len(frames) == 100
    expected = 1 - 10 * np.log10(np.maximum(power @ mel_filters(40), 1e-8)) / FLOOR_DB
    np.testing.assert_allclose(frames, expected, atol=1e-3)


def test_a_full_scale_tone_has_its_mean_square_and_silence_none():
    at = np.arange(16_000) / 16_000
    frames = LogMel(40).add(np.sin(2 * np.pi * 1_000 * at).astype(np.float32))[20:60]
    energy = (10 ** ((frames - 1) * -FLOOR_DB / 10)).sum(axis=1)
    assert energy == pytest.approx(np.full(40, 0.5), rel=0.01)
    assert LogMel(40).add(np.zeros(16_000, np.float32)).max() == 0.0


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 15_999), max_size=6, unique=True))
def test_blocks_of_any_size_give_the_same_frames(cuts):
    sound = noise(1.0, 3)
    whole = LogMel(8)
    expected = np.concatenate((whole.add(sound), whole.finish()))
    parts = LogMel(8)
    found = [parts.add(block) for block in np.split(sound, sorted(cuts))]
    np.testing.assert_allclose(np.concatenate((*found, parts.finish())), expected, atol=1e-5)


def test_tokens_lie_on_the_clock_of_their_piece():
    sound = np.zeros(32_000, np.float32)
    sound[16_000 : 16_000 + 80] = 0.8  # a click at 3.000 s of a clip that starts at 2 s
    first, second = collect([[2_000_000, 2_990_000], [2_990_000, 4_000_000]], [(2_000_000, sound)])
    assert (first.piece, second.piece) == (0, 1)
    assert len(first.tokens) == 13  # 990 ms: 12 whole tokens and one of 30 ms
    assert len(second.tokens) == 13
    levels = second.tokens.reshape(-1, POLICY.mel_bands).mean(axis=1)
    assert int(levels.argmax()) == 10_000 // PART_US
    assert first.heard_share == second.heard_share == 1.0
    assert levels[2:].max() == 0.0


def test_gaps_and_late_sound_leave_silent_tokens():
    blocks = [(500_000, noise(0.5)), (1_500_000, noise(0.5))]
    (piece, last) = collect([[0, 2_000_000], [2_000_000, 2_500_000]], blocks)
    heard = piece.tokens.reshape(-1, POLICY.mel_bands).mean(axis=1) > 0.05
    parts = np.arange(len(heard)) * PART_US
    expected = ((parts >= 500_000) & (parts < 1_000_000)) | (parts >= 1_500_000)
    assert (heard == expected).mean() > 0.97
    assert piece.heard_share == pytest.approx(0.5, abs=0.02)
    assert last.heard_share == 0.0


def test_a_piece_holds_what_its_own_sound_holds_wherever_the_clip_is_cut():
    sound = noise(2.0, 5)
    whole = collect([[0, 2_000_000]], [(0, sound)])[0].tokens
    halves = collect([[0, 960_000], [960_000, 2_000_000]], [(0, sound[:7_000]), (437_500, sound[7_000:])])
    np.testing.assert_allclose(np.concatenate([half.tokens for half in halves]), whole, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 700_000), min_size=1, max_size=5),
    start=st.integers(0, 10**9),
    late=st.integers(-200_000, 400_000),
)
def test_every_piece_comes_out_once_in_order_and_covered_by_its_tokens(lengths, start, late):
    ends = start + np.cumsum(lengths)
    bounds = np.stack((np.concatenate(([start], ends[:-1])), ends), axis=1)
    found = collect(bounds, [(start + late, noise(0.4)), (start + late + 400_000, noise(0.3))])
    assert [piece.piece for piece in found] == list(range(len(lengths)))
    for piece, length in zip(found, lengths, strict=True):
        assert (len(piece.tokens) - 1) * POLICY.token_us < length <= len(piece.tokens) * POLICY.token_us
        assert np.isfinite(piece.tokens).all()


def test_the_summary_is_of_unit_length_even_of_silence():
    for tokens in (np.zeros((3, 160), np.float32), collect([[0, 400_000]], [(0, noise(0.4))])[0].tokens):
        assert np.linalg.norm(summarise(tokens)) == pytest.approx(1.0, abs=1e-6)
