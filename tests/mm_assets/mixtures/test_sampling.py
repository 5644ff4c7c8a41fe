from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mm_assets.errors import ContractError, PolicyError, ReleaseError
from mm_assets.identifiers import make_id
from mm_assets.mixtures.apportionment import apportion
from mm_assets.mixtures.balance import spread_draws
from mm_assets.mixtures.curriculum import STAGES
from mm_assets.mixtures.recipes import AS_DELIVERED, Recipe, choose_recipe
from mm_assets.mixtures.sampling import plan_draws
from mm_assets.mixtures.selection import draw_release
from mm_assets.policy import MixturePolicy, load_policy
from mm_assets.policy.mixtures import BalancePolicy
from mm_assets.schemas import TABLES

POOLS = ("text_retention", "coarse_image_text", "fine_grained_interleaved", "dialogue")
KINDS = dict(zip(POOLS, ("text", "image_text", "object", "dialogue"), strict=True))
COUNTS = dict(zip(POOLS, (60, 200, 90, 30), strict=True))
SHARES = dict(zip(POOLS, (0.4, 0.3, 0.2, 0.1), strict=True))


def make_samples(counts: dict[str, int], batch: str = "b1", **columns) -> pl.DataFrame:
    pools = [pool for pool, count in counts.items() for _ in range(count)]
    frame = pl.DataFrame({"pool": pools, "batch": batch}).with_columns(
        kind=pl.col("pool").replace_strict(KINDS),
        sample_id=pl.Series([make_id("mm", batch, n) for n in range(len(pools))]),
    )
    return frame.with_columns(**columns) if columns else frame


def draws_of(draw) -> dict[str, int]:
    return dict(draw.mixtures.group_by("pool").agg(pl.col("weight").sum().cast(int)).iter_rows())


@given(st.data())
def test_numbers_sum_to_the_total_and_are_within_one_of_their_share(data):
    shares = np.array(data.draw(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12)))
    total = data.draw(st.integers(0, 1_000))
    free = apportion(total, shares, np.zeros(len(shares), np.int64), np.full(len(shares), total))
    assert free.sum() == total
    assert (np.abs(free - shares / shares.sum() * total) < 1.0 + 1e-6).all()
    low = np.array([data.draw(st.integers(0, 20)) for _ in shares])
    high = low + np.array([data.draw(st.integers(0, 50)) for _ in shares])
    assume(low.sum() <= total <= high.sum())
    bound = apportion(total, shares, low, high)
    assert bound.sum() == total
    assert (bound >= low).all()
    assert (bound <= high).all()


def test_bounds_without_an_answer_are_our_fault():
    with pytest.raises(ContractError, match="cannot be given out"):
        apportion(5, np.ones(2), np.zeros(2, np.int64), np.array([2, 2]))


@given(
    st.dictionaries(st.sampled_from(POOLS), st.integers(0, 200), min_size=1),
    st.dictionaries(st.sampled_from(POOLS), st.integers(0, 20), min_size=1),
    st.integers(1, 6),
)
def test_a_recipe_is_drawn_to_the_last_one_or_refused(counts, parts, repeats):
    assume(sum(parts.values()) > 0)
    assume(sum(counts.values()) >= 50)
    shares = {pool: part / sum(parts.values()) for pool, part in parts.items()}
    policy = MixturePolicy(max_repeats=repeats)
    samples = {pool: count for pool, count in counts.items() if count}
    floors = {p: f for p, f in policy.floors.items() if p in samples or p == "text_retention"}
    refused = any(shares.get(pool, 0.0) < floor - 1e-9 for pool, floor in floors.items())
    refused |= any(share > 0 and pool not in samples for pool, share in shares.items())
    if refused:
        with pytest.raises(ReleaseError, match=r"floor|no sample"):
            plan_draws("r1", counts, Recipe(shares, "by_hand"), policy)
        return
    plan = plan_draws("r1", counts, Recipe(shares, "by_hand"), policy)
    total = sum(one.draws for one in plan)
    assert total <= sum(samples.values())
    for one in plan:
        assert abs(one.draws - shares.get(one.pool, 0.0) * total) < 1.0 + 1e-6
        assert one.draws <= repeats * one.samples
        assert one.pool != "text_retention" or one.draws >= one.floor * total - 1e-6
    scarce = min(repeats * samples[pool] / share for pool, share in shares.items() if share > 0)
    assert total == min(sum(samples.values()), int(scarce + 1e-9))


def test_weights_are_draws_capped_and_spread_over_all_samples():
    policy = MixturePolicy(weights=SHARES, draws=350)
    draw = draw_release([make_samples(COUNTS)], policy, "r1", {}, recipe=Recipe(SHARES, "by_hand"))
    assert draws_of(draw) == {
        "text_retention": 140,
        "coarse_image_text": 105,
        "fine_grained_interleaved": 70,
        "dialogue": 35,
    }
    weights = dict(draw.mixtures.group_by("pool").agg(pl.col("weight").unique().sort()).iter_rows())
    assert weights["text_retention"] == [2.0, 3.0]
    assert weights["coarse_image_text"] == [1.0]
    assert weights["dialogue"] == [1.0, 2.0]
    left = draw.exclusions.group_by("pool", "code").len().sort("pool").rows()
    assert left == [("coarse_image_text", "NOT_DRAWN", 95), ("fine_grained_interleaved", "NOT_DRAWN", 20)]
    assert draw.exclusions.schema == TABLES["mixture_exclusions"].schema
    assert draw.mixtures.height + draw.exclusions.height == sum(COUNTS.values())
    assert {(one.pool, one.draws) for one in draw.plan} == set(draws_of(draw).items())


def test_a_draw_depends_on_the_seed_and_not_on_the_order_of_rows():
    frames = [make_samples(COUNTS, "b1"), make_samples(COUNTS, "b2")]
    recipe = Recipe(SHARES, "by_hand")
    policy = MixturePolicy(draws=300)
    first = draw_release(frames, policy, "r1", {}, recipe=recipe)
    shuffled = pl.concat(frames[::-1]).sample(fraction=1.0, shuffle=True, seed=1)
    again = draw_release(shuffled.lazy(), policy, "r1", {}, recipe=recipe)
    assert again.mixtures.equals(first.mixtures)
    assert again.exclusions.equals(first.exclusions)
    other = draw_release(frames, policy.model_copy(update={"seed": 7}), "r1", {}, recipe=recipe)
    assert draws_of(other) == draws_of(first)
    assert set(other.mixtures["sample_id"]) != set(first.mixtures["sample_id"])


def test_more_draws_than_repeats_allow_are_refused_with_the_pool_and_the_bound():
    with pytest.raises(ReleaseError, match=r"more than 2 draws of a sample of text_retention; at most 300"):
        plan_draws("r1", COUNTS, Recipe(SHARES, "by_hand"), MixturePolicy(max_repeats=2, draws=301))


def test_as_delivered_raises_pools_below_their_floor_as_far_as_repeats_reach():
    counts = {"text_retention": 500, "coarse_image_text": 480, "dialogue": 20}
    plan = {one.pool: one for one in plan_draws("r1", counts, AS_DELIVERED, MixturePolicy(min_dialogue=0.05))}
    assert {pool: one.draws for pool, one in plan.items()} == {
        "text_retention": 485, "coarse_image_text": 465, "dialogue": 50
    }  # fmt: skip
    assert not plan["dialogue"].below_floor
    scarce = {"text_retention": 500, "coarse_image_text": 498, "dialogue": 2}
    plan = {one.pool: one for one in plan_draws("r1", scarce, AS_DELIVERED, MixturePolicy(min_dialogue=0.05))}
    assert (plan["dialogue"].draws, plan["dialogue"].below_floor) == (8, True)
    assert sum(one.draws for one in plan.values()) == 1_000


def test_text_retention_goes_below_its_floor_only_for_a_written_reason(tmp_path):
    counts = {"text_retention": 1, "coarse_image_text": 99}
    with pytest.raises(ReleaseError, match=r"1\.0%.*floor of 5\.0%.*allow_no_text_retention"):
        plan_draws("r1", counts, AS_DELIVERED, MixturePolicy())
    with pytest.raises(ReleaseError, match=r"mixtures.weights gives text_retention 1\.0%"):
        plan_draws(
            "r1", counts, Recipe({"text_retention": 0.01, "coarse_image_text": 0.99}, "by_hand"), MixturePolicy()
        )
    for blank in ("", "  "):
        with pytest.raises(ReleaseError, match="allow_no_text_retention"):
            plan_draws("r1", counts, AS_DELIVERED, MixturePolicy(allow_no_text_retention=blank))
    allowed = MixturePolicy(allow_no_text_retention="a vision encoder is trained, no text model")
    assert [one.draws for one in plan_draws("r1", {"coarse_image_text": 99}, AS_DELIVERED, allowed)] == [99]
    (tmp_path / "policy.toml").write_text("[mixtures.weights]\ntext_retention = 0.5\n")
    with pytest.raises(PolicyError, match=r"sum to 0\.5, not to 1"):
        load_policy(tmp_path / "policy.toml")


def test_the_recipe_by_hand_goes_before_the_ablation_and_that_before_the_delivery():
    stored = pl.DataFrame(
        [("r1", pool, share, "ablation") for pool, share in SHARES.items()] + [("r2", "dialogue", 1.0, "by_hand")],
        schema=TABLES["recipes"].schema,
        orient="row",
    )
    by_hand = {"text_retention": 0.5, "dialogue": 0.5}
    assert choose_recipe("r1", MixturePolicy(weights=by_hand), stored) == Recipe(by_hand, "by_hand")
    chosen = choose_recipe("r1", MixturePolicy(), stored)
    assert (chosen.origin, dict(chosen.shares)) == ("ablation", pytest.approx(SHARES))
    assert choose_recipe("r2", MixturePolicy(), stored) == AS_DELIVERED
    with pytest.raises(ReleaseError, match=r"sum to 0\.6"):
        choose_recipe("r1", MixturePolicy(), stored.filter(pl.col("pool") != "text_retention"))


def test_languages_are_drawn_by_their_exponent():
    strata = pl.DataFrame({"language": ["en", "de"], "source": "a", "license": "b", "samples": [900, 100]})
    assert spread_draws(strata, 100, 4, BalancePolicy()).tolist() == [90, 10]
    assert spread_draws(strata, 100, 4, BalancePolicy(language_exponent=0.5)).tolist() == [75, 25]
    assert spread_draws(strata, 100, 4, BalancePolicy(language_exponent=0.0)).tolist() == [50, 50]
    assert spread_draws(strata, 1_000, 4, BalancePolicy(language_exponent=0.0)).tolist() == [600, 400]


@given(st.lists(st.tuples(*(st.sampled_from("abc") for _ in range(3)), st.integers(1, 50)), min_size=1, max_size=12))
def test_no_source_exceeds_its_cap_where_one_can_hold(rows):
    strata = pl.DataFrame(rows, schema=["language", "source", "license", "samples"], orient="row")
    strata = strata.group_by("language", "source", "license").agg(pl.col("samples").sum()).sort(pl.all())
    draws = int(strata["samples"].sum())
    counts = spread_draws(strata, draws, 100, BalancePolicy(max_source_share=0.6))
    assert counts.sum() == draws
    per_source = strata.with_columns(draws=pl.Series(counts)).group_by("source").agg(pl.col("draws").sum(), pl.len())
    limit = max(0.6, 1 / per_source.height)
    assert (per_source["draws"] <= limit * draws + per_source["len"]).all()


def test_a_pool_is_balanced_by_source_and_every_sample_of_a_source_alike():
    counts = {"text_retention": 100, "coarse_image_text": 100}
    samples = make_samples(counts).with_columns(
        source=pl.when(pl.int_range(pl.len()) % 10 == 0).then(pl.lit("small")).otherwise(pl.lit("large")),
        license=pl.lit("CC0-1.0"),
        language=pl.lit(None, pl.String),
    )
    policy = MixturePolicy(balance=BalancePolicy(source_exponent=0.5))
    draw = draw_release([samples], policy, "r1", {})
    told = draw.mixtures.join(samples.select("sample_id", "source"), on="sample_id")
    per_source = dict(told.group_by("pool", "source").agg(pl.col("weight").sum()).select(
        pl.concat_str("pool", "source", separator="/"), "weight").iter_rows())  # fmt: skip
    assert per_source == {
        "text_retention/large": 75, "text_retention/small": 25, "coarse_image_text/large": 75,
        "coarse_image_text/small": 25,
    }  # fmt: skip
    largest = draw.largest.filter(pl.col("pool") == "text_retention").select("by", "value", "share", "cap").rows()
    assert largest == [("language", "und", 1.0, 1.0), ("license", "CC0-1.0", 1.0, 1.0), ("source", "large", 0.75, 1.0)]
    assert draw_release([samples], MixturePolicy(), "r1", {}).largest is None
    spread = told.group_by("source", "pool").agg(spread=pl.col("weight").max() - pl.col("weight").min())
    assert spread["spread"].max() <= 1


def test_a_curriculum_puts_clean_alignment_first_and_dialogue_last_with_text_in_every_stage():
    samples = pl.concat([make_samples(COUNTS, "clean"), make_samples(COUNTS, "mended")])
    policy = MixturePolicy(curriculum="staged")
    draw = draw_release([samples], policy, "r1", {}, clean_batches=["clean"])
    rows = draw.mixtures
    assert list(draw.stages) == list(STAGES)
    assert sum(draw.stages.values()) == rows.height
    bounds = np.cumsum([0, *draw.stages.values()])
    parts = [rows.slice(start, end - start) for start, end in pairwise(bounds)]
    plain = [part.filter(pl.col("pool") != "text_retention") for part in parts]
    assert set(plain[0]["batch"]) == {"clean"}
    assert set(plain[0]["kind"]) == {"image_text", "object"}
    assert set(plain[1]["batch"]) == {"mended"}
    assert set(plain[2]["pool"]) == {"dialogue"}
    for part, rest in zip(parts, plain, strict=True):
        expected = 120 * rest.height / 640
        assert abs(part.height - rest.height - expected) < 4 * expected**0.5
    shuffled = draw_release([samples], MixturePolicy(), "r1", {})
    assert set(shuffled.mixtures["sample_id"]) == set(rows["sample_id"])
    assert shuffled.stages is None


def test_what_repeats_an_evaluation_set_is_not_drawn_and_is_accounted_for():
    samples = make_samples(COUNTS)
    first = samples["sample_id"][0]
    left_out = pl.DataFrame(
        {
            "sample_id": [first, "mm_elsewhere"],
            "code": "EVALUATION_TEXT",
            "evaluation_set": "qa",
            "reason": "shares words",
        }
    )
    draw = draw_release([samples], MixturePolicy(), "r1", {}, left_out=left_out)
    assert draw.exclusions.select("sample_id", "code", "evaluation_set").rows() == [(first, "EVALUATION_TEXT", "qa")]
    assert first not in draw.mixtures["sample_id"]
    assert draw.mixtures.height == samples.height - 1
    with pytest.raises(ContractError, match="left out twice"):
        draw_release([samples], MixturePolicy(), "r1", {}, left_out=pl.concat([left_out, left_out]))
    everything = samples.select("sample_id", code=pl.lit("X"), evaluation_set=pl.lit("qa"), reason=pl.lit("x"))
    with pytest.raises(ReleaseError, match="repeats an evaluation set"):
        draw_release([samples], MixturePolicy(), "r1", {}, left_out=everything)


def test_what_is_kept_from_training_follows_no_recipe():
    samples = make_samples(COUNTS)
    splits = samples.select(
        "sample_id", split=pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("test")).otherwise(pl.lit("train"))
    )
    draw = draw_release([samples], MixturePolicy(), "r1", {}, recipe=Recipe(SHARES, "by_hand"), splits=splits)
    kept = draw.mixtures.filter(pl.col("split") == "test")
    assert kept.height == splits.filter(pl.col("split") == "test").height
    assert kept["weight"].unique().to_list() == [1.0]
    trained = draw.mixtures.filter(pl.col("split") == "train")
    shares = dict(trained.group_by("pool").agg(pl.col("weight").sum() / trained["weight"].sum()).iter_rows())
    assert shares == pytest.approx(SHARES, abs=0.005)
    with pytest.raises(ContractError, match="every sample once"):
        draw_release([samples], MixturePolicy(), "r1", {}, splits=splits.head(3))
