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
_DETAIL_BLUR: Final = 1.5
_DETAIL_BORDER_PX: Final = 3
_MIDDLE_PX: Final = 0.5 * (_SIDE - 1)
_ZOOM: Final = np.linspace(-1.0, 1.0, _SIDE, dtype=np.float32)
_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def _gaussian() -> Floats:
    """Rows that blur a line of 64 px, float32, shape (64, 64)."""
    pixel = np.arange(_SIDE)
    weights = np.exp(-0.5 * np.square((pixel[:, None] - pixel) / _DETAIL_BLUR))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


_BLUR: Final = _gaussian()


@dataclass(frozen=True)
class Pictures:
    """Thumbnails ready for comparison.

    Attributes:
        colour: float32, shape (N, 3, 64, 64).
        luma: luminance of ``colour``, float32, shape (N, 64, 64).
        detail: luminance less its blurred self, float32, shape (N, 58, 58).
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
    """How alike P pairs of thumbnails are; float32, shape (P,) each.

    Attributes:
        similarity: 1 for equal pixels, 0 for a difference as large as the contrast.
        detail_similarity: the same of the fine detail of the luminance.
        worst_block: largest root mean square difference of any 6 px block, in levels of 255.
        ink_difference: difference of the mean luminance over the contrast.
    """

    similarity: Floats
    detail_similarity: Floats
    worst_block: Floats
    ink_difference: Floats


@dataclass(frozen=True)
class Crop:
    """The crop that would explain each of P pairs best.

    Attributes:
        moves: shift and zoom across, shift and zoom down, in thumbnail px at the edges, float32, shape (P, 4).
        largest_px: largest move of an edge, float32, shape (P,).
        against_px: how far an edge moves against the others: a crop moves all inward or all outward.
        uneven_px: how far the move is from a zoom about the centre.
        aspect_error: zoom against the change of the full pictures' aspect, in logarithms.
    """

    moves: Floats
    largest_px: Floats
    against_px: Floats
    uneven_px: Floats
    aspect_error: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.int64]) -> "Crop":
        return Crop(
            self.moves[rows],
            self.largest_px[rows],
            self.against_px[rows],
            self.uneven_px[rows],
            self.aspect_error[rows],
        )


def prepare_pictures(thumbnails: NDArray[np.uint8], log_aspect: NDArray[np.float64]) -> Pictures:
    """Take thumbnails apart for comparison.

    Args:
        thumbnails: uint8, shape (N, 64, 64, 3).
        log_aspect: float64, shape (N,).
    """
    colour = np.ascontiguousarray(thumbnails.transpose(0, 3, 1, 2), dtype=np.float32)
    luma = _luma(colour)
    return Pictures(colour, luma, _detail(luma), log_aspect)


def compare(first: Pictures, second: Pictures) -> Likeness:
    """Likeness of P pairs as they stand."""
    inner = (slice(None), slice(None), slice(_BORDER_PX, -_BORDER_PX), slice(_BORDER_PX, -_BORDER_PX))
    one, other = first.colour[inner], second.colour[inner]
    difference = one - other
    pairs, side = len(one), one.shape[-1]
    squares = np.einsum("pchw,pchw->phw", difference, difference)
    blocks = squares.reshape(pairs, side // _BLOCK_PX, _BLOCK_PX, side // _BLOCK_PX, _BLOCK_PX).sum(axis=(2, 4))
    blocks /= 3 * _BLOCK_PX**2
    spread = 0.5 * (_variance(one) + _variance(other))
    ink = np.abs(np.einsum("pchw,c->p", difference, _LUMA)) / side**2
    detail = np.square(first.detail - second.detail).mean(axis=(1, 2))
    energy = 0.5 * (np.square(first.detail).mean(axis=(1, 2)) + np.square(second.detail).mean(axis=(1, 2)))
    return Likeness(
        similarity=1.0 - blocks.mean(axis=(1, 2)) / np.maximum(spread, 1e-6),
        detail_similarity=1.0 - detail / np.maximum(energy, 1e-3),
        worst_block=np.sqrt(blocks.max(axis=(1, 2))),
        ink_difference=ink / np.sqrt(np.maximum(spread, 1e-6)),
    )


def find_crops(first: Pictures, second: Pictures) -> Crop:
    """Find the shift and zoom of each axis that carry the first picture of each of P pairs to the second.

    Gauss-Newton steps on the luminance, bounded by 2 px at the edges.

    Source: Lucas and Kanade 1981.
    """
    moves = _aligning_moves(first.luma, second.luma)
    shift_across, zoom_across, shift_down, zoom_down = moves.T
    # How far each edge of the first picture moves towards its centre.
    inward = np.stack(
        [shift_across - zoom_across, -shift_across - zoom_across, shift_down - zoom_down, -shift_down - zoom_down]
    )
    zoomed = np.log1p(zoom_across / _MIDDLE_PX) - np.log1p(zoom_down / _MIDDLE_PX)
    return Crop(
        moves=moves,
        largest_px=np.abs(inward).max(axis=0),
        against_px=np.minimum(-inward.min(axis=0), inward.max(axis=0)),
        uneven_px=np.abs(np.stack([shift_across, shift_down, zoom_across - zoom_down])).max(axis=0),
        aspect_error=np.abs(second.log_aspect - first.log_aspect - zoomed),
    )


def cropped(pictures: Pictures, crops: Crop) -> Pictures:
    """The pictures with their crops applied."""
    colour = np.empty_like(pictures.colour)
    for row, picture in enumerate(pictures.colour):
        moved = _moved(np.ascontiguousarray(picture.transpose(1, 2, 0)), crops.moves[row], cv2.INTER_CUBIC)
        colour[row] = moved.transpose(2, 0, 1)
    luma = _luma(colour)
    return Pictures(colour, luma, _detail(luma), pictures.log_aspect)


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
            moved = np.stack(
                [_moved(picture, move, cv2.INTER_LINEAR) for picture, move in zip(first, moves, strict=True)]
            )
    return moves


def _step(moved: Floats, target: Floats) -> Floats:
    """The moves that explain the difference to first order."""
    middle = 0.5 * (moved + target)
    down = 0.5 * (middle[:, 2:, 1:-1] - middle[:, :-2, 1:-1])
    right = 0.5 * (middle[:, 1:-1, 2:] - middle[:, 1:-1, :-2])
    zoom = _ZOOM[1:-1]
    basis = np.stack([right, right * zoom, down, down * zoom[:, None]], axis=1).reshape(len(moved), 4, -1)
    difference = (target - moved)[:, 1:-1, 1:-1].reshape(len(moved), -1, 1)
    normal = basis @ basis.transpose(0, 2, 1)
    # The ridge keeps a picture without edges where it is.
    normal += (1.0 + 1e-3 * np.trace(normal, axis1=1, axis2=2))[:, None, None] * np.eye(4, dtype=np.float32)
    return np.linalg.solve(normal, basis @ difference)[:, :, 0].astype(np.float32)


def _moved(picture: Floats, move: Floats, interpolation: int) -> Floats:
    """One picture, shape (64, 64) or (64, 64, 3), resampled."""
    shift_across, zoom_across, shift_down, zoom_down = (float(part) for part in move)
    scale_across, scale_down = 1.0 + zoom_across / _MIDDLE_PX, 1.0 + zoom_down / _MIDDLE_PX
    matrix = np.array([[scale_across, 0.0, shift_across - zoom_across], [0.0, scale_down, shift_down - zoom_down]])
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(picture, matrix, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32
    )


def _luma(colour: Floats) -> Floats:
    return np.asarray(0.299 * colour[:, 0] + 0.587 * colour[:, 1] + 0.114 * colour[:, 2], dtype=np.float32)


def _detail(luma: Floats) -> Floats:
    inner = slice(_DETAIL_BORDER_PX, -_DETAIL_BORDER_PX)
    return np.asarray((luma - _BLUR @ luma @ _BLUR.T)[:, inner, inner], dtype=np.float32)


def _variance(pixels: Floats) -> Floats:
    """Mean over the channels of their variances, float32, shape (P,)."""
    centred = pixels - pixels.mean(axis=(2, 3), keepdims=True)
    total: Floats = np.einsum("pchw,pchw->p", centred, centred)
    return total / np.float32(pixels[0:1].size or 1)
