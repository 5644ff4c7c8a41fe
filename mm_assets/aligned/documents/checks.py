"""Checks on documents laid out in windows, and the order gate: its verdict is recorded and blocks."""

import dagster as dg
import polars as pl

from mm_assets.aligned.documents.order_gate.order_verdict import verdict_of_row
from mm_assets.aligned.documents.window_cuts import count_cuts
from mm_assets.display.metadata import counts_table
from mm_assets.gates.check_results import batch_check, judged
from mm_assets.gates.gate_check import gate_check
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile

_SHOWN = (
    "documents",
    "figures",
    "captioned_figures",
    "adjacent_share",
    "caption_recall_at_1",
    "references",
    "unresolved_share",
    "page_monotonicity",
    "column_monotonicity",
    "duplicated_pages",
    "missing_pages",
    "ocr_disagreement",
    "window_cuts",
)


@batch_check("document_windows")
def windows_hold_every_block_whole(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, policy_file: PolicyFile
) -> dg.AssetCheckResult:
    """Every block stands in a window or was rejected, no window is over its budget, and none cuts a span."""
    batch = context.partition_key
    columns = ("document_id", "window_id", "window_index", "block_position", "type", "role", "tokens")
    placed = lake.scan("document_windows", batch).select(columns).collect()
    blocks = lake.scan("document_blocks", batch).select("document_id", "block_id", "position").collect()
    rejected = lake.scan("rejected", batch).filter(pl.col("stage") == "document_windows").select("record_id").collect()
    whole = ["document_id", "position"]
    held = placed.filter(pl.col("role") == "body").select("document_id", position="block_position")
    missing = blocks.join(held, on=whole, how="anti").join(
        rejected, left_on="block_id", right_on="record_id", how="anti"
    )
    over = placed.group_by("window_id").agg(pl.col("tokens").sum())
    over = over.filter(pl.col("tokens") > policy_file.policy.windows.budget_tokens)
    faults = {
        "blocks in no window": missing.height,
        "windows over their budget": over.height,
        "spans that windows cut": sum(count_cuts(placed, lake.read("caption_bindings", batch)).values()),
    }
    total = sum(faults.values())
    return judged(
        passed=total == 0,
        measured=total,
        threshold=0,
        code=None if total == 0 else "BAD_WINDOWS",
        description=f"{total} faults of windows",
        metadata={"faults": counts_table(faults, "fault", "rows")},
    )


@batch_check("document_order")
def documents_stand_in_their_order(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, landing: LandingStore, holds: Holds
) -> dg.AssetCheckResult:
    """Pages, columns, captions and figures stand where they were written; otherwise the batch is held."""
    row = lake.read("document_order", context.partition_key).row(0, named=True)
    return gate_check(holds, lake, landing, verdict_of_row(row), {name: row[name] for name in _SHOWN})


CHECKS = (windows_hold_every_block_whole, documents_stand_in_their_order)
