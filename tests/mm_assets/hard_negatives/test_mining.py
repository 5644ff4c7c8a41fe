from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.errors import EmbeddingShapeError
from mm_assets.hard_negatives.in_batch import InBatch, hardest_in_batch
from mm_assets.hard_negatives.negatives import Positive
from mm_assets.hard_negatives.neighbours import nearest, nearest_among, nearest_by_index, nearest_of_many, recall_of
from mm_assets.policy import HardNegativePolicy
from resources.device_neighbours import nearest_on_device, search_on


def _unit(rows: int, width: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 9), st.integers(1, 70), st.integers(0, 9))
def test_half_the_products_give_all_neighbours(rows: int, width: int, k: int, side: int, seed: int) -> None:
    # Small whole numbers: products are exact, and there are many ties.
    vectors = np.random.default_rng(seed).integers(-2, 3, size=(rows, width)).astype(np.float32)
    values, found = nearest_among(vectors, k, block_rows=side)
    products = vectors @ vectors.T
    for row in range(rows):
        others = sorted((-products[row, other], other) for other in range(rows) if other != row)[:k]
        assert list(zip((-values[row]).tolist(), found[row].tolist(), strict=True)) == others


def test_the_index_finds_most_of_the_neighbours() -> None:
    vectors = _unit(3_000, 32, 1)
    vectors = np.repeat(vectors[:300], 10, axis=0) + 0.3 * vectors
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    _, exact = nearest_among(vectors, 8)
    values, found = nearest_by_index(vectors, 8, probes=16)
    assert recall_of(found, exact) > 0.95
    assert not (found == np.arange(len(vectors))[:, None]).any()
    assert (np.diff(values, axis=1) <= 0).all()


def test_two_sets_are_searched_exactly() -> None:
    queries, corpus = _unit(50, 16, 2), _unit(90, 16, 3)
    values, rows = nearest(queries, corpus, 5, block_rows=7)
    expected = np.argsort(-(queries @ corpus.T), axis=1)[:, :5]
    assert (rows == expected).all()
    assert np.allclose(values, np.take_along_axis(queries @ corpus.T, expected, axis=1), atol=1e-5)


def test_an_index_takes_over_from_a_size_on() -> None:
    queries, corpus = _unit(200, 16, 2), _unit(900, 16, 3)
    _, exact = nearest_of_many(queries, corpus, 5, index_rows=901, probes=1)
    assert (exact == nearest(queries, corpus, 5)[1]).all()
    _, few = nearest_of_many(queries, corpus, 5, index_rows=900, probes=1)
    _, all_lists = nearest_of_many(queries, corpus, 5, index_rows=900, probes=10_000)
    assert recall_of(few, exact) < 0.95 < recall_of(all_lists, exact) == 1.0


@pytest.mark.parametrize("k", [1, 7, 400])
def test_another_device_gives_the_same_neighbours(k: int) -> None:
    queries, corpus = _unit(200, 24, 6), _unit(300, 24, 7)
    values, rows = nearest(queries, corpus, k, block_rows=64)
    other_values, other_rows = nearest_on_device(queries, corpus, k, device="cpu", block_rows=77)
    assert (rows == other_rows).all()
    assert np.allclose(values, other_values, atol=1e-6)


def test_nothing_is_searched_for_nobody() -> None:
    values, rows = nearest_on_device(_unit(0, 24, 6), _unit(5, 24, 7), 3, device="cpu")
    assert values.shape == rows.shape == (0, 3)
    assert nearest_on_device(_unit(4, 24, 6), _unit(0, 24, 7), 3, device="cpu")[1].shape == (4, 0)


def test_a_device_mines_the_same_exchanges() -> None:
    pairs = [Positive(f"c{i}", f"i{i // 2}", f"text {i % 20}") for i in range(30)]
    sides, policy = (_unit(30, 8, 4), _unit(30, 8, 5)), HardNegativePolicy(neighbours=8)
    on_device = partial(nearest_on_device, device="cpu", block_rows=7)
    assert list(InBatch(*sides, "test", policy, on_device).make(pairs)) == list(
        InBatch(*sides, "test", policy).make(pairs)
    )


def test_vectors_are_searched_where_they_were_made() -> None:
    assert search_on("cpu") is None
    assert search_on("cuda") is not None


def test_widths_must_agree() -> None:
    with pytest.raises(EmbeddingShapeError, match="one width"):
        nearest(_unit(2, 3, 0), _unit(2, 4, 0), 1)


def test_mined_captions_change_hands_in_pairs() -> None:
    count = 30
    pairs = [Positive(f"c{i}", f"i{i // 2}", f"text {i % 20}") for i in range(count)]
    policy = HardNegativePolicy(neighbours=8)
    made = list(InBatch(_unit(count, 8, 4), _unit(count, 8, 5), "test", policy).make(pairs))
    assert made
    by_id = {pair.positive_id: pair for pair in pairs}
    true_side = sorted(negative.positive_text for negative in made)
    assert true_side == sorted(negative.text for negative in made)
    for negative in made:
        donor = by_id[negative.donor_id or ""]
        assert donor.text == negative.text != negative.positive_text
        assert donor.image_id != negative.image_id
    counts = np.unique([negative.positive_id for negative in made], return_counts=True)[1]
    assert counts.max() <= policy.max_per_positive


def test_a_training_batch_gets_the_hardest_that_are_not_true() -> None:
    images = np.eye(4, dtype=np.float32)
    texts = np.array([[1, 0.6, 0, 0], [0.9, 1, 0, 0], [0.5, 0, 1, 0], [0, 0, 0.7, 1]], np.float32)
    true = np.zeros((4, 4), bool)
    true[2, 3] = True
    found = hardest_in_batch(images, texts, count=3, max_similarity=0.75, true=true)
    assert found[0].tolist() == [2, 3, -1]  # its own is out, and so is the one at 0.9
    assert 3 not in found[2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_training_loop_hands_its_tensors_over(dtype: torch.dtype) -> None:
    images, texts = _unit(12, 8, 6), _unit(12, 8, 7)
    tensors = [torch.from_numpy(own).to(dtype).requires_grad_() for own in (images, texts)]
    rounded = [tensor.detach().float().numpy() for tensor in tensors]
    true = torch.zeros(12, 12, dtype=torch.bool)
    true[0, 1] = True
    found = hardest_in_batch(tensors[0], tensors[1], count=3, max_similarity=0.9, true=true)
    expected = hardest_in_batch(rounded[0], rounded[1], count=3, max_similarity=0.9, true=true.numpy())
    np.testing.assert_array_equal(found, expected)
    assert 1 not in found[0]


@pytest.mark.parametrize(
    ("images", "texts", "options", "told"),
    [
        (np.eye(3), np.eye(3)[:2], {}, r"pictures \(3, 3\) against texts \(2, 3\)"),
        (np.ones(3), np.ones(3), {}, r"give \(B, D\)"),
        (np.eye(3), np.eye(3), {"count": 0}, "at least one text"),
        (np.eye(3), np.full((3, 3), np.nan), {}, "NaN"),
        (np.eye(3), np.eye(3), {"true": np.zeros((2, 2), bool)}, r"true is \(2, 2\)"),
    ],
)
def test_a_misshapen_training_batch_is_refused(
    images: np.ndarray, texts: np.ndarray, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(EmbeddingShapeError, match=told):
        hardest_in_batch(images, texts, **{"count": 1, "max_similarity": 0.75} | options)
