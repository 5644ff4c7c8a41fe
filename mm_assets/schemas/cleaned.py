"""Tables of the cleaned modalities, and what was turned away."""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import (
    BATCH,
    CAPTION_COLUMNS,
    IMAGE_COLUMNS,
    IMAGE_ID,
    POSITION,
    RECORD_REF,
    SHA256,
    TEXT_COLUMNS,
)
from mm_assets.schemas.table import Column, Table

FINGERPRINT_ROWS_TOGETHER: Final = 512
"""A fingerprint takes 25 KB or so; 13 MB are read at a time."""
TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="images",
        grain="One row per image that decodes fully, meets the rules and is no duplicate.",
        columns=IMAGE_COLUMNS
        | {
            "format": Column(pl.String, "Format found in the bytes: PNG, JPEG, WEBP …"),
            "width": Column(pl.Int32, "Width in pixels after EXIF orientation."),
            "height": Column(pl.Int32, "Height in pixels after EXIF orientation."),
            "nsfw_score": Column(
                pl.Float32, "Probability of unsafe content, 0 to 1; null if the model is off.", nullable=True
            ),
        },
        order_by=("position",),
        constraints={"size_px_is_positive": "width > 0 AND height > 0"},
    ),
    Table(
        name="image_fingerprints",
        grain="One row per image that decodes fully: what near-duplicate search compares.",
        columns={
            "batch": BATCH,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "sha256": SHA256,
            "width": Column(pl.Int32, "Width in pixels after EXIF orientation."),
            "height": Column(pl.Int32, "Height in pixels after EXIF orientation."),
            "coarse": Column(pl.Binary, "16 x 16 x 3 uint8 RGB thumbnail, row major; finds candidates."),
            "thumbnail": Column(pl.Binary, "64 x 64 x 3 uint8 RGB thumbnail, row major; tells colours and crops."),
            "detail": Column(pl.Binary, "JPEG of the luminance, 192 x 192; tells the lines of a drawing."),
        },
        order_by=("position",),
        row_group_rows=FINGERPRINT_ROWS_TOGETHER,
    ),
    *(
        Table(
            name=name,
            grain=f"One row per {what}: what near-duplicate search compares.",
            columns={
                "batch": BATCH,
                "text_id": Column(pl.String, f"The {what}."),
                "position": Column(pl.Int64, "Place in its delivery, from 0."),
                "words": Column(pl.Int64, "Words."),
                "digest": Column(pl.String, "Hash of its words in order, without case and marks."),
                "bands": Column(pl.List(pl.Int64), "Hashes of its MinHash bands; those that share one are compared."),
            },
            order_by=("position", "text_id"),
        )
        for name, what in (("text_fingerprints", "text"), ("document_fingerprints", "document"))
    ),
    Table(
        name="captions",
        grain="One row per repaired caption of a kept image.",
        columns=CAPTION_COLUMNS | {"raw_text": Column(pl.String, "The caption before repair.")},
        order_by=("position", "caption_index"),
        constraints={"text_is_not_empty": "text <> ''"},
    ),
    Table(
        name="texts",
        grain="One row per repaired text of the text pool.",
        columns=TEXT_COLUMNS,
        order_by=("position",),
        constraints={"text_is_not_empty": "text <> ''"},
    ),
    Table(
        name="rejected",
        grain="One row per record that a stage turned away, with its code and reason.",
        columns={
            "batch": BATCH,
            "stage": Column(pl.String, "Stage that rejected it: raw_pools, cleaned, fusion …"),
            "record_kind": Column(
                pl.String, "image, caption, text, annotation, box, audio, video, subtitles, cue or sample."
            ),
            "record_ref": RECORD_REF,
            "record_id": Column(pl.String, "Id of the record, where it had one.", nullable=True),
            "code": Column(pl.String, "Short upper-case code."),
            "reason": Column(pl.String, "Culprit, cause and fix in one sentence."),
        },
        partition_by=("batch", "stage"),
        order_by=("record_kind", "record_ref", "record_id"),
    ),
)
