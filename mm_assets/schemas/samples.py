"""Tables of fusion samples and of what a release drew."""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH, LANGUAGE, LICENSE, SOURCE
from mm_assets.schemas.table import Column, Table

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="fusion_samples",
        grain="One row per fusion sample, ready to be drawn into a release.",
        columns={
            "batch": BATCH,
            "sample_id": Column(pl.String, "Hash of what the sample was made of."),
            "kind": Column(pl.String, "image_text, object, segment, document, text or dialogue."),
            "modalities": Column(pl.List(pl.String), "Modalities present, sorted."),
            "content": Column(pl.String, "Text with placeholders in place."),
            "image_id": Column(pl.String, "Image of the sample.", nullable=True),
            "caption_id": Column(pl.String, "Caption of the sample.", nullable=True),
            "text_id": Column(pl.String, "Text of the sample.", nullable=True),
            "spatial_features": Column(pl.String, "Shard and row of its features, as path#row.", nullable=True),
            "codes": Column(pl.List(pl.Int32), "Codes in the placeholders, in order.", nullable=True),
            "codebook_version": Column(pl.String, "Codebook of the codes.", nullable=True),
            "pool": Column(pl.String, "Mixture pool."),
            "source": SOURCE,
            "license": LICENSE,
            "language": LANGUAGE,
            "text_kind": Column(pl.String, "Kind of a text sample.", nullable=True),
            "checks_json": Column(pl.String, "Gate values of the sample, JSON object."),
            "boxes_json": Column(
                pl.String,
                "Boxes of an object sample: phrase as character offsets into the content, xyxy in pixels; JSON array.",
                nullable=True,
            ),
            "segment_id": Column(pl.String, "Row of segment_alignments the sample was made of.", nullable=True),
            "frame_features": Column(
                pl.List(pl.String),
                "Shard and row of the features of each key frame or figure, as path#row.",
                nullable=True,
            ),
            "audio_features": Column(
                pl.String, "Shard and record of the features of its sound, as path#record.", nullable=True
            ),
            "audio_codes": Column(pl.List(pl.Int32), "Codes in the audio placeholders, in order.", nullable=True),
            "audio_codebook_version": Column(pl.String, "Audio codebook of those codes.", nullable=True),
            "segment_json": Column(
                pl.String,
                "Clip, times, words, speakers, key frames and verdict of a segment, microseconds; JSON object.",
                nullable=True,
            ),
            "document_json": Column(
                pl.String,
                "Document, window, pages, and its figures with captions and referring texts, as characters of the "
                "content; JSON object.",
                nullable=True,
            ),
            "negatives_json": Column(
                pl.String, "Kept false texts of its caption: text and strategy; JSON array.", nullable=True
            ),
        },
        order_by=("kind", "sample_id"),
    ),
    Table(
        name="mixtures",
        grain="One row per sample drawn into a release, in release order.",
        columns={
            "release": Column(pl.String, "Release the sample was drawn into."),
            "position": Column(pl.Int64, "Place in the release, from 0."),
            "sample_id": Column(pl.String, "Fusion sample."),
            "batch": BATCH,
            "kind": Column(pl.String, "Kind of the sample."),
            "pool": Column(pl.String, "Mixture pool."),
            "weight": Column(pl.Float64, "How often the sample is drawn in one pass through the release."),
            "split": Column(pl.String, "train, validation or test; all samples of a group share it.", nullable=True),
        },
        partition_by=("release",),
        order_by=("position",),
    ),
    Table(
        name="mixture_exclusions",
        grain="One row per sample of a usable batch that a release does not hold, with the reason.",
        columns={
            "release": Column(pl.String, "Release the sample was left out of."),
            "sample_id": Column(pl.String, "Fusion sample."),
            "batch": BATCH,
            "kind": Column(pl.String, "Kind of the sample."),
            "pool": Column(pl.String, "Mixture pool."),
            "code": Column(pl.String, "EVALUATION_TEXT, EVALUATION_IMAGE or NOT_DRAWN."),
            "evaluation_set": Column(pl.String, "Evaluation set it repeats.", nullable=True),
            "reason": Column(pl.String, "What it repeats, or why it was not drawn, in one sentence."),
        },
        partition_by=("release",),
        order_by=("code", "sample_id"),
    ),
    Table(
        name="recipes",
        grain="One row per release and pool: the share of the draws the pool shall have, and who says so.",
        columns={
            "release": Column(pl.String, "Release the recipe is for."),
            "pool": Column(pl.String, "Mixture pool."),
            "weight": Column(pl.Float64, "Share of the draws, 0 to 1; those of a release sum to 1."),
            "origin": Column(pl.String, "ablation, by_hand or as_delivered."),
        },
        partition_by=("release",),
        order_by=("pool",),
        constraints={"weight_is_a_share": "weight >= 0 AND weight <= 1"},
    ),
    Table(
        name="mixture_ablations",
        grain="One row per proxy that an ablation trained and capability that it was measured on.",
        columns={
            "release": Column(pl.String, "Release the ablation was run for."),
            "run": Column(pl.String, "The proxy: its mixture, and which of its runs."),
            "role": Column(pl.String, "design, held_out, text_only, as_delivered, by_hand or chosen."),
            "text_retention": Column(pl.Float64, "Share of that pool of the drawn samples."),
            "coarse_image_text": Column(pl.Float64, "Share of that pool."),
            "fine_grained_interleaved": Column(pl.Float64, "Share of that pool."),
            "dialogue": Column(pl.Float64, "Share of that pool."),
            "capability": Column(pl.String, "What was measured, such as math, caption or retrieval."),
            "loss": Column(pl.Float64, "Nats per byte of held-out text; of retrieval 1 less the mean reciprocal rank."),
            "predicted": Column(pl.Float64, "The loss that the regression over the design runs expects."),
            "predicted_low": Column(pl.Float64, "Lower end of the interval of a single run."),
            "predicted_high": Column(pl.Float64, "Upper end."),
            "against_text": Column(
                pl.Float64,
                "Of the chosen recipe: log of the ratio of its loss to that of text alone, over all runs of both.",
                nullable=True,
            ),
            "against_text_low": Column(pl.Float64, "Lower end of its interval; above 0 is forgotten.", nullable=True),
            "against_text_high": Column(pl.Float64, "Upper end.", nullable=True),
            "held_out": Column(pl.Int64, "Held-out samples measured."),
            "tokens": Column(pl.Int64, "Tokens the proxy was trained on."),
            "seed": Column(pl.Int64, "Seed of what it drew."),
        },
        partition_by=("release",),
        order_by=("role", "run", "capability"),
    ),
)
