# pyright: strict
"""Whether a recipe does worse than text alone, by more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.mixtures.ablation.drawing import random_numbers
from mm_assets.mixtures.ablation.interfaces import HeldOut, RunResult

_DRAWS: Final = 2_000
_FEW_GROUPS: Final = 5


@dataclass(frozen=True)
class Comparison:
    """A capability of the recipe against the same capability of text alone.

    Attributes:
        capability: its name.
        loss: loss under the recipe, mean over its runs.
        text_only: loss of the text-only proxies.
        difference: log of the ratio; above 0 the recipe is worse.
        low: lower end of its interval, over held-out groups and runs.
        high: upper end.
        groups: held-out groups.
    """

    capability: str
    loss: float
    text_only: float
    difference: float
    low: float
    high: float
    groups: int

    @property
    def forgotten(self) -> bool:
        """Whether the recipe is worse by more than the interval."""
        return self.low > 0.0

    @property
    def few(self) -> bool:
        """Whether so few groups were held out that the interval says little."""
        return self.groups < _FEW_GROUPS


def compare_with_text_only(
    recipe: Sequence[RunResult], text_only: Sequence[RunResult], *, confidence: float, seed: int
) -> list[Comparison]:
    """Compare runs of a recipe with runs of text alone, per capability.

    Groups and runs are both drawn with replacement: a loss rests on what happened to be held out and on what happened
    to be drawn. The same groups are drawn for both sides.

    Args:
        recipe: runs of the recipe, at least 1.
        text_only: runs of text alone.
        confidence: of the intervals.
        seed: of the bootstrap.

    Returns:
        One comparison per capability; none without runs of text alone.
    """
    if not text_only or not recipe:
        return []
    compared: list[Comparison] = []
    edges = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]
    for name in recipe[0].held_out:
        chance = random_numbers(seed, "forgetting", name)
        sides = [[run.held_out[name] for run in runs] for runs in (recipe, text_only)]
        groups = np.unique(sides[0][0].groups)
        draws = chance.multinomial(len(groups), np.full(len(groups), 1.0 / len(groups)), size=_DRAWS).astype(float)
        logs = [_drawn_logs(side, groups, draws, chance) for side in sides]
        means = [float(np.mean([one.mean for one in side])) for side in sides]
        low, high = np.quantile(logs[0] - logs[1], edges)
        difference = float(np.log(max(means[0], 1e-12)) - np.log(max(means[1], 1e-12)))
        compared.append(Comparison(name, means[0], means[1], difference, float(low), float(high), len(groups)))
    return compared


def _drawn_logs(
    runs: Sequence[HeldOut], groups: NDArray[np.int64], draws: NDArray[np.float64], chance: np.random.Generator
) -> NDArray[np.float64]:
    """Log of the loss of every draw of groups and runs, shape (draws,)."""
    places = np.searchsorted(groups, runs[0].groups)
    tokens = np.bincount(places, weights=runs[0].tokens, minlength=len(groups))
    losses = np.stack([np.bincount(places, weights=run.loss, minlength=len(groups)) for run in runs])
    means = (draws @ losses.T) / (draws @ tokens)[:, None]
    picked = chance.integers(0, len(runs), size=(len(draws), len(runs)))
    return np.log(np.maximum(np.take_along_axis(means, picked, axis=1).mean(axis=1), 1e-12))
