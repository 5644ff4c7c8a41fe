from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.gates.recall_input import RecallInput, select_pairs
from mm_assets.gates.recall_pools import measure_retrieval, tabulate_pools


def batch_of(similarity: np.ndarray, texts: list[str] | None = None) -> RecallInput:
    """Embeddings whose products are a positive multiple of the given similarities, up to a constant per caption."""
    rows, columns = similarity.shape
    captions = np.zeros((columns, columns + 1))
    captions[:, :columns] = np.eye(columns)
    images = np.zeros((rows, columns + 1))
    images[:, :columns] = similarity / (2.0 * np.abs(similarity).max() * np.sqrt(columns))
    images[:, columns] = np.sqrt(1.0 - (images**2).sum(axis=1))
    ids = tuple(str(row) for row in range(rows))
    return RecallInput(
        images=images.astype(np.float32),
        positions=np.arange(rows),
        captions=captions.astype(np.float32),
        caption_images=np.arange(rows),
        caption_index=np.zeros(rows, dtype=np.int64),
        texts=tuple(texts or [f"caption {row}" for row in range(rows)]),
        image_ids=ids,
        caption_ids=ids,
    )


def measure(batch: RecallInput, pool_size: int = 32):
    return measure_retrieval(batch, select_pairs(batch, max_pairs=4_096, seed=0), pool_size)


def test_table_worked_by_hand():
    # 4 wrong candidates, 2 of them drawn. One better one is missed with chance C(3,2)/C(4,2) = 1/2.
    table = tabulate_pools(4, 3)
    np.testing.assert_allclose(table.r1, [1.0, 1 / 2, 1 / 6, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(table.r5, 1.0, atol=1e-12)
    # b = 2: none 1/6, one 4/6, two 1/6 -> 1/6 + 4/12 + 1/18 = 5/9.
    np.testing.assert_allclose(table.mrr, [1.0, 3 / 4, 5 / 9, 1 / 2 * 1 / 2 + 1 / 2 * 1 / 3, 1 / 3], atol=1e-12)


def test_pool_of_everything_is_plain_recall():
    table = tabulate_pools(9, 10)
    np.testing.assert_allclose(table.r1, [1] + [0] * 9, atol=1e-12)
    np.testing.assert_allclose(table.r5, [1] * 5 + [0] * 5, atol=1e-12)
    np.testing.assert_allclose(table.mrr, 1.0 / np.arange(1, 11), atol=1e-12)


def test_pool_of_one_is_always_right():
    for values in (tabulate_pools(0, 1), tabulate_pools(5, 1)):
        np.testing.assert_allclose([values.r1, values.r5, values.mrr], 1.0)


@given(wrong=st.integers(0, 400), data=st.data())
@settings(max_examples=60, deadline=None)
def test_table_is_ordered(wrong, data):
    table = tabulate_pools(wrong, data.draw(st.integers(1, wrong + 1)))
    assert np.all(table.r5 >= table.r1 - 1e-9)
    assert np.all(table.mrr >= table.r1 - 1e-9)
    for scores in (table.r1, table.r5, table.mrr):
        assert np.all((scores >= 0.0) & (scores <= 1.0))
        assert np.all(np.diff(scores) <= 1e-9)


def test_table_agrees_with_drawn_pools():
    generator = np.random.default_rng(0)
    wrong, pool, better, draws = 50, 8, 7, 40_000
    met = (generator.random((draws, wrong)).argsort(axis=1)[:, : pool - 1] < better).sum(axis=1)
    table = tabulate_pools(wrong, pool)
    assert (met == 0).mean() == pytest.approx(table.r1[better], abs=0.01)
    assert (met < 5).mean() == pytest.approx(table.r5[better], abs=0.01)
    assert (1 / (1 + met)).mean() == pytest.approx(table.mrr[better], abs=0.01)


def test_three_pairs_by_hand():
    # Image 0 finds its caption, image 1 has one better, image 2 has two better. Captions: 0 first, 1 second, 2 third.
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.1], [0.7, 0.6, 0.05]])
    found = measure(batch_of(similarity), pool_size=3)
    assert found.pool_size == 3
    assert found.image_to_text.better.tolist() == [0, 1, 2]
    assert found.text_to_image.better.tolist() == [0, 1, 2]
    assert found.recall_at_1 == pytest.approx(1 / 3)
    assert found.image_to_text.mrr.mean() == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    pairwise = measure(batch_of(similarity), pool_size=2)
    assert pairwise.image_to_text.r1.tolist() == pytest.approx([1.0, 0.5, 0.0])


def test_identical_captions_are_hits():
    similarity = np.array([[0.5, 0.9, 0.1, 0.2], [0.9, 0.5, 0.1, 0.2], [0.1, 0.1, 0.9, 0.2], [0.1, 0.1, 0.2, 0.9]])
    apart = measure(batch_of(similarity), pool_size=4)
    same = measure(batch_of(similarity, ["A duck.", " a  DUCK.", "A cat.", "A dog."]), pool_size=4)
    assert apart.recall_at_1 == pytest.approx(0.5)
    assert same.recall_at_1 == pytest.approx(1.0)
    assert same.pool_size == 3
    assert same.image_to_text.wrong.tolist() == [2, 2, 3, 3]


def test_one_sentence_for_all_leaves_nothing_to_find(make_batch):
    found = measure(make_batch(20, texts=["the same"] * 20))
    assert found.pool_size == 1
    assert found.hits.min() == 1.0


def test_ties_count_against():
    batch = batch_of(np.eye(6))
    constant = replace(
        batch, images=np.repeat(batch.images[:1], 6, axis=0), captions=np.repeat(batch.captions[:1], 6, axis=0)
    )
    assert measure(constant).recall_at_1 == 0.0


def test_perfect_embeddings_score_one():
    found = measure(batch_of(np.eye(40)))
    assert found.recall_at_1 == 1.0
    assert found.image_to_text.mrr.min() == 1.0


def test_hits_hold_the_delivered_pairs(make_batch):
    found = measure(make_batch(80, noise=2.0))
    np.testing.assert_allclose(np.diagonal(found.hits), found.r1, atol=1e-6)


def deal(batch: RecallInput, order: np.ndarray) -> RecallInput:
    """The same embeddings, captions dealt to other images."""
    return replace(batch, captions=batch.captions[order], texts=tuple(batch.texts[row] for row in order))


def test_hits_are_what_a_re_pairing_measures(make_batch):
    batch, order = make_batch(60), np.random.default_rng(1).permutation(60)
    expected = measure(batch).hits[np.arange(60), order].mean()
    assert measure(deal(batch, order)).recall_at_1 == pytest.approx(expected, abs=1e-6)


def test_hits_average_re_pairings_of_repeated_captions(make_batch):
    batch = make_batch(40, texts=[f"word {chr(97 + row % 13)}" for row in range(40)])
    batch = replace(batch, captions=batch.captions[np.arange(40) % 13])
    generator = np.random.default_rng(2)
    orders = [generator.permutation(40) for _ in range(400)]
    measured = np.mean([measure(deal(batch, order)).recall_at_1 for order in orders])
    assert measured == pytest.approx(measure(batch).hits.mean(), abs=0.003)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 60), pool=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_order_of_rows_does_not_matter(make_batch, seed, count, pool):
    batch = make_batch(count, seed=seed, noise=1.5)
    order = np.random.default_rng(seed).permutation(count)
    moved = replace(
        batch, images=batch.images[order], captions=batch.captions[order], texts=tuple(batch.texts[i] for i in order)
    )
    first, second = measure(batch, pool), measure(moved, pool)
    for name in ("r1", "r5", "mrr"):
        for direction in ("image_to_text", "text_to_image"):
            before = getattr(getattr(first, direction), name)
            after = getattr(getattr(second, direction), name)
            np.testing.assert_allclose(before[order], after, atol=1e-9)
    assert first.recall_at_1 <= first.image_to_text.r5.mean() / 2 + first.text_to_image.r5.mean() / 2 + 1e-12
