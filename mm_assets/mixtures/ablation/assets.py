"""The asset that mixes by ablation."""

import re
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.display.metadata import picture, rows_table, table_metadata
from mm_assets.errors import ReleaseError
from mm_assets.gates.guard import mark_run
from mm_assets.mixtures.ablation.ablation import Ablation, ablate
from mm_assets.mixtures.ablation.figures import draw_predictions, draw_recipe
from mm_assets.mixtures.ablation.interfaces import RunResult
from mm_assets.mixtures.ablation.lake_corpus import read_corpus
from mm_assets.mixtures.ablation.page import summarize, write_page
from mm_assets.mixtures.ablation.rows import ablation_rows, recipe_rows
from mm_assets.mixtures.exclusions import exclusions
from mm_assets.mixtures.selection import validate_release_id
from mm_assets.partitions import releases
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.policy_file import PolicyFile
from resources.proxy_model import ProxyModel

GROUP = "mixtures"
PROGRESS = re.compile(r"proxy (?P<done>\d+) of (?P<count>\d+)")
"""How a run tells that another proxy is trained."""


@dg.asset(
    group_name=GROUP,
    partitions_def=releases,
    deps=[dg.AssetDep("fusion_samples", partition_mapping=dg.AllPartitionMapping())],
    kinds={"deltalake", "torch"},
    description=TABLES["mixture_ablations"].grain,
)
def mixture_ablations(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    policy_file: PolicyFile,
    proxy: ProxyModel,
) -> dg.MaterializeResult:
    """One row per proxy and capability; the chosen recipe goes to table ``recipes``, the report beside the tables."""
    mark_run(context)
    release, policy = validate_release_id(context.partition_key), policy_file.policy

    def tell(done: int, count: int, run: RunResult) -> None:
        context.log.info("proxy %d of %d: %s, %.1f s", done, count, run.plan.name, run.seconds)

    try:
        corpus, delivered = read_corpus(lake, exclusions(holds), policy)
        found = ablate(
            corpus,
            proxy.trainer(policy.ablation),
            floors=policy.mixtures.floors,
            delivered=delivered,
            by_hand={**policy.mixtures.weights},
            policy=policy.ablation,
            told=tell,
        )
    except ReleaseError as error:
        raise dg.Failure(description=f"release {release!r}: {error}", allow_retries=False) from error
    rows = ablation_rows(release, found, policy.ablation)
    path = report_path(release)
    lake.files.put_bytes(path, write_page(release, found, policy.ablation).encode())
    written = lake.replace("mixture_ablations", release, rows)
    lake.replace("recipes", release, recipe_rows(release, found))
    return dg.MaterializeResult(
        metadata={
            **_describe(found),
            "report": dg.MetadataValue.path(f"{lake.root.rstrip('/')}/{path}"),
            **table_metadata("mixture_ablations", written.rows, rows.head(8), written.version),
        }
    )


def report_path(release: str) -> str:
    """Where the report of a release lies in the lake."""
    return f"reports/{release}/mixture.html"


def _describe(found: Ablation) -> dict[str, Any]:
    judged = found.prediction
    return {
        "chosen": summarize(found),
        "recipe": rows_table(
            [
                {
                    "pool": pool,
                    "floor": found.floors[place],
                    "as_delivered": found.as_delivered[place],
                    "by_hand": found.by_hand.weights[place] if found.by_hand else None,
                    "chosen": one.value,
                    "low": one.low,
                    "high": one.high,
                }
                for place, (pool, one) in enumerate(zip(found.pools, found.choice.shares, strict=True))
            ],
            ("pool", "floor", "as_delivered", "by_hand", "chosen", "low", "high"),
        ),
        "recipe_plot": picture(draw_recipe(found), "Share of each pool, with the interval of the best share"),
        "prediction_plot": picture(draw_predictions(found), "Predicted against measured loss"),
        "rank_correlation": judged.objective,
        "rank_correlations": rows_table(
            [{"capability": name, "rank_correlation": value} for name, value in judged.capabilities.items()],
            ("capability", "rank_correlation"),
        ),
        "forgotten": ", ".join(found.forgotten) or "nothing",
        "against_text_only": rows_table(
            [
                {
                    "capability": one.capability,
                    "loss": one.loss,
                    "text_only": one.text_only,
                    "log_ratio": one.difference,
                    "low": one.low,
                    "high": one.high,
                    "groups": one.groups,
                }
                for one in found.comparisons
            ],
            ("capability", "loss", "text_only", "log_ratio", "low", "high", "groups"),
        ),
        "runs": len(found.runs),
        "device": found.device,
        "compute_seconds": round(sum(run.seconds for run in found.runs), 1),
    }


def runs_of(lake: DeltaLake, release: str) -> pl.DataFrame:
    """Rows of the ablation of a release, in the table's order."""
    rows = lake.scan("mixture_ablations").filter(pl.col("release") == release)
    return rows.sort(TABLES["mixture_ablations"].order_by).collect()
