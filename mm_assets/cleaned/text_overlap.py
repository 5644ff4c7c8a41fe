# ruff: noqa: ANN001, ANN202 - numba infers types
"""How many shingles pairs of texts share, by walking their sorted hashes side by side."""

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from mm_assets.cleaned.text_shingles import Hashes

Offsets = NDArray[np.int64]
_compiled: Final = numba.njit(cache=True, nogil=True, boundscheck=False)


def distinct_shingles(shingles: Hashes, offsets: Offsets) -> tuple[Hashes, Offsets]:
    """Sorted distinct shingles of each text; arguments and result as `mm_assets.cleaned.text_shingles` has them."""
    return _distinct(shingles, offsets)


def pair_similarity(
    one: tuple[Hashes, Offsets], other: tuple[Hashes, Offsets], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Jaccard similarity of pairs of texts; 0 where both have no shingle.

    Args:
        one: distinct shingles of some texts.
        other: of the same or other texts.
        first: indices of texts of ``one``, shape (P,).
        second: indices of texts of ``other``, shape (P,).

    Returns:
        float64, shape (P,).
    """
    shared = _shared(one[0], one[1], other[0], other[1], first, second)
    sizes = np.diff(one[1])[first] + np.diff(other[1])[second]
    whole = np.maximum(sizes - shared, 1)
    return shared / whole


@_compiled
def _shared(values, offsets, others, other_offsets, first, second):
    counts = np.zeros(len(first), np.int64)
    for pair in range(len(first)):
        left, left_end = offsets[first[pair]], offsets[first[pair] + 1]
        right, right_end = other_offsets[second[pair]], other_offsets[second[pair] + 1]
        found = 0
        while left < left_end and right < right_end:
            if values[left] == others[right]:
                found += 1
                left += 1
                right += 1
            elif values[left] < others[right]:
                left += 1
            else:
                right += 1
        counts[pair] = found
    return counts


@_compiled
def _distinct(shingles, offsets):
    found = np.empty(len(shingles), np.uint64)
    ends = np.zeros(len(offsets), np.int64)
    count = 0
    for text in range(len(offsets) - 1):
        own = np.sort(shingles[offsets[text] : offsets[text + 1]])
        for at in range(len(own)):
            if at == 0 or own[at] != own[at - 1]:
                found[count] = own[at]
                count += 1
        ends[text + 1] = count
    return found[:count].copy(), ends
