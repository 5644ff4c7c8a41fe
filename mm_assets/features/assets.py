"""Features: embeddings of pictures and captions, the codebook and its codes."""

import dagster as dg
import polars as pl

from mm_assets.display.metadata import table_metadata
from mm_assets.features.codebook import train_codebook
from mm_assets.features.codebook_ledger import codebook_in_force, codebook_result, record_codebook
from mm_assets.features.embeddings import embed_captions, embed_images
from mm_assets.features.metered_codes import CODES_UNIT, identity_of, metered_codes
from mm_assets.features.shards import SpatialReader, write_shard
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.partitions import batches
from mm_assets.schemas import TABLES
from mm_assets.step_assets import written_metadata
from mm_assets.steps import CODEBOOK, STEPS, gates_of
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.image_text_encoder import ImageTextEncoderResource
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance

GROUP = "features"
_ROWS_AT_ONCE = 256


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=["images"],
    kinds={"deltalake", "safetensors"},
    code_version=STEPS["image_embeddings"].code_version,
    description=TABLES["image_embeddings"].grain,
)
def image_embeddings(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
) -> dg.MaterializeResult:
    """One row per cleaned image: its embedding; its spatial features go to shards beside the table."""
    refuse_if_held(context, holds)
    batch, policy, model = context.partition_key, policy_file.policy.features, encoder.handle
    refuse_if_over_budget(holds, costs.estimate(batch, "image_embeddings", "images", lake.count("images", batch)))
    shards: set[str] = set()
    with (
        provenance.writing("image_embeddings", batch, models={"encoder": encoder}) as writing,
        costs.metered(context, "image_embeddings", model.identity, "images", model.device) as meter,
        lake.staging() as staging,
    ):
        rows = lake.chunks("images", batch, _ROWS_AT_ONCE)
        for number, chunk in enumerate(embed_images(rows, landing, model, policy)):
            references = write_shard(lake.files, batch, number, chunk.spatial)
            shards.add(references[0].split("#")[0])
            staging.add("image_embeddings", chunk.frame.with_columns(spatial_features=pl.Series(references)))
            meter.add(chunk.frame.height, chunk.model_seconds)
            context.log.info("embedded %d images", meter.units)
        written = lake.replace("image_embeddings", batch, staging)
        lake.files.remove_prefix(f"features/{batch}", keep=shards)
        writing.written.append(written)
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            "model": str(model.identity),
            "device": model.device,
            "model_seconds": meter.device_seconds,
            "shards": len(shards),
            **written_metadata(lake, batch, written),
        },
    )


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=["captions"],
    kinds={"deltalake"},
    code_version=STEPS["caption_embeddings"].code_version,
    description=TABLES["caption_embeddings"].grain,
)
def caption_embeddings(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
) -> dg.MaterializeResult:
    """One row per cleaned caption: its embedding."""
    refuse_if_held(context, holds)
    batch, policy, model = context.partition_key, policy_file.policy.features, encoder.handle
    refuse_if_over_budget(holds, costs.estimate(batch, "caption_embeddings", "texts", lake.count("captions", batch)))
    with (
        provenance.writing("caption_embeddings", batch, models={"encoder": encoder}) as writing,
        costs.metered(context, "caption_embeddings", model.identity, "texts", model.device) as meter,
        lake.staging() as staging,
    ):
        for chunk in embed_captions(lake.chunks("captions", batch), model, policy):
            staging.add("caption_embeddings", chunk.frame)
            meter.add(chunk.frame.height, chunk.model_seconds)
            context.log.info("embedded %d captions", meter.units)
        written = lake.replace("caption_embeddings", batch, staging)
        writing.written.append(written)
    head = lake.head("caption_embeddings", batch)
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            "model": str(model.identity),
            "model_seconds": meter.device_seconds,
            **table_metadata("caption_embeddings", written.rows, head, written.version),
        },
    )


@dg.asset(
    group_name=GROUP,
    deps=["image_embeddings", "image_text_recall", "key_frames", "document_figures"],
    kinds={"deltalake", "faiss"},
    description=TABLES["codebook"].grain,
)
def codebook(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
) -> dg.MaterializeResult:
    """One row per trained codebook version; this trains a new one on every batch that is not held."""
    held = holds.held_batches()
    parts = [
        lake.scan(table).filter(~pl.col("batch").is_in(list(held))).select("batch", *order, "spatial_features")
        for table, order in (
            ("image_embeddings", ["position"]),
            ("key_frames", ["position", "piece_index", "frame_index"]),
            ("document_figures", ["document_id", "position"]),
        )
    ]
    references = pl.concat(
        [
            rows.sort(pl.all().exclude("spatial_features")).select("batch", "spatial_features").collect()
            for rows in parts
        ]
    )
    if references.is_empty():
        reason = "no batch has features yet; materialize image_embeddings, key_frames or document_figures"
        raise dg.Failure(description=reason, allow_retries=False)
    reader = SpatialReader(lake.files)
    blocks = reader.blocks(references["spatial_features"].to_list(), _ROWS_AT_ONCE)
    trained = train_codebook(blocks, policy_file.policy.codebook)
    record_codebook(lake, CODEBOOK, trained, str(encoder.identity), references["batch"].unique(maintain_order=True))
    context.log.info("codebook %s of %d codes", trained.version, trained.size)
    return codebook_result(lake, CODEBOOK, trained)


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=[
        "image_embeddings",
        "codebook",
        "image_text_recall",
        "object_recall",
        "orientation_agreement",
        "caption_faithfulness",
    ],
    kinds={"deltalake", "faiss"},
    code_version=STEPS["visual_codes"].code_version,
    description=TABLES["visual_codes"].grain,
)
def visual_codes(
    context: dg.AssetExecutionContext, lake: DeltaLake, holds: Holds, provenance: Provenance, costs: Costs
) -> dg.MaterializeResult:
    """One row per cleaned image: the nearest code of each spatial feature."""
    refuse_if_held(context, holds, after=gates_of(provenance.parts(context.partition_key)))
    batch = context.partition_key
    with provenance.writing("visual_codes", batch) as writing, lake.staging() as staging:
        if lake.count("image_embeddings", batch):
            trained = codebook_in_force(lake, CODEBOOK)
            reader = SpatialReader(lake.files)
            with costs.metered(context, "visual_codes", identity_of(trained), CODES_UNIT, "cpu") as meter:
                for rows in lake.chunks("image_embeddings", batch, _ROWS_AT_ONCE):
                    codes = metered_codes(trained, reader.read(rows["spatial_features"].to_list()), meter)
                    staging.add(
                        "visual_codes",
                        rows.select(
                            "batch",
                            "image_id",
                            "position",
                            pl.Series("codes", codes).cast(pl.List(pl.Int32)),
                            pl.lit(trained.version).alias("codebook_version"),
                        ),
                    )
        written = lake.replace("visual_codes", batch, staging)
        writing.written.append(written)
    used = lake.scan("visual_codes", batch).select(pl.col("codes").explode().n_unique()).collect().item()
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            "codebook_version": writing.upstream["codebook"],
            "distinct_codes": used,
            **written_metadata(lake, batch, written),
        },
    )
