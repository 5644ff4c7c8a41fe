"""Two pictures side by side: how alike their thumbnails are, and the crop that would make them more so.

A correlation forgives a change of contrast, so thin circles and thick circles correlate at 0.999. What is measured here
is the share of the contrast that remains as a difference, which forgives nothing.
"""

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from mm_assets.cleaned.fingerprints import THUMBNAIL_SIDE_PX

Floats: TypeAlias = NDArray[np.float32]

_SIDE: Final = THUMBNAIL_SIDE_PX
_ALIGNMENT_STEPS: Final = 3
# A crop of 2 % from each side moves an edge by 1.3 of 64 px; the border left out is as wide as the largest move.
MAX_SHIFT_PX: Final = 2
_BORDER_PX: Final = 2
_BLOCK_PX: Final = 6
# Less likeness than this after two steps of three is more than the last can mend.
_WORTH_A_STEP: Final = 0.8
# Four numbers are sought; of larger pictures some rows tell them as well as all.
_ROWS_ENOUGH: Final = 64
_INNER: Final = (slice(None), slice(None), slice(_BORDER_PX, -_BORDER_PX), slice(_BORDER_PX, -_BORDER_PX))


@dataclass(frozen=True)
class Pictures:
    """Thumbnails ready for comparison.

    Attributes:
        colour: float32, shape (N, 3, 64, 64).
        luma: luminance of ``colour``, float32, shape (N, 64, 64).
        variance: mean of the channels' variances, border left out, float32, shape (N,).
    """

    colour: Floats
    luma: Floats
    variance: Floats

    def __getitem__(self, rows: NDArray[np.integer]) -> "Pictures":
        return Pictures(self.colour[rows], self.luma[rows], self.variance[rows])


@dataclass(frozen=True)
class Likeness:
    """How alike P pairs of thumbnails are; float32, shape (P,) each.

    Attributes:
        similarity: 1 for equal pixels, 0 for a difference as large as the contrast.
        worst_block: largest root mean square difference of any 6 px block, in levels of 255.
    """

    similarity: Floats
    worst_block: Floats


def prepare_pictures(thumbnails: NDArray[np.uint8]) -> Pictures:
    """Take thumbnails, uint8, shape (N, 64, 64, 3), apart for comparison."""
    colour = np.ascontiguousarray(thumbnails.transpose(0, 3, 1, 2), dtype=np.float32)
    luma = np.asarray(0.299 * colour[:, 0] + 0.587 * colour[:, 1] + 0.114 * colour[:, 2], dtype=np.float32)
    centred = colour[_INNER] - colour[_INNER].mean(axis=(2, 3), keepdims=True)
    variance = np.einsum("pchw,pchw->p", centred, centred) / np.float32(centred[0:1].size or 1)
    return Pictures(colour, luma, variance)


def compare(first: Pictures, second: Pictures) -> Likeness:
    """Likeness of P pairs as they stand."""
    difference = first.colour[_INNER] - second.colour[_INNER]
    pairs, side = len(difference), difference.shape[-1]
    squares = np.einsum("pchw,pchw->phw", difference, difference)
    blocks = squares.reshape(pairs, side // _BLOCK_PX, _BLOCK_PX, side // _BLOCK_PX, _BLOCK_PX).sum(axis=(2, 4))
    blocks /= 3 * _BLOCK_PX**2
    spread = 0.5 * (first.variance + second.variance)
    return Likeness(
        similarity=1.0 - blocks.mean(axis=(1, 2)) / np.maximum(spread, 1e-6),
        worst_block=np.sqrt(blocks.max(axis=(1, 2))),
    )


def find_crops(first: Pictures, second: Pictures) -> tuple[NDArray[np.int64], Floats]:
    """Find the crop that carries the first picture of each of P pairs to the second.

    Returns:
        The pairs that a crop may explain, shape (C,), and the crops: shift and zoom across, shift and zoom down, in px
        at the edges, float32, shape (C, 4), bounded by 2 px. From there `aligning_step` goes on where the pictures are
        known in more detail.
    """
    moves = np.zeros((len(first.luma), 4), dtype=np.float32)
    shown = first.luma
    for _ in range(_ALIGNMENT_STEPS - 1):
        moves = aligning_step(shown, second.luma, moves)
        shown = np.stack([moved(one, move, cv2.INTER_LINEAR) for one, move in zip(first.luma, moves, strict=True)])
    pairs = np.flatnonzero(_luma_likeness(shown, second.luma) >= _WORTH_A_STEP)
    better = aligning_step(shown[pairs], second.luma[pairs], moves[pairs]) if len(pairs) else moves[pairs]
    return pairs, better


def _luma_likeness(first: Floats, second: Floats) -> Floats:
    one, other = first[_INNER[1:]], second[_INNER[1:]]
    spread = 0.5 * (one.var(axis=(1, 2)) + other.var(axis=(1, 2)))
    return 1.0 - np.square(one - other).mean(axis=(1, 2)) / np.maximum(spread, 1e-6)


def cropped(pictures: Pictures, moves: Floats) -> Pictures:
    """The pictures with their crops applied to the colours."""
    colour = np.empty_like(pictures.colour)
    for row, picture in enumerate(pictures.colour):
        shown = moved(np.ascontiguousarray(picture.transpose(1, 2, 0)), moves[row], cv2.INTER_CUBIC)
        colour[row] = shown.transpose(2, 0, 1)
    return replace(pictures, colour=colour)


def aligning_step(shown: Floats, target: Floats, moves: Floats) -> Floats:
    """Improve the moves of P pairs of square pictures by a Gauss-Newton step.

    Args:
        shown: luminance of the first pictures after ``moves``, float32, shape (P, S, S).
        target: luminance of the second pictures, the same shape.
        moves: shift and zoom across, shift and zoom down, in px at the edges, float32, shape (P, 4).

    Returns:
        Better moves, bounded by 2 of 64 px.

    Source: Lucas and Kanade 1981.
    """
    side = shown.shape[-1]
    step = max(1, side // _ROWS_ENOUGH)
    rows = slice(1, -1, step)
    middle = 0.5 * (shown + target)
    down = 0.5 * (middle[:, 2::step, 1:-1] - middle[:, :-2:step, 1:-1])
    right = 0.5 * (middle[:, rows, 2:] - middle[:, rows, :-2])
    zoom = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    basis = np.stack([right, right * zoom[1:-1], down, down * zoom[rows, None]], axis=1).reshape(len(shown), 4, -1)
    difference = (target[:, rows, 1:-1] - shown[:, rows, 1:-1]).reshape(len(shown), -1, 1)
    normal = basis @ basis.transpose(0, 2, 1)
    # The ridge keeps a picture without edges where it is.
    normal += (1.0 + 1e-3 * np.trace(normal, axis1=1, axis2=2))[:, None, None] * np.eye(4, dtype=np.float32)
    better = moves + np.linalg.solve(normal, basis @ difference)[:, :, 0].astype(np.float32)
    for axis in (slice(0, 2), slice(2, 4)):
        span = np.abs(better[:, axis]).sum(axis=1, keepdims=True)
        better[:, axis] *= np.minimum(1.0, MAX_SHIFT_PX * side / _SIDE / np.maximum(span, 1e-6))
    return better


def moved(picture: Floats, moves: Floats, interpolation: int) -> Floats:
    """One picture, shape (S, S) or (S, S, 3), resampled; moves, shape (4,), in px of this picture."""
    side = len(picture)
    middle = 0.5 * (side - 1)
    shift_across, zoom_across, shift_down, zoom_down = (float(part) for part in moves)
    scale_across, scale_down = 1.0 + zoom_across / middle, 1.0 + zoom_down / middle
    matrix = np.array([[scale_across, 0.0, shift_across - zoom_across], [0.0, scale_down, shift_down - zoom_down]])
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(picture, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32
    )
