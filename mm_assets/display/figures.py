"""What every figure shares: colours, axes, PNG bytes, and the history of a gate over batches.

Colours are those of Okabe and Ito, which people with any kind of colour vision tell apart; what fails also has a shape
of its own.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
RED: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
GREY: Final = "#777777"
PALE: Final = "#BBBBBB"
_DPI: Final = 100
_MAX_BINS: Final = 40
_MIN_BINS: Final = 12
_MAX_BATCHES: Final = 60
_HALF_BATCH: Final = 0.38


@dataclass(frozen=True)
class History:
    """What a history is of.

    Attributes:
        title: above the figure.
        measured: of the vertical axis.
        chance: label of what chance reaches.
        value: column of the measured value; batches without a finite one are left out.
        low: column of its interval's lower end.
        high: column of the upper end.
        nothing: what to say without any batch.
    """

    title: str
    measured: str
    chance: str
    value: str
    low: str
    high: str
    nothing: str


def open_figure(*, width: float, height: float, title: str) -> "tuple[Figure, Axes]":
    """An empty figure, inches, with a title."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - a fifth of the graph's import time
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save_png(figure: "Figure") -> bytes:
    """The figure, as a PNG without a date or a version in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def say(axes: "Axes", text: str) -> None:
    """Write why there is nothing to draw."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()


def common_edges(samples: Sequence[Any], size: int) -> list[float]:
    """Bin edges over all the samples, none of them empty, as many as suit a sample of this size."""
    bins = int(np.clip(2.0 * np.sqrt(size), _MIN_BINS, _MAX_BINS))
    low, high = min(float(values.min()) for values in samples), max(float(values.max()) for values in samples)
    return np.linspace(low - 1e-6, high + 1e-6, bins + 1).tolist()


def draw_history(rows: pl.DataFrame, history: History) -> bytes:
    """The measured value of each batch with its interval, beside what it had to reach and what chance reaches.

    Args:
        rows: rows of a gate's measurement table in the order to show, with ``batch``, ``passed``, ``baseline`` and
            ``null_mean``; the last 60 that could be measured are drawn.
        history: what is drawn.

    Returns:
        A PNG.
    """
    shown = rows.filter(pl.col(history.value).is_finite()).tail(_MAX_BATCHES).to_dicts()
    figure, axes = open_figure(width=max(4.8, 1.6 + 0.42 * len(shown)), height=3.8, title=history.title)
    if not shown:
        say(axes, history.nothing)
        return save_png(figure)
    for passed, colour, marker, label in ((True, BLUE, "o", "passed"), (False, RED, "X", "failed")):
        chosen = [place for place, row in enumerate(shown) if row["passed"] == passed]
        if chosen:
            values, below, above = _bars([shown[place] for place in chosen], history)
            axes.errorbar(chosen, values, [below, above], fmt=marker, color=colour, capsize=3, lw=1.2, label=label)
    for place, row in enumerate(shown):
        span = [place - _HALF_BATCH, place + _HALF_BATCH]
        axes.plot(span, [row["baseline"]] * 2, color=ORANGE, lw=1.6, label=None if place else "required")
        axes.plot(span, [row["null_mean"]] * 2, color=GREY, ls=":", lw=1.6, label=None if place else history.chance)
    axes.set_xticks(range(len(shown)), [row["batch"] for row in shown], rotation=40, ha="right", fontsize=8)
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_ylim(0.0, 1.02)
    axes.set_ylabel(history.measured)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1)
    axes.set_title(history.title, fontsize=10, pad=20, loc="left")
    return save_png(figure)


def _bars(rows: Sequence[Mapping[str, Any]], history: History) -> tuple[Any, Any, Any]:
    values, low, high = (np.array([row[name] for row in rows]) for name in (history.value, history.low, history.high))
    return values, values - low, high - values
