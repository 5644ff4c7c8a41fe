"""Fusion samples: codes in the placeholders, text behind them."""

import dagster as dg
import polars as pl

from mm_assets.display.metadata import counts_table, table_metadata
from mm_assets.fusion.packing import pack_image_text_chunks, pack_texts
from mm_assets.gates.guard import refuse_if_held
from mm_assets.partitions import batches
from mm_assets.schemas import TABLES
from mm_assets.steps import STEPS
from resources.delta_lake import DeltaLake, Staging
from resources.holds import Holds
from resources.policy_file import PolicyFile
from resources.provenance import Provenance

GROUP = "fusion"
STAGE = "fusion_samples"


def _add(staging: Staging, samples: pl.DataFrame, rejected: pl.DataFrame) -> None:
    staging.add("fusion_samples", samples)
    staging.add("rejected", rejected.with_columns(stage=pl.lit(STAGE)))


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=["images", "captions", "texts", "visual_codes", "image_embeddings", "image_text_recall"],
    kinds={"deltalake", "polars"},
    code_version=STEPS[STAGE].code_version,
    description=TABLES[STAGE].grain,
)
def fusion_samples(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    provenance: Provenance,
    policy_file: PolicyFile,
) -> dg.MaterializeResult:
    """One row per caption of a kept image and one per text, with gate values and licence."""
    refuse_if_held(context, holds, after=("recall",))
    batch, policy = context.partition_key, policy_file.policy.fusion
    verdict = holds.latest(batch, "recall")
    checks = {"recall": verdict["measured"]} if verdict and verdict["measured"] is not None else {}
    with provenance.writing(STAGE, batch) as writing, lake.staging() as staging:
        codes = lake.read("visual_codes", batch)
        sizes = dict(lake.scan("codebook").select("version", "size").collect().iter_rows())
        images = lake.scan("images", batch).select("image_id", "batch", "source", "license", "record_ref", "position")
        for packed in pack_image_text_chunks(
            images.sort("position").collect(),
            lake.read("captions", batch),
            codes,
            lake.scan("image_embeddings", batch).select("image_id", "spatial_features").collect(),
            checks,
            policy,
            codebook_size=sizes[codes["codebook_version"][0]] if codes.height else 0,
        ):
            _add(staging, packed.samples, packed.rejected)
        for chunk in lake.chunks("texts", batch):
            packed = pack_texts(chunk, policy)
            _add(staging, packed.samples, packed.rejected)
        lake.replace("rejected", batch, staging, within={"stage": STAGE})
        written = lake.replace(STAGE, batch, staging)
        writing.written.append(written)
    pools = lake.scan(STAGE, batch).group_by("pool").len().sort("pool").collect()
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            **table_metadata(STAGE, written.rows, lake.head(STAGE, batch), written.version),
            "pools": counts_table(dict(pools.iter_rows()), "pool", "samples"),
            "rejected": counts_table(lake.rejected_by_code(batch, STAGE), "code", "records"),
        },
    )
