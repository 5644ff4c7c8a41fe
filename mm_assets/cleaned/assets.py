"""Cleaned images, captions and texts, and what was turned away."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.cleaned.captions import clean_captions
from mm_assets.cleaned.checks import account
from mm_assets.cleaned.duplicates import FEATURE_COLUMNS, find_duplicates
from mm_assets.cleaned.fingerprint_spool import reader_of_scans
from mm_assets.cleaned.images import STAGE as IMAGES_STAGE
from mm_assets.cleaned.images import clean_images, reject_duplicates
from mm_assets.display.contact_sheet import Tile, contact_sheet
from mm_assets.display.metadata import counts_table, picture, preview, rows_table, table_metadata
from mm_assets.gates.evidence import read_picture
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.partitions import batches
from mm_assets.schemas import TABLES
from mm_assets.schemas.cleaned import FINGERPRINT_ROWS_TOGETHER
from mm_assets.step_assets import table_specs
from mm_assets.steps import STEPS
from mm_assets.timed_models import timed
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.language_identifier import LanguageIdentifierResource
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.registry import BatchRegistry
from resources.safety_model import SafetyModelResource

GROUP = "cleaned"
_ROWS_AT_ONCE = 256
_SHOWN = 24
_READ_BY = {
    "image_fingerprints": ["raw_images"],
    "images": ["raw_images"],
    "captions": ["raw_images", "raw_captions"],
}


def _coarse_fingerprints(lake: DeltaLake, batch: str) -> pl.LazyFrame:
    return lake.scan("image_fingerprints", batch).select(FEATURE_COLUMNS)


def _kept_fingerprints(lake: DeltaLake, batch: str) -> pl.DataFrame:
    """Coarse fingerprints of the images an earlier batch kept: nothing is a copy of what was turned away."""
    kept = lake.scan("images", batch).select("image_id")
    return _coarse_fingerprints(lake, batch).join(kept, on="image_id", how="semi").collect()


@dg.multi_asset(
    name=IMAGES_STAGE,
    specs=table_specs(IMAGES_STAGE, GROUP, {"deltalake", "onnx"}, _READ_BY),
)
def cleaned_images(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    registry: BatchRegistry,
    provenance: Provenance,
    policy_file: PolicyFile,
    safety: SafetyModelResource,
    language: LanguageIdentifierResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per image that decodes fully and repeats no other, one per caption of such an image."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    model = safety.handle if policy.images.nsfw_enabled else None
    if model is not None:
        refuse_if_over_budget(holds, costs.estimate(batch, "images", "images", lake.count("raw_images", batch)))
    models = {"safety": safety, "language": language}
    with (
        provenance.writing(IMAGES_STAGE, batch, models=models) as writing,
        costs.metered(context, "images", safety.identity, "images", "cpu") as meter,
        costs.metered(context, "captions", language.identity, "texts", "cpu") as identified,
        lake.staging() as inspected,
        lake.staging() as cleaned,
    ):
        rows = lake.chunks("raw_images", batch, _ROWS_AT_ONCE)
        for chunk in clean_images(rows, landing, model, policy.images):
            inspected.add("images", chunk.kept)
            inspected.add("image_fingerprints", chunk.fingerprints)
            cleaned.add("rejected", chunk.rejected)
            meter.add(chunk.scored, chunk.model_seconds)
            context.log.info("inspected %d images", inspected.rows["images"] + cleaned.rows["rejected"])
        fingerprints = lake.replace("image_fingerprints", batch, inspected)
        origin = lake.head("raw_images", batch, 1).select("source", "license")
        source, license_name = origin.row(0) if origin.height else ("", "")
        compared = registry.register(batch, source, license_name, set(holds.held_batches()))
        duplicates = find_duplicates(
            _coarse_fingerprints(lake, batch).collect(),
            (_kept_fingerprints(lake, earlier) for earlier in compared),
            reader_of_scans(partial(lake.scan, "image_fingerprints"), FINGERPRINT_ROWS_TOGETHER),
            policy.duplicates,
        )
        for kept in inspected.frames("images"):
            cleaned.add("rejected", reject_duplicates(kept, duplicates))
            cleaned.add("images", kept.join(duplicates, on="image_id", how="anti", maintain_order="left"))
        kept_ids = cleaned.scan("images").select("image_id").collect()["image_id"]
        captions, turned_away = clean_captions(
            lake.read("raw_captions", batch),
            kept_ids,
            timed(language.handle, "identify", identified.add),
            policy.captions,
            max_template_share=policy.recall_gate.max_template_share,
        )
        cleaned.add("captions", captions)
        cleaned.add("rejected", turned_away)
        lake.replace("rejected", batch, cleaned, within={"stage": IMAGES_STAGE})
        writing.written += [fingerprints, *(lake.replace(table, batch, cleaned) for table in ("images", "captions"))]
    rejected = counts_table(lake.rejected_by_code(batch, IMAGES_STAGE), "code", "records")
    shown = lake.head("images", batch, _SHOWN)
    for done in writing.written:
        if done.table == "image_fingerprints":  # the large ones would all be read to show a few
            head = _coarse_fingerprints(lake, batch).bottom_k(_SHOWN, by="position").sort("position").collect()
        else:
            head = lake.head(done.table, batch)
        metadata: dict[str, Any] = {}
        if done.table != "image_fingerprints":
            metadata["rejected"] = rejected
        if done.table == "images":
            metadata["compared_with_batches"] = len(compared)
            if shown.height:
                tiles = [
                    Tile(read_picture(landing, row["source_ref"]), (row["file_name"],)) for row in shown.to_dicts()
                ]
                metadata["thumbnails"] = picture(contact_sheet(tiles, columns=8, side=88), "the first kept pictures")
        yield dg.MaterializeResult(
            done.table,
            data_version=writing.data_version,
            metadata=metadata | table_metadata(done.table, done.rows, head, done.version),
        )


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=[
        "raw_images",
        "raw_captions",
        "raw_texts",
        "images",
        "captions",
        "texts",
        "audio_clips",
        "video_clips",
        "transcripts",
        "cues",
        "documents",
    ],
    kinds={"deltalake"},
    code_version=STEPS["rejected"].code_version,
    description=TABLES["rejected"].grain,
)
def rejected(
    context: dg.AssetExecutionContext, lake: DeltaLake, holds: Holds, provenance: Provenance
) -> dg.MaterializeResult:
    """One row per record a stage turned away; the stages write the rows, this asset shows and accounts for them."""
    refuse_if_held(context, holds)
    batch = context.partition_key
    with provenance.writing("rejected", batch) as writing:
        rows = lake.scan("rejected", batch).filter(pl.col("stage") != "fusion_samples")
        count = rows.select(pl.len()).collect().item()
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            "dagster/row_count": count,
            "by_code": counts_table(lake.rejected_by_code(batch), "code", "records"),
            "account": rows_table(account(lake, batch), ("flow", "rows_in", "rows_out", "rejected")),
            "preview": preview(rows.head(_SHOWN).collect(), ("record_kind", "record_ref", "code", "reason")),
        },
    )
