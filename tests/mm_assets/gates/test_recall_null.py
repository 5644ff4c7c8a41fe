from itertools import permutations

import numpy as np
import pytest

from mm_assets.gates.recall_input import select_pairs
from mm_assets.gates.recall_null import bootstrap_interval, measure_influence, permute_pairs
from mm_assets.gates.recall_pools import measure_retrieval, tabulate_pools


def retrieve(batch, pool_size=32):
    return measure_retrieval(batch, select_pairs(batch, max_pairs=4_096, seed=0), pool_size)


def recall_without(retrieval, left_out):
    """R@1 without one pair, counted anew from the similarities."""
    kept = np.delete(np.arange(len(retrieval.keys)), left_out)
    similarity = retrieval.image_to_text.similarity[np.ix_(kept, kept)]
    keys = retrieval.keys[kept]
    same = keys[:, None] == keys[None, :]
    scores = []
    for view in (similarity, similarity.T):
        better = ((view >= np.diagonal(view)[:, None]) & ~same).sum(axis=1)
        wrong = (~same).sum(axis=1)
        tables = [
            tabulate_pools(int(w), min(retrieval.pool_size, int(w) + 1)).r1[b]
            for w, b in zip(wrong, better, strict=True)
        ]
        scores.append(np.mean(tables))
    return np.mean(scores)


@pytest.mark.parametrize("repeats", [1, 3])
def test_influence_is_that_of_leaving_a_pair_out(make_batch, repeats):
    texts = [f"w{chr(97 + row // repeats)}" for row in range(24)]
    retrieval = retrieve(make_batch(24, noise=1.5, texts=texts), pool_size=8)
    without = np.array([recall_without(retrieval, row) for row in range(24)])
    np.testing.assert_allclose(measure_influence(retrieval), -23.0 * (without - without.mean()), atol=1e-9)


def test_influence_covers_the_spread_between_batches(make_batch):
    measured, deviations = [], []
    for seed in range(120):
        retrieval = retrieve(make_batch(60, noise=2.0, seed=seed))
        measured.append(retrieval.recall_at_1)
        deviations.append(np.sqrt(np.mean(measure_influence(retrieval) ** 2) / 59))
    assert np.mean(deviations) == pytest.approx(np.std(measured), rel=0.2)


def test_interval_covers_the_true_value(make_batch):
    truth = retrieve(make_batch(1_500, noise=1.8, seed=99)).recall_at_1
    covered = 0
    for seed in range(120):
        retrieval = retrieve(make_batch(70, noise=1.8, seed=seed))
        low, high = bootstrap_interval(
            retrieval.recall_at_1, measure_influence(retrieval), samples=500, confidence=0.95, seed=seed
        )
        covered += low <= truth <= high
    assert covered >= 105  # 95 % of 120 is 114; 105 lies four standard deviations below


def test_null_of_four_pairs_by_exhaustion():
    hits = np.array(
        [[0.9, 0.1, 0.0, 0.2], [0.3, 0.8, 0.1, 0.0], [0.0, 0.2, 0.7, 0.4], [0.1, 0.0, 0.5, 0.6]], dtype=np.float32
    )
    values = np.array([hits[np.arange(4), list(order)].mean() for order in permutations(range(4))])
    null = permute_pairs(hits, 0.75, permutations=20_000, level=0.01, seed=0)
    assert null.mean == pytest.approx(values.mean(), abs=1e-6)
    assert null.p_value == pytest.approx((values >= 0.75 - 1e-6).mean(), abs=0.01)
    assert null.high == pytest.approx(0.75)


def test_p_value_is_rarely_small_under_random_pairing(make_batch):
    generator = np.random.default_rng(5)
    p_values = []
    for seed in range(150):
        retrieval = retrieve(make_batch(40, seed=seed, order=generator.permutation(40)))
        null = permute_pairs(retrieval.hits, retrieval.recall_at_1, permutations=400, level=0.01, seed=seed)
        p_values.append(null.p_value)
    assert np.mean(np.array(p_values) <= 0.1) <= 0.18
    assert 0.4 <= np.mean(p_values) <= 0.6


def test_equal_seeds_give_equal_answers(make_batch):
    retrieval = retrieve(make_batch(50))
    first, second = (
        permute_pairs(retrieval.hits, retrieval.recall_at_1, permutations=300, level=0.01, seed=3) for _ in range(2)
    )
    assert first == second
    influence = measure_influence(retrieval)
    intervals = {bootstrap_interval(0.5, influence, samples=200, confidence=0.9, seed=3) for _ in range(2)}
    assert len(intervals) == 1


def test_null_does_not_depend_on_the_block_size(make_batch, monkeypatch):
    retrieval = retrieve(make_batch(50))
    whole = permute_pairs(retrieval.hits, 0.1, permutations=500, level=0.01, seed=3)
    monkeypatch.setattr("mm_assets.gates.recall_null._VALUES_PER_BLOCK", 70 * 50)
    assert permute_pairs(retrieval.hits, 0.1, permutations=500, level=0.01, seed=3) == whole
