# pyright: strict
"""Shingles of texts as 64-bit hashes, the same on every machine and in every version."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
_SPACE: Final = 32
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def normalise_words(texts: pl.Expr) -> pl.Expr:
    """Lower case, runs of what is neither letter nor digit as one blank."""
    return texts.str.to_lowercase().str.replace_all(r"[^\w]+", " ").str.strip_chars()


def shingle_words(normalised: pl.Series, size: int) -> tuple[Hashes, NDArray[np.int64]]:
    """Hashes of the word n-grams of texts.

    Args:
        normalised: words with single blanks between.
        size: words of a shingle; a shorter text is one shingle.

    Returns:
        Hashes of all texts, and offsets, shape (N + 1,): text i has those from offset i to offset i + 1.
    """
    points, starts = _code_points(normalised)
    if not len(points):
        return np.zeros(0, np.uint64), np.zeros(len(normalised) + 1, np.int64)
    # A word begins at the start of a text or behind a blank; its hash is a polynomial of its characters.
    blank = points == _SPACE
    first = np.zeros(len(points), dtype=bool)
    first[1:] = blank[:-1]
    lengths = np.diff(starts)
    first[starts[:-1][lengths > 0]] = True
    heads = np.flatnonzero(first)
    places = np.arange(len(points)) - np.repeat(heads, np.diff(np.append(heads, len(points))))
    powers = _powers(int(places.max()) + 1)
    values = np.where(blank, np.uint64(0), (points.astype(np.uint64) + np.uint64(1)) * powers[places])
    words = _mixed(np.add.reduceat(values, heads))
    return _rolled(words, np.searchsorted(heads, starts), size)


def shingle_characters(normalised: pl.Series, size: int) -> tuple[Hashes, NDArray[np.int64]]:
    """Hashes of the character n-grams of texts; arguments and result as of `shingle_words`."""
    points, starts = _code_points(normalised)
    return _rolled(_mixed(points.astype(np.uint64) + np.uint64(1)), starts, size)


def hash_rows(rows: NDArray[np.integer]) -> Hashes:
    """One hash of each row of integers, shape (N, K) to (N,)."""
    return _mixed((rows.astype(np.uint64) * _powers(rows.shape[-1])).sum(axis=-1, dtype=np.uint64))


def _code_points(texts: pl.Series) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    lengths = texts.str.len_chars().to_numpy().astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    joined = "".join(texts.to_list())
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4"), starts


def _rolled(items: Hashes, starts: NDArray[np.int64], size: int) -> tuple[Hashes, NDArray[np.int64]]:
    """n-grams of items inside each text; a text of fewer items has one, of all of them."""
    lengths = np.diff(starts)
    counts = np.where(lengths == 0, 0, np.maximum(lengths - size + 1, 1))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    first: NDArray[np.int64] = np.repeat(starts[:-1] - offsets[:-1], counts)
    first += np.arange(len(first))
    last = np.repeat(starts[1:], counts)
    powers = _powers(size)
    total = np.zeros(len(first), np.uint64)
    for place in range(size):
        at = first + place
        inside = at < last
        total += np.where(inside, items[np.minimum(at, max(len(items) - 1, 0))] * powers[place], np.uint64(0))
    return _mixed(total), offsets


def _powers(count: int) -> Hashes:
    with np.errstate(over="ignore"):
        return np.multiply.accumulate(np.full(count, _BASE, np.uint64))


def _mixed(values: Hashes) -> Hashes:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * _MIX[0]
        values = (values ^ (values >> np.uint64(27))) * _MIX[1]
        return values ^ (values >> np.uint64(31))
