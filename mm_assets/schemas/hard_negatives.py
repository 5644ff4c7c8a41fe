"""Tables of hard negatives and of what is known about them."""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH
from mm_assets.schemas.table import Column, Table

EDITS: Final = pl.List(
    pl.Struct({"start": pl.Int32, "end": pl.Int32, "before": pl.String, "after": pl.String, "kind": pl.String})
)

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="hard_negatives",
        grain="One row per hard negative that was made, kept or not.",
        columns={
            "batch": BATCH,
            "negative_id": Column(pl.String, "Hash of positive, strategy and content."),
            "positive_id": Column(pl.String, "Caption or segment it was made from."),
            "image_id": Column(pl.String, "Picture or clip of the positive."),
            "position": Column(pl.Int64, "Place of the picture or clip in its delivery, from 0."),
            "strategy": Column(
                pl.String, "subtle_replacement, attribute_swap, in_batch, temporal_shift or llm_synthetic."
            ),
            "kind": Column(
                pl.String,
                "object, attribute, colour, number, relation, action, order or negation.",
                nullable=True,
            ),
            "positive_text": Column(pl.String, "The true text."),
            "text": Column(pl.String, "The false text; the true one where a picture or window is false."),
            "edits": Column(EDITS, "Changes as character offsets into the true text: before, after and kind."),
            "media_json": Column(
                pl.String, "A false picture or window: its file, region or times; JSON.", nullable=True
            ),
            "donor_id": Column(pl.String, "Positive that lent a word, a caption or a window.", nullable=True),
            "mirror_id": Column(pl.String, "The same for both halves of an exchange.", nullable=True),
            "similarity": Column(pl.Float32, "Image-text similarity of the negative.", nullable=True),
            "positive_similarity": Column(pl.Float32, "Image-text similarity of the positive.", nullable=True),
            "text_similarity": Column(pl.Float32, "Similarity of false and true text.", nullable=True),
            "difficulty": Column(
                pl.Float32, "Similarity of the negative less that of its positive; higher is harder.", nullable=True
            ),
            "verdict": Column(pl.String, "kept, false_negative, too_easy or shortcut."),
            "verdict_reason": Column(pl.String, "Rule that decided and what it saw."),
            "provenance_json": Column(pl.String, "What made it: words, index, prompt and model; JSON."),
        },
        order_by=("position", "positive_id", "strategy", "negative_id"),
    ),
    Table(
        name="hard_negative_audit",
        grain="One row per batch: how many negatives are true after all, and whether they give themselves away.",
        columns={
            "batch": BATCH,
            "evaluation_id": Column(pl.String, "Hash of everything the verdict depends on."),
            "positives": Column(pl.Int64, "True pairs worked from."),
            "made": Column(pl.Int64, "Negatives made."),
            "kept": Column(pl.Int64, "Negatives kept."),
            "false_negative_rate": Column(pl.Float64, "Estimated share of true texts among those kept; NaN: none."),
            "rate_low": Column(pl.Float64, "Lower end of its interval."),
            "rate_high": Column(pl.Float64, "Upper end of its interval."),
            "reviewed": Column(pl.Int64, "Negatives with a human verdict."),
            "blind_accuracy": Column(
                pl.Float64, "Best held-out accuracy of readers who never see the picture; NaN: not judged."
            ),
            "dropped_by_balancer": Column(pl.Int64, "Negatives the balancer took out."),
            "passed": Column(pl.Boolean, "Whether the batch meets the gate."),
            "code": Column(pl.String, "Cross-modal code when it does not.", nullable=True),
            "reason": Column(pl.String, "The verdict in one sentence."),
            "measured": Column(pl.Float64, "Value that decided; NaN: none."),
            "threshold": Column(pl.Float64, "What it had to stay below; NaN: none."),
            "diagnosis_json": Column(pl.String, "Rates, accuracies and difficulty by strategy; JSON."),
        },
    ),
)
