"""A hold was released, or a held batch corrected: run the batch on, once per release and per correction."""

import dagster as dg

from mm_assets.jobs import assets_of, batch_pipeline
from mm_assets.raw_pools.contract import landing_signature, parts_of
from mm_assets.steps import BATCH_STEPS, GATE_STEPS, gates_of, upstream_steps
from resources.holds import Holds
from resources.model_set import ModelSet
from resources.object_store import LandingStore
from resources.provenance import Provenance
from sensors.runs import ATTEMPT_TAG, attempt_key, busy_partitions


@dg.sensor(
    job=batch_pipeline,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs what is due of every released batch, and of every corrected one as far as its gate, once each.",
)
def resume(
    context: dg.SensorEvaluationContext, holds: Holds, provenance: Provenance, landing: LandingStore, models: ModelSet
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request the stale steps of each batch whose last hold was released, or that was corrected while held."""
    busy = busy_partitions(context.instance)
    requests: list[dg.RunRequest] = []
    for batch, purpose, steps in (*_released(holds), *_corrected(holds)):
        if batch in busy:
            continue
        signature = landing_signature(landing, batch)
        stale = provenance.stale(batch, signature, models.by_name, steps)
        unjudged = {GATE_STEPS[gate] for gate in holds.unjudged(batch, gates_of(parts_of(signature)))}
        due = [step for step in steps if step in stale or step in unjudged]
        if not due:
            continue
        requests.append(
            dg.RunRequest(
                run_key=attempt_key(context.instance, purpose),
                partition_key=batch,
                asset_selection=assets_of(due),
                tags={ATTEMPT_TAG: purpose},
            )
        )
    return requests or dg.SkipReason("no released or corrected batch is waiting")


def _released(holds: Holds) -> list[tuple[str, str, tuple[str, ...]]]:
    """Batch, purpose and steps of every batch that is held no more."""
    held = holds.held_batches()
    everything = tuple(step.name for step in BATCH_STEPS)
    latest = holds.history().drop_nulls("released_at_us").unique("batch", keep="last", maintain_order=True)
    return [
        (row["batch"], f"resume:{row['evaluation_id']}:{row['released_at_us']}", everything)
        for row in latest.to_dicts()
        if row["batch"] not in held
    ]


def _corrected(holds: Holds) -> list[tuple[str, str, tuple[str, ...]]]:
    """Batch, purpose and the steps up to its gate of every batch that was corrected while held."""
    return [
        (
            hold["batch"],
            f"repair:{hold['evaluation_id']}:{holds.corrected_at_us(hold)}",
            tuple(step.name for step in upstream_steps(GATE_STEPS[hold["gate"]])),
        )
        for hold in holds.active().to_dicts()
        if holds.corrected_at_us(hold) is not None
    ]
