"""Plots of an ablation: loss curves, predicted against measured, the recipe, and what text alone does better."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mm_assets.display.figures import BLUE, GREEN, GREY, ORANGE, PALE, PURPLE, RED, save_png
from mm_assets.mixtures.ablation.ablation import Ablation
from mm_assets.mixtures.ablation.interfaces import Role, RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI: Final = 100
_COLUMNS: Final = 5
_POINTS: Final = 41
_LINES: Final[tuple[tuple[Role, str, str, str], ...]] = (
    ("text_only", "text only", GREY, ":"),
    ("as_delivered", "as delivered", ORANGE, "--"),
    ("by_hand", "by hand", PURPLE, "-."),
    ("chosen", "chosen", BLUE, "-"),
)
_POOL_COLOURS: Final = (GREY, BLUE, GREEN, ORANGE)


def pool_name(pool: str) -> str:
    """A pool as it is written under a plot."""
    return pool.replace("_", " ")


def draw_capability_curves(found: Ablation) -> bytes:
    """Held-out loss on the way, one panel per capability; every run pale, those of note in colour."""
    names = [name for name in found.models if name in found.runs[0].curve[0].capabilities]
    return _curves(found, names, "capabilities", "nats per byte of text")


def draw_modality_curves(found: Ablation) -> bytes:
    """Held-out loss on the way, one panel per modality of the tokens."""
    return _curves(found, list(found.runs[0].curve[0].modalities), "modalities", "nats per token")


def draw_predictions(found: Ablation) -> bytes:
    """Measured against predicted loss, one panel per capability: design runs pale, held-out mixtures in colour."""
    figure, panels = _panels(len(found.models), "Predicted against measured loss")
    for axes, (name, model) in zip(panels, found.models.items(), strict=True):
        edges: list[float] = []
        for role, colour, label in (("design", PALE, "fitted"), ("held_out", BLUE, "held out")):
            runs = found.of_role(role)  # pyright: ignore[reportArgumentType] - roles of the tuple above
            measured = np.array([run.held_out[name].mean for run in runs])
            mean, deviation = model.predict(np.array([run.plan.weights for run in runs]))
            predicted = np.exp(mean)
            bars = (
                None
                if role == "design"
                else [predicted - np.exp(mean - deviation), np.exp(mean + deviation) - predicted]
            )
            axes.errorbar(predicted, measured, xerr=bars, fmt="o", ms=3.5, color=colour, lw=0.8, label=label)
            edges += [*measured, *predicted]
        line = [min(edges), max(edges)]
        axes.plot(line, line, color=GREY, lw=0.8, zorder=0)
        axes.set_title(f"{name}  rank {found.prediction.capabilities[name]:.2f}", fontsize=9, loc="left")
        axes.set_xlabel("predicted", fontsize=8)
    panels[0].set_ylabel("measured", fontsize=8)
    panels[0].legend(frameon=False, fontsize=7)
    return save_png(figure)


def draw_recipe(found: Ablation) -> bytes:
    """The share of each pool: chosen with its interval, as delivered, by hand, and the floor."""
    figure, (axes,) = _panels(1, "Recipe", width=8.4, height=3.4)
    bars: list[tuple[str, str, Sequence[float]]] = [("as delivered", ORANGE, found.as_delivered)]
    if found.by_hand is not None:
        bars.append(("by hand", PURPLE, found.by_hand.weights))
    bars.append(("chosen", BLUE, found.choice.forecast.weights))
    width = 0.8 / len(bars)
    places = np.arange(len(found.pools))
    for turn, (label, colour, shares) in enumerate(bars):
        at = places + (turn - (len(bars) - 1) / 2) * width
        axes.bar(at, shares, width * 0.92, color=colour, label=label)
        if label == "chosen":
            low = [max(one.value - one.low, 0.0) for one in found.choice.shares]
            high = [max(one.high - one.value, 0.0) for one in found.choice.shares]
            axes.errorbar(at, shares, [low, high], fmt="none", color="black", capsize=3, lw=1.0)
    for place, floor in zip(places, found.floors, strict=True):
        axes.plot([place - 0.45, place + 0.45], [floor, floor], color=RED, lw=1.4, label=None if place else "floor")
    axes.set_xticks(places, [pool_name(pool) for pool in found.pools], fontsize=9)
    axes.set_ylabel("share of the drawn samples", fontsize=8)
    axes.legend(frameon=False, fontsize=8, ncols=4)
    return save_png(figure)


def draw_responses(found: Ablation) -> bytes:
    """What each pool's share does to each loss, the other pools in the proportions of the chosen recipe."""
    figure, panels = _panels(len(found.models), "What a pool's share does, the others as in the chosen recipe")
    chosen = np.array(found.choice.forecast.weights)
    for axes, (name, model) in zip(panels, found.models.items(), strict=True):
        for place, pool in enumerate(found.pools):
            rest = sum(found.floors) - found.floors[place]
            shares = np.linspace(found.floors[place], 1.0 - rest, _POINTS)
            mean, _ = model.predict(_along(chosen, place, shares))
            axes.plot(shares, np.exp(mean), color=_POOL_COLOURS[place], lw=1.4, label=pool_name(pool))
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("share of the pool", fontsize=8)
    panels[0].set_ylabel("predicted loss", fontsize=8)
    panels[0].legend(frameon=False, fontsize=6)
    return save_png(figure)


def draw_forgetting(found: Ablation) -> bytes:
    """The chosen recipe against text alone, per capability, with intervals."""
    figure, (axes,) = _panels(
        1, "Chosen recipe against text alone", width=8.4, height=0.8 + 0.32 * len(found.comparisons)
    )
    for place, one in enumerate(reversed(found.comparisons)):
        colour, marker = (RED, "X") if one.forgotten else (BLUE, "o")
        below, above = max(one.difference - one.low, 0.0), max(one.high - one.difference, 0.0)
        axes.errorbar([one.difference], [place], xerr=[[below], [above]], fmt=marker, color=colour, capsize=3, lw=1.2)
    axes.axvline(0.0, color=GREY, lw=0.8)
    axes.set_yticks(range(len(found.comparisons)), [one.capability for one in reversed(found.comparisons)], fontsize=9)
    axes.set_xlabel("log of the ratio of losses; right of 0 the recipe is worse", fontsize=8)
    return save_png(figure)


def _along(chosen: Any, place: int, shares: Any) -> Any:  # noqa: ANN401 - arrays
    rest = np.delete(chosen, place)
    rest = rest / rest.sum() if rest.sum() > 0 else np.full(len(rest), 1.0 / len(rest))
    return np.array([np.insert(rest * (1.0 - share), place, share) for share in shares])


def _curves(found: Ablation, names: Sequence[str], of: str, unit: str) -> bytes:
    figure, panels = _panels(len(names), "Held-out loss while training")
    for axes, name in zip(panels, names, strict=True):
        for run in found.of_role("design"):
            axes.plot(*_line(run, of, name), color=PALE, lw=0.6, alpha=0.7)
        for role, label, colour, style in _LINES:
            for turn, run in enumerate(found.of_role(role)):
                axes.plot(*_line(run, of, name), color=colour, ls=style, lw=1.4, label=None if turn else label)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("thousand tokens", fontsize=8)
    panels[0].set_ylabel(unit, fontsize=8)
    panels[0].legend(frameon=False, fontsize=7)
    return save_png(figure)


def _line(run: RunResult, of: str, name: str) -> tuple[list[float], list[float]]:
    losses: list[Mapping[str, float]] = [getattr(point, of) for point in run.curve]
    return [point.tokens / 1_000 for point in run.curve], [loss[name] for loss in losses]


def _panels(count: int, title: str, *, width: float = 0.0, height: float = 0.0) -> "tuple[Figure, list[Axes]]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - import time of the graph
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    columns = min(count, _COLUMNS)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width or 2.35 * columns + 0.4, height or 2.3 * rows + 0.4), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    panels = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
    return figure, panels
