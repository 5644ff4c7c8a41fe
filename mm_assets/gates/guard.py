"""The guard: the first line of every asset body. It covers manual runs, backfills, automation and a dead daemon."""

import os

import dagster as dg
import psutil

from mm_assets.gates.verdicts import GateVerdict
from resources.holds import Holds

PROCESS_TAG = "mm/process"


def process_mark() -> str:
    """Names this process on this machine, so that a run whose process is gone can be told from a slow one."""
    return f"{os.uname().nodename}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def mark_run(context: dg.AssetExecutionContext) -> None:
    """Tag the run with the process that executes it."""
    if PROCESS_TAG not in context.run.tags:
        context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: process_mark()})


def refuse_if_held(context: dg.AssetExecutionContext, holds: Holds, after: tuple[str, ...] = ()) -> None:
    """Refuse to go on with a batch that is held, or whose gates have not passed.

    Args:
        context: of an asset partitioned by batch.
        holds: the ledger.
        after: gates that stand before this asset.

    Raises:
        dg.Failure: not retried; its description is the reason.
    """
    mark_run(context)
    reason = holds.refusal(context.partition_key, after, context.op_execution_context.op_def.name)
    if reason is not None:
        raise dg.Failure(description=reason, metadata={"batch": context.partition_key}, allow_retries=False)


def refuse_if_over_budget(holds: Holds, verdict: GateVerdict) -> None:
    """Refuse a step that would overspend the batch's budget, and record why.

    Raises:
        dg.Failure: not retried.
    """
    if verdict.passed or holds.is_waived(verdict.evaluation_id):
        return
    holds.record(verdict)
    raise dg.Failure(
        description=f"batch {verdict.batch!r}: {verdict.reason}",
        metadata={"estimate": verdict.measured or 0.0, "remaining": verdict.threshold or 0.0},
        allow_retries=False,
    )
