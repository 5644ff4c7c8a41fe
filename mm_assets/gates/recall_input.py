# pyright: strict
"""The pairs a recall gate looks at, in delivery order.

One pair per image: the image and the first of its captions that survived cleaning (the main caption unless that was
rejected). Further descriptions are neither queries nor candidates, so pairs stay independent and a source with five
captions per picture compares with one that has a single caption.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from mm_assets.errors import EmbeddingShapeError

Floats: TypeAlias = npt.NDArray[np.float64]
Singles: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]
Booleans: TypeAlias = npt.NDArray[np.bool_]

WINDOW_POSITIONS = 64
"""Delivery rows sampled together when a batch is larger than the policy's pairs: neighbours must stay neighbours."""

_UNIT_TOLERANCE = 1e-2


@dataclass(frozen=True, eq=False)
class RecallInput:
    """Embeddings of one batch and who claims whom.

    Attributes:
        images: float32, shape (N, D), unit length.
        positions: int64, shape (N,), place of each image record in its delivery; rejected records leave gaps.
        captions: float32, shape (M, D), unit length.
        caption_images: int64, shape (M,), row of ``images`` each caption claims.
        caption_index: int64, shape (M,), 0 for the main text, then one per further description.
        texts: M caption texts.
        image_ids: N ids, for evidence.
        caption_ids: M ids, for evidence.
        available: pairs of the whole delivery, where these are a sample of it; else 0.

    Raises:
        EmbeddingShapeError: shapes disagree, a caption claims an image that is not there, positions repeat, or an
            embedding is not finite and of unit length.
    """

    images: Singles
    positions: Integers
    captions: Singles
    caption_images: Integers
    caption_index: Integers
    texts: tuple[str, ...]
    image_ids: tuple[str, ...]
    caption_ids: tuple[str, ...]
    available: int = 0

    def __post_init__(self) -> None:
        images, captions = len(self.images), len(self.captions)
        if self.images.ndim != 2 or self.captions.ndim != 2 or self.images.shape[1] != self.captions.shape[1]:  # noqa: PLR2004
            raise EmbeddingShapeError(
                f"image embeddings {self.images.shape} and caption embeddings {self.captions.shape} must be (rows, D) "
                "with one D; embed both with the same encoder"
            )
        per_image = {len(self.positions), len(self.image_ids)}
        per_caption = {len(self.caption_images), len(self.caption_index), len(self.texts), len(self.caption_ids)}
        if per_image != {images} or per_caption != {captions}:
            raise EmbeddingShapeError(
                f"{images} image and {captions} caption embeddings came with {per_image} and {per_caption} attributes; "
                "pass one id and position per image and one id, index and text per caption"
            )
        if len(np.unique(self.positions)) != images:
            raise EmbeddingShapeError(
                "two images share a delivery position; positions count image records of one batch"
            )
        if captions and not 0 <= int(self.caption_images.min()) <= int(self.caption_images.max()) < images:
            raise EmbeddingShapeError(
                "a caption claims an image row that does not exist; drop captions of rejected images"
            )
        for name, rows in (("image", self.images), ("caption", self.captions)):
            norms = np.linalg.norm(rows, axis=1)
            if not np.all(np.abs(norms - 1.0) <= _UNIT_TOLERANCE):
                worst = int(np.argmax(np.where(np.isfinite(norms), np.abs(norms - 1.0), np.inf)))
                raise EmbeddingShapeError(
                    f"{name} embedding {worst} has length {norms[worst]:.4g}; the encoder must return unit vectors"
                )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Image-caption pairs in delivery order.

    Attributes:
        image_rows: shape (n,), rows of ``RecallInput.images``.
        caption_rows: shape (n,), rows of ``RecallInput.captions``.
        positions: shape (n,), delivery positions, increasing.
        keys: shape (n,), equal for captions that are the same sentence.
        available: pairs before sampling.
    """

    image_rows: Integers
    caption_rows: Integers
    positions: Integers
    keys: Integers
    available: int

    def __len__(self) -> int:
        return len(self.image_rows)


def caption_key(text: str) -> str:
    """Fold case and white space, so that the same sentence typed twice is one caption.

    >>> caption_key("A  Duck ") == caption_key("a duck")
    True
    """
    return " ".join(text.casefold().split())


def select_pairs(batch: RecallInput, *, max_pairs: int, seed: int) -> Pairs:
    """Take one caption per image, in delivery order, and a seeded sample of windows if there are too many.

    Windows come in mirrored pairs, so that neighbours, displaced blocks and a reversed order all keep their partners.

    Args:
        batch: the batch.
        max_pairs: most pairs to keep.
        seed: seed of the sample.
    """
    order = np.lexsort((batch.caption_index, batch.caption_images))
    claimed = batch.caption_images[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = claimed[1:] != claimed[:-1]
    caption_rows = order[first].astype(np.int64)
    image_rows = batch.caption_images[caption_rows].astype(np.int64)
    by_position = np.argsort(batch.positions[image_rows], kind="stable")
    caption_rows, image_rows = caption_rows[by_position], image_rows[by_position]
    available = len(image_rows)
    if available > max_pairs:
        kept = _sample_windows(batch.positions[image_rows], max_pairs, seed)
        caption_rows, image_rows = caption_rows[kept], image_rows[kept]
    chosen: list[int] = caption_rows.tolist()
    texts = [caption_key(batch.texts[row]) for row in chosen]
    codes: dict[str, int] = {}
    keys = np.array([codes.setdefault(text, len(codes)) for text in texts], dtype=np.int64)
    positions = batch.positions[image_rows].astype(np.int64)
    return Pairs(image_rows, caption_rows, positions, keys, max(available, batch.available))


def sample_pairs(
    images: pl.DataFrame, captions: pl.DataFrame, *, max_pairs: int, seed: int
) -> tuple[pl.DataFrame, int]:
    """Choose from the ids alone the pairs that `select_pairs` would, so that no other embedding need be read.

    Args:
        images: ``image_id``, ``position``.
        captions: ``caption_id``, ``image_id``, ``caption_index``.
        max_pairs: most pairs to keep.
        seed: seed of the sample.

    Returns:
        ``image_id`` and ``caption_id`` of the chosen pairs in delivery order, and how many there were to choose from.
    """
    claims = captions.join(images, on="image_id", how="inner").sort("position", "caption_index", "caption_id")
    pairs = claims.unique("image_id", keep="first", maintain_order=True)
    chosen = pairs
    if pairs.height > max_pairs:
        chosen = pairs.filter(pl.Series(_sample_windows(pairs["position"].to_numpy(), max_pairs, seed)))
    return chosen.select("image_id", "caption_id"), pairs.height


def _sample_windows(positions: Integers, max_pairs: int, seed: int) -> Booleans:
    """Which pairs to keep: whole windows, each with its mirror image about the middle of the delivery."""
    low, high = int(positions[0]), int(positions[-1])
    from_edge = np.minimum(positions - low, high - positions) // WINDOW_POSITIONS
    sizes = np.bincount(from_edge)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    kept_windows = shuffled[np.cumsum(sizes[shuffled]) <= max_pairs]
    if not len(kept_windows):
        return np.arange(len(positions)) < max_pairs
    return np.isin(from_edge, kept_windows)


def read_recall_input(images: pl.DataFrame, captions: pl.DataFrame, available: int = 0) -> RecallInput:
    """Shape two tables into the gate's input; captions whose image is not among the images are left out.

    Args:
        images: ``image_id``, ``position``, ``embedding``.
        captions: ``caption_id``, ``image_id``, ``caption_index``, ``text``, ``embedding``.
        available: pairs of the whole delivery, where the tables are a sample of it.

    Raises:
        EmbeddingShapeError: embeddings differ in length, hold nulls or are not unit vectors.
    """
    rows = images.select("image_id").with_row_index("image_row")
    claims = captions.join(rows, on="image_id", how="inner", maintain_order="left")
    matrix, caption_matrix = _stack(images["embedding"], "image"), _stack(claims["embedding"], "caption")
    if not len(claims) or not len(images):
        width = matrix.shape[1] or caption_matrix.shape[1]
        matrix, caption_matrix = matrix.reshape(len(images), width), caption_matrix.reshape(len(claims), width)
    return RecallInput(
        images=matrix,
        positions=images["position"].to_numpy().astype(np.int64),
        captions=caption_matrix,
        caption_images=claims["image_row"].to_numpy().astype(np.int64),
        caption_index=claims["caption_index"].to_numpy().astype(np.int64),
        texts=tuple(claims["text"].to_list()),
        image_ids=tuple(images["image_id"].to_list()),
        caption_ids=tuple(claims["caption_id"].to_list()),
        available=available,
    )


def _stack(embeddings: pl.Series, name: str) -> Singles:
    """Turn a list column into a matrix of shape (rows, D)."""
    if not len(embeddings):
        return np.zeros((0, 0), dtype=np.float32)
    lengths = embeddings.list.len().unique()
    values = embeddings.explode()
    if embeddings.null_count() or values.null_count() or len(lengths) != 1:
        raise EmbeddingShapeError(
            f"{name} embeddings hold nulls or differ in length ({lengths.to_list()[:5]}); rewrite the table"
        )
    return values.to_numpy().astype(np.float32).reshape(len(embeddings), -1)
