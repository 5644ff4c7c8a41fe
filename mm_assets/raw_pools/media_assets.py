"""Raw pools of sound and video: every record of a delivery's audio and video folders that keeps the batch contract."""

from collections.abc import Iterator

import dagster as dg

from mm_assets.display.metadata import counts_table, table_metadata
from mm_assets.errors import BatchContractError
from mm_assets.gates.guard import refuse_if_held
from mm_assets.partitions import batches
from mm_assets.raw_pools.contract import read_contract
from mm_assets.raw_pools.media_folders import read_media_batch
from mm_assets.raw_pools.media_records import STAGE
from mm_assets.schemas import TABLES
from mm_assets.steps import STEPS
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance

GROUP = "raw_pools"
_STEP = STEPS[STAGE]


@dg.multi_asset(
    name=STAGE,
    specs=[
        dg.AssetSpec(
            table,
            group_name=GROUP,
            partitions_def=batches,
            code_version=_STEP.code_version,
            description=TABLES[table].grain,
            deps=["raw_images", "raw_captions", "raw_texts"],  # one delivery: the batch is registered there
            kinds={"deltalake", "polars"},
        )
        for table in _STEP.tables
    ],
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
    try:
        contract = read_contract(landing, batch, policy.ingest)
    except BatchContractError as error:
        raise dg.Failure(description=error.reason, metadata={"code": error.code}, allow_retries=False) from error
    with provenance.writing(STAGE, batch) as writing, lake.staging() as staging:
        for chunk in read_media_batch(landing, contract, policy.ingest, policy.media):
            for table, rows in chunk.tables.items():
                staging.add(table, rows)
            staging.add("rejected", chunk.rejected)
            for kind, count in chunk.records.items():
                writing.seen[kind] = writing.seen.get(kind, 0) + count
            context.log.info("read %s so far", writing.seen)
        lake.replace("rejected", batch, staging, within={"stage": STAGE})
        writing.written += [lake.replace(table, batch, staging) for table in _STEP.tables]
    rejected = lake.rejected_by_code(batch, STAGE)
    for done in writing.written:
        yield dg.MaterializeResult(
            done.table,
            data_version=writing.data_version,
            metadata={
                **table_metadata(done.table, done.rows, lake.head(done.table, batch), done.version),
                "records_seen": counts_table(writing.seen, "kind", "records"),
                "rejected": counts_table(rejected, "code", "records"),
            },
        )
