"""Checks on object alignment: no box is lost, and each gate's verdict is recorded and blocks."""

import json
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.aligned.objects.gate.object_figures import draw_fault_evidence
from mm_assets.aligned.objects.gate.object_verdict import verdict_of_row
from mm_assets.display.metadata import picture
from mm_assets.gates.check_results import batch_check, judged
from mm_assets.gates.gate_check import gate_check
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore


@batch_check("boxes")
def every_declared_box_is_kept_or_rejected(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Boxes declared for kept images equal boxes kept plus boxes rejected."""
    batch = context.partition_key
    recorded = lake.scan("provenance", batch).filter(pl.col("asset") == "boxes").collect()
    declared = json.loads(recorded["rows_json"][0])["seen:box"]
    rejected = lake.scan("rejected", batch).filter(pl.col("stage") == "boxes").select(pl.len()).collect().item()
    lost = declared - lake.count("boxes", batch) - rejected
    return judged(
        passed=lost == 0,
        measured=lost,
        threshold=0,
        code=None if lost == 0 else "ROWS_LOST",
        description=f"{lost} of {declared} boxes are unaccounted for",
    )


@batch_check("object_recall")
def boxes_hold_what_their_labels_name(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, landing: LandingStore, holds: Holds
) -> dg.AssetCheckResult:
    """Crops find their labels as the source's do and no fault of boxes is proven; otherwise the batch is held."""
    row = lake.read("object_recall", context.partition_key).row(0, named=True)
    verdict = verdict_of_row(row)
    shown = ("region_low", "region_high", "hard_r1", "null_mean", "null_p_value", "boxes", "labels", "baseline_kind")
    figures: dict[str, Any] = {name: row[name] for name in shown}
    if verdict.diagnosis["judged"]:
        figures["hypotheses"] = picture(draw_fault_evidence(verdict.diagnosis), "evidence for each hypothesis")
    return gate_check(holds, lake, landing, verdict, figures)


@batch_check("object_alignments")
def phrases_stand_in_their_captions(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every phrase is the text at its offsets, and every box has its row."""
    batch = context.partition_key
    rows = lake.scan("object_alignments", batch)
    captions = lake.scan("captions", batch).select("caption_id", "text")
    anchored = rows.filter(pl.col("caption_id").is_not_null()).join(captions, on="caption_id", how="left").collect()
    span = pl.col("text").str.slice(pl.col("phrase_start"), pl.col("phrase_end") - pl.col("phrase_start"))
    wrong = anchored.filter((span != pl.col("phrase")).fill_null(value=True)).height
    missing = lake.scan("boxes", batch).join(rows, on="box_id", how="anti").select(pl.len()).collect().item()
    return judged(
        passed=wrong + missing == 0,
        measured=wrong + missing,
        threshold=0,
        code=None if wrong + missing == 0 else "ROWS_LOST",
        description=f"{wrong} phrases are not at their offsets, {missing} boxes have no row",
    )


CHECKS = (
    every_declared_box_is_kept_or_rejected,
    boxes_hold_what_their_labels_name,
    phrases_stand_in_their_captions,
)
