"""Pictures of the recall gate, as PNG bytes.

Colours are those of Okabe and Ito, which people with any kind of colour vision tell apart; what fails also has a shape
of its own.
"""

import io
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from mm_assets.gates.recall_verdict import RecallVerdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE: Final = "#0072B2"
_ORANGE: Final = "#E69F00"
_RED: Final = "#D55E00"
_GREEN: Final = "#009E73"
_GREY: Final = "#777777"
_DPI: Final = 100
_MAX_BINS: Final = 40
_MIN_BINS: Final = 12
_MAX_BATCHES: Final = 60
_HALF_BATCH: Final = 0.38
_MAX_HYPOTHESES: Final = 16
_NAME_CHARACTERS: Final = 44


def draw_similarities(verdict: RecallVerdict) -> bytes:
    """Histogram of the similarity of delivered pairs against that of pairs not delivered together.

    Returns:
        A PNG.
    """
    figure, axes = _open(width=6.4, height=3.4, title="Similarity of pairs")
    matched, mismatched, restored = verdict.matched, verdict.mismatched, verdict.restored
    present = [values for values in (matched, mismatched, restored) if len(values)]
    if not present:
        _say(axes, "no image-caption pairs")
        return _save(figure)
    bins = int(np.clip(2.0 * np.sqrt(len(matched)), _MIN_BINS, _MAX_BINS))
    edges = np.linspace(min(v.min() for v in present) - 1e-6, max(v.max() for v in present) + 1e-6, bins + 1)
    axes.hist(mismatched, edges, density=True, color=_GREY, alpha=0.45, label="other captions of the batch")
    axes.hist(matched, edges, density=True, histtype="step", lw=1.8, color=_BLUE, label="as delivered")
    if len(restored):
        axes.hist(restored, edges, density=True, histtype="step", lw=1.8, ls="--", color=_RED, label="once restored")
    axes.set_xlabel("cosine similarity of image and caption")
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=8)
    return _save(figure)


def draw_recall_history(rows: pl.DataFrame) -> bytes:
    """R@1 of each batch with its interval, beside what it had to reach and what random pairing reaches.

    Args:
        rows: rows of ``image_text_recall`` in the order to show; the last 60 that could be measured are drawn.

    Returns:
        A PNG.
    """
    shown = rows.filter(pl.col("recall_at_1").is_finite()).tail(_MAX_BATCHES).to_dicts()
    title = "R@1 by batch"
    figure, axes = _open(width=max(4.8, 1.6 + 0.42 * len(shown)), height=3.8, title=title)
    if not shown:
        _say(axes, "no batch with image-caption pairs")
        return _save(figure)
    for passed, colour, marker, label in ((True, _BLUE, "o", "passed"), (False, _RED, "X", "failed")):
        chosen = [place for place, row in enumerate(shown) if row["passed"] == passed]
        values = np.array([shown[place]["recall_at_1"] for place in chosen])
        below = values - [shown[place]["recall_low"] for place in chosen]
        above = np.array([shown[place]["recall_high"] for place in chosen]) - values
        if chosen:
            axes.errorbar(chosen, values, [below, above], fmt=marker, color=colour, capsize=3, lw=1.2, label=label)
    for place, row in enumerate(shown):
        span = [place - _HALF_BATCH, place + _HALF_BATCH]
        axes.plot(span, [row["baseline"]] * 2, color=_ORANGE, lw=1.6, label=None if place else "required")
        axes.plot(span, [row["null_mean"]] * 2, color=_GREY, ls=":", lw=1.6, label=None if place else "random pairing")
    axes.set_xticks(range(len(shown)), [row["batch"] for row in shown], rotation=40, ha="right", fontsize=8)
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_ylim(0.0, 1.02)
    axes.set_ylabel("R@1, both directions")
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1)
    axes.set_title(title, fontsize=10, pad=20, loc="left")
    return _save(figure)


def draw_hypotheses(verdict: RecallVerdict) -> bytes:
    """Restored R@1 of every hypothesis, the named one marked.

    Returns:
        A PNG.
    """
    diagnosis = verdict.diagnosis
    evidence = diagnosis.evidence if diagnosis else ()
    known = [(item, item.recall) for item in evidence if item.recall is not None][:_MAX_HYPOTHESES]
    title = "What undoing each hypothesis restores"
    figure, axes = _open(width=6.4, height=1.3 + 0.24 * max(len(known), 2), title=title)
    if diagnosis is None or not known:
        _say(axes, "not judged: too few pairs")
        return _save(figure)
    places = range(len(known) - 1, -1, -1)
    named = diagnosis.best.hypothesis
    colours = [_colour(item.hypothesis, named) for item, _ in known]
    axes.barh(places, [recall for _, recall in known], color=colours, height=0.72)
    for place, (item, recall) in zip(places, known, strict=True):
        significant = item.p_value is not None and item.p_value < 1.0
        axes.text(
            recall + 0.01,
            place,
            f"{recall:.2f}, p {item.p_value:.1g}" if significant else f"{recall:.2f}",
            va="center",
            fontsize=7.5,
        )
    axes.set_yticks(places, [_shorten(item.hypothesis) for item, _ in known], fontsize=8)
    axes.axvline(verdict.required, color=_ORANGE, lw=1.4, label="required")
    axes.axvline(verdict.null.mean, color=_GREY, ls=":", lw=1.4, label="random pairing")
    axes.set_xlim(0.0, max(verdict.required, 0.1, *(recall for _, recall in known)) * 1.35)
    axes.set_xlabel("R@1 once the hypothesis is undone")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return _save(figure)


def _say(axes: "Axes", text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()


def _colour(hypothesis: str, named: str | None) -> str:
    if hypothesis == "as delivered":
        return _BLUE
    return _GREEN if hypothesis == named else "#BBBBBB"


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"


def _open(*, width: float, height: float, title: str) -> "tuple[Figure, Axes]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - a fifth of the graph's import time
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
