"""A delivery arrived: register its batch and carry it through ingest, once per delivery, to its end."""

import dagster as dg

from mm_assets.errors import InputError
from mm_assets.identifiers import validate_batch_id
from mm_assets.jobs import assets_of, ingest_batch
from mm_assets.partitions import batches
from mm_assets.raw_pools.contract import landing_signature, parts_of
from mm_assets.steps import GATE_STEPS, INGEST_STEPS, gates_of, steps_of
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.provenance import Provenance
from sensors.runs import ATTEMPT_TAG, attempt_key, busy_partitions, was_killed


@dg.sensor(
    job=ingest_batch,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Finds finished deliveries (_SUCCESS) and requests one run for each new or changed one, and another "
    "for what was left to do where that run was killed.",
)
def new_batches(
    context: dg.SensorEvaluationContext, landing: LandingStore, provenance: Provenance, holds: Holds
) -> dg.SensorResult | dg.SkipReason:
    """Request a run for every delivery that differs from what was read before, or was not read to its end."""
    read_before = provenance.landing_signatures()
    recorded, verdicts = provenance.recorded_all(), holds.judged()
    known = set(context.instance.get_dynamic_partitions(batches.name or ""))
    busy = busy_partitions(context.instance)
    new: list[str] = []
    requests: list[dg.RunRequest] = []
    for batch in landing.batches():
        try:
            validate_batch_id(batch)
        except InputError as error:
            context.log.warning("refused delivery: %s", error.reason)
            continue
        if batch in busy:
            continue
        signature = landing_signature(landing, batch)
        purpose = f"ingest:{batch}:{signature}"
        left = steps_of(parts_of(signature), INGEST_STEPS)
        if read_before.get(batch) == signature:
            left = _left_to_do(left, parts_of(signature), recorded.get(batch, {}), verdicts.get(batch, set()))
            if not left or not was_killed(context.instance, purpose):
                continue
        if batch not in known:
            new.append(batch)
        requests.append(
            dg.RunRequest(
                run_key=attempt_key(context.instance, purpose),
                partition_key=batch,
                asset_selection=assets_of(left),
                tags={ATTEMPT_TAG: purpose},
            )
        )
    if not requests:
        return dg.SkipReason("no new delivery")
    return dg.SensorResult(
        run_requests=requests, dynamic_partitions_requests=[batches.build_add_request(new)] if new else []
    )


def _left_to_do(
    steps: tuple[str, ...], parts: frozenset[str], recorded: dict[str, str], judged: set[str]
) -> tuple[str, ...]:
    """Steps of an ingest that were not done, or whose gate gave no verdict on their rows."""
    unjudged = {GATE_STEPS[gate] for gate in gates_of(parts) if gate not in judged}
    return tuple(step for step in steps if step not in recorded or step in unjudged)
