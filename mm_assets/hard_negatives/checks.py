"""Checks on hard negatives: the gate, and that every row's edits make its text."""

import dagster as dg
import polars as pl

from mm_assets.gates.check_results import batch_check, judged
from mm_assets.gates.gate_check import gate_check
from mm_assets.hard_negatives.gate import verdict_of_row
from mm_assets.hard_negatives.negatives import Outcome, apply_edits
from mm_assets.hard_negatives.rows import read_edits
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore

_ROWS_AT_ONCE = 8_192


@batch_check("hard_negative_audit")
def negatives_are_false_and_do_not_give_themselves_away(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, landing: LandingStore, holds: Holds
) -> dg.AssetCheckResult:
    """Few kept negatives are true and no blind reader tells them; otherwise the batch is held."""
    row = lake.read("hard_negative_audit", context.partition_key).row(0, named=True)
    shown = ("made", "kept", "false_negative_rate", "rate_low", "rate_high", "reviewed", "blind_accuracy")
    return gate_check(holds, lake, landing, verdict_of_row(row), {name: row[name] for name in shown})


@batch_check("hard_negatives")
def edits_make_the_false_text(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Every negative's edits lead from the true text to its own, and of each positive few are kept."""
    batch = context.partition_key
    rows = lake.scan("hard_negatives", batch)
    wrong = made = 0
    for chunk in rows.select("positive_text", "text", "edits").collect_batches(chunk_size=_ROWS_AT_ONCE):
        made += chunk.height
        for true, false, edits in chunk.iter_rows():
            try:
                wrong += apply_edits(true, read_edits(edits)) != false
            except ValueError:
                wrong += 1
    distinct, kept = (
        rows.select(pl.col("negative_id").n_unique(), kept=(pl.col("verdict") == Outcome.KEPT.value).sum())
        .collect()
        .row(0)
    )
    repeated = made - distinct
    return judged(
        passed=wrong + repeated == 0,
        measured=wrong + repeated,
        threshold=0,
        code=None if wrong + repeated == 0 else "EDITS_WRONG",
        description=f"{wrong} of {made} negatives have edits that do not make them, {repeated} stand twice",
        metadata={"kept": kept},
    )


CHECKS = (negatives_are_false_and_do_not_give_themselves_away, edits_make_the_false_text)
