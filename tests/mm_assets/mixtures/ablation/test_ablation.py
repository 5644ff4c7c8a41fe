"""An ablation from end to end, with a trainer whose losses are known, and its rows and page."""

import re

import numpy as np
import polars as pl
import pytest

from mm_assets.errors import ReleaseError
from mm_assets.mixtures.ablation.ablation import ablate
from mm_assets.mixtures.ablation.capabilities import RETRIEVAL
from mm_assets.mixtures.ablation.figures import draw_predictions
from mm_assets.mixtures.ablation.forgetting import compare_with_text_only
from mm_assets.mixtures.ablation.interfaces import Checkpoint, HeldOut, RunPlan, RunResult
from mm_assets.mixtures.ablation.page import write_page
from mm_assets.mixtures.ablation.rows import ablation_rows, forecast_of, rank_correlations, recipe_rows
from mm_assets.schemas import TABLES

FLOORS = {"text_retention": 0.05, "coarse_image_text": 0.02, "fine_grained_interleaved": 0.02, "dialogue": 0.01}
DELIVERED = {"text_retention": 100, "coarse_image_text": 500, "dialogue": 20}
OWN = {"math": 0, "code": 0, "prose": 0, "caption": 1, RETRIEVAL: 1, "dialogue": 2}


class KnownLosses:
    """A trainer whose losses follow a law of the shares, with a little noise from the seed."""

    identity = "a law"
    device = "cpu"

    def train(self, corpus, plans):
        for plan in plans:
            rng = np.random.default_rng(plan.seed)
            held_out = {}
            for name in corpus.capabilities:
                level = 2.0 * (plan.weights[OWN[name]] + 0.03) ** -0.15 * np.exp(0.005 * rng.standard_normal())
                samples = corpus.held_out[name]
                tokens = np.full(len(samples), 10.0)
                held_out[name] = HeldOut(level * tokens, tokens, corpus.groups[samples])
            means = {name: one.mean for name, one in held_out.items()}
            curve = tuple(Checkpoint(done, means, {"text": 2.0, "image": 5.0}) for done in (500, 1_000))
            yield RunResult(plan, curve, held_out, (1, 2, 3), 1_000, 0.25, 0.1)


@pytest.fixture(scope="module")
def found(corpus, small_policy):
    told = []
    policy = small_policy.model_copy(update={"held_out_mixtures": 8})
    ablation = ablate(
        corpus,
        KnownLosses(),
        floors=FLOORS,
        delivered=DELIVERED,
        by_hand={"text_retention": 0.2, "coarse_image_text": 0.4, "dialogue": 0.4},
        policy=policy,
        told=lambda done, count, run: told.append((done, count, run.plan.name)),
    )
    assert [done for done, _, _ in told] == list(range(1, told[0][1] + 1))
    return ablation, policy


def test_the_recipe_is_measured_and_better_than_as_delivered(found):
    ablation, policy = found
    shares = ablation.choice.forecast.weights
    assert sum(shares) == pytest.approx(1.0)
    few = {name for name, (samples, _) in ablation.held_out.items() if samples < policy.min_held_out_samples}
    assert few == {"code", "prose", "dialogue"}
    assert {name for name, share in ablation.importance.items() if not share} == few
    assert shares[1] > shares[0] > 0.1  # of those that count two rest on pictures, one on text
    assert ablation.measured_objective["chosen"] < 0.0 < ablation.measured_objective["by_hand"]
    assert ablation.choice.forecast.objective.low <= ablation.measured_objective["chosen"] + 0.02
    assert ablation.prediction.objective > 0.8
    assert ablation.prediction.median > 0.9


def test_what_text_alone_does_better_is_flagged_and_nothing_else(found):
    ablation, _ = found
    assert set(ablation.forgotten) == {"math", "code", "prose"}
    caption = next(one for one in ablation.comparisons if one.capability == "caption")
    assert caption.high < 0.0


def run_of(losses, seed):
    groups = np.arange(len(losses))
    held_out = {"math": HeldOut(np.asarray(losses, float), np.ones(len(losses)), groups)}
    return RunResult(RunPlan(f"r{seed}", "chosen", (1.0,), seed), (), held_out, (1,), 1, None, 0.0)


def test_a_difference_within_chance_is_no_forgetting_and_a_clear_one_is():
    rng = np.random.default_rng(2)
    base = rng.uniform(1.0, 3.0, 30)
    text = [run_of(base * np.exp(0.05 * rng.standard_normal(30)), seed) for seed in range(3)]
    same = [run_of(base * np.exp(0.05 * rng.standard_normal(30)), seed) for seed in range(3)]
    worse = [run_of(1.15 * base * np.exp(0.05 * rng.standard_normal(30)), seed) for seed in range(3)]
    chance = compare_with_text_only(same, text, confidence=0.95, seed=1)[0]
    clear = compare_with_text_only(worse, text, confidence=0.95, seed=1)[0]
    assert not chance.forgotten
    assert chance.low < 0.0 < chance.high
    assert clear.forgotten
    assert clear.low < np.log(1.15) < clear.high
    assert compare_with_text_only(same, [], confidence=0.95, seed=1) == []


def test_rows_lead_back_to_the_forecast_without_training(found):
    ablation, policy = found
    rows = ablation_rows("r1", ablation, policy)
    assert rows.schema == TABLES["mixture_ablations"].schema
    assert rows.height == len(ablation.runs) * len(ablation.models)
    forecast = forecast_of(rows, {"text_retention": 0.2, "coarse_image_text": 0.4, "dialogue": 0.4}, policy)
    assert forecast.objective.value == pytest.approx(ablation.by_hand.objective.value, abs=1e-4)
    correlations = rank_correlations(rows, policy)
    assert correlations.pop("objective") == pytest.approx(ablation.prediction.objective)
    assert correlations == pytest.approx(dict(ablation.prediction.capabilities))
    recipe = recipe_rows("r1", ablation)
    assert recipe["weight"].sum() == pytest.approx(1.0)
    assert recipe["origin"].unique().to_list() == ["ablation"]
    with pytest.raises(ReleaseError, match="must sum to 1"):
        forecast_of(rows, {"text_retention": 0.2}, policy)
    with pytest.raises(ReleaseError, match="go to pools with samples"):
        forecast_of(rows, {"fine_grained_interleaved": 1.0}, policy)
    with pytest.raises(ReleaseError, match="no ablation was run"):
        forecast_of(rows.filter(pl.col("run") == ""), {"text_retention": 1.0}, policy)


def test_the_page_needs_nothing_beside_it_and_its_plots_are_the_same_twice(found):
    ablation, policy = found
    page = write_page("r<1>", ablation, policy)
    assert draw_predictions(ablation) == draw_predictions(ablation)
    assert "r&lt;1&gt;" in page
    assert "r<1>" not in page
    assert page.count("<img ") == page.count("src='data:image/png;base64,") == 6
    assert not re.search(r"(src|href)='(?!data:)", page)
    for run in ablation.runs:
        assert f"<td>{run.plan.name}</td>" in page
    assert "Worse than text alone: math, code, prose." in page
    assert "Not measured, for want of samples of two groups: logic, region, segment, document." in page
