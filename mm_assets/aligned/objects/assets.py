"""Object alignment: boxes in pixels, their phrases, and what the object gates measure."""

import math
from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.aligned.objects.anchoring.alignment import align_objects
from mm_assets.aligned.objects.boxes.boxes import convert_boxes, list_declared_boxes
from mm_assets.aligned.objects.boxes.corrections import LABEL_SHIFT, correct_boxes
from mm_assets.aligned.objects.gate.object_figures import (
    draw_fault_evidence,
    draw_region_history,
    draw_region_similarities,
)
from mm_assets.aligned.objects.gate.object_gate import evaluate_objects
from mm_assets.aligned.objects.gate.object_verdict import ObjectVerdict
from mm_assets.aligned.objects.gate.region_recall import trusted_region_baseline
from mm_assets.display.box_sheet import BOX_COLOURS
from mm_assets.display.metadata import counts_table, picture
from mm_assets.features.timed_encoder import TimedEncoder
from mm_assets.gates.evidence import evidence_sheet
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.partitions import batches
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.steps import STEPS
from mm_assets.timed_models import timed
from resources.corrections import Corrections
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.image_text_encoder import ImageTextEncoderResource
from resources.object_store import LandingStore
from resources.phrase_extractor import PhraseExtractorResource
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.registry import BatchRegistry

GROUP = "aligned_objects"
_IMAGES_AT_ONCE = 1_024


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=["images"],
    kinds={"deltalake", "numpy"},
    code_version=STEPS["boxes"].code_version,
    description=TABLES["boxes"].grain,
)
def boxes(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    provenance: Provenance,
    corrections: Corrections,
    policy_file: PolicyFile,
) -> dg.MaterializeResult:
    """One row per declared box of a kept image, corrections applied."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy.objects
    in_force = corrections.in_force(batch, "object")
    with provenance.writing("boxes", batch) as writing, lake.staging() as staging:
        seen = 0
        for images in lake.chunks("images", batch, _IMAGES_AT_ONCE):
            converted = convert_boxes(images, policy, in_force)
            staging.add("boxes", converted.kept)
            staging.add("rejected", converted.rejected)
            seen += converted.seen
        lake.replace("rejected", batch, staging, within={"stage": "boxes"})
        if (in_force["kind"] == LABEL_SHIFT).any():
            delivered = list_declared_boxes(lake.read("raw_images", batch))
            written = lake.replace(
                "boxes", batch, correct_boxes(staging.scan("boxes").collect(), in_force, delivered, policy)
            )
        else:
            written = lake.replace("boxes", batch, staging)
        writing.written.append(written)
        writing.seen["box"] = seen
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            "declared": seen,
            "corrections": counts_table(
                {row["kind"]: len(row["rows"]) or written.rows for row in in_force.to_dicts()}, "correction", "boxes"
            ),
            "rejected": counts_table(lake.rejected_by_code(batch, "boxes"), "code", "boxes"),
            **written_metadata(lake, batch, written),
        },
    )


@dg.multi_asset(
    name="object_recall",
    specs=table_specs("object_recall", GROUP, {"deltalake", "onnx"}, ["boxes", "images"]),
)
def object_recall(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    registry: BatchRegistry,
    corrections: Corrections,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per batch: how well crops find their labels, and which fault of the boxes explains it if they do not."""
    refuse_if_held(context, holds)
    batch, policy, model = context.partition_key, policy_file.policy, TimedEncoder(encoder.handle)
    judged = min(lake.count("boxes", batch), policy.object_gate.max_boxes)
    refuse_if_over_budget(holds, costs.estimate(batch, "object_recall", "images", judged))
    source, before = registry.of_same_source(batch)
    with (
        provenance.writing("object_recall", batch, models={"encoder": encoder}) as writing,
        costs.metered(context, "object_recall", model.identity, "images", model.device) as meter,
    ):
        earlier = [name for name in before if name not in holds.held_batches()]
        trusted = lake.scan("object_recall").filter(pl.col("batch").is_in(earlier) & pl.col("passed")).collect()
        in_force = corrections.in_force(batch, "object")
        evaluation = evaluate_objects(
            lake.read("boxes", batch),
            lake.read("images", batch),
            landing,
            model,
            trusted_region_baseline(trusted, policy.object_gate),
            policy,
            rejected=lake.scan("rejected", batch).filter(pl.col("stage") == "boxes").collect(),
            corrections=in_force,
            delivered=list_declared_boxes(lake.read("raw_images", batch)),
        )
        verdict = evaluation.verdict
        meter.add(model.images, model.seconds)
        row = pl.DataFrame([verdict.to_row(batch, source)], schema=TABLES["object_recall"].schema)
        writing.written += [
            lake.replace("region_embeddings", batch, evaluation.embeddings),
            lake.replace("object_recall", batch, row),
        ]
    for done in writing.written:
        metadata: dict[str, Any] = {
            "encoder_calls": verdict.encoder_calls,
            "encoder_calls_saved": verdict.calls_saved,
        }
        if done.table == "object_recall":
            metadata["reason"] = verdict.reason
            if verdict.judged:
                metadata |= _show_verdict(lake, landing, verdict, batch, source)
        yield dg.MaterializeResult(
            done.table, data_version=writing.data_version, metadata=metadata | written_metadata(lake, batch, done)
        )


def _show_verdict(
    lake: DeltaLake, landing: LandingStore, verdict: ObjectVerdict, batch: str, source: str
) -> dict[str, Any]:
    """Figures and pictures of a judged batch."""
    history = lake.scan("object_recall").filter(pl.col("source") == source).sort("batch").collect()
    diagnosis = verdict.to_json()
    shown: dict[str, Any] = {
        "similarities": picture(draw_region_similarities(verdict), "crops and their labels"),
        "recall_over_batches": picture(draw_region_history(history), f"region R@1 of batches from {source}"),
        "hypotheses": picture(draw_fault_evidence(diagnosis), "evidence for each hypothesis"),
    }
    if math.isfinite(verdict.recall_at_1):
        shown["region_r1"] = verdict.recall_at_1
    sheet = evidence_sheet(lake, landing, batch, diagnosis)
    if sheet is not None:
        shown["worst_and_random"] = picture(sheet, BOX_COLOURS)
    return shown


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=["boxes", "captions", "region_embeddings"],
    kinds={"deltalake", "spacy"},
    code_version=STEPS["object_alignments"].code_version,
    description=TABLES["object_alignments"].grain,
)
def object_alignments(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
    phrases: PhraseExtractorResource,
) -> dg.MaterializeResult:
    """One row per box and caption that names it: the phrase, its place in the caption, and how sure that is."""
    refuse_if_held(context, holds)
    batch, policy, model = context.partition_key, policy_file.policy, TimedEncoder(encoder.handle)
    refuse_if_over_budget(holds, costs.estimate(batch, "object_alignments", "images", lake.count("boxes", batch)))
    verdicts: dict[str, int] = {}
    saved = 0
    with (
        provenance.writing("object_alignments", batch, models={"encoder": encoder, "phrases": phrases}) as writing,
        costs.metered(context, "object_alignments", model.identity, "images", model.device) as meter,
        costs.metered(context, "object_alignments", phrases.identity, "texts", "cpu") as parsed,
        lake.staging() as staging,
    ):
        found, extractor = lake.read("boxes", batch), timed(phrases.handle, "extract", parsed.add)
        captions, known = lake.scan("captions", batch), lake.scan("region_embeddings", batch)
        for images in lake.chunks("images", batch, _IMAGES_AT_ONCE):
            own = found.join(images, on="image_id", how="semi", maintain_order="left")
            if own.is_empty():
                continue
            ids = own["image_id"].unique().implode()
            aligned = align_objects(
                own,
                captions.filter(pl.col("image_id").is_in(ids)).collect(),
                known.filter(pl.col("image_id").is_in(ids)).collect(),
                images,
                landing,
                model,
                extractor,
                policy,
            )
            staging.add("object_alignments", aligned.rows)
            verdicts = {name: verdicts.get(name, 0) + rows for name, rows in aligned.verdicts.items()} | {
                name: rows for name, rows in verdicts.items() if name not in aligned.verdicts
            }
            saved += aligned.crops_saved
        meter.add(model.images, model.seconds)
        written = lake.replace("object_alignments", batch, staging)
        writing.written.append(written)
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            "verdicts": counts_table(verdicts, "verdict", "rows"),
            "crops_encoded": meter.units,
            "crops_saved": saved,
            **written_metadata(lake, batch, written),
        },
    )
