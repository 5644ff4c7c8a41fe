"""Soft association against every assignment written out."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mm_assets.aligned.segments.soft_association import associate_softly
from mm_assets.errors import ContractError, InputError, MemoryQuotaError
from mm_assets.policy import WarpingPolicy


def is_allowed(path, states, background):
    """State 2 s + 1 shows sentence s, 2 s none before it; every sentence is shown, in order."""
    steps = all(b == a or b == a + 1 or (a % 2 and b == a + 2) for a, b in itertools.pairwise(path))
    return steps and path[0] < 2 and path[-1] > states - 3 and (background is not None or all(u % 2 for u in path))


def write_out(similarity, bounds, temperature, background):
    """Weigh every assignment by itself."""
    frames, sentences = similarity.shape
    states = 2 * sentences + 1
    paths = [p for p in itertools.product(range(states), repeat=frames) if is_allowed(p, states, background)]
    sums = [sum(similarity[t, u // 2] if u % 2 else background for t, u in enumerate(p)) / temperature for p in paths]
    weights = np.exp(np.array(sums) - max(sums))
    shares = weights / weights.sum()
    posterior, spans = np.zeros((frames, states)), np.zeros((4, sentences))
    for path, share in zip(paths, shares, strict=True):
        posterior[np.arange(frames), path] += share
        for s in range(sentences):
            shown = [t for t, u in enumerate(path) if u == 2 * s + 1]
            start, end = bounds[shown[0]], bounds[shown[-1] + 1]
            spans[:, s] += share * np.array([start, end, start**2, end**2])
    return posterior, spans, np.log(weights.sum()) + max(sums)


@given(
    st.integers(1, 3).flatmap(
        lambda s: st.integers(s, 5).flatmap(
            lambda t: hnp.arrays(np.float64, (t, s), elements=st.floats(-1, 1, allow_subnormal=False))
        )
    ),
    st.sampled_from([None, 0.1]),
    st.sampled_from([0.05, 0.5]),
)
@settings(max_examples=60, deadline=None)
def test_adds_up_every_assignment(similarity, background, temperature):
    bounds = np.cumsum([7.0, *range(1, len(similarity) + 1)])
    policy = WarpingPolicy(association_temperature=temperature, association_background=background)
    found = associate_softly(similarity, bounds, policy)
    posterior, spans, log_weight = write_out(similarity, bounds, temperature, background)
    np.testing.assert_allclose(found.posterior, posterior[:, 1::2], atol=1e-6)
    np.testing.assert_allclose(found.background, posterior[:, 0::2].sum(axis=1), atol=1e-6)
    np.testing.assert_allclose([found.starts_us, found.ends_us], spans[:2], rtol=1e-9)
    variances = spans[2:] - spans[:2] ** 2
    np.testing.assert_allclose(found.start_deviations_us**2, variances[0], atol=1e-6)
    np.testing.assert_allclose(found.end_deviations_us**2, variances[1], atol=1e-6)
    assert found.log_weight == pytest.approx(log_weight)


@given(
    st.integers(1, 12).flatmap(
        lambda s: st.integers(s, 80).flatmap(
            lambda t: hnp.arrays(np.float32, (t, s), elements=st.floats(-1, 1, width=32))
        )
    ),
    st.sampled_from([None, 0.0]),
    st.sampled_from([1e-3, 0.05, 10.0]),
)
@settings(max_examples=60, deadline=None)
def test_is_a_distribution_that_keeps_the_order(similarity, background, temperature):
    frames, sentences = similarity.shape
    policy = WarpingPolicy(association_temperature=temperature, association_background=background)
    found = associate_softly(similarity, np.arange(frames + 1) * 40_000, policy)
    np.testing.assert_allclose(found.posterior.sum(axis=1) + found.background, 1.0, atol=1e-5)
    assert (np.diff(found.starts_us) > 0).all()
    assert (found.ends_us[:-1] <= found.starts_us[1:] + 1e-3).all()
    # every sentence is shown by at least a frame
    assert (found.ends_us - found.starts_us >= 40_000 - 1e-3).all()
    if background is None:
        order = found.posterior @ np.arange(sentences)
        assert (np.diff(order) >= -1e-4).all()


def test_cold_takes_the_best_assignment_and_hot_spreads():
    # four frames of the first sentence, two of nothing, three of the second
    similarity = np.array([[0.9, 0.1]] * 4 + [[0.1, 0.1]] * 2 + [[0.2, 0.8]] * 3)
    bounds = np.arange(10) * 100_000
    cold = associate_softly(similarity, bounds, WarpingPolicy(association_temperature=0.01, association_background=0.5))
    assert cold.starts_us.round().tolist() == [0, 600_000]
    assert cold.ends_us.round().tolist() == [400_000, 900_000]
    assert cold.background[4:6].min() > 0.999
    assert cold.start_deviations_us.max() < 1_000
    hot = associate_softly(similarity, bounds, WarpingPolicy(association_temperature=5.0, association_background=0.5))
    assert hot.start_deviations_us.max() > 50_000


def test_recomputed_rows_change_nothing():
    rng = np.random.default_rng(0)
    similarity = rng.standard_normal((1_000, 9)) * 0.2
    similarity[np.arange(1_000), np.repeat(np.arange(9), 112)[:1_000]] += 0.6
    found = associate_softly(similarity, np.arange(1_001) * 40_000, WarpingPolicy())
    assert np.abs(found.starts_us - np.arange(9) * 112 * 40_000).max() < 200_000
    assert (found.posterior.argmax(axis=1) == np.repeat(np.arange(9), 112)[:1_000]).mean() > 0.98


def test_names_what_cannot_be_associated():
    bounds = np.arange(4)
    with pytest.raises(InputError, match="FEWER_FRAMES: 3 frames cannot show 4 sentences"):
        associate_softly(np.zeros((3, 4)), bounds, WarpingPolicy())
    with pytest.raises(InputError, match="NOT_FINITE: similarity: frame 1"):
        associate_softly([[0.0], [np.nan], [0.0]], bounds, WarpingPolicy())
    with pytest.raises(ContractError, match="4 increasing times"):
        associate_softly(np.zeros((3, 1)), [0, 1, 1, 2], WarpingPolicy())
    with pytest.raises(ContractError, match="similarity"):
        associate_softly(np.zeros(3), bounds, WarpingPolicy())
    with pytest.raises(InputError):
        associate_softly(np.zeros((0, 0)), [0], WarpingPolicy())
    with pytest.raises(MemoryQuotaError, match="3 frames and 1 sentences"):
        associate_softly(np.zeros((3, 1)), bounds, WarpingPolicy(memory_bytes=10))
