"""Nearest neighbours by inner product: exact in blocks, at half the work among one set, or by an index.

Exact search costs a matrix product. Among one set it is symmetric: each block above the diagonal serves its rows and
its columns, so that half the products suffice. Memory is one block and the lists. Ties go to the lower row.
"""

import math
from typing import Any, Final, cast

import faiss
import numba
import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import EmbeddingShapeError

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
_LISTS_PER_ROOT: Final = 4
_TRAINED_PER_LIST: Final = 64


def _check(vectors: Floats, other: Floats, k: int) -> None:
    if vectors.ndim != 2 or other.ndim != 2 or vectors.shape[1] != other.shape[1]:  # noqa: PLR2004 - a matrix
        raise EmbeddingShapeError(f"vectors are {vectors.shape} and {other.shape}; give matrices of one width")
    if k < 1:
        raise EmbeddingShapeError(f"{k} neighbours asked for; ask for one or more")


def nearest(queries: Floats, corpus: Floats, k: int, *, block_rows: int = 4_096) -> tuple[Floats, Rows]:
    """Exact nearest rows of a corpus for each query.

    Args:
        queries: float32, shape (N, D).
        corpus: float32, shape (M, D).
        k: neighbours per query.
        block_rows: queries searched at once.

    Returns:
        Inner products and rows, float32 and int64, both of shape (N, min(k, M)), the nearest first.

    Raises:
        EmbeddingShapeError: the shapes do not fit.
    """
    _check(queries, corpus, k)
    k = min(k, len(corpus))
    index = cast("Any", faiss.IndexFlatIP(corpus.shape[1]))
    index.add(np.ascontiguousarray(corpus))
    found = [
        index.search(np.ascontiguousarray(queries[at : at + block_rows]), k)
        for at in range(0, len(queries), block_rows)
    ]
    if not found or k == 0:
        return np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    return _ordered(np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found]))


def nearest_among(vectors: Floats, k: int, *, block_rows: int = 4_096) -> tuple[Floats, Rows]:
    """Exact nearest other rows of each row of one set, with half the products.

    Args:
        vectors: float32, shape (N, D).
        k: neighbours per row.
        block_rows: side of a block of products.

    Returns:
        Inner products and rows, float32 and int64, both of shape (N, min(k, N - 1)), the nearest first.

    Raises:
        EmbeddingShapeError: the shapes do not fit.
    """
    _check(vectors, vectors, k)
    count = len(vectors)
    k = min(k, max(0, count - 1))
    values = np.full((count, k), -np.inf, np.float32)
    rows = np.full((count, k), np.iinfo(np.int64).max, np.int64)
    if k == 0:
        return values, rows
    side = min(block_rows, count)
    buffer = np.empty((side, side), np.float32)
    for top in range(0, count, side):
        mine = vectors[top : top + side]
        for left in range(top, count, side):
            other = vectors[left : left + side]
            block = buffer.reshape(-1)[: len(mine) * len(other)].reshape(len(mine), len(other))
            np.matmul(mine, other.T, out=block)
            _merge(block, top, left, values, rows)
    return _ordered(values, rows)


def nearest_by_index(vectors: Floats, k: int, *, probes: int, seed: int = 0) -> tuple[Floats, Rows]:
    """Nearest other rows of one set by an inverted-file index: a part of the work, most of the neighbours.

    Args:
        vectors: float32, shape (N, D), unit length.
        k: neighbours per row.
        probes: lists that each query looks into.
        seed: of the clustering.

    Returns:
        As `nearest_among`; where the lists hold too few, the row is -1 and the product -inf.

    Raises:
        EmbeddingShapeError: the shapes do not fit.
    """
    _check(vectors, vectors, k)
    count = len(vectors)
    k = min(k, max(0, count - 1))
    values, rows = _search_index(vectors, vectors, k + 1, probes, seed)
    self_at = rows == np.arange(count)[:, None]
    self_at[~self_at.any(axis=1), -1] = True  # a duplicate pushed the row itself out: the last goes instead
    keep = ~self_at
    return values[keep].reshape(count, k), rows[keep].reshape(count, k)


def nearest_of_many(
    queries: Floats, corpus: Floats, k: int, *, index_rows: int, probes: int, block_rows: int = 4_096
) -> tuple[Floats, Rows]:
    """Nearest rows of a corpus for each query: exact, or by an index from a size on.

    Args:
        queries: float32, shape (N, D), unit length.
        corpus: float32, shape (M, D), unit length.
        k: neighbours per query.
        index_rows: rows of the corpus from which the index is used.
        probes: lists of the index that each query looks into.
        block_rows: queries searched at once.

    Returns:
        As `nearest`; where the index's lists hold too few, the row is -1 and the product -inf.

    Raises:
        EmbeddingShapeError: the shapes do not fit.
    """
    if len(corpus) < index_rows:
        return nearest(queries, corpus, k, block_rows=block_rows)
    _check(queries, corpus, k)
    return _search_index(queries, corpus, min(k, len(corpus)), probes, 0)


def _search_index(queries: Floats, corpus: Floats, k: int, probes: int, seed: int) -> tuple[Floats, Rows]:
    count, width = corpus.shape
    lists = max(1, min(count, round(_LISTS_PER_ROOT * math.sqrt(count))))
    index = cast("Any", faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT))
    index.cp.seed, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = seed, _TRAINED_PER_LIST, 1
    whole = np.ascontiguousarray(corpus)
    index.train(whole)
    index.add(whole)
    index.nprobe = min(probes, lists)
    values, rows = index.search(np.ascontiguousarray(queries), k)
    return np.where(rows < 0, np.float32(-np.inf), values), rows


def recall_of(found: Rows, exact: Rows) -> float:
    """Share of the exact neighbours that were found.

    >>> recall_of(np.array([[1, 2]]), np.array([[2, 3]]))
    0.5
    """
    hits = sum(len(np.intersect1d(mine, true)) for mine, true in zip(found, exact, strict=True))
    return hits / exact.size if exact.size else 1.0


def _ordered(values: Floats, rows: Rows) -> tuple[Floats, Rows]:
    """The nearest first, equal ones by row."""
    order = np.lexsort((rows, -values), axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(rows, order, axis=1)


@numba.njit(cache=True, nogil=True)
def _merge(block: Floats, top: int, left: int, values: Floats, rows: Rows) -> None:
    """Take a block of products into the lists of its rows and, off the diagonal, of its columns."""
    height, width = block.shape
    same = top == left
    for i in range(height):
        row = top + i
        for j in range(i + 1 if same else 0, width):
            value = block[i, j]
            column = left + j
            if value >= values[row, 0]:
                _offer(values[row], rows[row], value, column)
            if value >= values[column, 0]:
                _offer(values[column], rows[column], value, row)


@numba.njit(cache=True, nogil=True)
def _offer(values: Floats, rows: Rows, value: float, row: int) -> None:
    """Put a neighbour into a heap whose first entry is the worst: lower product, or equal and the higher row."""
    if value == values[0] and row >= rows[0]:
        return
    size = values.shape[0]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        second = child + 1
        if second < size and (
            values[second] < values[child] or (values[second] == values[child] and rows[second] > rows[child])
        ):
            child = second
        if values[child] > value or (values[child] == value and rows[child] < row):
            break
        values[at], rows[at] = values[child], rows[child]
        at = child
    values[at], rows[at] = value, row
