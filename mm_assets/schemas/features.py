"""Tables of embeddings, codebook and codes."""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH, CAPTION_ID, IMAGE_ID, POSITION, SPATIAL
from mm_assets.schemas.table import Column, Table

CODEBOOK_COLUMNS: Final[dict[str, Column]] = {
    "version": Column(pl.String, "Hash of the centroids."),
    "sequence": Column(pl.Int64, "Order of training, from 1; the highest is in force."),
    "model": Column(pl.String, "Model whose features were quantised."),
    "size": Column(pl.Int32, "Number of codes."),
    "dimension": Column(pl.Int32, "Dimension of a feature."),
    "centroids": Column(pl.Binary, "float32 little-endian, shape (size, dimension), row major."),
    "trained_on": Column(pl.List(pl.String), "Batches whose features it was trained on."),
    "vectors": Column(pl.Int64, "Training vectors."),
    "perplexity": Column(pl.Float64, "exp(entropy) of code use on the training vectors; at most size."),
    "dead_codes": Column(pl.Int32, "Codes that no training vector uses."),
    "reconstruction_error": Column(pl.Float64, "Mean squared distance to the code over the features' variance."),
}

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="image_embeddings",
        grain="One row per cleaned image: its unit-length embedding and the place of its spatial features.",
        columns={
            "batch": BATCH,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "embedding": Column(pl.List(pl.Float32), "Unit-length joint-space embedding, shape (D,)."),
            "spatial_features": SPATIAL,
            "model": Column(pl.String, "Encoder name and revision."),
        },
        order_by=("position",),
    ),
    Table(
        name="caption_embeddings",
        grain="One row per cleaned caption: its unit-length embedding.",
        columns={
            "batch": BATCH,
            "caption_id": CAPTION_ID,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "caption_index": Column(pl.Int32, "0 for the main text, then one per further description."),
            "embedding": Column(pl.List(pl.Float32), "Unit-length joint-space embedding, shape (D,)."),
            "model": Column(pl.String, "Encoder name and revision."),
        },
        order_by=("position", "caption_index"),
    ),
    Table(
        name="codebook",
        grain="One row per trained codebook version: its centroids and how well they describe the features.",
        columns=CODEBOOK_COLUMNS,
        partition_by=(),
    ),
    Table(
        name="visual_codes",
        grain="One row per cleaned image: its spatial features as codebook indices.",
        columns={
            "batch": BATCH,
            "image_id": IMAGE_ID,
            "position": POSITION,
            "codes": Column(pl.List(pl.Int32), "Codebook index of each spatial feature, row major."),
            "codebook_version": Column(pl.String, "Codebook the indices refer to."),
        },
        order_by=("position",),
    ),
)
