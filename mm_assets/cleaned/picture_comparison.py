"""Pixel verdict on pairs of thumbnails: the same picture as it stands, or the same after a crop.

A correlation forgives a change of contrast, so thin circles and thick circles correlate at 0.999. What is measured here
is the share of the contrast that remains as a difference, which forgives nothing.
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
_RESAMPLING_BLUR: Final = 0.85
_DETAIL_BLUR: Final = 1.5
_DETAIL_BORDER_PX: Final = 3


@dataclass(frozen=True)
class Pictures:
    """Thumbnails ready for comparison.

    Attributes:
        colour: blurred so that resampling by part of a pixel costs little, float32, shape (N, 3, 64, 64).
        luma: luminance of ``colour``, float32, shape (N, 64, 64).
        detail: luminance of the sharp thumbnail less its blurred self, float32, shape (N, 58, 58).
        log_aspect: logarithm of width over height of the full picture, float64, shape (N,).
    """

    colour: Floats
    luma: Floats
    detail: Floats
    log_aspect: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.int64]) -> "Pictures":
        return Pictures(self.colour[rows], self.luma[rows], self.detail[rows], self.log_aspect[rows])


@dataclass(frozen=True)
class Likeness:
    """How alike pairs of thumbnails are, before or after alignment.

    Attributes:
        similarity: float32, shape (P,): 1 for equal pixels, 0 for a difference as large as the contrast.
        worst_block: float32, shape (P,): largest root mean square difference of any 6 px block, in levels of 255.
    """

    similarity: Floats
    worst_block: Floats


@dataclass(frozen=True)
class Alignment:
    """The crop that would explain a pair, and what speaks for it.

    Attributes:
        likeness: of the aligned pair.
        crop_px: largest move of an edge, in thumbnail px, float32, shape (P,).
        against_crop_px: how far an edge moves against the others: a crop moves all inward or all outward.
        uneven_px: how far the move is from a zoom about the centre.
        aspect_error: zoom against the change of the full pictures' aspect, in logarithms.
        ink_difference: difference of the mean luminance over the contrast.
    """

    likeness: Likeness
    crop_px: Floats
    against_crop_px: Floats
    uneven_px: Floats
    aspect_error: NDArray[np.float64]
    ink_difference: Floats


def prepare_pictures(thumbnails: NDArray[np.uint8], log_aspect: NDArray[np.float64]) -> Pictures:
    """Blur thumbnails for comparison.

    Args:
        thumbnails: uint8, shape (N, 64, 64, 3).
        log_aspect: float64, shape (N,).
    """
    count = len(thumbnails)
    inner = slice(_DETAIL_BORDER_PX, -_DETAIL_BORDER_PX)
    colour = np.empty((count, 3, _SIDE, _SIDE), dtype=np.float32)
    luma = np.empty((count, _SIDE, _SIDE), dtype=np.float32)
    detail = np.empty((count, _SIDE - 2 * _DETAIL_BORDER_PX, _SIDE - 2 * _DETAIL_BORDER_PX), dtype=np.float32)
    for row, thumbnail in enumerate(thumbnails):
        sharp = thumbnail.astype(np.float32)
        blurred = cv2.GaussianBlur(sharp, (3, 3), _RESAMPLING_BLUR, borderType=cv2.BORDER_REPLICATE)
        gray = cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY)
        colour[row] = blurred.transpose(2, 0, 1)
        luma[row] = cv2.cvtColor(blurred, cv2.COLOR_RGB2GRAY)
        detail[row] = (gray - cv2.GaussianBlur(gray, (0, 0), _DETAIL_BLUR))[inner, inner]
    return Pictures(colour, luma, detail, log_aspect)


def compare_unmoved(first: Pictures, second: Pictures) -> tuple[Likeness, Floats]:
    """Likeness of P pairs as they stand, and the similarity of their fine detail, float32, shape (P,)."""
    difference = np.square(first.detail - second.detail).mean(axis=(1, 2))
    energy = 0.5 * (np.square(first.detail).mean(axis=(1, 2)) + np.square(second.detail).mean(axis=(1, 2)))
    return _measured(first.colour, second.colour), 1.0 - difference / np.maximum(energy, 1e-3)


def align(first: Pictures, second: Pictures) -> Alignment:
    """Find the shift and zoom of each axis that carry the first picture of each of P pairs to the second.

    Gauss-Newton steps on the luminance, bounded by 2 px at the edges.

    Source: Lucas and Kanade 1981.
    """
    moves = _aligning_moves(first.luma, second.luma)
    shift_across, zoom_across, shift_down, zoom_down = moves.T
    # How far each edge of the first picture moves towards its centre.
    inward = np.stack(
        [
            shift_across - zoom_across,
            -shift_across - zoom_across,
            shift_down - zoom_down,
            -shift_down - zoom_down,
        ]
    )
    middle = 0.5 * (_SIDE - 1)
    zoomed = np.log1p(zoom_across / middle) - np.log1p(zoom_down / middle)
    luma = np.stack([_warped(first.luma, moves), second.luma])[:, :, _BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX]
    means, spread = luma.mean(axis=(2, 3)), luma[1].std(axis=(1, 2))
    return Alignment(
        likeness=_measured(_warped(first.colour, moves[:, None]), second.colour),
        crop_px=np.abs(inward).max(axis=0),
        against_crop_px=np.minimum(-inward.min(axis=0), inward.max(axis=0)),
        uneven_px=np.abs(np.stack([shift_across, shift_down, zoom_across - zoom_down])).max(axis=0),
        aspect_error=np.abs(second.log_aspect - first.log_aspect - zoomed),
        ink_difference=np.abs(means[0] - means[1]) / np.maximum(spread, 1e-3),
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
    zoom = _zoom()[1:-1]
    basis = np.stack([right, right * zoom, down, down * zoom[:, None]], axis=1).reshape(len(moved), 4, -1)
    difference = (target - moved)[:, 1:-1, 1:-1].reshape(len(moved), -1, 1)
    normal = basis @ basis.transpose(0, 2, 1)
    # The ridge keeps a picture without edges where it is.
    normal += (1.0 + 1e-3 * np.trace(normal, axis1=1, axis2=2))[:, None, None] * np.eye(4, dtype=np.float32)
    return np.linalg.solve(normal, basis @ difference)[:, :, 0].astype(np.float32)


def _zoom() -> Floats:
    return np.linspace(-1.0, 1.0, _SIDE, dtype=np.float32)


def _warped(pixels: Floats, moves: Floats) -> Floats:
    """Resample the last two axes; moves has the leading axes of pixels, or 1 in their place."""
    pixel = np.arange(_SIDE, dtype=np.float32)
    across = np.clip(pixel + moves[..., 0:1] + moves[..., 1:2] * _zoom(), 0.0, _SIDE - 1.0)
    down = np.clip(pixel + moves[..., 2:3] + moves[..., 3:4] * _zoom(), 0.0, _SIDE - 1.0)
    weights_down = np.maximum(0.0, 1.0 - np.abs(down[..., :, None] - pixel)).astype(np.float32)
    weights_across = np.maximum(0.0, 1.0 - np.abs(across[..., None, :] - pixel[:, None])).astype(np.float32)
    return np.asarray(weights_down @ pixels @ weights_across, dtype=np.float32)


def _measured(moved: Floats, target: Floats) -> Likeness:
    inner = slice(_BORDER_PX, -_BORDER_PX)
    one, other = moved[:, :, inner, inner], target[:, :, inner, inner]
    difference = one - other
    across = (_SIDE - 2 * _BORDER_PX) // _BLOCK_PX
    squares = np.einsum("pchw,pchw->phw", difference, difference)
    blocks = squares.reshape(len(moved), across, _BLOCK_PX, across, _BLOCK_PX).sum(axis=(2, 4)) / (3 * _BLOCK_PX**2)
    spread = 0.5 * (one.var(axis=(2, 3)).mean(axis=1) + other.var(axis=(2, 3)).mean(axis=1))
    similarity = 1.0 - blocks.mean(axis=(1, 2)) / np.maximum(spread, 1e-6)
    return Likeness(similarity, np.sqrt(blocks.max(axis=(1, 2))))
