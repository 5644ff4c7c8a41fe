import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.mixtures.ablation.drawing import IGNORED, draw, held_out_windows, pack_rows, training_rows

PIECES = st.lists(st.integers(2, 16), min_size=1, max_size=60)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=4).filter(any), st.integers(1, 400), st.integers(0, 9))
def test_pools_are_drawn_in_proportion_and_in_passes(parts, count, seed):
    weights = np.array(parts) / sum(parts)
    train = {f"p{place}": np.arange(3 + place) + 100 * place for place in range(len(parts))}
    drawn = list(itertools.islice(draw(train, weights.tolist(), seed), count))
    for place, samples in enumerate(train.values()):
        mine = [sample for pool, sample in drawn if pool == place]
        assert abs(len(mine) - weights[place] * count) <= 1.0 + 1e-9 or len(parts) > 2
        assert abs(len(mine) - weights[place] * count) < len(parts)
        times = [mine.count(sample) for sample in samples]
        assert max(times) - min(times) <= 1


@given(PIECES)
def test_rows_hold_every_piece_whole_and_targets_stay_within_it(lengths):
    pieces = [np.arange(size, dtype=np.int32) + 100 * number for number, size in enumerate(lengths)]
    rows = pack_rows(pieces, 16)
    assert rows.trained == sum(lengths) - len(lengths)
    for number, piece in enumerate(pieces):
        at = np.argwhere(rows.samples == number)
        assert len(set(at[:, 0])) == 1
        assert rows.tokens[rows.samples == number].tolist() == piece.tolist()
        assert rows.places[rows.samples == number].tolist() == list(range(len(piece)))
        assert rows.targets[rows.samples == number].tolist() == [*piece[1:].tolist(), IGNORED]
    assert (rows.targets[rows.samples == -1] == IGNORED).all()


def test_a_budget_of_tokens_is_drawn_and_the_same_seed_draws_the_same(corpus):
    def collect(seed):
        chunks = list(training_rows(corpus, (0.5, 0.3, 0.2), seed, tokens=5_000, length=64, at_once=40))
        draws = [entry for _, drawn in chunks for entry in drawn]
        return sum(rows.trained for rows, _ in chunks), draws, np.concatenate([rows.tokens for rows, _ in chunks])

    trained, draws, tokens = collect(1)
    assert 5_000 <= trained < 5_000 + 64
    shares = [sum(pool == place for pool, _ in draws) / len(draws) for place in range(3)]
    assert np.allclose(shares, (0.5, 0.3, 0.2), atol=0.02)
    assert {sample for _, sample in draws} <= set(np.concatenate(list(corpus.train.values())).tolist())
    assert np.array_equal(collect(1)[2], tokens)
    assert not np.array_equal(collect(2)[2], tokens)


def test_held_out_windows_keep_to_their_budget_and_reach_every_sample_first(corpus):
    found = held_out_windows(corpus, "code", tokens=300, length=32)
    assert all(2 <= len(window) <= 32 for _, window in found)
    assert 300 <= sum(len(window) for _, window in found) < 300 + 32
    first = [sample for sample, _ in found][: len(corpus.held_out["code"])]
    assert first == corpus.held_out["code"].tolist()[: len(first)]
