"""The report of an ablation as one page that needs nothing beside it."""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from mm_assets.mixtures.ablation.ablation import Ablation
from mm_assets.mixtures.ablation.capabilities import MEANINGS
from mm_assets.mixtures.ablation.choice import Interval
from mm_assets.mixtures.ablation.figures import (
    draw_capability_curves,
    draw_forgetting,
    draw_modality_curves,
    draw_predictions,
    draw_recipe,
    draw_responses,
    pool_name,
)
from mm_assets.policy import AblationPolicy

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1240px;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #ddd;padding-bottom:.2rem}
table{border-collapse:collapse;margin:.6rem 0;font-size:14px}td,th{padding:.25rem .7rem;border-bottom:1px solid #e5e5e5}
th{text-align:left;font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
td.n{white-space:nowrap}
img{max-width:100%;height:auto;display:block;margin:.8rem 0}.said{font-size:1.05rem}
.bad{color:#a33b00;font-weight:600}.good{color:#00664a;font-weight:600}.wide{overflow-x:auto}
p.note{color:#555;font-size:13.5px;max-width:62rem}
"""


_CODES_NOTE: Final = "<p class='note'>Codes are tokens like any other here: a picture's loss is that of its codes.</p>"


def write_page(release: str, found: Ablation, policy: AblationPolicy) -> str:
    """The whole page: what was chosen, how far to trust it, and every run.

    The same ablation gives the same page; it holds no clock and no path.

    Args:
        release: the release the recipe is for.
        found: the ablation.
        policy: what it ran under.
    """
    parts = [
        _head(release),
        _summary(found, policy),
        "<h2>The recipe</h2>",
        _picture(draw_recipe(found), "shares of the pools"),
        _recipes(found, policy),
        _responses(found),
        "<h2>How well held-out mixtures were predicted</h2>",
        _trust(found, policy),
        _picture(draw_predictions(found), "predicted against measured"),
        "<h2>What text alone does better</h2>",
        _forgetting(found),
        "<h2>Loss curves per capability</h2>",
        _picture(draw_capability_curves(found), "loss per capability while training"),
        "<h2>Loss curves per modality</h2>",
        _picture(draw_modality_curves(found), "loss per modality while training"),
        _CODES_NOTE,
        "<h2>Every run</h2>",
        _runs(found),
        "<h2>What was measured</h2>",
        _capabilities(found),
        "</body></html>\n",
    ]
    return "".join(parts)


def _head(release: str) -> str:
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Mixture of {_text(release)}</title>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<style>{_STYLE}</style></head><body><h1>Mixture of release {_text(release)}, by ablation</h1>"
    )


def summarize(found: Ablation) -> str:
    """The recipe and its expected gain in one sentence."""
    shares = ", ".join(f"{pool_name(pool)} {share:.1%}" for pool, share in _shares(found))
    gain, measured = found.choice.forecast.objective, found.measured_objective["chosen"]
    return (
        f"{shares}: losses {_percent(gain.value)} against the pools as delivered ({_percent(gain.low)} to "
        f"{_percent(gain.high)} expected on average over runs, {_percent(measured)} measured)"
    )


def _shares(found: Ablation) -> list[tuple[str, float]]:
    return list(zip(found.pools, found.choice.forecast.weights, strict=True))


def _summary(found: Ablation, policy: AblationPolicy) -> str:
    forgotten = ", ".join(found.forgotten)
    told = (
        f"<span class='bad'>Worse than text alone: {_text(forgotten)}.</span>"
        if forgotten
        else "<span class='good'>No capability is worse than with text alone.</span>"
        if found.comparisons
        else "There is no text pool to compare with."
    )
    tokens = sum(run.tokens for run in found.runs)
    return (
        f"<p class='said'>Chosen: {_text(summarize(found))}. {told}</p>"
        f"<p class='note'>{len(found.runs)} proxies ({_text(found.trainer)}, on {found.device}) saw "
        f"{policy.tokens_per_run:,} tokens each, {tokens:,} in all. A share is that of the drawn samples; of a sample "
        f"longer than {policy.context_tokens} tokens one window is drawn at a time. Every run starts from the same "
        "weights and differs in what is drawn. These are small models on a small budget: they rank mixtures, they do "
        "not foretell the losses of a large model.</p>"
    )


def _recipes(found: Ablation, policy: AblationPolicy) -> str:
    rows: list[list[str]] = []
    for place, pool in enumerate(found.pools):
        one = found.choice.shares[place]
        rows.append(
            [
                pool_name(pool),
                f"{found.floors[place]:.1%}",
                f"{found.as_delivered[place]:.1%}",
                f"{found.by_hand.weights[place]:.1%}" if found.by_hand else "-",
                f"{one.value:.1%}",
                f"{one.low:.1%} to {one.high:.1%}",
            ]
        )
    shares = _table(["pool", "floor", "as delivered", "by hand", "chosen", "where the best may lie"], rows, numbers=5)
    gains: list[list[str]] = []
    for label, forecast, role in (
        ("chosen", found.choice.forecast, "chosen"),
        ("by hand", found.by_hand, "by_hand"),
        ("as delivered", found.delivered, ""),
    ):
        if forecast is not None:
            one = forecast.objective
            measured = found.measured_objective.get(role)
            gains.append(
                [
                    label,
                    *((_percent(one.value), f"{_percent(one.low)} to {_percent(one.high)}") if role else ("0", "-")),
                    "0 by definition" if not role else _percent(measured) if measured is not None else "-",
                ]
            )
    note = (
        "<p class='note'>The objective is the mean of the logarithms of the losses against those of the pools as "
        "delivered, each capability weighted by its importance; below 0 is better. Intervals are of "
        f"{policy.confidence:.0%}. The chosen recipe beats the pools as delivered with a probability of "
        f"{found.choice.chance_better:.2f}, as the fitted losses see it.</p>"
    )
    gained = _table(["recipe", "objective, expected", "interval", "measured"], gains, numbers=3)
    return shares + note + gained + _forecasts(found)


def _forecasts(found: Ablation) -> str:
    recipes = [("as delivered", found.delivered), ("chosen", found.choice.forecast)]
    if found.by_hand is not None:
        recipes.insert(1, ("by hand", found.by_hand))
    measured = {"chosen": found.of_role("chosen"), "by hand": found.of_role("by_hand")}
    measured["as delivered"] = found.of_role("as_delivered")
    head = ["predicted loss"] + [f"{label}{kind}" for label, _ in recipes for kind in ("", ", measured")]
    rows: list[list[str]] = []
    for name in found.models:
        row = [name]
        for label, forecast in recipes:
            row.append(_interval(forecast.losses[name]))
            row.append(f"{np.mean([run.held_out[name].mean for run in measured[label]]):.3f}")
        rows.append(row)
    return _table(head, rows, numbers=len(head) - 1)


def _responses(found: Ablation) -> str:
    return _picture(draw_responses(found), "predicted loss by the share of each pool")


def _trust(found: Ablation, policy: AblationPolicy) -> str:
    judged = found.prediction
    good = min(judged.objective, judged.median) >= policy.min_rank_correlation
    rows = [
        [
            name,
            f"{value:.2f}",
            found.models[name].form,
            f"{found.models[name].left_out_error:.1%}",
            f"{found.models[name].noise:.1%}",
        ]
        for name, value in judged.capabilities.items()
    ]
    return (
        f"<p class='{'good' if good else 'bad'}'>Rank correlation over {judged.mixtures} mixtures never fitted: "
        f"{judged.objective:.2f} for the objective, {judged.median:.2f} for a capability at the median, "
        f"{min(judged.capabilities.values()):.2f} at the least; {policy.min_rank_correlation:.2f} is asked for.</p>"
        f"<p class='note'>{judged.covered:.0%} of the measured losses lie inside their interval of "
        f"{policy.confidence:.0%}. Which form a capability was fitted in was decided by the design runs alone, each "
        "predicted by the others.</p>"
        + _table(
            [
                "capability",
                "rank correlation",
                "form in the log shares",
                "error of left-out runs",
                "noise between runs",
            ],
            rows,
            numbers=4,
        )
    )


def _forgetting(found: Ablation) -> str:
    if not found.comparisons:
        return "<p>No samples of plain text were there to train on alone.</p>"
    rows = [
        [
            one.capability,
            f"{one.loss:.3f}",
            f"{one.text_only:.3f}",
            _percent(one.difference),
            f"{_percent(one.low)} to {_percent(one.high)}",
            ("worse" if one.forgotten else "not worse") + (f"; only {one.groups} groups" if one.few else ""),
        ]
        for one in found.comparisons
    ]
    return (
        _picture(draw_forgetting(found), "chosen recipe against text alone")
        + _table(["capability", "chosen", "text only", "difference", "interval", "verdict"], rows, numbers=5)
        + "<p class='note'>Text-only proxies saw as many tokens, all of plain text, so that having less text to learn "
        "from counts as forgetting too. Intervals are over held-out groups and runs.</p>"
    )


def _runs(found: Ablation) -> str:
    names = list(found.models)
    head = ["run", *(pool_name(pool) for pool in found.pools), *names, "R@1"]
    rows = [
        [
            run.plan.name,
            *(f"{share:.3f}" for share in run.plan.weights),
            *(f"{run.held_out[name].mean:.3f}" for name in names),
            "-" if run.recall_at_1 is None else f"{run.recall_at_1:.2f}",
        ]
        for run in found.runs
    ]
    return f"<div class='wide'>{_table(head, rows, numbers=len(head) - 1)}</div>"


def _capabilities(found: Ablation) -> str:
    rows = [
        [name, MEANINGS[name], f"{found.importance[name]:.1%}", *(str(count) for count in found.held_out[name])]
        for name in found.models
    ]
    few = [name for name in found.models if not found.importance[name]]
    missing = [name for name in MEANINGS if name not in found.models]
    why = "Not measured, for want of samples of two groups"
    told = f"<p class='note'>{why}: {', '.join(missing)}.</p>" if missing else ""
    if few:
        told += f"<p class='note'>Without a part in the objective: {', '.join(few)}.</p>"
    return _table(["capability", "loss of", "importance", "held-out samples", "groups"], rows, numbers=3) + told


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int) -> str:
    """A table whose last columns are numbers."""
    first = len(head) - numbers

    def cells(values: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if place >= first else ''}>{_text(value)}</{tag}>" for place, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{cells(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _picture(png: bytes, caption: str) -> str:
    return f"<img alt='{_text(caption)}' src='data:image/png;base64,{base64.b64encode(png).decode()}'>"


def _interval(one: Interval) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _percent(log_ratio: float) -> str:
    return f"{np.expm1(log_ratio):+.1%}"


def _text(value: str) -> str:
    return html.escape(value, quote=True)
