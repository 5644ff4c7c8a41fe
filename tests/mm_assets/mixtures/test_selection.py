import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.errors import ContractError, PolicyError, ReleaseError
from mm_assets.identifiers import make_id
from mm_assets.mixtures.pools import refuse_below_floor, text_retention_share
from mm_assets.mixtures.selection import draw_release, release_keys
from mm_assets.policy import MixturePolicy, load_policy
from mm_assets.schemas import TABLES

POLICY = MixturePolicy(min_text_retention=0.2)


def make_samples(batch: str, pools: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "sample_id": [make_id("mm", batch, n) for n in range(len(pools))],
            "batch": batch,
            "kind": ["image_text" if pool == "coarse_image_text" else "text" for pool in pools],
            "pool": pools,
            "content": "not needed",
        },
        schema_overrides={"sample_id": pl.String},
    )


MIXED = ["text_retention"] + ["coarse_image_text"] * 3


def test_a_draw_holds_every_sample_once_in_an_order_of_its_own():
    frames = [make_samples("b1", MIXED), make_samples("b2", MIXED)]
    draw = draw_release(frames, POLICY, "r1", {"b3": "recall"})
    assert draw.mixtures.schema == TABLES["mixtures"].schema
    assert draw.mixtures["position"].to_list() == list(range(8))
    assert set(draw.mixtures["sample_id"]) == set(pl.concat(frames)["sample_id"])
    assert draw.mixtures["weight"].unique().to_list() == [1.0]
    assert draw.pools == {"coarse_image_text": 6, "text_retention": 2}
    assert (draw.batches, draw.excluded) == (["b1", "b2"], {"b3": "recall"})
    again = draw_release(pl.concat(frames[::-1]).lazy(), POLICY, "r1", {"b3": "recall"})
    assert again.mixtures.equals(draw.mixtures)
    other = draw_release(frames, POLICY.model_copy(update={"seed": 1}), "r1", {})
    assert other.mixtures["sample_id"].to_list() != draw.mixtures["sample_id"].to_list()


@given(st.lists(st.booleans(), min_size=2, max_size=40), st.integers(0, 2**64))
def test_leaving_samples_out_keeps_the_order_of_the_others(kept, seed):
    ids = pl.Series([make_id("mm", n) for n in range(len(kept))])
    order = ids.to_frame("id").with_columns(key=release_keys(ids, seed)).sort("key")["id"]
    part = ids.filter(pl.Series(kept))
    expected = [sample_id for sample_id in order if sample_id in set(part)]
    assert part.to_frame("id").with_columns(key=release_keys(part, seed)).sort("key")["id"].to_list() == expected


def test_keys_are_spread_evenly():
    keys = release_keys(pl.Series([make_id("mm", n) for n in range(4_000)]), 7)
    assert keys.n_unique() == 4_000
    shares = (keys // 2**62).value_counts()["count"] / 4_000
    assert shares.len() == 4
    assert abs(shares - 0.25).max() < 0.03


def test_too_little_text_is_refused_with_floor_and_share():
    samples = make_samples("b1", ["text_retention"] + ["coarse_image_text"] * 9)
    with pytest.raises(ReleaseError, match=r"10\.0%.*below the floor of 20\.0%.*1 of 10"):
        draw_release([samples], POLICY, "r1", {})
    with pytest.raises(ReleaseError, match=r"0\.0%"):
        draw_release([make_samples("b1", ["dialogue"])], POLICY, "r1", {})


def test_the_floor_cannot_be_off(tmp_path):
    (tmp_path / "policy.toml").write_text("[mixtures]\nmin_text_retention = 0\n")
    with pytest.raises(PolicyError, match="min_text_retention"):
        load_policy(tmp_path / "policy.toml")
    with pytest.raises(ReleaseError, match="turns the floor off"):
        refuse_below_floor("r1", {"text_retention": 1}, MixturePolicy.model_construct(min_text_retention=0.0))


def test_nothing_to_draw_is_an_error():
    for nothing in ([], [make_samples("b1", [])], make_samples("b1", []).lazy()):
        with pytest.raises(ReleaseError, match="release a hold"):
            draw_release(nothing, POLICY, "r1", {"b1": "recall"})


def test_held_batches_and_repeated_samples_are_our_fault():
    samples = make_samples("b1", MIXED)
    with pytest.raises(ContractError, match="excluded batches"):
        draw_release([samples], POLICY, "r1", {"b1": "recall"})
    with pytest.raises(ContractError, match="more than once"):
        draw_release([samples, samples.head(1)], POLICY, "r1", {})
    with pytest.raises(ContractError, match="holds no hash"):
        draw_release([samples.with_columns(sample_id=pl.lit("mm_x"))[:1]], POLICY, "r1", {})


@pytest.mark.parametrize("release", ["../r1", "", "R 1", "a" * 64])
def test_a_release_id_has_to_name_a_folder(release):
    with pytest.raises(ReleaseError, match="release id"):
        draw_release([make_samples("b1", MIXED)], POLICY, release, {})


def test_the_share_of_nothing_is_nothing():
    assert text_retention_share({}) == 0.0
