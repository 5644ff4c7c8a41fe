"""The offset gate's measurements, stored once; its check and the UI read them from here."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.aligned.segments.offsets.cue_placement import place_cues
from mm_assets.aligned.segments.offsets.gate_input import gather_tracks
from mm_assets.aligned.segments.offsets.offset_figures import TRACKS, draw_clip_offsets, draw_offset_history
from mm_assets.aligned.segments.offsets.offset_gate import evaluate_offsets
from mm_assets.aligned.segments.offsets.offset_verdict import OffsetVerdict
from mm_assets.aligned.segments.offsets.text_channels import compare_delivered_texts
from mm_assets.cleaned.media_assets import delivered_clips
from mm_assets.display.metadata import picture
from mm_assets.gates.evidence import evidence_sheet, tell_sheet
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.policy import OffsetGatePolicy
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from resources.corrections import Corrections
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.image_text_encoder import ImageTextEncoderResource
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance

GROUP = "aligned_segments"
STAGE = "segment_offsets"


def cleaned_clips(lake: DeltaLake, batch: str) -> pl.DataFrame:
    """Sounds and videos as `gather_tracks` takes them."""
    times = ("clip_id", "start_us", "end_us", "sound_start_us", "sound_end_us")
    audio = lake.scan("audio_clips", batch).select(*times, has_separate_sound=pl.lit(value=False))
    videos = lake.scan("video_clips", batch).select(*times, has_separate_sound=pl.col("audio_ref").is_not_null())
    return pl.concat([audio, videos]).collect()


def source_of(lake: DeltaLake, batch: str) -> str:
    """Who delivered the batch's media."""
    rows = pl.concat([lake.scan(table, batch).select("source") for table in ("raw_videos", "raw_audio")])
    found = rows.head(1).collect()["source"].to_list()
    return found[0] if found else ""


def delivered_texts(lake: DeltaLake, batch: str, delivered: pl.DataFrame) -> pl.DataFrame:
    """Delivery rows with what is said in them and what was written of them."""
    said = lake.scan("transcripts", batch).select("clip_id", said="text")
    written = pl.concat(
        [
            lake.scan("raw_audio", batch).select("clip_id", written="transcription"),
            lake.scan("raw_videos", batch).select("clip_id", written="text"),
        ]
    )
    texts = said.join(written, on="clip_id", how="full", coalesce=True).collect()
    return delivered.join(texts, on="clip_id", how="left", maintain_order="left")


@dg.multi_asset(
    name=STAGE,
    specs=table_specs(
        STAGE,
        GROUP,
        {"deltalake", "numpy"},
        ["raw_audio", "raw_cues", "audio_clips", "video_clips", "clip_tracks", "transcripts", "cues"],
    ),
)
def segment_offsets(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    costs: Costs,
    corrections: Corrections,
    provenance: Provenance,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
    landing: LandingStore,
) -> Iterator[dg.MaterializeResult]:
    """One row per batch: are cues, speech, sound and pictures on one clock, and do they belong together?"""
    refuse_if_held(context, holds)
    batch, policy, model = context.partition_key, policy_file.policy, encoder.handle
    texts = 2 * lake.count("transcripts", batch)
    refuse_if_over_budget(holds, costs.estimate(batch, STAGE, "texts", texts))
    with (
        provenance.writing(STAGE, batch, models={"encoder": encoder}) as writing,
        costs.metered(context, STAGE, model.identity, "texts", model.device) as meter,
    ):
        delivered = delivered_clips(lake, batch)
        in_force = corrections.in_force(batch, "segment")
        placed = place_cues(lake.read("raw_cues", batch), lake.read("video_clips", batch), delivered, in_force)
        started = perf_counter()
        channels = compare_delivered_texts(delivered_texts(lake, batch, delivered), model)
        meter.add(texts, perf_counter() - started)
        clips = gather_tracks(
            delivered,
            cleaned_clips(lake, batch),
            lake.read("clip_tracks", batch),
            placed,
            lake.read("transcripts", batch),
        )
        verdict = evaluate_offsets(clips, policy.offset_gate, policy.warping, channels)
        row = pl.DataFrame([verdict.to_row(batch, source_of(lake, batch))], schema=TABLES[STAGE].schema)
        writing.written += [
            lake.replace("segment_offsets", batch, row),
            lake.replace("clip_offsets", batch, verdict.to_frame(batch)),
        ]
    for done in writing.written:
        metadata: dict[str, Any] = {}
        if done.table == STAGE:
            metadata["reason"] = verdict.reason
            if verdict.judged:
                metadata |= _show_verdict(lake, landing, verdict, batch, policy.offset_gate)
        yield dg.MaterializeResult(
            done.table, data_version=writing.data_version, metadata=metadata | written_metadata(lake, batch, done)
        )


def _show_verdict(
    lake: DeltaLake, landing: LandingStore, verdict: OffsetVerdict, batch: str, policy: OffsetGatePolicy
) -> dict[str, Any]:
    """Figures and pictures of a judged batch."""
    tolerances = {tracks: policy.tolerance_us(tracks) for tracks in TRACKS}
    source = source_of(lake, batch)
    history = lake.scan("segment_offsets").filter(pl.col("source") == source).sort("batch").collect()
    files = pl.concat([lake.scan(table, batch).select("clip_id", "file_name") for table in ("raw_audio", "raw_videos")])
    clips = draw_clip_offsets(verdict.to_frame(batch), tolerances, dict(files.collect().iter_rows()))
    shown: dict[str, Any] = {
        "offset_of_each_clip": picture(clips, "how late cues and sound are, beside what the task bears"),
        "offset_over_batches": picture(draw_offset_history(history, tolerances), f"batches from {source}"),
    }
    diagnosis = verdict.to_json()
    sheet = evidence_sheet(lake, landing, batch, diagnosis)
    if sheet is not None:
        shown["worst_clips"] = picture(sheet, tell_sheet(diagnosis))
    return shown
