"""The recipe that the fitted losses call for, under the floors, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.mixtures.ablation.design import above_floors
from mm_assets.mixtures.ablation.drawing import random_numbers
from mm_assets.mixtures.ablation.regression import LossModel
from mm_assets.policy import AblationPolicy

_STEP: Final = 1_000  # recipes are given to a thousandth


@dataclass(frozen=True)
class Interval:
    """A value and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """What is expected of a recipe.

    Attributes:
        weights: share per pool.
        losses: loss of a run per capability, with the interval of a single run.
        objective: the objective on average over runs, with its interval; below 0 is better than as delivered.
    """

    weights: tuple[float, ...]
    losses: Mapping[str, Interval]
    objective: Interval


@dataclass(frozen=True)
class Choice:
    """The chosen recipe.

    Attributes:
        forecast: of the recipe.
        shares: share of each pool, with the interval of the best share over the draws of the posterior.
        chance_better: probability that it beats the pools as delivered.
    """

    forecast: Forecast
    shares: tuple[Interval, ...]
    chance_better: float


class Objective:
    """The policy's objective: mean over capabilities of the log of the loss against that of the pools as delivered.

    Every capability counts by its importance. A value of -0.02 means that losses are 2 % lower on average.

    Args:
        models: fitted capabilities.
        held_out: held-out samples per capability; one with too few does not count, unless all have.
        as_delivered: share of each pool as delivered.
        policy: importances, draws, confidence.
    """

    def __init__(
        self,
        models: Mapping[str, LossModel],
        held_out: Mapping[str, int],
        as_delivered: Sequence[float],
        policy: AblationPolicy,
    ) -> None:
        self._models, self._policy = models, policy
        self._reference = np.array([as_delivered], dtype=np.float64)
        self.importance: dict[str, float] = importance_of(held_out, policy)

    def value(self, logs: Mapping[str, float], reference: Mapping[str, float]) -> float:
        """The objective of log losses against those of the reference."""
        return sum(share * (logs[name] - reference[name]) for name, share in self.importance.items())

    def expected(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The objective that is expected of each mixture, shape (N,)."""
        both = np.vstack([weights, self._reference])
        total = sum(share * self._models[name].predict(both)[0] for name, share in self.importance.items())
        return total[:-1] - total[-1]  # pyright: ignore[reportIndexIssue] - an array: there is a capability

    def draws(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Objectives drawn from the posterior, shape (D, N); capabilities are drawn independently."""
        both = np.vstack([weights, self._reference])
        total = np.zeros((self._policy.posterior_draws, len(both)))
        for name, share in self.importance.items():
            total += share * self._models[name].sample(both, self._policy.posterior_draws, self._policy.seed, name)
        return total[:, :-1] - total[:, -1:]

    def forecast(self, weights: Sequence[float]) -> Forecast:
        """What is expected of one recipe."""
        point, share = np.array([weights], dtype=np.float64), self._policy.confidence
        losses = {
            name: Interval(*(float(values[0]) for values in model.interval(point, share)))
            for name, model in self._models.items()
        }
        return Forecast(
            tuple(weights), losses, _interval(float(self.expected(point)[0]), self.draws(point)[:, 0], share)
        )


def importance_of(held_out: Mapping[str, int], policy: AblationPolicy) -> dict[str, float]:
    """Share of each capability in the objective, by the policy; 0 where too few samples are held out.

    >>> importance_of({"math": 9, "code": 9, "segment": 1}, AblationPolicy())
    {'math': 0.5, 'code': 0.5, 'segment': 0.0}
    """
    enough = {name for name, count in held_out.items() if count >= policy.min_held_out_samples} or set(held_out)
    raw = {name: policy.importance_of(name) if name in enough else 0.0 for name in held_out}
    total = sum(raw.values())
    return {name: value / total if total else 1.0 / len(raw) for name, value in raw.items()}


def choose_recipe(objective: Objective, floors: Sequence[float], policy: AblationPolicy) -> Choice:
    """The mixture under the floors with the best expected objective.

    Args:
        objective: the fitted objective.
        floors: floor of each of K pools.
        policy: candidates, draws, confidence, seed.

    Returns:
        The recipe in steps of a thousandth, none below its floor by more than that.
    """
    candidates = candidate_mixtures(floors, policy)
    best = int(np.argmin(objective.expected(candidates)))
    draws = objective.draws(candidates)
    best_of_draws = candidates[np.argmin(draws, axis=1)]
    weights = round_shares(candidates[best], floors)
    shares = tuple(_interval(weights[pool], best_of_draws[:, pool], policy.confidence) for pool in range(len(floors)))
    return Choice(objective.forecast(weights), shares, float((draws[:, best] < 0).mean()))


def candidate_mixtures(floors: Sequence[float], policy: AblationPolicy) -> NDArray[np.float64]:
    """Mixtures spread evenly over the simplex under the floors, its corners and its centre among them, shape (N, K)."""
    count = len(floors)
    chance = random_numbers(policy.seed, "candidates").dirichlet(np.ones(count), size=policy.candidates)
    fixed = np.vstack([np.eye(count), np.full((1, count), 1.0 / count)])
    return np.array([above_floors(shares, floors) for shares in np.vstack([fixed, chance]).tolist()])


def round_shares(weights: NDArray[np.float64], floors: Sequence[float]) -> tuple[float, ...]:
    """Shares in thousandths that sum to 1 exactly, each at least its floor where that is a thousandth.

    >>> round_shares(np.array([0.3333, 0.3333, 0.3334]), [0.0, 0.0, 0.0])
    (0.333, 0.333, 0.334)
    """
    least = [int(np.ceil(floor * _STEP - 1e-9)) for floor in floors]
    whole = [max(int(np.floor(share * _STEP)), low) for share, low in zip(weights, least, strict=True)]
    order = sorted(range(len(whole)), key=lambda place: (-(weights[place] * _STEP - whole[place]), place))
    missing = _STEP - sum(whole)
    for turn in range(abs(missing)):
        place = order[turn % len(order)] if missing > 0 else int(np.argmax(np.array(whole) - np.array(least)))
        whole[place] += 1 if missing > 0 else -1
    return tuple(count / _STEP for count in whole)


def _interval(value: float, draws: NDArray[np.float64], confidence: float) -> Interval:
    low, high = np.quantile(draws, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Interval(value, float(low), float(high))
