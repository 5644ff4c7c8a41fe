import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.errors import ContractError, PolicyError
from mm_assets.identifiers import make_id
from mm_assets.mixtures.splits import GroupFinder, anchors_of, assign_splits
from mm_assets.policy import load_policy
from mm_assets.policy.mixtures import SplitPolicy

HALF = SplitPolicy(validation=0.25, test=0.25, min_groups=1)


def split_of(anchored: pl.DataFrame, links: list[pl.DataFrame] = (), policy: SplitPolicy = HALF):
    finder = GroupFinder(anchored["anchor"])
    for pairs in links:
        finder.link(pairs)
    return assign_splits(anchored, finder.groups(), policy)


def anchored_samples(count: int, per_anchor: int = 2, pool: str = "text_retention") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "sample_id": [make_id("mm", pool, n) for n in range(count * per_anchor)],
            "pool": pool,
            "anchor": [make_id("img", pool, n // per_anchor) for n in range(count * per_anchor)],
        }
    )


def test_a_sample_is_anchored_in_what_it_was_made_of():
    rows = {
        "sample_id": ["mm_1", "mm_2", "mm_3", "mm_4", "mm_5"],
        "pool": "dialogue",
        "image_id": ["img_1", None, None, None, None],
        "text_id": [None, None, None, "txt_4", None],
        "segment_json": [None, json.dumps({"clip_id": "vid_2", "words": []}), None, None, None],
        "document_json": [None, None, json.dumps({"document_id": "doc_3"}), None, None],
    }
    anchors = anchors_of(pl.LazyFrame(rows)).collect()
    assert anchors["anchor"].to_list() == ["img_1", "vid_2", "doc_3", "txt_4", "mm_5"]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 8)), max_size=20),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 8)), max_size=20),
)
def test_whatever_is_linked_stays_together_and_nothing_else_is_joined(first, second):
    ids = [make_id("img", n) for n in range(12)]
    finder = GroupFinder(pl.Series(ids))
    parent = list(range(12))

    def find(n: int) -> int:
        return n if parent[n] == n else find(parent[n])

    for pairs in (first, second):
        frame = pl.DataFrame(
            {"anchor": [ids[a] for a, _ in pairs] + ["img_unknown"], "key": [*[k for _, k in pairs], 0]},
            schema={"anchor": pl.String, "key": pl.Int64},
        )
        finder.link(frame)
        for key in range(9):
            members = [a for a, k in pairs if k == key]
            for member in members[1:]:
                parent[find(member)] = find(members[0])
    groups = dict(finder.groups().iter_rows())
    for a in range(12):
        for b in range(12):
            assert (groups[ids[a]] == groups[ids[b]]) == (find(a) == find(b))


def test_samples_of_one_anchor_and_of_linked_ones_share_a_split():
    anchored = anchored_samples(400)
    ids = anchored["anchor"].unique(maintain_order=True)
    links = [pl.DataFrame({"anchor": ids, "key": [n // 5 for n in range(400)]})]
    splits = split_of(anchored, links)
    told = anchored.join(splits.samples, on="sample_id").join(links[0], on="anchor")
    assert told.group_by("key").agg(pl.col("split").n_unique())["split"].max() == 1
    assert splits.largest_group == 10
    assert sum(splits.groups.values()) == 80
    assert splits.groups["test"] == pytest.approx(20, abs=12)
    assert splits.groups["validation"] == pytest.approx(20, abs=12)


def test_shares_are_those_of_the_policy_and_do_not_grow_with_the_group():
    for per_anchor in (1, 7):
        anchored = anchored_samples(4_000, per_anchor)
        splits = split_of(anchored, policy=SplitPolicy(validation=0.1, test=0.2))
        assert splits.groups["validation"] / 4_000 == pytest.approx(0.1, abs=0.015)
        assert splits.groups["test"] / 4_000 == pytest.approx(0.2, abs=0.02)


def test_other_data_moves_no_sample_and_the_order_of_rows_does_not_count():
    few, many = anchored_samples(100), anchored_samples(300)
    before = dict(split_of(few).samples.iter_rows())
    after = dict(split_of(many.sample(fraction=1.0, shuffle=True, seed=3)).samples.iter_rows())
    assert {sample: after[sample] for sample in before} == before
    assert set(before.values()) == {"train", "validation", "test"}
    other = dict(split_of(few, policy=HALF.model_copy(update={"seed": 5})).samples.iter_rows())
    assert other != before


def test_a_pool_of_few_groups_is_trained_on_whole_with_whatever_hangs_on_it():
    small, large = anchored_samples(10, pool="dialogue"), anchored_samples(200)
    ids = large["anchor"].unique(maintain_order=True)
    link = pl.DataFrame({"anchor": [small["anchor"][0], *ids[:50]], "key": 1})
    splits = split_of(pl.concat([small, large]), [link], SplitPolicy(validation=0.3, test=0.3, min_groups=25))
    told = dict(splits.samples.iter_rows())
    assert {told[sample] for sample in small["sample_id"]} == {"train"}
    assert {told[sample] for sample in large.filter(pl.col("anchor").is_in(ids[:50].implode()))["sample_id"]} == {
        "train"
    }
    assert splits.kept_whole == {"dialogue": 10}
    assert splits.groups["test"] > 20


def test_a_policy_has_to_leave_something_to_train_on(tmp_path):
    (tmp_path / "policy.toml").write_text("[mixtures.splits]\nvalidation = 0.5\ntest = 0.5\n")
    with pytest.raises(PolicyError, match="leave nothing to train on"):
        load_policy(tmp_path / "policy.toml")
    with pytest.raises(ContractError, match="has no group"):
        assign_splits(anchored_samples(3), GroupFinder(pl.Series([make_id("img", 1)])).groups(), HALF)
