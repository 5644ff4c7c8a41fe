"""Pictures of the object gate, as PNG bytes.

Colours are those of Okabe and Ito, which people with any kind of colour vision tell apart; what fails also has a shape
of its own.
"""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from mm_assets.aligned.objects.gate.object_verdict import ObjectVerdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE: Final = "#0072B2"
_ORANGE: Final = "#E69F00"
_RED: Final = "#D55E00"
_GREEN: Final = "#009E73"
_PURPLE: Final = "#CC79A7"
_GREY: Final = "#777777"
_DPI: Final = 100
_MAX_BINS: Final = 40
_MIN_BINS: Final = 12
_MAX_BATCHES: Final = 60
_HALF_BATCH: Final = 0.38
_MAX_HYPOTHESES: Final = 16


def draw_region_similarities(verdict: ObjectVerdict) -> bytes:
    """Histogram of the similarity of crops and their labels: as given, mirrored, and with the named fault undone.

    Returns:
        A PNG.
    """
    figure, axes = _open(width=6.4, height=3.6, title="Similarity of crops and labels")
    name = verdict.diagnosis.hypothesis if verdict.diagnosis else ""
    mirrored = verdict.mirrored if name != "mirror_x" else np.zeros(0)
    drawn = (
        (verdict.mismatched, f"labels of other boxes ({len(verdict.mismatched)} pairs)", _GREY, "-"),
        (verdict.given, f"as given ({len(verdict.given)} boxes)", _BLUE, "-"),
        (mirrored, f"mirrored ({len(mirrored)} boxes)", _PURPLE, ":"),
        (verdict.restored, f"{name} undone ({len(verdict.restored)} boxes)", _RED, "--"),
    )
    present = [values for values, *_ in drawn if len(values)]
    if not present:
        _say(axes, "no crop was encoded")
        return _save(figure)
    bins = int(np.clip(2.0 * np.sqrt(len(verdict.given)), _MIN_BINS, _MAX_BINS))
    low, high = min(float(v.min()) for v in present), max(float(v.max()) for v in present)
    edges = np.linspace(low - 1e-6, high + 1e-6, bins + 1)
    for values, label, colour, line in drawn:
        if len(values):
            filled: dict[str, Any] = {"alpha": 0.4} if colour == _GREY else {"histtype": "step", "lw": 1.8, "ls": line}
            axes.hist(values, edges.tolist(), density=True, color=colour, label=label, **filled)
    axes.set_xlabel("cosine similarity of crop and label")
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=8)
    return _save(figure)


def draw_region_history(rows: pl.DataFrame) -> bytes:
    """Region R@1 of each batch with its interval, beside what it had to reach and what permuted labels reach.

    Args:
        rows: rows of ``object_recall`` in the order to show; the last 60 that could be measured are drawn.

    Returns:
        A PNG.
    """
    shown = rows.filter(pl.col("region_r1").is_finite()).tail(_MAX_BATCHES).to_dicts()
    figure, axes = _open(width=max(4.8, 1.6 + 0.42 * len(shown)), height=3.8, title="Region R@1 by batch")
    if not shown:
        _say(axes, "no batch with labelled boxes")
        return _save(figure)
    for passed, colour, marker, label in ((True, _BLUE, "o", "passed"), (False, _RED, "X", "failed")):
        chosen = [place for place, row in enumerate(shown) if row["passed"] == passed]
        values = np.array([shown[place]["region_r1"] for place in chosen])
        below = values - [shown[place]["region_low"] for place in chosen]
        above = np.array([shown[place]["region_high"] for place in chosen]) - values
        if chosen:
            axes.errorbar(chosen, values, [below, above], fmt=marker, color=colour, capsize=3, lw=1.2, label=label)
    for place, row in enumerate(shown):
        span = [place - _HALF_BATCH, place + _HALF_BATCH]
        axes.plot(span, [row["baseline"]] * 2, color=_ORANGE, lw=1.6, label=None if place else "required")
        axes.plot(span, [row["null_mean"]] * 2, color=_GREY, ls=":", lw=1.6, label=None if place else "permuted labels")
    axes.set_xticks(range(len(shown)), [row["batch"] for row in shown], rotation=40, ha="right", fontsize=8)
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_ylim(0.0, 1.02)
    axes.set_ylabel("region R@1")
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1)
    axes.set_title("Region R@1 by batch", fontsize=10, pad=20, loc="left")
    return _save(figure)


def draw_fault_evidence(diagnosis: Mapping[str, Any]) -> bytes:
    """Log likelihood ratio of the hypotheses with the most evidence, the named one marked.

    Args:
        diagnosis: a verdict's ``diagnosis_json``.

    Returns:
        A PNG.
    """
    weighed: list[Mapping[str, Any]] = list(diagnosis.get("evidence", ()))[1:]
    evidence = sorted(weighed, key=lambda item: -float(item["likelihood_ratio"]))[:_MAX_HYPOTHESES]
    title = "Evidence against the boxes as given"
    figure, axes = _open(width=6.4, height=1.3 + 0.24 * max(len(evidence), 2), title=title)
    if not evidence:
        _say(axes, "not judged: too few labelled boxes")
        return _save(figure)
    places = list(range(len(evidence) - 1, -1, -1))
    ratios = [float(item["likelihood_ratio"]) for item in evidence]
    named = None if diagnosis["code"] is None else diagnosis["kind"]
    colours = [_GREEN if str(item["hypothesis"]).split("(", 1)[0] == named else "#BBBBBB" for item in evidence]
    axes.barh(places, ratios, color=colours, height=0.72)
    for place, ratio, item in zip(places, ratios, evidence, strict=True):
        proven = f", p {item['p_value']:.2g}" if item["p_value"] < 1.0 else ""
        axes.text(max(ratio, 0.0), place, f" {ratio:.1f}{proven}", va="center", fontsize=7.5)
    axes.set_yticks(places, [str(item["hypothesis"]) for item in evidence], fontsize=8)
    axes.axvline(0.0, color=_GREY, lw=0.8)
    axes.set_xlim(min(0.0, *ratios) * 1.1, max(1.0, *ratios) * 1.25)
    axes.set_xlabel("log likelihood ratio over the boxes as given" + ("" if named is None else "; green: named"))
    return _save(figure)


def _say(axes: "Axes", text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()


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
