"""Fusion samples: codes in the placeholders, text behind them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.aligned.objects.orientation.orientation_verdict import GATE as ORIENTATION
from mm_assets.aligned.objects.orientation.write_back import list_contradicted
from mm_assets.display.metadata import counts_table
from mm_assets.fusion.document_packing import join_figures, pack_document_chunks
from mm_assets.fusion.negative_texts import list_negatives, with_negatives
from mm_assets.fusion.object_packing import pack_object_chunks
from mm_assets.fusion.packed_samples import PackedSamples
from mm_assets.fusion.packing import pack_image_text_chunks, pack_texts
from mm_assets.fusion.segment_packing import join_frames, join_sounds, pack_segment_chunks
from mm_assets.gates.guard import refuse_if_held
from mm_assets.partitions import batches
from mm_assets.policy import FusionPolicy, OrientationPolicy
from mm_assets.schemas import TABLES
from mm_assets.step_assets import written_metadata
from mm_assets.steps import GATES, STEPS, gates_of
from resources.corrections import Corrections
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.staging import Staging

GROUP = "fusion"
STAGE = "fusion_samples"
_SEGMENTS_AT_ONCE = 512  # some 5 MB of content
_ELEMENTS_AT_ONCE = 4_096  # and the rest of the last one's window


def _add(staging: Staging, packed: PackedSamples) -> None:
    staging.add("fusion_samples", packed.samples)
    staging.add("rejected", packed.rejected.with_columns(stage=pl.lit(STAGE)))


def gate_values(holds: Holds, corrections: Corrections, batch: str) -> dict[str, Any]:
    """What every gate measured on the batch, and the corrections its rows went through."""
    verdicts = {gate: holds.latest(batch, gate) for gate in GATES}
    measured = {gate: row["measured"] for gate, row in verdicts.items() if row and row["measured"] is not None}
    in_force = corrections.in_force(batch)["correction_id"].to_list()
    return measured | ({"corrections": in_force} if in_force else {})


def kept_captions(lake: DeltaLake, batch: str) -> pl.DataFrame:
    """Captions that neither cleaning nor the check of their claims turned away."""
    turned_away = lake.scan("rejected", batch).filter(pl.col("stage") == "caption_claims").select("record_id")
    captions = lake.read("captions", batch)
    return captions.join(
        turned_away.collect(), left_on="caption_id", right_on="record_id", how="anti", maintain_order="left"
    )


def contradicted_captions(
    lake: DeltaLake, holds: Holds, batch: str, captions: pl.DataFrame, policy: OrientationPolicy
) -> pl.DataFrame:
    """Rejections of captions whose sides, or whose picture's sides, are contradicted; none once a person waived it."""
    verdict = holds.latest(batch, ORIENTATION)
    if verdict and not verdict["passed"] and holds.is_waived(verdict["evaluation_id"]):
        return TABLES["rejected"].empty()
    return list_contradicted(lake.read("orientation_checks", batch), captions, policy.min_finding_confidence, STAGE)


def pack_batch(
    lake: DeltaLake,
    batch: str,
    checks: dict[str, Any],
    policy: FusionPolicy,
    captions: pl.DataFrame,
    max_negatives: int,
) -> Iterator[PackedSamples]:
    """Everything of a batch that becomes a sample, in bounded portions."""
    negatives = list_negatives(lake.read("hard_negatives", batch), max_negatives)
    codes = lake.read("visual_codes", batch)
    codebook_size = _codebook_size(lake, "codebook", codes)
    columns = ("image_id", "batch", "source", "license", "record_ref", "position")
    images = lake.scan("images", batch).select(columns).sort("position").collect()
    embeddings = lake.scan("image_embeddings", batch).select("image_id", "spatial_features").collect()
    pictures = pack_image_text_chunks(images, captions, codes, embeddings, checks, policy, codebook_size=codebook_size)
    yield from (with_negatives(packed, negatives) for packed in pictures)
    alignments = lake.read("object_alignments", batch)
    if alignments.height:
        objects = pack_object_chunks(
            images, captions, alignments, codes, embeddings, checks, policy, codebook_size=codebook_size
        )
        yield from (with_negatives(packed, negatives) for packed in objects)
    for chunk in lake.chunks("texts", batch):
        yield pack_texts(chunk, policy)
    if lake.count("segment_alignments", batch):
        segments = pack_batch_segments(lake, batch, checks, policy)
        yield from (with_negatives(packed, negatives, "segment_id") for packed in segments)
    if lake.count("document_windows", batch):
        yield from pack_batch_documents(lake, batch, checks, policy)


def pack_batch_segments(
    lake: DeltaLake, batch: str, checks: dict[str, Any], policy: FusionPolicy
) -> Iterator[PackedSamples]:
    """The aligned segments of a batch, in bounded portions."""
    columns = ("clip_id", "source", "license", "record_ref")
    clips = pl.concat([lake.scan(table, batch).select(columns).collect() for table in ("audio_clips", "video_clips")])
    codes, frame_codes = lake.read("audio_codes", batch), lake.read("key_frame_codes", batch)
    embedded = lake.scan("audio_embeddings", batch).select("piece_id", "features", "tokens").collect()
    frames = lake.scan("key_frames", batch).select("frame_id", "piece_id", "time_us", "spatial_features").collect()
    yield from pack_segment_chunks(
        lake.chunks("segment_alignments", batch, _SEGMENTS_AT_ONCE),
        clips,
        join_sounds(embedded, codes, _codebook_size(lake, "audio_codebook", codes)),
        join_frames(frames, frame_codes, _codebook_size(lake, "codebook", frame_codes)),
        checks,
        policy,
    )


def pack_batch_documents(
    lake: DeltaLake, batch: str, checks: dict[str, Any], policy: FusionPolicy
) -> Iterator[PackedSamples]:
    """The windows of a batch's documents, in portions of whole windows."""
    columns = ("document_id", "source", "license", "language", "record_ref")
    documents = lake.scan("documents", batch).select(columns).collect()
    codes = lake.read("figure_codes", batch)
    seen = lake.scan("document_figures", batch).select("block_id", "spatial_features").collect()
    yield from pack_document_chunks(
        whole_windows(lake.chunks("document_windows", batch, _ELEMENTS_AT_ONCE)),
        documents,
        join_figures(seen, codes, _codebook_size(lake, "codebook", codes)),
        lake.read("caption_bindings", batch),
        checks,
        policy,
    )


def whole_windows(chunks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Chunks of window elements, cut anew so that every window is whole."""
    waiting = TABLES["document_windows"].empty()
    for chunk in chunks:
        rows = pl.concat([waiting, chunk])
        is_last = pl.col("window_id") == rows["window_id"][-1]
        ready, waiting = rows.filter(~is_last), rows.filter(is_last)
        if ready.height:
            yield ready
    if waiting.height:
        yield waiting


def _codebook_size(lake: DeltaLake, table: str, codes: pl.DataFrame) -> int:
    sizes = dict(lake.scan(table).select("version", "size").collect().iter_rows())
    return sizes[codes["codebook_version"][0]] if codes.height else 0


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=[
        "images",
        "captions",
        "texts",
        "visual_codes",
        "image_embeddings",
        "image_text_recall",
        "object_alignments",
        "orientation_checks",
        "caption_claims",
        "segment_offsets",
        "segment_alignments",
        "audio_codes",
        "key_frame_codes",
        "documents",
        "caption_bindings",
        "document_windows",
        "document_order",
        "figure_codes",
        "hard_negatives",
    ],
    kinds={"deltalake", "polars"},
    code_version=STEPS[STAGE].code_version,
    description=TABLES[STAGE].grain,
)
def fusion_samples(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    corrections: Corrections,
    provenance: Provenance,
    policy_file: PolicyFile,
) -> dg.MaterializeResult:
    """One row per caption of a kept image, image with boxes, text, aligned segment and window of a document."""
    refuse_if_held(context, holds, after=gates_of(provenance.parts(context.partition_key)))
    batch, policy = context.partition_key, policy_file.policy
    checks = gate_values(holds, corrections, batch)
    captions = kept_captions(lake, batch)
    contradicted = contradicted_captions(lake, holds, batch, captions, policy.orientation)
    captions = captions.join(
        contradicted, left_on="caption_id", right_on="record_id", how="anti", maintain_order="left"
    )
    with provenance.writing(STAGE, batch) as writing, lake.staging() as staging:
        staging.add("rejected", contradicted)
        most = policy.hard_negatives.max_per_positive
        for packed in pack_batch(lake, batch, checks, policy.fusion, captions, most):
            _add(staging, packed)
        lake.replace("rejected", batch, staging, within={"stage": STAGE})
        written = lake.replace(STAGE, batch, staging)
        writing.written.append(written)
    pools = lake.scan(STAGE, batch).group_by("pool").len().sort("pool").collect()
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            "pools": counts_table(dict(pools.iter_rows()), "pool", "samples"),
            "rejected": counts_table(lake.rejected_by_code(batch, STAGE), "code", "records"),
            **written_metadata(lake, batch, written),
        },
    )
