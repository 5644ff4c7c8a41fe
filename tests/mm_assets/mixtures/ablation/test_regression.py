import numpy as np
import pytest

from mm_assets.errors import ReleaseError
from mm_assets.mixtures.ablation.choice import Objective, candidate_mixtures, choose_recipe, round_shares
from mm_assets.mixtures.ablation.design import above_floors, floors_of, plan_runs
from mm_assets.mixtures.ablation.regression import fit_losses, rank_correlation
from mm_assets.policy import AblationPolicy

POOLS = ("text_retention", "coarse_image_text", "fine_grained_interleaved", "dialogue")
FLOORS = (0.05, 0.02, 0.02, 0.01)
POLICY = AblationPolicy(candidates=400, posterior_draws=200)
DELIVERED = (0.3, 0.5, 0.1, 0.1)
HELD_OUT = {"math": 20, "caption": 20, "region": 20, "dialogue": 20}


def true_logs(weights, name):
    """Losses that fall with the share of one pool, and a little with another."""
    own = {"math": 0, "caption": 1, "region": 2, "dialogue": 3}[name]
    return 0.8 - 0.12 * np.log(weights[:, own] + 0.02) - 0.02 * np.log(weights[:, (own + 1) % 4] + 0.05)


def measured(weights, seed, noise=0.01):
    rng = np.random.default_rng(seed)
    names = ("math", "caption", "region", "dialogue")
    return {name: np.exp(true_logs(weights, name) + noise * rng.standard_normal(len(weights))) for name in names}


@pytest.fixture(scope="module")
def plans():
    return plan_runs(POOLS, FLOORS, DELIVERED, POLICY)


@pytest.fixture(scope="module")
def models(plans):
    weights = np.array([plan.weights for plan in plans if plan.role == "design"])
    return fit_losses(weights, measured(weights, 1))


def test_the_design_keeps_the_floors_and_spans_the_simplex(plans):
    assert len({plan.name for plan in plans}) == len({plan.seed for plan in plans}) == len(plans)
    for plan in plans:
        assert sum(plan.weights) == pytest.approx(1.0)
        if plan.role in {"design", "held_out"}:
            assert all(share >= floor - 1e-9 for share, floor in zip(plan.weights, FLOORS, strict=True))
    design = np.array([plan.weights for plan in plans if plan.role == "design"])
    assert np.linalg.matrix_rank(design) == 4
    assert design.max() == pytest.approx(1.0 - sum(FLOORS) + max(FLOORS))
    assert {plan.weights for plan in plans if plan.role == "text_only"} == {(1.0, 0.0, 0.0, 0.0)}
    assert len({plan.weights for plan in plans if plan.role == "held_out"}) == POLICY.held_out_mixtures


def test_mixtures_never_fitted_are_predicted(plans, models):
    tests = np.array([plan.weights for plan in plans if plan.role == "held_out"])
    fresh = measured(tests, 2)
    for name, model in models.items():
        assert rank_correlation(model.predict(tests)[0].tolist(), fresh[name].tolist()) > 0.9
        assert model.noise == pytest.approx(0.01, rel=0.8)


def bent_logs(weights, rng):
    """Losses that fall with one pool, and bend with what others it meets: no form that is fitted."""
    powers = rng.uniform(0.05, 0.25, 4) * (weights + 0.01) ** -rng.uniform(0.2, 0.8)
    return np.log(2.0 + powers.sum(axis=1) + 0.1 * np.sin(6.0 * weights[:, 0]))


def test_intervals_hold_what_they_say(plans):
    """Over losses of many shapes and noises, intervals of 95 % hold some 95 of a hundred losses of further runs."""
    weights, tests = (
        np.array([plan.weights for plan in plans if plan.role == role]) for role in ("design", "held_out")
    )
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(900 + seed)
        noise = rng.choice([0.004, 0.01, 0.02])
        logs = bent_logs(np.vstack([weights, tests]), rng)
        losses = np.exp(logs + noise * rng.standard_normal(len(logs)))
        model = fit_losses(weights, {"region": losses[: len(weights)]})["region"]
        _, low, high = model.interval(tests, 0.95)
        fresh = losses[len(weights) :]
        inside += ((low <= fresh) & (fresh <= high)).tolist()
    assert 0.92 <= np.mean(inside) < 1.0


def test_the_recipe_is_near_the_true_best_and_beats_the_pools_as_delivered(models):
    def regret(weights, names):
        points = np.vstack([[weights], candidate_mixtures(FLOORS, AblationPolicy(candidates=5_000))])
        total = sum(true_logs(points, name) for name in names)
        return float(total[0] - total.min()) / len(names)

    objective = Objective(models, HELD_OUT, DELIVERED, POLICY)
    choice = choose_recipe(objective, FLOORS, POLICY)
    assert regret(choice.forecast.weights, list(models)) < 0.01
    assert choice.chance_better > 0.95
    assert choice.forecast.objective.high < 0.0
    for share, one, floor in zip(choice.forecast.weights, choice.shares, FLOORS, strict=True):
        assert share >= floor
        assert one.low <= one.high
    again = choose_recipe(Objective(models, HELD_OUT, DELIVERED, POLICY), FLOORS, POLICY)
    assert again.forecast.weights == choice.forecast.weights


def test_importance_moves_the_recipe_to_what_counts(models):
    equal = choose_recipe(Objective(models, HELD_OUT, DELIVERED, POLICY), FLOORS, POLICY).forecast.weights
    policy = POLICY.model_copy(update={"importance": {"region": 20.0}})
    moved = choose_recipe(Objective(models, HELD_OUT, DELIVERED, policy), FLOORS, policy).forecast.weights
    assert moved[2] > equal[2] + 0.2


def test_shares_are_rounded_to_thousandths_and_keep_their_floors():
    rng = np.random.default_rng(3)
    for shares in rng.dirichlet(np.ones(4), 200):
        weights = round_shares(np.array(above_floors(shares.tolist(), FLOORS)), FLOORS)
        assert sum(weights) == pytest.approx(1.0, abs=1e-12)
        assert all(share >= floor - 1e-12 for share, floor in zip(weights, FLOORS, strict=True))


def test_floors_that_leave_nothing_to_choose_are_refused():
    with pytest.raises(ReleaseError, match="sum to 1"):
        floors_of(("text_retention", "dialogue"), {"text_retention": 0.6, "dialogue": 0.4})


def test_a_flat_loss_ranks_nothing():
    assert rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0.0
