"""Features arrived: train the first codebooks, then assemble every batch that passed its gates."""

import dagster as dg

from mm_assets.jobs import assemble_batch, assets_of, train_codebook
from mm_assets.raw_pools.contract import parts_of
from mm_assets.steps import ASSEMBLY_STEPS, INGEST_STEPS, STEPS, gates_of, step_digest, steps_of
from resources.holds import Holds
from resources.provenance import Provenance
from sensors.runs import ATTEMPT_TAG, attempt_key, busy_partitions, unfinished_runs


@dg.sensor(
    jobs=[train_codebook, assemble_batch],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Trains the first codebooks once ingest is quiet, and assembles batches whose gates have passed.",
)
def features_ready(
    context: dg.SensorEvaluationContext, holds: Holds, provenance: Provenance
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request what the recorded digests say is due."""
    recorded = provenance.recorded_all()
    parts = {batch: parts_of(signature) for batch, signature in provenance.landing_signatures().items()}
    judged = {
        batch: digests
        for batch, digests in recorded.items()
        if batch in parts and digests.keys() >= set(steps_of(parts[batch], INGEST_STEPS))
    }
    if not judged:
        return dg.SkipReason("no batch has been judged yet")
    held = holds.held_batches()
    untrained = provenance.untrained_codebooks(held)
    if untrained:
        if unfinished_runs(context.instance):
            return dg.SkipReason("waiting for running ingests before the first codebooks are trained")
        purpose = f"{'+'.join(untrained)}:first"
        return [
            dg.RunRequest(
                run_key=attempt_key(context.instance, purpose),
                job_name=train_codebook.name,
                asset_selection=[dg.AssetKey(name) for name in untrained],
                tags={ATTEMPT_TAG: purpose},
            )
        ]
    codebooks = provenance.codebook_versions()
    busy = busy_partitions(context.instance)
    ever_held = set(holds.history()["batch"])
    verdicts = holds.judged()
    requests: list[dg.RunRequest] = []
    for batch, digests in sorted(judged.items()):
        if (
            batch in held
            or batch in busy
            or batch in ever_held
            or set(gates_of(parts[batch])) - verdicts.get(batch, set())
        ):
            continue
        due = _due_assembly(provenance, digests, codebooks, parts[batch])
        if due is None:
            continue
        purpose = f"assemble:{batch}:{due}"
        requests.append(
            dg.RunRequest(
                run_key=attempt_key(context.instance, purpose),
                job_name=assemble_batch.name,
                partition_key=batch,
                asset_selection=assets_of(steps_of(parts[batch], ASSEMBLY_STEPS)),
                tags={ATTEMPT_TAG: purpose},
            )
        )
    return requests or dg.SkipReason("every judged batch is assembled or held")


def _due_assembly(
    provenance: Provenance, digests: dict[str, str], codebooks: dict[str, str], parts: frozenset[str]
) -> str | None:
    """Digest of the batch's samples once they are up to date, if they are not."""
    policy = provenance.policy_file.policy
    steps = steps_of(parts, ASSEMBLY_STEPS)
    expected = dict.fromkeys(STEPS, "") | digests | codebooks
    for name in steps:
        expected[name] = step_digest(STEPS[name], policy, {}, expected)
    stale = any(digests.get(name) != expected[name] for name in steps)
    return expected[steps[-1]] if stale else None
