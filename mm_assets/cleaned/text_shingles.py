# ruff: noqa: ANN001, ANN202 - numba infers types
"""Shingles of texts as 64-bit hashes, the same on every machine and in every version."""

from typing import Final

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
_SPACE: Final = 32
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS: Final = (np.uint64(30), np.uint64(27), np.uint64(31))
_ONE: Final = np.uint64(1)
_compiled: Final = numba.njit(cache=True, nogil=True, boundscheck=False)


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
    return _rolled(*_words(points, starts), _powers(size))


def shingle_characters(normalised: pl.Series, size: int) -> tuple[Hashes, NDArray[np.int64]]:
    """Hashes of the character n-grams of texts; arguments and result as of `shingle_words`."""
    points, starts = _code_points(normalised)
    return _rolled(_mixed(points.astype(np.uint64) + _ONE), starts, _powers(size))


def hash_rows(rows: NDArray[np.integer]) -> Hashes:
    """One hash of each row of integers, shape (N, K) to (N,)."""
    return _mixed((rows.astype(np.uint64) * _powers(rows.shape[-1])).sum(axis=-1, dtype=np.uint64))


def _code_points(texts: pl.Series) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    lengths = texts.str.len_chars().to_numpy().astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    joined = "".join(texts.to_list())
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4"), starts


@_compiled
def _words(points, starts):
    """Hash of each word, a polynomial of its characters, and where the words of each text begin, shape (N + 1,)."""
    words = np.empty((len(points) + len(starts)) // 2 + 1, np.uint64)
    heads = np.zeros(len(starts), np.int64)
    count = 0
    for text in range(len(starts) - 1):
        total, power, inside = np.uint64(0), _BASE, False
        for at in range(starts[text], starts[text + 1]):
            if points[at] == _SPACE:
                if inside:
                    words[count] = _mix(total)
                    count += 1
                total, power, inside = np.uint64(0), _BASE, False
            else:
                total += (np.uint64(points[at]) + _ONE) * power
                power *= _BASE
                inside = True
        if inside:
            words[count] = _mix(total)
            count += 1
        heads[text + 1] = count
    return words[:count], heads


@_compiled
def _rolled(items, starts, powers):
    """n-grams of items inside each text; a text of fewer items has one, of all of them."""
    size = len(powers)
    offsets = np.zeros(len(starts), np.int64)
    for text in range(len(starts) - 1):
        length = starts[text + 1] - starts[text]
        offsets[text + 1] = offsets[text] + (max(length - size + 1, 1) if length else 0)
    found = np.empty(offsets[-1], np.uint64)
    for text in range(len(starts) - 1):
        first, end = starts[text], starts[text + 1]
        for place in range(offsets[text + 1] - offsets[text]):
            total = np.uint64(0)
            for part in range(min(size, end - first - place)):
                total += items[first + place + part] * powers[part]
            found[offsets[text] + place] = _mix(total)
    return found, offsets


@_compiled
def _mix(value):
    """SplitMix64's finaliser (Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> _SHIFTS[0])) * _MIX[0]
    value = (value ^ (value >> _SHIFTS[1])) * _MIX[1]
    return value ^ (value >> _SHIFTS[2])


def _powers(count: int) -> Hashes:
    with np.errstate(over="ignore"):
        return np.multiply.accumulate(np.full(count, _BASE, np.uint64))


def _mixed(values: Hashes) -> Hashes:
    """`_mix` of each value."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * _MIX[0]
        values = (values ^ (values >> np.uint64(27))) * _MIX[1]
        return values ^ (values >> np.uint64(31))
