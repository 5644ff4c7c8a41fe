"""Figures of documents: what an encoder sees in them, the captions bound to them, and their codes."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from mm_assets.aligned.documents.figure_captions import bind_batch
from mm_assets.cleaned.document_reading import open_figures
from mm_assets.documents.block_rows import read_blocks
from mm_assets.features.codebook_ledger import codebook_in_force
from mm_assets.features.figure_features import STAGE, FigureSafety, read_figures
from mm_assets.features.metered_codes import CODES_UNIT, identity_of, metered_codes
from mm_assets.features.shards import FIGURE_FEATURES, SpatialReader, write_shard
from mm_assets.features.timed_encoder import TimedEncoder
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.steps import CODEBOOK, STEPS, gates_of
from mm_assets.timed_models import timed
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.image_text_encoder import ImageTextEncoderResource
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.safety_model import SafetyModelResource

GROUP = "features"
CODES_STEP = "figure_codes"
_ROWS_AT_ONCE = 256


@dg.multi_asset(
    name=STAGE,
    specs=table_specs(STAGE, GROUP, {"deltalake", "safetensors"}, ["documents", "document_blocks"]),
)
def document_figures(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
    safety: SafetyModelResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per figure with its embedding, and the caption bound to it; a figure without pixels is rejected."""
    refuse_if_held(context, holds)
    batch, policy, model = context.partition_key, policy_file.policy, TimedEncoder(encoder.handle)
    figures = lake.scan("document_blocks", batch).filter(pl.col("type") == "figure")
    count = figures.select(pl.len()).collect().item()
    refuse_if_over_budget(holds, costs.estimate(batch, STAGE, "images", count))
    documents = lake.read("documents", batch)
    records = dict(documents.select("document_id", "record_ref").iter_rows())
    shards: set[str] = set()
    with (
        provenance.writing(STAGE, batch, models={"encoder": encoder, "safety": safety}) as writing,
        costs.metered(context, STAGE, model.identity, "images", model.device) as meter,
        costs.metered(context, STAGE, safety.identity, "images", "cpu") as looked_at,
        lake.staging() as staging,
        open_figures(landing, documents, policy) as pictures,
    ):
        watched = timed(safety.handle, "score", looked_at.add)
        guard = FigureSafety(watched, policy.images.max_nsfw) if policy.images.nsfw_enabled else None
        chunks = figures.sort("document_id", "position").collect_batches(chunk_size=_ROWS_AT_ONCE, maintain_order=True)
        owned = ((figure, pictures.of(figure.document_id)) for figure in read_blocks(chunks))
        read = read_figures(
            owned, batch, records.__getitem__, model, policy.features.batch_size, policy.features.shard_rows, guard
        )
        for number, chunk in enumerate(read):
            spatial = (
                [] if chunk.spatial is None else write_shard(lake.files, batch, number, chunk.spatial, FIGURE_FEATURES)
            )
            shards.update(reference.split("#")[0] for reference in spatial[:1])
            rows = chunk.rows.with_columns(spatial_features=pl.Series(spatial, dtype=pl.String))
            staging.add(STAGE, rows.select(TABLES[STAGE].schema.names()))
            staging.add("rejected", chunk.rejected)
            context.log.info("read %s", staging.rows)
        seen = staging.scan(STAGE).select("document_id", "position", "embedding").collect()
        for bindings in bind_batch(read_blocks(lake.chunks("document_blocks", batch)), seen, batch, model, policy):
            staging.add("caption_bindings", bindings)
        meter.add(count, model.seconds)
        lake.replace("rejected", batch, staging, within={"stage": STAGE})
        writing.written += [lake.replace(table, batch, staging) for table in STEPS[STAGE].tables]
        lake.files.remove_prefix(f"{FIGURE_FEATURES}/{batch}", keep=shards)
    for done in writing.written:
        metadata = {"model": str(model.identity)}
        yield dg.MaterializeResult(
            done.table, data_version=writing.data_version, metadata=metadata | written_metadata(lake, batch, done)
        )


@dg.multi_asset(
    name=CODES_STEP,
    specs=table_specs(CODES_STEP, GROUP, {"deltalake", "faiss"}, ["document_figures", "codebook", "document_order"]),
)
def figure_codes(
    context: dg.AssetExecutionContext, lake: DeltaLake, holds: Holds, provenance: Provenance, costs: Costs
) -> Iterator[dg.MaterializeResult]:
    """One row per figure of a document: the nearest code of each spatial feature."""
    refuse_if_held(context, holds, after=gates_of(provenance.parts(context.partition_key)))
    batch = context.partition_key
    with provenance.writing(CODES_STEP, batch) as writing, lake.staging() as staging:
        if lake.count(STAGE, batch):
            trained = codebook_in_force(lake, CODEBOOK)
            reader = SpatialReader(lake.files)
            with costs.metered(context, CODES_STEP, identity_of(trained), CODES_UNIT, "cpu") as meter:
                for rows in lake.chunks(STAGE, batch, _ROWS_AT_ONCE):
                    codes = metered_codes(trained, reader.read(rows["spatial_features"].to_list()), meter).tolist()
                    coded = rows.with_columns(
                        codes=pl.Series(codes, dtype=pl.List(pl.Int32)), codebook_version=pl.lit(trained.version)
                    )
                    staging.add(CODES_STEP, coded.select(TABLES[CODES_STEP].schema.names()))
        writing.written.append(lake.replace(CODES_STEP, batch, staging))
    for done in writing.written:
        yield dg.MaterializeResult(
            done.table, data_version=writing.data_version, metadata=written_metadata(lake, batch, done)
        )
