"""Apply a correction from the UI: a job with a mandatory name and reason."""

import time

import dagster as dg

from mm_assets.errors import MMAssetsError
from mm_assets.gates.repairs import correction_events, plan_repair
from resources.corrections import Corrections
from resources.delta_lake import DeltaLake
from resources.holds import Holds


class CorrectionRequest(dg.Config):
    """Which held batch to correct, and who says so.

    Attributes:
        batch: the held batch.
        gate: the gate whose diagnosis is undone.
        by: who applies the correction.
        reason: why the diagnosis is believed.
    """

    batch: str
    gate: str
    by: str
    reason: str


@dg.op(description="Append the correction that the gate's diagnosis proposes; the resume sensor then runs the batch.")
def append_correction(
    context: dg.OpExecutionContext,
    config: CorrectionRequest,
    lake: DeltaLake,
    holds: Holds,
    corrections: Corrections,
) -> None:
    """Apply one correction."""
    try:
        plan = plan_repair(lake, holds, config.batch, config.gate)
        at_us = time.time_ns() // 1_000
        corrections.append(correction_events(plan, by=config.by, reason=config.reason, at_us=at_us))
    except MMAssetsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    context.log.info("applied %s to %d rows of batch %s", plan.kind, len(plan.rows), config.batch)


@dg.job(description="Correct a held batch as its gate's diagnosis says; needs who and why.")
def apply_correction() -> None:
    """Apply one correction."""
    append_correction()
