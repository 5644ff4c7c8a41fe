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
