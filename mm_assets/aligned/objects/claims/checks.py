"""The faithfulness gate: captions that invent or contradict, measured once and judged here."""

from dataclasses import replace

import dagster as dg
import polars as pl

from mm_assets.aligned.objects.claims.caption_claims import KEEP
from mm_assets.aligned.objects.claims.faithfulness import verdict_of_row
from mm_assets.gates.check_results import batch_check, judged
from mm_assets.gates.gate_check import gate_check
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore


@batch_check("caption_faithfulness")
def captions_claim_what_is_known(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, landing: LandingStore, holds: Holds
) -> dg.AssetCheckResult:
    """Captions invent objects and contradict their siblings no more than the source does; else the batch is held."""
    row = lake.read("caption_faithfulness", context.partition_key).row(0, named=True)
    verdict = verdict_of_row(row)
    recall = holds.latest(row["batch"], "recall")
    if recall and not recall["passed"] and not verdict.passed and holds.is_waived(recall["evaluation_id"]):
        # A person accepted captions of other pictures; that these name other things is no second finding.
        verdict = replace(verdict, passed=True, code=None, reason=f"Not judged, recall was waived. {verdict.reason}")
    shown = (
        *("captions", "chair_instance", "chair_sentence", "chair_low", "chair_high", "chair_baseline", "chair_p_value"),
        *("pairs", "conflict_rate", "conflict_low", "conflict_high", "conflict_baseline", "conflict_p_value"),
        *("baseline_kind", "baseline_batches"),
    )
    return gate_check(holds, lake, landing, verdict, {name: row[name] for name in shown})


@batch_check("caption_claims")
def every_caption_is_judged(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every kept caption has one row."""
    batch = context.partition_key
    missing = abs(lake.count("captions", batch) - lake.count("caption_claims", batch))
    return judged(
        passed=missing == 0,
        measured=missing,
        threshold=0,
        code=None if missing == 0 else "ROWS_LOST",
        description=f"{missing} captions are unaccounted for",
    )


@batch_check("caption_rewrites")
def rewrites_are_of_bad_captions(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every rewrite belongs to a caption that is not kept, and one that is accepted has a text."""
    batch = context.partition_key
    rewrites = lake.scan("caption_rewrites", batch)
    bad = lake.scan("caption_claims", batch).filter(pl.col("action") != KEEP)
    stray = rewrites.join(bad, on="caption_id", how="anti").select(pl.len()).collect().item()
    empty = rewrites.filter(pl.col("accepted") & (pl.col("after") == "")).select(pl.len()).collect().item()
    return judged(
        passed=stray + empty == 0,
        measured=stray + empty,
        threshold=0,
        code=None if stray + empty == 0 else "STRAY_REWRITE",
        description=f"{stray} rewrites of captions that are kept or gone, {empty} accepted ones without a text",
    )


CHECKS = (captions_claim_what_is_known, every_caption_is_judged, rewrites_are_of_bad_captions)
