"""One schema per Delta table: columns with units and descriptions, and the constraints Delta enforces.

Assets write with these schemas, checks compare against them, and the UI shows their descriptions.
Column conventions: ids are deterministic hashes, ``_us`` is integer microseconds, ``_px`` pixels, ``_bytes`` bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from mm_assets.errors import SchemaMismatchError

SOURCE_REF: Final = pl.Struct(
    {
        "uri": pl.String,
        "member": pl.String,
        "byte_offset": pl.Int64,
        "byte_size": pl.Int64,
        "frame_index": pl.Int64,
    }
)


@dataclass(frozen=True)
class Column:
    """A column: its type, what it means (with its unit), and whether it may be null."""

    dtype: pl.DataType | type[pl.DataType]
    description: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A Delta table: its grain, columns, physical partitioning and CHECK constraints."""

    name: str
    grain: str
    columns: Mapping[str, Column]
    partition_by: tuple[str, ...] = ("batch",)
    order_by: tuple[str, ...] = ()
    constraints: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def schema(self) -> pl.Schema:
        """Column names and polars types, in order."""
        return pl.Schema({name: column.dtype for name, column in self.columns.items()})

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with exactly this table's columns, in order and cast.

        Raises:
            SchemaMismatchError: a column is missing, unknown, not castable, or null where it may not be.
        """
        missing = [name for name in self.columns if name not in frame.columns]
        unknown = [name for name in frame.columns if name not in self.columns]
        if missing or unknown:
            raise SchemaMismatchError(
                f"table {self.name!r}: missing columns {missing}, unknown columns {unknown}; "
                "write exactly the columns of mm_assets/schemas.py"
            )
        try:
            shaped = frame.select(pl.col(name).cast(column.dtype) for name, column in self.columns.items())
        except pl.exceptions.PolarsError as error:
            raise SchemaMismatchError(f"table {self.name!r}: {error}") from error
        required = [name for name, column in self.columns.items() if not column.nullable]
        nulls = shaped.select(pl.col(required).null_count()).row(0, named=True) if required else {}
        offending = {name: count for name, count in nulls.items() if count}
        if offending:
            raise SchemaMismatchError(f"table {self.name!r}: nulls in required columns {offending}")
        return shaped

    def empty(self) -> pl.DataFrame:
        """A frame with this table's columns and no rows."""
        return pl.DataFrame(schema=self.schema)


_BATCH: Final = Column(pl.String, "Ingest batch this row came with.")
_SOURCE: Final = Column(pl.String, "Who delivered the record, from its row or else from batch.json.")
_LICENSE: Final = Column(pl.String, "Licence of the record, from its row or else from batch.json.")
_SOURCE_REF: Final = Column(SOURCE_REF, "Where the bytes lie: uri, archive member, byte range, frame.")
_RECORD_REF: Final = Column(pl.String, "Manifest and line, archive and member, or annotation that declared the record.")
_SHA256: Final = Column(pl.String, "SHA-256 of the encoded bytes, hexadecimal.")
_POSITION: Final = Column(pl.Int64, "Place of the image record in its delivery, from 0, rejected records counted.")
_IMAGE_ID: Final = Column(pl.String, "Hash of content and place; the same on every rerun.")
_CAPTION_ID: Final = Column(pl.String, "Hash of image, caption index and text.")
_LANGUAGE: Final = Column(pl.String, "ISO 639-1 code.", nullable=True)
_SPATIAL: Final = Column(pl.String, "Shard and row of the spatial features, as path#row relative to the lake.")

_IMAGE_COLUMNS: Final[dict[str, Column]] = {
    "batch": _BATCH,
    "image_id": _IMAGE_ID,
    "position": _POSITION,
    "form": Column(pl.String, "Delivery form: imagefolder, webdataset or coco."),
    "record_ref": _RECORD_REF,
    "source_ref": _SOURCE_REF,
    "file_name": Column(pl.String, "Name in the delivery, relative to images/."),
    "sha256": _SHA256,
    "size_bytes": Column(pl.Int64, "Encoded size in bytes."),
    "source": _SOURCE,
    "source_id": Column(pl.String, "The supplier's own id of the record.", nullable=True),
    "license": _LICENSE,
    "annotations_json": Column(
        pl.String, "Declared objects, descriptions, orientation and size as delivered, JSON.", nullable=True
    ),
}

_CAPTION_COLUMNS: Final[dict[str, Column]] = {
    "batch": _BATCH,
    "caption_id": _CAPTION_ID,
    "image_id": _IMAGE_ID,
    "position": _POSITION,
    "caption_index": Column(pl.Int32, "0 for the main text, then one per further description."),
    "record_ref": _RECORD_REF,
    "text": Column(pl.String, "The caption."),
    "language": _LANGUAGE,
}

_TEXT_COLUMNS: Final[dict[str, Column]] = {
    "batch": _BATCH,
    "text_id": Column(pl.String, "Hash of place and content."),
    "position": Column(pl.Int64, "Place of the text record in its delivery, from 0."),
    "record_ref": _RECORD_REF,
    "source_ref": _SOURCE_REF,
    "text": Column(pl.String, "The text."),
    "kind": Column(pl.String, "math, code, logic, prose or dialogue."),
    "language": _LANGUAGE,
    "source": _SOURCE,
    "license": _LICENSE,
}

_TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="raw_images",
        grain="One row per image record that keeps the batch contract, before any look at its pixels.",
        columns=_IMAGE_COLUMNS,
        order_by=("position",),
        constraints={"position_is_not_negative": "position >= 0", "size_is_positive": "size_bytes >= 0"},
    ),
    Table(
        name="raw_captions",
        grain="One row per caption as delivered.",
        columns=_CAPTION_COLUMNS,
        order_by=("position", "caption_index"),
    ),
    Table(
        name="raw_texts",
        grain="One row per text record as delivered.",
        columns=_TEXT_COLUMNS,
        order_by=("position",),
    ),
    Table(
        name="images",
        grain="One row per image that decodes fully, meets the rules and is no duplicate.",
        columns=_IMAGE_COLUMNS
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
            "batch": _BATCH,
            "image_id": _IMAGE_ID,
            "position": _POSITION,
            "sha256": _SHA256,
            "width": Column(pl.Int32, "Width in pixels after EXIF orientation."),
            "height": Column(pl.Int32, "Height in pixels after EXIF orientation."),
            "thumbnail": Column(pl.Binary, "64 x 64 x 3 uint8 RGB thumbnail, row major."),
        },
        order_by=("position",),
    ),
    Table(
        name="captions",
        grain="One row per repaired caption of a kept image.",
        columns=_CAPTION_COLUMNS | {"raw_text": Column(pl.String, "The caption before repair.")},
        order_by=("position", "caption_index"),
        constraints={"text_is_not_empty": "text <> ''"},
    ),
    Table(
        name="texts",
        grain="One row per repaired text of the text pool.",
        columns=_TEXT_COLUMNS,
        order_by=("position",),
        constraints={"text_is_not_empty": "text <> ''"},
    ),
    Table(
        name="rejected",
        grain="One row per record that a stage turned away, with its code and reason.",
        columns={
            "batch": _BATCH,
            "stage": Column(pl.String, "Stage that rejected it: raw_pools, cleaned, fusion …"),
            "record_kind": Column(pl.String, "image, caption, text or sample."),
            "record_ref": _RECORD_REF,
            "record_id": Column(pl.String, "Id of the record, where it had one.", nullable=True),
            "code": Column(pl.String, "Short upper-case code."),
            "reason": Column(pl.String, "Culprit, cause and fix in one sentence."),
        },
        partition_by=("batch", "stage"),
        order_by=("record_kind", "record_ref", "record_id"),
    ),
    Table(
        name="image_embeddings",
        grain="One row per cleaned image: its unit-length embedding and the place of its spatial features.",
        columns={
            "batch": _BATCH,
            "image_id": _IMAGE_ID,
            "position": _POSITION,
            "embedding": Column(pl.List(pl.Float32), "Unit-length joint-space embedding, shape (D,)."),
            "spatial_features": _SPATIAL,
            "model": Column(pl.String, "Encoder name and revision."),
        },
        order_by=("position",),
    ),
    Table(
        name="caption_embeddings",
        grain="One row per cleaned caption: its unit-length embedding.",
        columns={
            "batch": _BATCH,
            "caption_id": _CAPTION_ID,
            "image_id": _IMAGE_ID,
            "position": _POSITION,
            "caption_index": Column(pl.Int32, "0 for the main text, then one per further description."),
            "embedding": Column(pl.List(pl.Float32), "Unit-length joint-space embedding, shape (D,)."),
            "model": Column(pl.String, "Encoder name and revision."),
        },
        order_by=("position", "caption_index"),
    ),
    Table(
        name="codebook",
        grain="One row per trained codebook version: its centroids and how well they describe the features.",
        columns={
            "version": Column(pl.String, "Hash of the centroids."),
            "sequence": Column(pl.Int64, "Order of training, from 1; the highest is in force."),
            "model": Column(pl.String, "Encoder whose spatial features were quantised."),
            "size": Column(pl.Int32, "Number of codes."),
            "dimension": Column(pl.Int32, "Dimension of a spatial feature."),
            "centroids": Column(pl.Binary, "float32 little-endian, shape (size, dimension), row major."),
            "trained_on": Column(pl.List(pl.String), "Batches whose features it was trained on."),
            "vectors": Column(pl.Int64, "Training vectors."),
            "perplexity": Column(pl.Float64, "exp(entropy) of code use on the training vectors; at most size."),
            "dead_codes": Column(pl.Int32, "Codes that no training vector uses."),
            "reconstruction_error": Column(
                pl.Float64, "Mean squared distance to the code over the features' variance."
            ),
        },
        partition_by=(),
    ),
    Table(
        name="visual_codes",
        grain="One row per cleaned image: its spatial features as codebook indices.",
        columns={
            "batch": _BATCH,
            "image_id": _IMAGE_ID,
            "position": _POSITION,
            "codes": Column(pl.List(pl.Int32), "Codebook index of each spatial feature, row major."),
            "codebook_version": Column(pl.String, "Codebook the indices refer to."),
        },
        order_by=("position",),
    ),
    Table(
        name="image_text_recall",
        grain="One row per batch: retrieval in both directions on fixed-size pools, its null, baseline and diagnosis.",
        columns={
            "batch": _BATCH,
            "evaluation_id": Column(pl.String, "Hash of everything the verdict depends on."),
            "source": _SOURCE,
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
        name="fusion_samples",
        grain="One row per fusion sample, ready to be drawn into a release.",
        columns={
            "batch": _BATCH,
            "sample_id": Column(pl.String, "Hash of what the sample was made of."),
            "kind": Column(pl.String, "image_text, text or dialogue."),
            "modalities": Column(pl.List(pl.String), "Modalities present, sorted."),
            "content": Column(pl.String, "Text with placeholders in place."),
            "image_id": Column(pl.String, "Image of the sample.", nullable=True),
            "caption_id": Column(pl.String, "Caption of the sample.", nullable=True),
            "text_id": Column(pl.String, "Text of the sample.", nullable=True),
            "spatial_features": Column(pl.String, "Shard and row of its features, as path#row.", nullable=True),
            "codes": Column(pl.List(pl.Int32), "Codes in the placeholders, in order.", nullable=True),
            "codebook_version": Column(pl.String, "Codebook of the codes.", nullable=True),
            "pool": Column(pl.String, "Mixture pool."),
            "source": _SOURCE,
            "license": _LICENSE,
            "language": _LANGUAGE,
            "text_kind": Column(pl.String, "Kind of a text sample.", nullable=True),
            "checks_json": Column(pl.String, "Gate values of the sample, JSON object."),
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
            "batch": _BATCH,
            "kind": Column(pl.String, "Kind of the sample."),
            "pool": Column(pl.String, "Mixture pool."),
            "weight": Column(pl.Float64, "Sampling weight."),
        },
        partition_by=("release",),
        order_by=("position",),
    ),
    Table(
        name="batches",
        grain="One row per batch ever registered, in the order of registration.",
        columns={
            "batch": _BATCH,
            "sequence": Column(pl.Int64, "Registration order, from 1; never reused."),
            "source": _SOURCE,
            "license": _LICENSE,
            "compared_with": Column(
                pl.List(pl.String), "Earlier batches its images are compared with, fixed for ever."
            ),
        },
        partition_by=(),
    ),
    Table(
        name="provenance",
        grain="One row per batch and asset: what its present rows were made from.",
        columns={
            "batch": _BATCH,
            "asset": Column(pl.String, "Asset that wrote the rows."),
            "digest": Column(pl.String, "Hash of inputs, code version, policy and models; equal means up to date."),
            "code_version": Column(pl.String, "Version of the asset's code."),
            "models": Column(pl.List(pl.String), "Models used, as name@revision#weight-hash."),
            "upstream_json": Column(pl.String, "Digest of every upstream asset, JSON."),
            "rows_json": Column(pl.String, "Rows written per table, JSON."),
            "versions_json": Column(pl.String, "Delta version of each table after the write, JSON."),
        },
        partition_by=("batch", "asset"),
    ),
    Table(
        name="gate_evaluations",
        grain="One row per verdict of a gate on a batch.",
        columns={
            "evaluation_id": Column(pl.String, "Hash of everything the verdict depends on."),
            "batch": _BATCH,
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
            "batch": _BATCH,
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
    Table(
        name="costs",
        grain="One row per batch of model calls: units, seconds and price. Append-only.",
        columns={
            "batch": _BATCH,
            "asset": Column(pl.String, "Asset that made the calls."),
            "model": Column(pl.String, "Model name and revision."),
            "unit": Column(pl.String, "images, seconds or tokens."),
            "units": Column(pl.Float64, "Units consumed."),
            "device": Column(pl.String, "cpu or cuda."),
            "device_seconds": Column(pl.Float64, "Busy seconds of the device."),
            "price": Column(pl.Float64, "Price in the policy's currency."),
            "run_id": Column(pl.String, "Dagster run."),
            "at_us": Column(pl.Int64, "When, microseconds since 1970 UTC."),
        },
        partition_by=(),
    ),
    Table(
        name="review_decisions",
        grain="One row per human verdict on a sample or negative. Append-only.",
        columns={
            "subject_id": Column(pl.String, "Sample or negative."),
            "decision": Column(pl.String, "accepted or rejected."),
            "reason": Column(pl.String, "Why."),
            "by": Column(pl.String, "Who."),
            "at_us": Column(pl.Int64, "When, microseconds since 1970 UTC."),
        },
        partition_by=(),
    ),
)

TABLES: Final[dict[str, Table]] = {table.name: table for table in _TABLES}
