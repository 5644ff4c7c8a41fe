import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.gates.block_order import find_blocks
from mm_assets.gates.displacement import (
    CONTROL_CAPTIONS,
    MATCH_EXPONENT,
    best_run,
    close_gaps,
    find_runs,
    is_displaced,
    measure_gain,
    measure_match,
    tabulate_offsets,
)

NEAR = 5


def offsets_of(gain: np.ndarray, positions: np.ndarray | None = None):
    places = np.arange(len(gain)) if positions is None else positions
    return tabulate_offsets(gain, places, places, NEAR)


def planted(count: int, *runs: tuple[int, int, int], hit: float = 1.0, miss: float = -0.6) -> np.ndarray:
    """Gains where rows start..stop belong to the caption ``offset`` rows on."""
    gain = np.full((count, count), miss)
    for start, stop, offset in runs:
        rows = np.arange(start, stop)
        gain[rows, rows + offset] = hit
    return gain


def test_mean_likelihood_ratio_is_one_under_chance():
    similarity = np.random.default_rng(0).normal(size=(200, 200)).astype(np.float32)
    ratios = np.exp(measure_match(similarity))
    assert 0.9 < ratios.mean() <= 1.001  # the tail is cut, so it may only be less


def test_match_follows_the_standardised_similarity():
    similarity = np.random.default_rng(1).normal(size=(30, 30)).astype(np.float32)
    similarity[4, 7] = 9.0
    match = measure_match(similarity)
    assert match[4, 7] == match.max()
    limit = math.log(MATCH_EXPONENT) + (MATCH_EXPONENT - 1.0) * math.log(1.0 / (10 * 30))
    assert match.max() <= limit + 1e-9
    # A caption that resembles every picture, and a picture that resembles every caption, gain nothing by it.
    similarity[:, 3] += 5.0
    similarity[9] += 5.0
    np.testing.assert_allclose(measure_match(similarity)[4, 7], match[4, 7], atol=0.2)


def test_constant_similarities_are_no_evidence():
    assert np.ptp(measure_match(np.ones((12, 12), dtype=np.float32))) == 0.0


def test_gain_by_hand():
    match = np.full((20, 20), -1.0)
    match[2, 2], match[2, 9] = 0.5, 2.0
    match[5, 12] = 2.0
    alone = measure_gain(match, against_neighbours=False)
    assert alone[2, 9] == pytest.approx(2.0 - 0.5)
    assert alone[5, 12] == pytest.approx(2.0)
    assert alone[7, 3] == pytest.approx(-1.0)
    width = 2 * CONTROL_CAPTIONS + 1
    around = math.log((math.exp(2.0) + (width - 1) * math.exp(-1.0)) / width)
    both = measure_gain(match, against_neighbours=True)
    assert both[5, 12] == pytest.approx(2.0 - around)
    assert both[2, 9] == pytest.approx(2.0 - max(around, 0.5))
    assert np.all(both <= alone + 1e-12)


def test_one_run_by_hand():
    offsets = offsets_of(planted(60, (20, 50, 2)))
    found = find_runs(offsets, delivered=0)
    (run,) = found.runs
    assert (run.start, run.stop, run.offset, run.rows) == (20, 50, 2, 30)
    # 30 of gain less log(3 rows / odds), odds = 1 / 119 + 1 / 10.
    assert found.score == pytest.approx(30.0 - math.log(3 * 60 / (1 / 119 + 1 / 10)), abs=1e-3)
    assert found.partners[20:50].tolist() == list(range(22, 52))
    assert found.partners[:20].tolist() == list(range(20))
    assert best_run(offsets, 2).gain == pytest.approx(30.0)


def test_weak_runs_are_not_worth_their_price():
    found = find_runs(offsets_of(planted(60, (20, 25, 2))), delivered=0)
    assert found.runs == ()
    assert found.score == 0.0
    np.testing.assert_array_equal(found.partners, np.arange(60))


@given(
    start=st.integers(10, 40),
    length=st.integers(40, 60),
    offset=st.integers(-9, 9).filter(bool),
    later=st.integers(-9, 9),
)
@settings(max_examples=40, deadline=None)
def test_planted_runs_are_recovered(start, length, offset, later):
    runs = [(start, start + length, offset)]
    if later not in {0, offset}:
        runs.append((start + length, start + length + 45, later))
    found = find_runs(offsets_of(planted(170, *runs)), delivered=0)
    assert [(run.start, run.stop, run.offset) for run in found.runs] == runs
    assert is_displaced(found, 170).sum() == sum(stop - first for first, stop, _ in runs)


def test_rejected_rows_leave_gaps_and_no_evidence():
    positions = np.setdiff1d(np.arange(80), [10, 11, 33, 50, 51, 52])
    whole = planted(80, (0, 77, 3))
    offsets = offsets_of(whole[np.ix_(positions, positions)], positions)
    found = find_runs(offsets, delivered=0)
    (run,) = found.runs
    assert run.offset == 3
    present = np.isin(positions + 3, positions) & (positions + 3 < 80)
    assert run.rows == present[run.start : run.stop].sum()
    for row in range(run.start, run.stop):
        partner = found.partners[row]
        assert (partner == -1) == (not present[row])
        if present[row]:
            assert positions[partner] == positions[row] + 3


def test_reversed_captions_are_offset_zero_of_the_mirrored_positions():
    gain = planted(40)
    gain[np.arange(40), 39 - np.arange(40)] = 1.0
    positions = np.arange(40)
    found = find_runs(tabulate_offsets(gain, positions, 39 - positions, NEAR), delivered=None)
    (run,) = found.runs
    assert (run.start, run.stop, run.offset) == (0, 40, 0)
    assert found.partners.tolist() == list(range(39, -1, -1))


def test_gaps_beside_a_run_close_unless_rows_are_in_place():
    match = np.full((80, 80), -0.5)
    rows = np.arange(80)
    match[rows[:-2], rows[2:]] = 1.5
    match[rows[:4], rows[:4]] = 1.0  # the first rows happen to suit their own captions too
    offsets = offsets_of(measure_gain(match, against_neighbours=False))
    found = find_runs(offsets, delivered=0)
    closed = close_gaps(found, offsets, match)
    assert [(run.start, run.stop) for run in closed.runs] == [(0, 80)]
    match[rows[:30], rows[:30]] = 1.5
    match[rows[:30], rows[2:32]] = -0.5
    offsets = offsets_of(measure_gain(match, against_neighbours=False))
    closed = close_gaps(find_runs(offsets, delivered=0), offsets, match)
    assert [(run.start, run.stop) for run in closed.runs] == [(30, 80)]


@pytest.mark.parametrize("size", [8, 25, 96])
def test_blocks_of_one_size_are_found(size):
    count = 4 * size + size // 2
    blocks = [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
    order = np.concatenate([blocks[block] for block in (2, 0, 3, 1, 4)])
    belongs = np.argsort(order)  # the caption of image p was delivered at belongs[p]
    gain = np.full((count, count), -0.6)
    gain[np.arange(count), belongs] = 1.2
    found_size, found = find_blocks(offsets_of(gain), np.arange(count))
    assert found_size == size
    np.testing.assert_array_equal(found.partners, belongs)
    assert found.score > 0.0


def test_blocks_need_rows_enough():
    size, found = find_blocks(offsets_of(planted(6)), np.arange(6))
    assert found.runs == ()
    assert found.score < 0.0
    assert size >= 1
