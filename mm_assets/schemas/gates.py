"""Tables of what the gates measured and decided."""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH, SOURCE
from mm_assets.schemas.table import Column, Table

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="image_text_recall",
        grain="One row per batch: retrieval in both directions on fixed-size pools, its null, baseline and diagnosis.",
        columns={
            "batch": BATCH,
            "evaluation_id": Column(pl.String, "Hash of everything the verdict depends on."),
            "source": SOURCE,
            "pairs": Column(pl.Int64, "Caption-image pairs evaluated."),
            "pool_size": Column(pl.Int32, "Candidates per query, the right one included."),
            "image_to_text_r1": Column(pl.Float64, "Expected share of images whose caption ranks first in a pool."),
            "image_to_text_r5": Column(pl.Float64, "The same for the first five."),
            "image_to_text_mrr": Column(pl.Float64, "Expected reciprocal rank of the caption."),
            "text_to_image_r1": Column(pl.Float64, "Expected share of captions whose image ranks first in a pool."),
            "text_to_image_r5": Column(pl.Float64, "The same for the first five."),
            "text_to_image_mrr": Column(pl.Float64, "Expected reciprocal rank of the image."),
            "recall_at_1": Column(pl.Float64, "Mean of both directions' R@1: the gated value."),
            "recall_low": Column(pl.Float64, "Lower end of its bootstrap interval."),
            "recall_high": Column(pl.Float64, "Upper end of its bootstrap interval."),
            "null_mean": Column(pl.Float64, "Mean R@1 under random re-pairing."),
            "null_p_value": Column(pl.Float64, "Permutation p-value of the measured R@1."),
            "baseline": Column(pl.Float64, "R@1 the batch must not be significantly below."),
            "baseline_kind": Column(pl.String, "policy_floor or trusted_batches."),
            "baseline_batches": Column(pl.List(pl.String), "Batches the baseline was taken from."),
            "passed": Column(pl.Boolean, "Whether the batch meets the gate."),
            "code": Column(pl.String, "Cross-modal code when it does not.", nullable=True),
            "reason": Column(pl.String, "The verdict in one sentence."),
            "hypothesis": Column(pl.String, "Best explanation of a failure, such as shift(+1).", nullable=True),
            "rows_explained": Column(pl.Float64, "Share of rows the hypothesis explains, 0 to 1.", nullable=True),
            "diagnosis_json": Column(pl.String, "Every hypothesis with its restored recall and evidence, JSON."),
        },
    ),
    Table(
        name="segment_offsets",
        grain="One row per batch: how far cues, speech, sound and pictures are apart in time, and what explains it.",
        columns={
            "batch": BATCH,
            "evaluation_id": Column(pl.String, "Hash of everything the verdict depends on."),
            "source": SOURCE,
            "clips": Column(pl.Int64, "Delivery rows looked at, rejected ones included: pointers count them."),
            "cue_clips": Column(pl.Int64, "Clips whose cues can be told early or late."),
            "cue_offset_us": Column(pl.Float64, "Median time by which cues are late, microseconds; NaN: none tells."),
            "cue_offset_low_us": Column(pl.Float64, "Lower end of its bootstrap interval."),
            "cue_offset_high_us": Column(pl.Float64, "Upper end of its bootstrap interval."),
            "sound_clips": Column(pl.Int64, "Clips whose sound can be told early or late against the pictures."),
            "sound_offset_us": Column(pl.Float64, "Median time by which sound is late, microseconds; NaN: none tells."),
            "sound_offset_low_us": Column(pl.Float64, "Lower end of its bootstrap interval."),
            "sound_offset_high_us": Column(pl.Float64, "Upper end of its bootstrap interval."),
            "affected_share": Column(
                pl.Float64, "Share of clips with a proven fault: the gated value; NaN: not judged."
            ),
            "allowed_share": Column(pl.Float64, "Share of displaced clips a sound batch may have."),
            "judged": Column(pl.Boolean, "Whether enough clips can tell; if not, the batch passes."),
            "passed": Column(pl.Boolean, "Whether the batch meets the gate."),
            "code": Column(pl.String, "Cross-modal code when it does not.", nullable=True),
            "reason": Column(pl.String, "The verdict in a sentence or two."),
            "hypothesis": Column(pl.String, "Best explanation of a failure, such as offset(+0.800 s).", nullable=True),
            "likelihood_ratio": Column(
                pl.Float64, "Natural logarithm of its likelihood over that of a sound batch.", nullable=True
            ),
            "affected_clips": Column(pl.List(pl.String), "Ids of the clips that have it."),
            "affected_confidence": Column(pl.List(pl.Float64), "Posterior probability of each of them."),
            "diagnosis_json": Column(pl.String, "Every finding with its evidence, corrections and examples, JSON."),
        },
    ),
    Table(
        name="clip_offsets",
        grain="One row per clip and pair of tracks: how much later one shows what the other shows.",
        columns={
            "batch": BATCH,
            "clip_id": Column(pl.String, "The clip."),
            "tracks": Column(pl.String, "cues_speech, cues_words or audio_video."),
            "timing": Column(pl.String, "in_place, offset, drift, reversed or unknown."),
            "offset_us": Column(
                pl.Int64, "Offset at the clip's start, microseconds; null: it cannot tell.", nullable=True
            ),
            "offset_low_us": Column(pl.Int64, "Lower end of its interval.", nullable=True),
            "offset_high_us": Column(pl.Int64, "Upper end of its interval.", nullable=True),
            "drift_ppm": Column(pl.Float64, "How much slower the track runs, parts per million.", nullable=True),
            "beyond": Column(pl.Float64, "Posterior of being displaced beyond the tolerance.", nullable=True),
            "evidence": Column(pl.Float64, "Log-likelihood ratio against unrelated tracks.", nullable=True),
            "affected": Column(pl.Boolean, "Whether the batch's verdict names it."),
        },
        order_by=("clip_id", "tracks"),
    ),
    Table(
        name="gate_evaluations",
        grain="One row per verdict of a gate on a batch.",
        columns={
            "evaluation_id": Column(pl.String, "Hash of everything the verdict depends on."),
            "batch": BATCH,
            "gate": Column(pl.String, "recall, budget …"),
            "passed": Column(pl.Boolean, "Whether the batch meets the gate."),
            "code": Column(pl.String, "Cross-modal or gate code when it does not.", nullable=True),
            "reason": Column(pl.String, "The verdict in one sentence."),
            "measured": Column(pl.Float64, "Measured value.", nullable=True),
            "threshold": Column(pl.Float64, "Value it had to reach.", nullable=True),
            "diagnosis_json": Column(pl.String, "Explanation with evidence, JSON."),
            "evaluated_at_us": Column(pl.Int64, "When, microseconds since 1970 UTC."),
        },
        partition_by=("batch",),
    ),
    Table(
        name="holds",
        grain="One row per hold event: a hold placed or released. Append-only.",
        columns={
            "event": Column(pl.String, "placed or released."),
            "evaluation_id": Column(pl.String, "Verdict the hold is bound to."),
            "batch": BATCH,
            "gate": Column(pl.String, "Gate that failed."),
            "code": Column(pl.String, "Code of the failure.", nullable=True),
            "reason": Column(pl.String, "Why it was placed or released."),
            "measured": Column(pl.Float64, "Measured value.", nullable=True),
            "threshold": Column(pl.Float64, "Value it had to reach.", nullable=True),
            "diagnosis_json": Column(pl.String, "Explanation with evidence, JSON."),
            "by": Column(pl.String, "Who: a person, or the sensor's name."),
            "at_us": Column(pl.Int64, "When, microseconds since 1970 UTC."),
        },
        partition_by=(),
    ),
)
