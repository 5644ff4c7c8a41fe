"""Raw pools of sound and video: every record of a delivery's audio and video folders that keeps the batch contract."""

from collections.abc import Iterator

import dagster as dg

from mm_assets.display.metadata import counts_table
from mm_assets.gates.guard import refuse_if_held
from mm_assets.raw_pools.assets import contract_or_refusal, spool
from mm_assets.raw_pools.media_folders import read_media_batch
from mm_assets.raw_pools.media_records import STAGE
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.steps import STEPS
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.takedowns import blocks_of

GROUP = "raw_pools"
_STEP = STEPS[STAGE]


@dg.multi_asset(
    name=STAGE,
    specs=table_specs(STAGE, GROUP, {"deltalake", "polars"}, ["raw_images", "raw_captions", "raw_texts"]),
)
def raw_media(
    context: dg.AssetExecutionContext,
    landing: LandingStore,
    lake: DeltaLake,
    holds: Holds,
    provenance: Provenance,
    policy_file: PolicyFile,
) -> Iterator[dg.MaterializeResult]:
    """One row per sound, video, subtitle file and cue that keeps the batch contract; the others go to ``rejected``."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    contract = contract_or_refusal(landing, batch, policy.ingest)
    with provenance.writing(STAGE, batch) as writing, lake.staging() as staging:
        chunks = read_media_batch(landing, contract, policy.ingest, policy.media, blocks_of(lake))
        spool(chunks, staging, writing, context)
        lake.replace("rejected", batch, staging, within={"stage": STAGE})
        writing.written += [lake.replace(table, batch, staging) for table in _STEP.tables]
    rejected = lake.rejected_by_code(batch, STAGE)
    for done in writing.written:
        yield dg.MaterializeResult(
            done.table,
            data_version=writing.data_version,
            metadata={
                "records_seen": counts_table(writing.seen, "kind", "records"),
                "rejected": counts_table(rejected, "code", "records"),
                **written_metadata(lake, batch, done),
            },
        )
