"""Raw pools: every record of a delivery that keeps the batch contract."""

from collections.abc import Iterable, Iterator

import dagster as dg

from mm_assets.display.metadata import counts_table
from mm_assets.errors import BatchContractError
from mm_assets.gates.guard import refuse_if_held
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.chunking import Chunk
from mm_assets.raw_pools.contract import BatchContract, landing_signature, read_contract
from mm_assets.raw_pools.reading import read_batch
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.steps import STEPS
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance, Writing
from resources.staging import Staging
from resources.takedowns import blocks_of

STAGE = "raw_pools"
_STEP = STEPS[STAGE]


def contract_or_refusal(landing: LandingStore, batch: str, policy: IngestPolicy) -> BatchContract:
    """The batch's contract.

    Raises:
        dg.Failure: the batch breaks it; not retried.
    """
    try:
        return read_contract(landing, batch, policy)
    except BatchContractError as error:
        raise dg.Failure(description=error.reason, metadata={"code": error.code}, allow_retries=False) from error


def spool(chunks: Iterable[Chunk], staging: Staging, writing: Writing, context: dg.AssetExecutionContext) -> None:
    """Stage what was read, and count it by kind of record."""
    for chunk in chunks:
        for table, rows in (*chunk.tables.items(), ("rejected", chunk.rejected)):
            staging.add(table, rows)
        for kind, count in chunk.records.items():
            writing.seen[kind] = writing.seen.get(kind, 0) + count
        context.log.info("read %s so far", writing.seen)


@dg.multi_asset(
    name=STAGE,
    specs=table_specs(STAGE, STAGE, {"deltalake", "polars"}),
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
    contract = contract_or_refusal(landing, batch, policy)
    signature = landing_signature(landing, batch)
    with provenance.writing(STAGE, batch, landing=signature) as writing, lake.staging() as staging:
        spool(read_batch(landing, contract, policy, blocks_of(lake)), staging, writing, context)
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
                "source": contract.source,
                "license": contract.license,
                **written_metadata(lake, batch, done),
            },
        )
