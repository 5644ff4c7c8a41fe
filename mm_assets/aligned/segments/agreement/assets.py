"""Aligned segments: pieces of clips whose text goes with what is heard and shown in them."""

import dagster as dg
import polars as pl

from mm_assets.aligned.segments.agreement.alignments import align_segments
from mm_assets.aligned.segments.agreement.segment_texts import list_clips
from mm_assets.aligned.segments.agreement.segment_verdicts import STAGE
from mm_assets.display.metadata import counts_table
from mm_assets.features.timed_encoder import TimedEncoder
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.partitions import batches
from mm_assets.schemas import TABLES
from mm_assets.step_assets import written_metadata
from mm_assets.steps import STEPS
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.image_text_encoder import ImageTextEncoderResource
from resources.policy_file import PolicyFile
from resources.provenance import Provenance

GROUP = "aligned_segments"
_FRAME_COLUMNS = ("piece_id", "time_us", "embedding")


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=["audio_clips", "video_clips", "clip_pieces", "cues", "transcripts", "clip_offsets", "key_frames"],
    kinds={"deltalake", "polars"},
    code_version=STEPS[STAGE].code_version,
    description=TABLES[STAGE].grain,
)
def segment_alignments(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
) -> dg.MaterializeResult:
    """One row per piece of a clip whose text, words, sound and pictures agree; none before its clock was judged."""
    refuse_if_held(context, holds, after=("offset",))
    batch, policy, model = context.partition_key, policy_file.policy, TimedEncoder(encoder.handle)
    texts = lake.count("key_frames", batch)
    refuse_if_over_budget(holds, costs.estimate(batch, STAGE, "texts", texts))
    with (
        provenance.writing(STAGE, batch, models={"encoder": encoder}) as writing,
        costs.metered(context, STAGE, model.identity, "texts", model.device) as meter,
        lake.staging() as staging,
    ):
        aligned = align_segments(
            list_clips(lake.read("audio_clips", batch), lake.read("video_clips", batch)),
            lake.read("clip_pieces", batch),
            lake.read("cues", batch),
            lake.read("transcripts", batch),
            lake.read("clip_offsets", batch),
            lake.scan("key_frames", batch).select(_FRAME_COLUMNS).collect(),
            model,
            policy.segments,
            policy.warping,
        )
        meter.add(texts, model.seconds)
        staging.add("rejected", aligned.rejected)
        lake.replace("rejected", batch, staging, within={"stage": STAGE})
        written = lake.replace(STAGE, batch, aligned.rows)
        writing.written.append(written)
    verdicts = dict(aligned.rows.group_by("verdict").len().sort("verdict").iter_rows())
    reasons = dict(
        aligned.rows.select(pl.col("reasons").explode().drop_nulls().value_counts()).unnest("reasons").iter_rows()
    )
    sample = aligned.sample
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            "verdicts": counts_table(verdicts, "verdict", "segments"),
            "not_counted_as_agreeing": counts_table(reasons, "why", "segments"),
            "rejected": counts_table(lake.rejected_by_code(batch, STAGE), "code", "pieces"),
            "sample_segments": sample.segments,
            **({} if sample.own is None else {"sample_own": sample.own}),
            **({} if sample.mismatched is None else {"sample_mismatched": sample.mismatched}),
            **written_metadata(lake, batch, written),
        },
    )
