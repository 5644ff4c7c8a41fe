"""Rows of table ``mixture_ablations``: every run as measured and as predicted, and back again to fit anew."""

import numpy as np
import polars as pl

from mm_assets.errors import ReleaseError
from mm_assets.fusion.samples import POOLS
from mm_assets.mixtures.ablation.ablation import Ablation
from mm_assets.mixtures.ablation.capabilities import CAPABILITIES
from mm_assets.mixtures.ablation.choice import Forecast, Objective, importance_of
from mm_assets.mixtures.ablation.regression import TINY, fit_losses, rank_correlation
from mm_assets.mixtures.ablation.shares import shares_by_hand
from mm_assets.policy import AblationPolicy
from mm_assets.schemas import TABLES

OBJECTIVE = "objective"
_AGAINST_TEXT = ("against_text", "against_text_low", "against_text_high")


def ablation_rows(release: str, found: Ablation, policy: AblationPolicy) -> pl.DataFrame:
    """One row per run and capability."""
    weights = np.array([run.plan.weights for run in found.runs])
    predicted = {name: model.interval(weights, policy.confidence) for name, model in found.models.items()}
    rows = [
        {
            "release": release,
            "run": run.plan.name,
            "role": run.plan.role,
            **dict.fromkeys(POOLS, 0.0),
            **dict(zip(found.pools, run.plan.weights, strict=True)),
            "capability": name,
            "loss": run.held_out[name].mean,
            "predicted": float(predicted[name][0][place]),
            "predicted_low": float(predicted[name][1][place]),
            "predicted_high": float(predicted[name][2][place]),
            **_against_text(found, name if run.plan.role == "chosen" else None),
            "held_out": len(run.held_out[name].loss),
            "tokens": run.tokens,
            "seed": run.plan.seed,
        }
        for place, run in enumerate(found.runs)
        for name in found.models
    ]
    table = TABLES["mixture_ablations"]
    return table.conform(pl.DataFrame(rows, schema=table.schema)).sort(table.order_by)


def _against_text(found: Ablation, capability: str | None) -> dict[str, float | None]:
    one = next((one for one in found.comparisons if one.capability == capability), None)
    values = (None, None, None) if one is None else (one.difference, one.low, one.high)
    return dict(zip(_AGAINST_TEXT, values, strict=True))


def rank_correlations(rows: pl.DataFrame, policy: AblationPolicy) -> dict[str, float]:
    """Spearman's coefficient of predicted and measured over the held-out mixtures.

    Args:
        rows: of one release.
        policy: importance of the capabilities in the objective.

    Returns:
        Per capability, and of the ``objective``; empty without held-out mixtures.
    """
    tests = rows.filter(pl.col("role") == "held_out").sort("run", "capability")
    found: dict[str, float] = {}
    for (name,), group in tests.group_by(["capability"], maintain_order=True):
        found[str(name)] = rank_correlation(group["predicted"].to_list(), group["loss"].to_list())
    if not found:
        return {}
    importance = pl.col("capability").replace_strict(
        importance_of(dict(tests.select("capability", "held_out").unique().iter_rows()), policy),
        return_dtype=pl.Float64,
    )
    scores = tests.group_by("run", maintain_order=True).agg(
        (importance * pl.col(name).clip(lower_bound=TINY).log()).sum().alias(name) for name in ("predicted", "loss")
    )
    return found | {OBJECTIVE: rank_correlation(scores["predicted"].to_list(), scores["loss"].to_list())}


def recipe_rows(release: str, found: Ablation) -> pl.DataFrame:
    """The chosen recipe as rows of table ``recipes``."""
    table = TABLES["recipes"]
    shares = zip(found.pools, found.choice.forecast.weights, strict=True)
    rows = [{"release": release, "pool": pool, "weight": share, "origin": "ablation"} for pool, share in shares]
    return table.conform(pl.DataFrame(rows, schema=table.schema)).sort(table.order_by)


def forecast_of(rows: pl.DataFrame, by_hand: dict[str, float], policy: AblationPolicy) -> Forecast:
    """What an ablation that was run before expects of a recipe.

    Args:
        rows: its rows of table ``mixture_ablations``.
        by_hand: share per pool.
        policy: objective and confidence.

    Raises:
        ReleaseError: there are no rows, or the recipe gives a share to a pool that had no samples.
    """
    design = rows.filter(pl.col("role") == "design").sort("run", "capability")
    if design.is_empty():
        raise ReleaseError("no ablation was run for this release; run mm ablate first, without --weight")
    pools = [pool for pool in POOLS if design[pool].sum() > 0]
    shares = shares_by_hand(by_hand, pools)
    if shares is None:
        raise ReleaseError("the recipe by hand is empty; give --weight POOL=SHARE for every pool")
    present = set(design["capability"])
    names = [name for name in CAPABILITIES if name in present]
    by_name = {name: design.filter(pl.col("capability") == name) for name in names}
    weights = by_name[names[0]].select(pools).to_numpy()
    models = fit_losses(weights, {name: frame["loss"].to_numpy() for name, frame in by_name.items()})
    delivered = rows.filter(pl.col("role") == "as_delivered").select(pools).row(0)
    held_out = {name: int(frame["held_out"][0]) for name, frame in by_name.items()}
    return Objective(models, held_out, delivered, policy).forecast(shares)
