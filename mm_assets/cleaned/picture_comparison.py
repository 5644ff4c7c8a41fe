"""Pixel verdict on pairs of thumbnails: aligned for a crop, then compared in colour.

A correlation forgives a change of contrast, so thin circles and thick circles correlate at 0.999. What is measured here
is the share of the contrast that remains as a difference, which forgives nothing but the alignment.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from mm_assets.cleaned.fingerprints import THUMBNAIL_SIDE_PX

Floats: TypeAlias = NDArray[np.float32]

_SIDE: Final = THUMBNAIL_SIDE_PX
_ALIGNMENT_STEPS: Final = 3
# A crop of 2 % from each side moves an edge by 1.3 of 64 px; the border left out is as wide as the largest move.
_MAX_SHIFT_PX: Final = 2.0
_BORDER_PX: Final = 2
_BLOCK_PX: Final = 6


@dataclass(frozen=True)
class Comparison:
    """How alike aligned pairs of thumbnails are.

    Attributes:
        similarity: float32, shape (P,): 1 for equal pixels, 0 for a difference as large as the contrast.
        worst_block: float32, shape (P,): largest root mean square difference of any 6 px block, in levels of 255.
    """

    similarity: Floats
    worst_block: Floats


@dataclass(frozen=True)
class Pictures:
    """Thumbnails ready for comparison.

    Attributes:
        colour: blurred so that resampling by part of a pixel costs no contrast, float32, shape (N, 3, 64, 64).
        luma: luminance of ``colour``, float32, shape (N, 64, 64).
    """

    colour: Floats
    luma: Floats

    def __getitem__(self, rows: NDArray[np.int64]) -> "Pictures":
        return Pictures(self.colour[rows], self.luma[rows])


def prepare_pictures(thumbnails: NDArray[np.uint8]) -> Pictures:
    """Blur thumbnails for comparison.

    Args:
        thumbnails: uint8, shape (N, 64, 64, 3).
    """
    colour = np.empty((len(thumbnails), 3, _SIDE, _SIDE), dtype=np.float32)
    luma = np.empty((len(thumbnails), _SIDE, _SIDE), dtype=np.float32)
    for row, thumbnail in enumerate(thumbnails):
        blurred = cv2.GaussianBlur(thumbnail.astype(np.float32), (3, 3), 0.85, borderType=cv2.BORDER_REPLICATE)
        colour[row] = blurred.transpose(2, 0, 1)
        luma[row] = cv2.cvtColor(blurred, cv2.COLOR_RGB2GRAY)
    return Pictures(colour, luma)


def compare(first: Pictures, second: Pictures) -> Comparison:
    """Align the first picture of each pair to the second and measure what still differs.

    The alignment is a shift and a zoom of each axis, found by Gauss-Newton steps on the luminance and bounded by 2 px
    at the edges. The unmoved pictures are measured too, and the better of both counts.

    Args:
        first: P pictures.
        second: P pictures.

    Source: Lucas and Kanade 1981.
    """
    moves = _aligning_moves(first.luma, second.luma)
    unmoved = _measured(first.colour, second.colour)
    moved = _measured(_warped(first.colour, moves[:, None]), second.colour)
    better = moved.similarity > unmoved.similarity
    return Comparison(
        np.where(better, moved.similarity, unmoved.similarity), np.where(better, moved.worst_block, unmoved.worst_block)
    )


def _aligning_moves(first: Floats, second: Floats) -> Floats:
    """Shift and zoom across, shift and zoom down, in px at the edges; float32, shape (P, 4)."""
    moves = np.zeros((len(first), 4), dtype=np.float32)
    moved = first
    for step in range(_ALIGNMENT_STEPS):
        moves += _step(moved, second)
        for axis in (0, 2):
            span = np.abs(moves[:, axis]) + np.abs(moves[:, axis + 1])
            moves[:, axis : axis + 2] *= np.minimum(1.0, _MAX_SHIFT_PX / np.maximum(span, 1e-6))[:, None]
        if step < _ALIGNMENT_STEPS - 1:
            moved = _warped(first, moves)
    return moves


def _step(moved: Floats, target: Floats) -> Floats:
    """The moves that explain the difference to first order."""
    middle = 0.5 * (moved + target)
    down = 0.5 * (middle[:, 2:, 1:-1] - middle[:, :-2, 1:-1])
    right = 0.5 * (middle[:, 1:-1, 2:] - middle[:, 1:-1, :-2])
    zoom = _zoom(_SIDE)[1:-1]
    basis = np.stack([right, right * zoom, down, down * zoom[:, None]], axis=1).reshape(len(moved), 4, -1)
    difference = (target - moved)[:, 1:-1, 1:-1].reshape(len(moved), -1, 1)
    normal = basis @ basis.transpose(0, 2, 1)
    # The ridge keeps a picture without edges where it is.
    normal += (1.0 + 1e-3 * np.trace(normal, axis1=1, axis2=2))[:, None, None] * np.eye(4, dtype=np.float32)
    return np.linalg.solve(normal, basis @ difference)[:, :, 0].astype(np.float32)


def _zoom(side: int) -> Floats:
    return np.linspace(-1.0, 1.0, side, dtype=np.float32)


def _warped(pixels: Floats, moves: Floats) -> Floats:
    """Resample the last two axes; moves has the leading axes of pixels, or 1 in their place."""
    side = pixels.shape[-1]
    pixel = np.arange(side, dtype=np.float32)
    zoom = _zoom(side)
    across = np.clip(pixel + moves[..., 0:1] + moves[..., 1:2] * zoom, 0.0, side - 1.0)
    down = np.clip(pixel + moves[..., 2:3] + moves[..., 3:4] * zoom, 0.0, side - 1.0)
    weights_down = np.maximum(0.0, 1.0 - np.abs(down[..., :, None] - pixel)).astype(np.float32)
    weights_across = np.maximum(0.0, 1.0 - np.abs(across[..., None, :] - pixel[:, None])).astype(np.float32)
    return weights_down @ pixels @ weights_across


def _measured(moved: Floats, target: Floats) -> Comparison:
    inner = slice(_BORDER_PX, -_BORDER_PX)
    one, other = moved[:, :, inner, inner], target[:, :, inner, inner]
    difference = one - other
    blocks_across = (_SIDE - 2 * _BORDER_PX) // _BLOCK_PX
    squares = np.einsum("pchw,pchw->phw", difference, difference).reshape(
        len(moved), blocks_across, _BLOCK_PX, blocks_across, _BLOCK_PX
    )
    blocks = squares.sum(axis=(2, 4)) / (3 * _BLOCK_PX**2)
    spread = 0.5 * (one.var(axis=(2, 3)).mean(axis=1) + other.var(axis=(2, 3)).mean(axis=1))
    similarity = 1.0 - blocks.mean(axis=(1, 2)) / np.maximum(spread, 1e-6)
    return Comparison(similarity, np.sqrt(blocks.max(axis=(1, 2))))
