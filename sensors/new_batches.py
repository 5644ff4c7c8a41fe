"""A delivery arrived: register its batch and carry it through ingest, once per delivery."""

import dagster as dg

from mm_assets.errors import InputError
from mm_assets.identifiers import validate_batch_id
from mm_assets.jobs import ingest_batch
from mm_assets.partitions import batches
from mm_assets.raw_pools.contract import landing_signature
from resources.object_store import LandingStore
from resources.provenance import Provenance
from sensors.runs import ATTEMPT_TAG, attempt_key, busy_partitions


@dg.sensor(
    job=ingest_batch,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Finds finished deliveries (_SUCCESS) and requests one run for each new or changed one.",
)
def new_batches(
    context: dg.SensorEvaluationContext, landing: LandingStore, provenance: Provenance
) -> dg.SensorResult | dg.SkipReason:
    """Request a run for every delivery that differs from what was read before."""
    read_before = provenance.landing_signatures()
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
        if read_before.get(batch) == signature:
            continue
        if batch not in known:
            new.append(batch)
        purpose = f"ingest:{batch}:{signature}"
        requests.append(
            dg.RunRequest(
                run_key=attempt_key(context.instance, purpose), partition_key=batch, tags={ATTEMPT_TAG: purpose}
            )
        )
    if not requests:
        return dg.SkipReason("no new delivery")
    return dg.SensorResult(
        run_requests=requests, dynamic_partitions_requests=[batches.build_add_request(new)] if new else []
    )
