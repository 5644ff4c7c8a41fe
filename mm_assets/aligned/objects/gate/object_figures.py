"""Pictures of the object gate, as PNG bytes."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from mm_assets.aligned.objects.gate.object_verdict import ObjectVerdict
from mm_assets.display.counts import tell_count
from mm_assets.display.figures import (
    BLUE,
    GREEN,
    GREY,
    PALE,
    PURPLE,
    RED,
    History,
    common_edges,
    draw_history,
    open_figure,
    save_png,
    say,
)

_HISTORY: Final = History(
    title="Region R@1 by batch",
    measured="region R@1",
    chance="permuted labels",
    value="region_r1",
    low="region_low",
    high="region_high",
    nothing="no batch with labelled boxes",
)
_MAX_HYPOTHESES: Final = 16


def draw_region_similarities(verdict: ObjectVerdict) -> bytes:
    """Histogram of the similarity of crops and their labels: as given, mirrored, and with the named fault undone.

    Returns:
        A PNG.
    """
    figure, axes = open_figure(width=6.4, height=3.6, title="Similarity of crops and labels")
    name = verdict.diagnosis.hypothesis if verdict.diagnosis else ""
    mirrored = verdict.mirrored if name != "mirror_x" else np.zeros(0)
    drawn = (
        (verdict.mismatched, f"labels of other boxes ({tell_count(len(verdict.mismatched), 'pair')})", GREY, "-"),
        (verdict.given, f"as given ({tell_count(len(verdict.given), 'box', 'boxes')})", BLUE, "-"),
        (mirrored, f"mirrored ({tell_count(len(mirrored), 'box', 'boxes')})", PURPLE, ":"),
        (verdict.restored, f"{name} undone ({tell_count(len(verdict.restored), 'box', 'boxes')})", RED, "--"),
    )
    present = [values for values, *_ in drawn if len(values)]
    if not present:
        say(axes, "no crop was encoded")
        return save_png(figure)
    edges = common_edges(present, len(verdict.given))
    for values, label, colour, line in drawn:
        if len(values):
            filled: dict[str, Any] = {"alpha": 0.4} if colour == GREY else {"histtype": "step", "lw": 1.8, "ls": line}
            axes.hist(values, edges, density=True, color=colour, label=label, **filled)
    axes.set_xlabel("cosine similarity of crop and label")
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=8)
    return save_png(figure)


def draw_region_history(rows: pl.DataFrame) -> bytes:
    """Region R@1 of each batch with its interval, beside what it had to reach and what permuted labels reach.

    Args:
        rows: rows of ``object_recall`` in the order to show; the last 60 that could be measured are drawn.

    Returns:
        A PNG.
    """
    return draw_history(rows, _HISTORY)


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
    figure, axes = open_figure(width=6.4, height=1.3 + 0.24 * max(len(evidence), 2), title=title)
    if not evidence:
        say(axes, "not judged: too few labelled boxes")
        return save_png(figure)
    places = list(range(len(evidence) - 1, -1, -1))
    ratios = [float(item["likelihood_ratio"]) for item in evidence]
    named = None if diagnosis["code"] is None else diagnosis["kind"]
    colours = [GREEN if str(item["hypothesis"]).split("(", 1)[0] == named else PALE for item in evidence]
    axes.barh(places, ratios, color=colours, height=0.72)
    for place, ratio, item in zip(places, ratios, evidence, strict=True):
        proven = f", p {item['p_value']:.2g}" if item["p_value"] < 1.0 else ""
        axes.text(max(ratio, 0.0), place, f" {ratio:.1f}{proven}", va="center", fontsize=7.5)
    axes.set_yticks(places, [str(item["hypothesis"]) for item in evidence], fontsize=8)
    axes.axvline(0.0, color=GREY, lw=0.8)
    axes.set_xlim(min(0.0, *ratios) * 1.1, max(1.0, *ratios) * 1.25)
    axes.set_xlabel("log likelihood ratio over the boxes as given" + ("" if named is None else "; green: named"))
    return save_png(figure)
