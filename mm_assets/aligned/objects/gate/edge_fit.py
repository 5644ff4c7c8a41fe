# pyright: strict
"""How well boxes close around what is in a picture, by its edges alone and without a model.

A box drawn around an object has edges just inside each of its four sides and fewer just outside. A box that was
mirrored, shifted or scaled away from its object cuts through things or lies on nothing. The fit of a box is the mean
of the two weakest of its sides, each the logarithm of edge strength inside over edge strength outside, so that a box
that shares a corner with the right one gains nothing by it.

Related: Zitnick and Dollár 2014 (edge boxes), Alexe et al. 2012 (objectness).
"""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from mm_assets.gates.recall_input import Floats, Singles

SIDES: Final = 4
WEAKEST: Final = 2
_LONGEST_PX: Final = 512
_STRIP: Final = 0.06
_MIN_STRIP_PX: Final = 2.0
_BLUR_PX: Final = 1.0
_FLOOR: Final = 1.0
_HALF: Final = 0.5
"""Above it linear interpolation skips no pixel, and takes a tenth of the time."""


class EdgeMap:
    """Edge strength of one picture, summed so that any rectangle costs four look-ups.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        longest_px: longer side the picture is shrunk to; 0 keeps it.
    """

    def __init__(self, pixels: npt.NDArray[np.uint8], longest_px: int = _LONGEST_PX) -> None:
        height, width = pixels.shape[:2]
        shrink = min(1.0, longest_px / max(height, width)) if longest_px else 1.0
        if shrink < 1.0:
            size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
            method = cv2.INTER_LINEAR if shrink > _HALF else cv2.INTER_AREA
            pixels = cv2.resize(pixels, size, interpolation=method).astype(np.uint8, copy=False)
        self._sums = cv2.integral(_edge_strength(pixels)).astype(np.int64)
        self._scale = np.array([pixels.shape[1] / width, pixels.shape[0] / height] * 2)

    def sides(self, boxes: Floats | Singles, *, strip: float = _STRIP, blur_px: float = _BLUR_PX) -> Floats:
        """Log ratio of edge strength inside over outside, per side.

        Args:
            boxes: shape (M, 4), ``x1 y1 x2 y2`` in pixels of the picture.
            strip: width of the strips, as a share of the box; at least 2 px of the shrunk picture.
            blur_px: how far a blurred outline reaches over a box that fits exactly, pixels of the shrunk picture.

        Returns:
            float64, shape (M, 4): left, right, upper, lower; NaN where a side lies on the picture's edge.
        """
        x1, y1, x2, y2 = (boxes.astype(np.float64) * self._scale).T
        across = np.maximum(_MIN_STRIP_PX, strip * (x2 - x1))
        down = np.maximum(_MIN_STRIP_PX, strip * (y2 - y1))
        # A step is stored at the pixel before it, so that the outline of an object lies one pixel left of and above it.
        x0, y0, x3, y3 = x1 - 1.0 - blur_px, y1 - 1.0 - blur_px, x2 + blur_px, y2 + blur_px
        # Inside then outside: left, right, upper, lower.
        left = np.stack((x0, x2 - across, x1, x1, x0 - across, x3, x1, x1))
        right = np.stack((x1 + across, x3, x2, x2, x0, x3 + across, x2, x2))
        top = np.stack((y1, y1, y0, y2 - down, y1, y1, y0 - down, y3))
        bottom = np.stack((y2, y2, y1 + down, y3, y2, y2, y0, y3 + down))
        strength = np.log(self._mean(left, top, right, bottom) + _FLOOR)
        return (strength[:SIDES] - strength[SIDES:]).T

    def fit(self, boxes: Floats | Singles) -> Floats:
        """Mean of the two weakest sides, shape (M,); 0 for a box that fills the picture."""
        return weakest_sides(self.sides(boxes))

    def _mean(self, left: Floats, top: Floats, right: Floats, bottom: Floats) -> Floats:
        """Mean edge strength of rectangles, NaN where nothing of them lies in the picture."""
        height, width = self._sums.shape[0] - 1, self._sums.shape[1] - 1
        x1, x2 = (np.rint(np.minimum(np.maximum(value, 0.0), width)).astype(np.int64) for value in (left, right))
        y1, y2 = (np.rint(np.minimum(np.maximum(value, 0.0), height)).astype(np.int64) for value in (top, bottom))
        area = (x2 - x1) * (y2 - y1)
        flat, row = self._sums.ravel(), self._sums.shape[1]
        upper, lower = y1 * row, y2 * row
        total = flat[lower + x2] - flat[upper + x2] - flat[lower + x1] + flat[upper + x1]
        return np.where(area > 0, total / np.maximum(area, 1), np.nan)


def weakest_sides(sides: Floats) -> Floats:
    """Mean of the two weakest of the known sides, shape (M,).

    >>> weakest_sides(np.array([[3.0, 1.0, np.nan, 2.0], [np.nan, np.nan, np.nan, 2.0]])).tolist()
    [1.5, 2.0]
    """
    known = np.count_nonzero(~np.isnan(sides), axis=1)
    ordered = np.sort(np.where(np.isnan(sides), np.inf, sides), axis=1)[:, :WEAKEST]
    total = np.where(np.isinf(ordered), 0.0, ordered).sum(axis=1)
    return total / np.clip(known, 1, WEAKEST)


def place_shams(boxes: Floats | Singles, width: int, height: int, count: int, generator: np.random.Generator) -> Floats:
    """Boxes of the same sizes at random places: what a fit looks like by chance.

    Args:
        boxes: shape (M, 4), inside the picture.
        width: of the picture, pixels.
        height: of the picture, pixels.
        count: shams to draw; sizes are drawn from the boxes.
        generator: source of the draws.

    Returns:
        float64, shape (count, 4), or (0, 4) without boxes.
    """
    if not len(boxes):
        return np.zeros((0, SIDES))
    sizes = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)[generator.integers(0, len(boxes), count)]
    corner = generator.random((count, 2)) * np.maximum(np.array([width, height]) - sizes, 0.0)
    return np.hstack((corner, corner + sizes))


def _edge_strength(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Largest step to the next pixel right or below, over the channels, uint8, shape (H, W)."""
    strength = np.zeros(pixels.shape[:2], dtype=np.uint8)
    for channel in cv2.split(pixels):
        values = np.asarray(channel, dtype=np.uint8)
        if values.shape[1] > 1:
            strength[:, :-1] = cv2.max(strength[:, :-1].copy(), cv2.absdiff(values[:, 1:], values[:, :-1]))
        if values.shape[0] > 1:
            strength[:-1] = cv2.max(strength[:-1].copy(), cv2.absdiff(values[1:], values[:-1]))
    return strength
