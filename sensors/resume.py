"""A hold was released: run the batch on, once per release."""

import dagster as dg

from mm_assets.jobs import assets_of, batch_pipeline
from mm_assets.raw_pools.contract import landing_signature
from mm_assets.steps import BATCH_STEPS
from resources.holds import Holds
from resources.image_text_encoder import ImageTextEncoderResource
from resources.language_identifier import LanguageIdentifierResource
from resources.object_store import LandingStore
from resources.provenance import Provenance
from resources.safety_model import SafetyModelResource
from sensors.runs import ATTEMPT_TAG, attempt_key, busy_partitions


@dg.sensor(
    job=batch_pipeline,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs what is still due of every released batch, once per release.",
)
def resume(
    context: dg.SensorEvaluationContext,
    holds: Holds,
    provenance: Provenance,
    landing: LandingStore,
    encoder: ImageTextEncoderResource,
    safety: SafetyModelResource,
    language: LanguageIdentifierResource,
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request the stale steps of each batch whose last hold was released."""
    history = holds.history()
    held = holds.held_batches()
    busy = busy_partitions(context.instance)
    steps = tuple(step.name for step in BATCH_STEPS)
    requests: list[dg.RunRequest] = []
    for row in history.drop_nulls("released_at_us").unique("batch", keep="last", maintain_order=True).to_dicts():
        batch = row["batch"]
        if batch in held or batch in busy:
            continue
        models = {"encoder": encoder, "safety": safety, "language": language}
        stale = provenance.stale(batch, landing_signature(landing, batch), models, steps)
        if not stale:
            continue
        purpose = f"resume:{row['evaluation_id']}:{row['released_at_us']}"
        requests.append(
            dg.RunRequest(
                run_key=attempt_key(context.instance, purpose),
                partition_key=batch,
                asset_selection=assets_of(stale),
                tags={ATTEMPT_TAG: purpose},
            )
        )
    return requests or dg.SkipReason("no released batch is waiting")
