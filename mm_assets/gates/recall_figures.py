"""Pictures of the recall gate, as PNG bytes."""

from typing import Final

import polars as pl

from mm_assets.display.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    RED,
    History,
    common_edges,
    draw_history,
    open_figure,
    save_png,
    say,
)
from mm_assets.gates.recall_verdict import RecallVerdict

_HISTORY: Final = History(
    title="R@1 by batch",
    measured="R@1, both directions",
    chance="random pairing",
    value="recall_at_1",
    low="recall_low",
    high="recall_high",
    nothing="no batch with image-caption pairs",
)
_MAX_HYPOTHESES: Final = 16
_NAME_CHARACTERS: Final = 44


def draw_similarities(verdict: RecallVerdict) -> bytes:
    """Histogram of the similarity of delivered pairs against that of pairs not delivered together.

    Returns:
        A PNG.
    """
    figure, axes = open_figure(width=6.4, height=3.4, title="Similarity of pairs")
    matched, mismatched, restored = verdict.matched, verdict.mismatched, verdict.restored
    present = [values for values in (matched, mismatched, restored) if len(values)]
    if not present:
        say(axes, "no image-caption pairs")
        return save_png(figure)
    edges = common_edges(present, len(matched))
    axes.hist(mismatched, edges, density=True, color=GREY, alpha=0.45, label="other captions of the batch")
    axes.hist(matched, edges, density=True, histtype="step", lw=1.8, color=BLUE, label="as delivered")
    if len(restored):
        axes.hist(restored, edges, density=True, histtype="step", lw=1.8, ls="--", color=RED, label="once restored")
    axes.set_xlabel("cosine similarity of image and caption")
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=8)
    return save_png(figure)


def draw_recall_history(rows: pl.DataFrame) -> bytes:
    """R@1 of each batch with its interval, beside what it had to reach and what random pairing reaches.

    Args:
        rows: rows of ``image_text_recall`` in the order to show; the last 60 that could be measured are drawn.

    Returns:
        A PNG.
    """
    return draw_history(rows, _HISTORY)


def draw_hypotheses(verdict: RecallVerdict) -> bytes:
    """Restored R@1 of every hypothesis, the named one marked.

    Returns:
        A PNG.
    """
    diagnosis = verdict.diagnosis
    evidence = diagnosis.evidence if diagnosis else ()
    known = [(item, item.recall) for item in evidence if item.recall is not None][:_MAX_HYPOTHESES]
    title = "What undoing each hypothesis restores"
    figure, axes = open_figure(width=6.4, height=1.3 + 0.24 * max(len(known), 2), title=title)
    if diagnosis is None or not known:
        say(axes, "not judged: too few pairs")
        return save_png(figure)
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
    axes.axvline(verdict.required, color=ORANGE, lw=1.4, label="required")
    axes.axvline(verdict.null.mean, color=GREY, ls=":", lw=1.4, label="random pairing")
    axes.set_xlim(0.0, max(verdict.required, 0.1, *(recall for _, recall in known)) * 1.35)
    axes.set_xlabel("R@1 once the hypothesis is undone")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return save_png(figure)


def _colour(hypothesis: str, named: str | None) -> str:
    if hypothesis == "as delivered":
        return BLUE
    return GREEN if hypothesis == named else PALE


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"
