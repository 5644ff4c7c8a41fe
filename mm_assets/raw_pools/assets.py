"""Raw pools: every record of a delivery that keeps the batch contract."""

from collections.abc import Iterator

import dagster as dg

from mm_assets.display.metadata import counts_table, table_metadata
from mm_assets.errors import BatchContractError
from mm_assets.gates.guard import refuse_if_held
from mm_assets.partitions import batches
from mm_assets.raw_pools.contract import landing_signature, read_contract
from mm_assets.raw_pools.reading import read_batch
from mm_assets.schemas import TABLES
from mm_assets.steps import STEPS
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance

STAGE = "raw_pools"
_STEP = STEPS[STAGE]


@dg.multi_asset(
    name=STAGE,
    specs=[
        dg.AssetSpec(
            table,
            group_name=STAGE,
            partitions_def=batches,
            code_version=_STEP.code_version,
            description=TABLES[table].grain,
            kinds={"deltalake", "polars"},
        )
        for table in _STEP.tables
    ],
)
def raw_pools(
    context: dg.AssetExecutionContext,
    landing: LandingStore,
    lake: DeltaLake,
    holds: Holds,
    provenance: Provenance,
    policy_file: PolicyFile,
) -> Iterator[dg.MaterializeResult]:
    """One row per record that keeps the batch contract; the others go to ``rejected``."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy.ingest
    try:
        contract = read_contract(landing, batch, policy)
    except BatchContractError as error:
        raise dg.Failure(description=error.reason, metadata={"code": error.code}, allow_retries=False) from error
    signature = landing_signature(landing, batch)
    with provenance.writing(STAGE, batch, landing=signature) as writing, lake.staging() as staging:
        for chunk in read_batch(landing, contract, policy):
            staging.add("raw_images", chunk.images)
            staging.add("raw_captions", chunk.captions)
            staging.add("raw_texts", chunk.texts)
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
                "source": contract.source,
                "license": contract.license,
            },
        )
