"""Pixel verdict on pairs of thumbnails: aligned for a crop, then compared in colour.

A correlation forgives a change of contrast, so thin circles and thick circles correlate at 0.999. What is measured here
is the share of the contrast that remains as a difference, which forgives nothing but the alignment.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mm_assets.cleaned.fingerprints import THUMBNAIL_SIDE_PX

Floats: TypeAlias = NDArray[np.float32]

_ALIGNMENT_STEPS: Final = 3
# A crop of 2 % from each side moves an edge by 1.3 of 64 px; the border left out is as wide as the largest move.
_MAX_SHIFT_PX: Final = 2.0
_BORDER_PX: Final = 2
_BLOCK_PX: Final = 6
_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Comparison:
    """How alike aligned pairs of thumbnails are.

    Attributes:
        similarity: float32, shape (P,): 1 for equal pixels, 0 for a difference as large as the contrast.
        worst_block: float32, shape (P,): largest root mean square difference of any 6 px block, in levels of 255.
    """

    similarity: Floats
    worst_block: Floats


def compare(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Comparison:
    """Align the first picture of each pair to the second and measure what still differs.

    The alignment is a shift and a zoom of each axis, found by Gauss-Newton steps on the blurred luminance and bounded
    by 2 px at the edges; the best of all steps counts, the unmoved picture included.

    Args:
        first: uint8, shape (P, 64, 64, 3).
        second: uint8, shape (P, 64, 64, 3).

    Source: Lucas and Kanade 1981.
    """
    moved, target = _blurred(first), _blurred(second)
    grid = np.linspace(-1.0, 1.0, THUMBNAIL_SIDE_PX, dtype=np.float32)
    moves = np.zeros((len(first), 4), dtype=np.float32)
    best = _measured(moved, target)
    source, luma = moved, target @ _LUMA
    for _ in range(_ALIGNMENT_STEPS):
        moves = moves + _step(moved @ _LUMA, luma, grid)
        for axis in (0, 2):
            span = np.abs(moves[:, axis]) + np.abs(moves[:, axis + 1])
            moves[:, axis : axis + 2] *= np.minimum(1.0, _MAX_SHIFT_PX / np.maximum(span, 1e-6))[:, None]
        moved = _warped(source, moves, grid)
        found = _measured(moved, target)
        better = found.similarity > best.similarity
        best = Comparison(
            np.where(better, found.similarity, best.similarity), np.where(better, found.worst_block, best.worst_block)
        )
    return best


def _blurred(pixels: NDArray[np.uint8]) -> Floats:
    """Binomial 3 x 3 blur, so that resampling by part of a pixel costs no contrast."""
    rows = pixels.astype(np.float32)
    rows = np.pad(rows, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = 0.25 * (rows[:, :-2] + rows[:, 2:]) + 0.5 * rows[:, 1:-1]
    blurred: Floats = 0.25 * (rows[:, :, :-2] + rows[:, :, 2:]) + 0.5 * rows[:, :, 1:-1]
    return blurred


def _step(moved: Floats, target: Floats, grid: Floats) -> Floats:
    """Shift and zoom of each axis, float32, shape (P, 4), that explain the difference to first order."""
    inner = slice(_BORDER_PX, -_BORDER_PX)
    middle = 0.5 * (moved + target)
    down = 0.5 * (middle[:, 2:] - middle[:, :-2])[:, 1:-1, inner]
    right = 0.5 * (middle[:, :, 2:] - middle[:, :, :-2])[:, inner, 1:-1]
    zoom = grid[inner]
    basis = np.stack([right, right * zoom[None, None, :], down, down * zoom[None, :, None]], axis=1)
    basis = basis.reshape(len(moved), 4, -1)
    difference = (target - moved)[:, inner, inner].reshape(len(moved), -1, 1)
    normal = basis @ basis.transpose(0, 2, 1)
    # The ridge keeps a picture without edges where it is.
    normal += (1.0 + 1e-3 * np.trace(normal, axis1=1, axis2=2))[:, None, None] * np.eye(4, dtype=np.float32)
    return np.linalg.solve(normal, basis @ difference)[:, :, 0].astype(np.float32)


def _warped(pixels: Floats, moves: Floats, grid: Floats) -> Floats:
    pixel = np.arange(THUMBNAIL_SIDE_PX, dtype=np.float32)
    last = np.float32(THUMBNAIL_SIDE_PX - 1)
    across = np.clip(pixel + moves[:, :1] + moves[:, 1:2] * grid, 0.0, last)
    down = np.clip(pixel + moves[:, 2:3] + moves[:, 3:] * grid, 0.0, last)
    weights_down = np.maximum(0.0, 1.0 - np.abs(down[:, :, None] - pixel))
    weights_across = np.maximum(0.0, 1.0 - np.abs(across[:, :, None] - pixel))
    pairs = len(pixels)
    rows = (weights_down @ pixels.reshape(pairs, THUMBNAIL_SIDE_PX, -1)).reshape(pixels.shape)
    return weights_across[:, None] @ rows


def _measured(moved: Floats, target: Floats) -> Comparison:
    inner = slice(_BORDER_PX, -_BORDER_PX)
    one, other = moved[:, inner, inner], target[:, inner, inner]
    difference = np.square(one - other).mean(axis=3)
    spread = 0.5 * (_variance(one) + _variance(other))
    side = (THUMBNAIL_SIDE_PX - 2 * _BORDER_PX) // _BLOCK_PX
    blocks = difference.reshape(len(moved), side, _BLOCK_PX, side, _BLOCK_PX).mean(axis=(2, 4))
    similarity = 1.0 - difference.mean(axis=(1, 2)) / np.maximum(spread, 1e-6)
    return Comparison(similarity, np.sqrt(blocks.max(axis=(1, 2))))


def _variance(pixels: Floats) -> Floats:
    return np.square(pixels - pixels.mean(axis=(1, 2), keepdims=True)).mean(axis=(1, 2, 3))
