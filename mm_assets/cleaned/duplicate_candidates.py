"""Pairs of pictures worth a look at their pixels, found by their coarse fingerprints."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import faiss
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.cleaned.fingerprints import COARSE_SIDE_PX
from mm_assets.errors import SchemaMismatchError
from mm_assets.policy import DuplicatePolicy

_VECTOR_SIDE_PX: Final = 8
_BYTES: Final = COARSE_SIDE_PX * COARSE_SIDE_PX * 3
_PAIRS_AT_ONCE: Final = 2_048
# faiss rounds differently for blocks of different sizes; the bound proper is applied to float64 products.
_ROUNDING: Final = 1e-3

Pairs: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32]]


class CoarseBlock:
    """Coarse fingerprints ready for comparison.

    Attributes:
        vectors: unit 8 px thumbnails, float32, shape (N, 192).
        coarse: centred 16 px thumbnails, float32, shape (N, 768).
        mean: what was taken from them, float32, shape (N, 3).
        log_aspect: float64, shape (N,).
        contrast: standard deviation of the 16 px thumbnail in levels of 255, float32, shape (N,).
        log_contrast: its logarithm.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        raw = b"".join(rows["coarse"].fill_null(b"").to_list())
        if len(raw) != rows.height * _BYTES:
            raise SchemaMismatchError(
                f"image_fingerprints: coarse thumbnails of {rows.height} rows hold {len(raw)} bytes, expected "
                f"{_BYTES} each; clean the images of {', '.join(rows['batch'].unique().sort())} again"
            )
        pixels = np.frombuffer(raw, dtype=np.uint8).reshape(-1, COARSE_SIDE_PX, COARSE_SIDE_PX, 3)
        small = _pooled(pixels, _VECTOR_SIDE_PX).reshape(rows.height, -1)
        small -= small.mean(axis=1, keepdims=True)
        self.vectors = small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6)
        self.mean = pixels.mean(axis=(1, 2), dtype=np.float32)
        self.coarse = pixels.reshape(rows.height, -1) - np.tile(self.mean, (1, COARSE_SIDE_PX**2))
        self.contrast = np.sqrt(np.square(self.coarse).mean(axis=1))
        self.log_contrast = np.log(np.maximum(self.contrast, 1e-6))
        self.log_aspect = np.log(rows["width"].to_numpy() / rows["height"].to_numpy())

    def __len__(self) -> int:
        return len(self.vectors)


def candidate_pairs(known: CoarseBlock, asked: CoarseBlock, policy: DuplicatePolicy) -> Pairs:
    """Pairs worth a look at their pixels, by known row, then by asked row; within a block, earlier row first.

    Source: IndexFlatIP range search, Johnson, Douze and Jegou 2017.
    """
    index = faiss.IndexFlatIP(known.vectors.shape[1])
    index.add(known.vectors)  # pyright: ignore[reportCallIssue]
    limits, _, labels = index.range_search(asked.vectors, policy.candidate_similarity - _ROUNDING)  # pyright: ignore[reportCallIssue]
    second = np.repeat(np.arange(len(asked), dtype=np.int32), np.diff(limits.astype(np.int64)))
    first = labels.astype(np.int32)
    alike = np.abs(known.log_aspect[first] - asked.log_aspect[second]) <= np.log1p(policy.aspect_tolerance)
    alike &= np.minimum(known.contrast[first], asked.contrast[second]) >= policy.min_contrast
    alike &= np.abs(known.log_contrast[first] - asked.log_contrast[second]) <= np.log1p(policy.contrast_tolerance)
    if known is asked:
        alike &= first < second
    first, second = first[alike], second[alike]
    alike = np.zeros(len(first), dtype=bool)
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        alike[part] = _coarsely_alike(known, asked, first[part], second[part], policy)
    first, second = first[alike], second[alike]
    order = np.lexsort((second, first))
    return first[order], second[order]


def _coarsely_alike(
    known: CoarseBlock, asked: CoarseBlock, first: NDArray[np.int32], second: NDArray[np.int32], policy: DuplicatePolicy
) -> NDArray[np.bool_]:
    cosine = np.einsum("ij,ij->i", known.vectors[first], asked.vectors[second], dtype=np.float64)
    difference = np.square(known.coarse[first] - asked.coarse[second]).mean(axis=1)
    difference += np.square(known.mean[first] - asked.mean[second]).mean(axis=1)
    spread = 0.5 * (np.square(known.contrast[first]) + np.square(asked.contrast[second]))
    return (cosine >= policy.candidate_similarity) & (1.0 - difference / spread >= policy.coarse_similarity)


def _pooled(pixels: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Means over squares, float32, shape (N, side, side, 3)."""
    step = pixels.shape[1] // side
    return pixels.reshape(len(pixels), side, step, side, step, 3).mean(axis=(2, 4), dtype=np.float32)


@contextmanager
def one_faiss_thread() -> Iterator[None]:
    """Search with one thread: steps of other batches run beside this one."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
