"""What every halt sensor does: place the hold of a failed gate and cancel what runs downstream of it."""

from collections.abc import Collection

import dagster as dg

from mm_assets.jobs import refresh_views
from mm_assets.steps import GATE_STEPS, STEPS, downstream_steps
from resources.holds import Holds
from sensors.runs import fail_interrupted_runs, runs_assets_of_batches, unfinished_runs

CANCELLABLE = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED)


def halt(
    context: dg.SensorEvaluationContext, holds: Holds, gates: Collection[str], by: str
) -> list[dg.RunRequest] | dg.SkipReason:
    """Hold every batch that failed one of these gates.

    Level-triggered: looks at the tables alone, so a missed tick loses nothing.

    Args:
        context: of the sensor.
        holds: the ledger.
        gates: the gates the sensor watches.
        by: name of the sensor, for the ledger.
    """
    fail_interrupted_runs(context.instance)
    for hold in holds.place_due(by=by, gates=gates):
        context.log.warning("batch %s is held by gate %s: %s", hold["batch"], hold["gate"], hold["reason"])
    active = holds.active()
    for batch, gate in active.select("batch", "gate").iter_rows():
        if gate in gates:
            cancel_downstream(context, batch, gate)
    history = holds.history()
    if history.is_empty():
        return dg.SkipReason("nothing is held")
    state = f"{history.height}:{active.height}"
    return [dg.RunRequest(run_key=f"held:{state}", job_name=refresh_views.name)]


def cancel_downstream(context: dg.SensorEvaluationContext, batch: str, gate: str) -> list[str]:
    """Cancel the batch's queued and started runs that would go past the gate; returns their ids.

    A run that is STARTING is left alone: cancelled now it would end as a failure without a reason, and the guard
    refuses it anyway.
    """
    beyond = {asset for step in downstream_steps(GATE_STEPS[gate]) for asset in step.assets}
    own = set(STEPS[GATE_STEPS[gate]].assets)
    cancelled: list[str] = []
    for run in unfinished_runs(context.instance, batch):
        selected = {key.to_user_string() for key in run.asset_selection or ()}
        goes_beyond = not selected or (selected & beyond and not (selected & own))
        if run.status not in CANCELLABLE or not runs_assets_of_batches(run) or not goes_beyond:
            continue
        if run.status == dg.DagsterRunStatus.QUEUED:
            context.instance.run_coordinator.cancel_run(run.run_id)
        else:
            context.instance.run_launcher.terminate(run.run_id)
        context.log.warning("cancelled run %s of held batch %s", run.run_id, batch)
        cancelled.append(run.run_id)
    return cancelled
