import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.errors import ReleaseError
from mm_assets.mixtures.ablation.capabilities import RETRIEVAL
from mm_assets.mixtures.ablation.corpus import build_corpus, choose_held_out

SAMPLES = st.lists(st.tuples(st.sampled_from(["math", "code", "caption"]), st.integers(0, 12)), min_size=1, max_size=80)


@given(SAMPLES, st.floats(0.05, 0.6), st.integers(0, 99))
def test_groups_are_never_parted_and_every_capability_keeps_some_to_train_on(samples, share, seed):
    kinds, groups = [kind for kind, _ in samples], [group for _, group in samples]
    out = choose_held_out(kinds, groups, share, seed)
    for group in set(groups):
        assert len({bool(out[i]) for i, one in enumerate(groups) if one == group}) == 1
    for kind in set(kinds):
        if len({group for one, group in samples if one == kind}) == 1:
            continue
        mine = [bool(out[i]) for i, one in enumerate(kinds) if one == kind]
        assert any(mine)
    order = np.random.default_rng(seed).permutation(len(samples))
    again = choose_held_out([kinds[i] for i in order], [groups[i] for i in order], share, seed)
    assert again.tolist() == out[order].tolist()


def test_a_corpus_parts_what_it_trains_on_from_what_it_measures(corpus, sample_rows):
    assert corpus.pools == ("text_retention", "coarse_image_text", "dialogue")
    assert corpus.capabilities == ("math", "code", "prose", "dialogue", "caption", RETRIEVAL)
    trained = np.concatenate(list(corpus.train.values()))
    measured = np.unique(np.concatenate([corpus.held_out[name] for name in corpus.capabilities]))
    assert sorted([*trained, *measured]) == list(range(sample_rows.height))
    assert not set(corpus.groups[trained]) & set(corpus.groups[measured])
    assert len(corpus.held_out["caption"]) == pytest.approx(0.2 * 48, abs=1)
    assert np.allclose(np.linalg.norm(corpus.pictures, axis=1), 1.0)
    assert sum(len(corpus.sample(i)) for i in range(sample_rows.height)) == len(corpus.tokens)


def test_without_embeddings_retrieval_is_not_measured(sample_rows, small_policy):
    found = build_corpus([sample_rows.with_columns(group=pl.int_range(pl.len()))], {}, small_policy)
    assert RETRIEVAL not in found.capabilities
    assert "caption" in found.capabilities


def test_one_pool_alone_is_refused(sample_rows, small_policy):
    alone = sample_rows.filter(pl.col("pool") == "dialogue").with_columns(group=pl.int_range(pl.len()))
    with pytest.raises(ReleaseError, match=r"only \['dialogue'\] have samples"):
        build_corpus([alone], {}, small_policy)
