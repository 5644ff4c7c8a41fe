"""Join cleaned records into fusion samples: image codes in front of their caption, and text on its own.

Rows in = samples + rejected: every caption and every text becomes one sample or one rejected row, and an image without
a caption becomes a rejected row.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import polars as pl

from mm_assets.errors import ContractError
from mm_assets.fusion.packed_samples import PackedSamples, join_features, make_rejected, make_samples, one_row_per_image
from mm_assets.fusion.placeholders import PLACEHOLDER_LIKE
from mm_assets.fusion.rendering import image_block
from mm_assets.fusion.samples import Pool
from mm_assets.policy import FusionPolicy

__all__ = ["PackedSamples", "pack_image_text", "pack_image_text_chunks", "pack_texts"]

TEXT_POOLS: Final[Mapping[str, Pool]] = {
    "math": "text_retention",
    "code": "text_retention",
    "logic": "text_retention",
    "prose": "text_retention",
    "dialogue": "dialogue",
}
_IMAGE_TEXT_POOL: Final[Pool] = "coarse_image_text"

_OF_TEXT: Final = "text of record {} holds what reads as a placeholder; reword it, or escape it in another way"
_REASONS: Final[Mapping[str, str]] = {
    "PLACEHOLDER_IN_TEXT": _OF_TEXT,
    "CAPTION_TOO_LONG": "caption of record {} is longer than fusion.max_caption_characters; shorten it",
    "NO_CAPTION": "image of record {} has no caption left; deliver one, or see why cleaning rejected it",
    "NO_CODES": "image of record {} has no visual codes or spatial features; materialize them again",
    "NO_IMAGE": "caption of record {} belongs to no kept image; see why the image was rejected",
}


def pack_image_text(
    images: pl.DataFrame,
    captions: pl.DataFrame,
    visual_codes: pl.DataFrame,
    image_embeddings: pl.DataFrame,
    checks: Mapping[str, object],
    policy: FusionPolicy,
    *,
    codebook_size: int,
) -> PackedSamples:
    """Pack one sample per caption of a kept image.

    Args:
        images: rows of table ``images``.
        captions: rows of table ``captions``.
        visual_codes: rows of table ``visual_codes``.
        image_embeddings: rows of table ``image_embeddings``; only the place of the spatial features is read.
        checks: gate values of the batch, stored with every sample.
        policy: syntax and bounds.
        codebook_size: number of codes; every code must be below it.

    Returns:
        Samples in the order of their ids, and rejected rows: ``NO_CAPTION`` for an image, ``NO_IMAGE``, ``NO_CODES``,
        ``CAPTION_TOO_LONG`` and ``PLACEHOLDER_IN_TEXT`` for a caption.

    Raises:
        ContractError: an image occurs twice, or a code lies outside the codebook.
    """
    features = join_features(visual_codes, image_embeddings, codebook_size)
    kept = one_row_per_image(images.select("image_id", "source", "license"), "images")
    rows = (
        captions.select("batch", "caption_id", "image_id", "record_ref", "text", "language")
        .join(kept, on="image_id", how="left", maintain_order="left")
        .join(features, on="image_id", how="left", maintain_order="left")
        .with_columns(
            code=pl.when(pl.col("source").is_null())
            .then(pl.lit("NO_IMAGE"))
            .when(pl.col("codes").list.len().fill_null(0) == 0)
            .then(pl.lit("NO_CODES"))
            .when(pl.col("text").str.len_chars() > policy.max_caption_characters)
            .then(pl.lit("CAPTION_TOO_LONG"))
            .when(pl.col("text").str.contains(PLACEHOLDER_LIKE))
            .then(pl.lit("PLACEHOLDER_IN_TEXT"))
        )
    )
    bare = images.join(captions, on="image_id", how="anti").with_columns(code=pl.lit("NO_CAPTION"))
    packed = rows.filter(pl.col("code").is_null()).with_columns(
        kind=pl.lit("image_text"),
        modalities=pl.lit(["image", "text"], dtype=pl.List(pl.String)),
        content=image_block(pl.col("codes")) + pl.lit(" ") + pl.col("text"),
        text_id=pl.lit(None, dtype=pl.String),
        pool=pl.lit(_IMAGE_TEXT_POOL),
        text_kind=pl.lit(None, dtype=pl.String),
    )
    rejected = pl.concat(
        [
            make_rejected(rows.filter(pl.col("code").is_not_null()), "caption", "caption_id", _REASONS),
            make_rejected(bare, "image", "image_id", _REASONS),
        ]
    )
    return PackedSamples(make_samples(packed, checks, policy, "image_id", "caption_id", "codebook_version"), rejected)


def pack_image_text_chunks(
    images: pl.DataFrame,
    captions: pl.DataFrame,
    visual_codes: pl.DataFrame,
    image_embeddings: pl.DataFrame,
    checks: Mapping[str, object],
    policy: FusionPolicy,
    *,
    codebook_size: int,
    chunk_images: int = 2_048,
) -> Iterator[PackedSamples]:
    """`pack_image_text` over slices of the images, so that the contents of a large batch are never held at once.

    Captions that belong to no image come with the last slice.
    """
    orphans = captions.join(images, on="image_id", how="anti")
    for start in range(0, max(images.height, 1), chunk_images):
        chunk = images.slice(start, chunk_images)
        own = captions.join(chunk, on="image_id", how="semi")
        yield pack_image_text(
            chunk,
            own if start + chunk_images < images.height else pl.concat([own, orphans]),
            visual_codes.join(chunk, on="image_id", how="semi"),
            image_embeddings.join(chunk, on="image_id", how="semi"),
            checks,
            policy,
            codebook_size=codebook_size,
        )


def pack_texts(texts: pl.DataFrame, policy: FusionPolicy, checks: Mapping[str, object] | None = None) -> PackedSamples:
    """Pack one sample per text: kind ``dialogue`` for dialogue, ``text`` for the other kinds.

    Args:
        texts: rows of table ``texts``.
        policy: syntax and bounds.
        checks: gate values of the batch, stored with every sample.

    Returns:
        Samples in the order of kind and id, and rejected rows ``PLACEHOLDER_IN_TEXT``.

    Raises:
        ContractError: a text has a kind that belongs to no pool.
    """
    unknown = sorted(set(texts["kind"].unique()) - set(TEXT_POOLS))
    if unknown:
        raise ContractError(f"texts of kind {unknown} belong to no pool; add them to TEXT_POOLS or reject them earlier")
    reads_as_placeholder = pl.col("text").str.contains(PLACEHOLDER_LIKE)
    packed = texts.filter(~reads_as_placeholder).with_columns(
        text_kind=pl.col("kind"),
        pool=pl.col("kind").replace_strict(TEXT_POOLS, return_dtype=pl.String),
        kind=pl.when(pl.col("kind") == "dialogue").then(pl.lit("dialogue")).otherwise(pl.lit("text")),
        modalities=pl.lit(["text"], dtype=pl.List(pl.String)),
        content=pl.col("text"),
        image_id=pl.lit(None, dtype=pl.String),
        caption_id=pl.lit(None, dtype=pl.String),
        spatial_features=pl.lit(None, dtype=pl.String),
        codes=pl.lit(None, dtype=pl.List(pl.Int32)),
        codebook_version=pl.lit(None, dtype=pl.String),
    )
    turned_away = texts.filter(reads_as_placeholder).with_columns(code=pl.lit("PLACEHOLDER_IN_TEXT"))
    return PackedSamples(
        make_samples(packed, checks or {}, policy, "text_id"), make_rejected(turned_away, "text", "text_id", _REASONS)
    )
