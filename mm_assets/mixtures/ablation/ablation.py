"""An ablation from end to end: plan, train, fit, choose, train the choice, compare with text alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm_assets.mixtures.ablation.choice import Choice, Forecast, Objective, choose_recipe
from mm_assets.mixtures.ablation.corpus import Corpus
from mm_assets.mixtures.ablation.design import floors_of, plan_recipe, plan_runs
from mm_assets.mixtures.ablation.forgetting import Comparison, compare_with_text_only
from mm_assets.mixtures.ablation.interfaces import ProxyTrainer, Role, RunResult
from mm_assets.mixtures.ablation.regression import TINY, LossModel, fit_losses, rank_correlation
from mm_assets.mixtures.ablation.shares import shares_by_hand
from mm_assets.policy import AblationPolicy


@dataclass(frozen=True)
class Prediction:
    """How well held-out mixtures were predicted.

    Attributes:
        capabilities: Spearman's coefficient of predicted and measured loss, per capability.
        objective: the same of the objective.
        covered: share of the measured losses that lay in their interval.
        mixtures: number of mixtures.
    """

    capabilities: Mapping[str, float]
    objective: float
    covered: float
    mixtures: int

    @property
    def median(self) -> float:
        """Median over the capabilities."""
        return float(np.median(list(self.capabilities.values())))


@dataclass(frozen=True)
class Ablation:
    """What an ablation found.

    Attributes:
        pools: pools with samples, in their order.
        floors: floor of each.
        as_delivered: share of each as delivered.
        trainer: identity of the trainer.
        device: where it ran.
        runs: every run, measured.
        models: fitted loss per capability.
        importance: share of each capability in the objective.
        choice: the chosen recipe.
        delivered: what is expected of the pools as delivered.
        by_hand: what is expected of the recipe by hand, if there is one.
        prediction: how well held-out mixtures were predicted.
        measured_objective: mean objective of the runs of a role, against the run as delivered.
        comparisons: the chosen recipe against text alone, per capability.
        held_out: held-out samples and groups per capability.
    """

    pools: tuple[str, ...]
    floors: tuple[float, ...]
    as_delivered: tuple[float, ...]
    trainer: str
    device: str
    runs: tuple[RunResult, ...]
    models: Mapping[str, LossModel]
    importance: Mapping[str, float]
    choice: Choice
    delivered: Forecast
    by_hand: Forecast | None
    prediction: Prediction
    measured_objective: Mapping[str, float]
    comparisons: tuple[Comparison, ...]
    held_out: Mapping[str, tuple[int, int]]

    @property
    def forgotten(self) -> list[str]:
        """Capabilities that the recipe is worse at than text alone, by more than the interval."""
        return [one.capability for one in self.comparisons if one.forgotten]

    def of_role(self, role: Role) -> list[RunResult]:
        """Runs of a role."""
        return [run for run in self.runs if run.plan.role == role]


def ablate(
    corpus: Corpus,
    trainer: ProxyTrainer,
    *,
    floors: Mapping[str, float],
    delivered: Mapping[str, int],
    by_hand: Mapping[str, float],
    policy: AblationPolicy,
    told: Callable[[int, int, RunResult], None],
) -> Ablation:
    """Find the recipe.

    Args:
        corpus: samples to train and to measure on.
        trainer: trains the proxies.
        floors: floor per pool.
        delivered: samples per pool that a release may draw from.
        by_hand: recipe by hand per pool, or empty.
        policy: design, budget, objective.
        told: called after every run with its number from 1, the number of runs and the run.

    Raises:
        ReleaseError: the floors leave nothing to choose, or the recipe by hand names pools without samples.
    """
    low = floors_of(corpus.pools, floors)
    total = sum(delivered.get(pool, 0) for pool in corpus.pools)
    shares = tuple(delivered.get(pool, 0) / total for pool in corpus.pools)
    hand = shares_by_hand(by_hand, corpus.pools)
    plans = plan_runs(corpus.pools, low, shares, policy)
    if hand is not None:
        plans += plan_recipe("by hand", "by_hand", hand, policy, len(plans))
    count = len(plans) + policy.replicates
    runs: list[RunResult] = []
    for run in trainer.train(corpus, plans):
        runs.append(run)
        told(len(runs), count, run)
    models = fit_runs(runs)
    objective = Objective(models, {name: len(corpus.held_out[name]) for name in models}, shares, policy)
    choice = choose_recipe(objective, low, policy)
    for run in trainer.train(corpus, plan_recipe("chosen", "chosen", choice.forecast.weights, policy, len(plans))):
        runs.append(run)
        told(len(runs), count, run)
    comparisons = compare_with_text_only(
        [run for run in runs if run.plan.role == "chosen"],
        [run for run in runs if run.plan.role == "text_only"],
        confidence=policy.confidence,
        seed=policy.seed,
    )
    return Ablation(
        pools=corpus.pools,
        floors=low,
        as_delivered=shares,
        trainer=trainer.identity,
        device=trainer.device,
        runs=tuple(runs),
        models=models,
        importance=objective.importance,
        choice=choice,
        delivered=objective.forecast(shares),
        by_hand=None if hand is None else objective.forecast(hand),
        prediction=judge_predictions(runs, models, objective, policy),
        measured_objective=_measured_objectives(runs, objective),
        comparisons=tuple(comparisons),
        held_out={
            name: (len(corpus.held_out[name]), len(np.unique(corpus.groups[corpus.held_out[name]])))
            for name in corpus.capabilities
        },
    )


def fit_runs(runs: Sequence[RunResult]) -> dict[str, LossModel]:
    """Fit every capability to the design runs, and to them alone."""
    fitted = [run for run in runs if run.plan.role == "design"]
    names = list(fitted[0].held_out)
    weights = np.array([run.plan.weights for run in fitted])
    return fit_losses(weights, {name: np.array([run.held_out[name].mean for run in fitted]) for name in names})


def judge_predictions(
    runs: Sequence[RunResult], models: Mapping[str, LossModel], objective: Objective, policy: AblationPolicy
) -> Prediction:
    """Predict the held-out mixtures and compare with what was measured."""
    tests = [run for run in runs if run.plan.role == "held_out"]
    weights = np.array([run.plan.weights for run in tests])
    measured = {name: np.log([max(run.held_out[name].mean, TINY) for run in tests]) for name in models}
    correlations: dict[str, float] = {}
    inside: list[NDArray[np.bool_]] = []
    for name, model in models.items():
        expected, low, high = model.interval(weights, policy.confidence)
        losses = np.exp(measured[name])
        correlations[name] = rank_correlation(expected.tolist(), losses.tolist())
        inside.append((low <= losses) & (losses <= high))
    scores = np.sum([share * measured[name] for name, share in objective.importance.items()], axis=0).tolist()
    return Prediction(
        correlations,
        rank_correlation(objective.expected(weights).tolist(), scores),
        float(np.mean(inside)),
        len(tests),
    )


def _measured_objectives(runs: Sequence[RunResult], objective: Objective) -> dict[str, float]:
    logs = {
        run.plan.name: {name: float(np.log(max(one.mean, TINY))) for name, one in run.held_out.items()} for run in runs
    }
    reference = next(logs[run.plan.name] for run in runs if run.plan.role == "as_delivered")
    values: dict[str, list[float]] = {}
    for run in runs:
        values.setdefault(run.plan.role, []).append(objective.value(logs[run.plan.name], reference))
    return {role: float(np.mean(one)) for role, one in values.items() if role in {"chosen", "by_hand", "text_only"}}
