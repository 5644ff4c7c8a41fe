"""Geometric transforms of a picture and its boxes: what they are, how to undo them, and how to apply them."""

import os
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mm_assets.errors import ContractError

Floats: TypeAlias = npt.NDArray[np.float64]
Pixels: TypeAlias = npt.NDArray[np.uint8]

HALF_TURN: Final = 180
_TURNS: Final = (90, HALF_TURN, 270)


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror left to right."""


@dataclass(frozen=True)
class VerticalFlip:
    """Mirror top to bottom."""


@dataclass(frozen=True)
class Turn:
    """Turn clockwise by 90, 180 or 270 degrees."""

    degrees: int

    def __post_init__(self) -> None:
        if self.degrees not in _TURNS:
            raise ContractError(f"turn by {self.degrees} degrees; pass one of {_TURNS}")


@dataclass(frozen=True)
class Crop:
    """Keep the pixels from ``x1, y1`` to before ``x2, y2``."""

    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True)
class Resize:
    """Scale to this width and height in pixels."""

    width: int
    height: int


Transform: TypeAlias = HorizontalFlip | VerticalFlip | Turn | Crop | Resize


def invert(transform: Transform, width: int, height: int) -> Transform:
    """The transform that restores a picture of this size.

    Raises:
        ContractError: nothing restores what a crop cut away.
    """
    match transform:
        case HorizontalFlip() | VerticalFlip():
            return transform
        case Turn():
            return Turn(2 * HALF_TURN - transform.degrees)
        case Resize():
            return Resize(width, height)
        case Crop():
            raise ContractError("a crop has no inverse; keep the picture it was cut from")


def move_picture(
    pixels: Pixels, boxes: Floats, transform: Transform, min_visible_share: float
) -> tuple[Pixels, Floats, npt.NDArray[np.int64]]:
    """Move pixels and boxes by Albumentations, bound to one another.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        boxes: float64, shape (N, 4), ``x1 y1 x2 y2`` inside the picture.
        transform: what to do.
        min_visible_share: share of a box's area that a crop must leave.

    Returns:
        The new pixels, boxes of shape (M, 4) inside them (float32 precision), and the M rows they had.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
    import albumentations as A  # noqa: N812, PLC0415 - slow to import, and its usual name
    import cv2  # noqa: PLC0415

    height, width = pixels.shape[:2]
    match transform:
        case HorizontalFlip():
            steps = [A.HorizontalFlip(p=1.0)]
        case VerticalFlip():
            steps = [A.VerticalFlip(p=1.0)]
        case Turn(90):
            steps = [A.Transpose(p=1.0), A.HorizontalFlip(p=1.0)]
        case Turn(180):
            steps = [A.HorizontalFlip(p=1.0), A.VerticalFlip(p=1.0)]
        case Turn():
            steps = [A.Transpose(p=1.0), A.VerticalFlip(p=1.0)]
        case Crop(x1, y1, x2, y2):
            steps = [A.Crop(x1, y1, x2, y2, p=1.0)]
        case Resize():
            shrinks = transform.width < width or transform.height < height
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            steps = [A.Resize(transform.height, transform.width, interpolation=interpolation, p=1.0)]
    visible = min_visible_share if isinstance(transform, Crop) else 0.0
    bound = A.BboxParams(format="pascal_voc", label_fields=["rows"], min_visibility=visible)
    moved = A.Compose([*steps], bbox_params=bound)(image=pixels, bboxes=boxes, rows=np.arange(len(boxes)))
    image: Pixels = np.ascontiguousarray(moved["image"])
    placed = np.asarray(moved["bboxes"], dtype=np.float64).reshape(-1, 4)
    limits = np.tile(image.shape[1::-1], 2)
    return image, np.clip(placed, 0.0, limits), np.asarray(moved["rows"], dtype=np.int64)
