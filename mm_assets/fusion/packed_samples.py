"""What every packer shares: rows of samples with their ids, rows of what was turned away, and checks on its input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from mm_assets.errors import ContractError
from mm_assets.identifiers import make_id
from mm_assets.policy import FusionPolicy
from mm_assets.schemas import TABLES

STAGE: Final = "fusion"
_SAMPLES: Final = TABLES["fusion_samples"]
_REJECTED: Final = TABLES["rejected"]
_ONLY_SOME_HAVE: Final = (
    "boxes_json", "image_id", "caption_id", "text_id", "text_kind", "spatial_features", "segment_id", "frame_features",
    "audio_features", "audio_codes", "audio_codebook_version", "segment_json", "document_json", "negatives_json",
)  # fmt: skip


@dataclass(frozen=True)
class PackedSamples:
    """Samples and what was turned away.

    Attributes:
        samples: rows of table ``fusion_samples``.
        rejected: rows of table ``rejected``, stage ``fusion``.
    """

    samples: pl.DataFrame
    rejected: pl.DataFrame


def make_samples(
    packed: pl.DataFrame, checks: Mapping[str, object], policy: FusionPolicy, *made_of: str
) -> pl.DataFrame:
    """Rows of table ``fusion_samples`` in its order.

    Args:
        packed: its columns but for id and gate values; those that only some kinds have may be missing.
        checks: gate values of the batch.
        policy: syntax; its version is part of the id.
        made_of: columns that tell what a sample was made of, for its id.
    """
    parts = packed.select("batch", "kind", *made_of).iter_rows()
    ids = [make_id("mm", policy.placeholder_version, *row) for row in parts]
    encoded = msgspec.json.encode(dict(checks), order="sorted").decode()
    absent = [name for name in _ONLY_SOME_HAVE if name not in packed.columns]
    missing = [pl.lit(None, _SAMPLES.schema[name]).alias(name) for name in absent]
    frame = packed.with_columns(*missing, sample_id=pl.Series(ids, dtype=pl.String), checks_json=pl.lit(encoded))
    return _SAMPLES.conform(frame.select(_SAMPLES.schema.names())).sort(_SAMPLES.order_by)


def make_rejected(rows: pl.DataFrame, record_kind: str, record_id: str, reasons: Mapping[str, str]) -> pl.DataFrame:
    """Rows of table ``rejected``.

    Args:
        rows: columns ``batch``, ``record_ref``, ``code`` and the id.
        record_kind: what the records are.
        record_id: column of their ids.
        reasons: sentence per code; ``{}`` stands for the record.
    """
    reason = pl.col("code").replace_strict(reasons, return_dtype=pl.String)
    frame = rows.select(
        "batch",
        "record_ref",
        "code",
        stage=pl.lit(STAGE),
        record_kind=pl.lit(record_kind),
        record_id=pl.col(record_id),
        reason=reason.str.replace("{}", pl.col("record_ref"), literal=True),
    )
    return _REJECTED.conform(frame)


def one_row_per_image(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """The frame, if no image occurs twice.

    Raises:
        ContractError: one does.
    """
    if frame["image_id"].is_duplicated().any():
        twice = frame.filter(pl.col("image_id").is_duplicated())["image_id"][0]
        raise ContractError(f"table {table}: image {twice} occurs more than once; write one row per image")
    return frame


def join_features(visual_codes: pl.DataFrame, image_embeddings: pl.DataFrame, codebook_size: int) -> pl.DataFrame:
    """Codes and place of the spatial features of each image that has both.

    Args:
        visual_codes: rows of table ``visual_codes``.
        image_embeddings: rows of table ``image_embeddings``; only the place of the spatial features is read.
        codebook_size: number of codes; every code must be below it.

    Raises:
        ContractError: an image occurs twice, or a code lies outside the codebook.
    """
    features = one_row_per_image(visual_codes.select("image_id", "codes", "codebook_version"), "visual_codes").join(
        one_row_per_image(image_embeddings.select("image_id", "spatial_features"), "image_embeddings"),
        on="image_id",
        how="inner",
    )
    outside = features.filter((pl.col("codes").list.min() < 0) | (pl.col("codes").list.max() >= codebook_size))
    if outside.height:
        raise ContractError(
            f"image {outside['image_id'][0]}: a code lies outside the codebook of {codebook_size} codes; "
            "encode it with the codebook it is packed with"
        )
    return features
