"""The last word on a pair of pictures: whether their fine detail is the same, line by line.

Thin line drawings on white come in families that differ in the number of their lines only; thumbnails blur that away.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mm_assets.cleaned.fingerprints import DETAIL_BLUR, DETAIL_SIDE_PX, THUMBNAIL_SIDE_PX
from mm_assets.cleaned.picture_comparison import MAX_SHIFT_PX, Floats, aligning_step, moved

# Sides at which details are compared: a picture of fewer px than a third more has lost what the larger side shows.
_SIDES_PX: Final = (192, 144, 96, 72, 48)
_SHARPNESS: Final = 4 / 3
# In px of the side compared. What the blur leaves is the outline, which all of a family share.
_OUTLINE_BLUR: Final = 2.25
# Square of half a level of 255: what rounding and JPEG make of a picture without detail.
_NOISE: Final = 0.25
# Less likeness than this under the moves known from the thumbnails is more than a step can mend.
_WORTH_A_STEP: Final = 0.8


@dataclass(frozen=True)
class Detail:
    """The fine detail of a picture, ready for comparison at some side S.

    Attributes:
        luma: float32, shape (S, S).
        fine: luminance less its blurred self, flat, float32; the border is left out.
        energy: mean square of ``fine``.
    """

    luma: Floats
    fine: Floats
    energy: float


def comparable_side(first_px: int, second_px: int) -> int:
    """The side at which pictures, given the shorter side of each, can be expected to show the same detail.

    >>> comparable_side(512, 256), comparable_side(512, 160), comparable_side(40, 40)
    (192, 96, 48)
    """
    fits = [side for side in _SIDES_PX if side * _SHARPNESS <= min(first_px, second_px)]
    return fits[0] if fits else _SIDES_PX[-1]


def prepare_detail(luma: NDArray[np.uint8], side: int) -> Detail:
    """Take the ``detail`` of a fingerprint, shape (192, 192), apart for comparison at a side."""
    levels = luma.astype(np.float32)
    if side < DETAIL_SIDE_PX:
        scale = DETAIL_SIDE_PX / side
        levels = cv2.GaussianBlur(levels, (0, 0), DETAIL_BLUR * np.sqrt(scale**2 - 1.0))
        levels = np.asarray(cv2.resize(levels, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    return _taken_apart(levels)


def _taken_apart(luma: Floats) -> Detail:
    # As wide as the largest move.
    border = -(-len(luma) * MAX_SHIFT_PX // THUMBNAIL_SIDE_PX)
    inner = slice(border, -border)
    fine = (luma - cv2.GaussianBlur(luma, (0, 0), _OUTLINE_BLUR))[inner, inner].ravel()
    return Detail(luma, fine, float(fine @ fine) / len(fine))


def detail_similarity(first: Detail, second: Detail, moves: Floats | None = None) -> float:
    """Likeness of the fine detail of two pictures, as they stand or after a crop.

    Args:
        first: one picture.
        second: the other.
        moves: the crop that carries the thumbnail of the first to that of the second, in px of the thumbnails,
            float32, shape (4,); refined here. None compares the pictures as they stand.

    Returns:
        1 for equal detail, 0 for a difference as large as the detail.
    """
    if moves is None:
        return _similarity(first, second)
    start = np.asarray(moves * (len(first.luma) / THUMBNAIL_SIDE_PX), dtype=np.float32)
    shown = _taken_apart(moved(first.luma, start, cv2.INTER_CUBIC))
    likeness = _similarity(shown, second)
    if likeness < _WORTH_A_STEP:
        return likeness
    better = aligning_step(shown.luma[None], second.luma[None], start[None])[0]
    return max(likeness, _similarity(_taken_apart(moved(first.luma, better, cv2.INTER_CUBIC)), second))


def _similarity(first: Detail, second: Detail) -> float:
    difference = first.fine - second.fine
    remaining = float(difference @ difference) / len(difference)
    return 1.0 - remaining / (0.5 * (first.energy + second.energy) + _NOISE)
