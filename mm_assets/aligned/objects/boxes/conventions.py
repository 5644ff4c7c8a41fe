# pyright: strict
"""How four numbers say where a box is, and their conversion to pixel corners and back.

Every convention is a layout (which four numbers) and a unit (of what size they are shares). Pixel corners are float64
``x1 y1 x2 y2`` in pixels, origin top left, x to the right and y down; ``x2`` and ``y2`` are the edges themselves, so a
box over the whole picture ends at its width and height.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mm_assets.errors import ContractError

CONVERSION_VERSION: Final = "1"
"""Raised whenever the same declared numbers would give other pixel corners; recorded with every box."""

Floats: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.int8]


class Layout(IntEnum):
    """Which four numbers make the box."""

    XYXY = 0
    XYWH = 1
    CXCYWH = 2


class Unit(IntEnum):
    """What the numbers count: pixels, or shares of the picture's width and height."""

    PIXELS = 0
    ONE = 1
    THOUSAND = 2


_FULL_SCALE: Final = np.array([0.0, 1.0, 1_000.0])
"""The number that stands for the picture's whole side, by unit; pixels have none."""


@dataclass(frozen=True)
class Convention:
    """A layout and a unit under the name the batch contract gives them."""

    name: str
    layout: Layout
    unit: Unit


CONVENTIONS: Final[dict[str, Convention]] = {
    convention.name: convention
    for convention in (
        Convention("xyxy_pixels", Layout.XYXY, Unit.PIXELS),
        Convention("xywh_pixels", Layout.XYWH, Unit.PIXELS),  # COCO
        Convention("cxcywh_0_1", Layout.CXCYWH, Unit.ONE),  # YOLO
        Convention("xyxy_0_1", Layout.XYXY, Unit.ONE),
        Convention("xyxy_0_1000", Layout.XYXY, Unit.THOUSAND),
    )
}


def encode_conventions(conventions: str | Sequence[str], rows: int) -> tuple[Codes, Codes]:
    """Turn names into codes.

    Args:
        conventions: one name for all rows, or one per row.
        rows: number of rows.

    Returns:
        Codes of layout and of unit, int8, shape (rows,).

    Raises:
        ContractError: a name is unknown, or there are not as many as rows.
    """
    if isinstance(conventions, str):
        convention = find_convention(conventions)
        return np.full(rows, convention.layout, np.int8), np.full(rows, convention.unit, np.int8)
    if len(conventions) != rows:
        raise ContractError(f"{len(conventions)} conventions for {rows} boxes; pass one, or one per box")
    known = {name: find_convention(name) for name in set(conventions)}
    layouts = np.fromiter((known[name].layout for name in conventions), np.int8, rows)
    units = np.fromiter((known[name].unit for name in conventions), np.int8, rows)
    return layouts, units


def find_convention(name: str) -> Convention:
    """The convention of this name.

    Raises:
        ContractError: there is none.
    """
    if name not in CONVENTIONS:
        raise ContractError(f"unknown box convention {name[:40]!r}; use one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


def to_corners(declared: Floats, layouts: Codes, units: Codes, sizes: Floats) -> Floats:
    """Pixel corners of declared numbers. Nothing is judged: NaN stays NaN, negative sizes stay negative.

    Args:
        declared: float64, shape (N, 4).
        layouts: shape (N,), codes of `Layout`.
        units: shape (N,), codes of `Unit`.
        sizes: float64, shape (N, 2), width and height of the picture the numbers were drawn on, pixels.

    Returns:
        float64, shape (N, 4), ``x1 y1 x2 y2`` in pixels of that picture.

    >>> sizes = np.array([[200.0, 100.0]])
    >>> to_corners(np.array([[0.5, 0.5, 0.5, 1.0]]), *encode_conventions("cxcywh_0_1", 1), sizes).tolist()
    [[50.0, 0.0, 150.0, 100.0]]
    """
    first, second = declared[:, :2], declared[:, 2:]
    layout = layouts[:, None]
    with np.errstate(invalid="ignore", over="ignore"):
        low = np.where(layout == Layout.CXCYWH, first - second / 2.0, first)
        high = np.where(layout == Layout.XYXY, second, low + second)
        per_number = _pixels_per_number(units, sizes)
        return np.hstack((low * per_number, high * per_number))


def from_corners(corners: Floats, layouts: Codes, units: Codes, sizes: Floats) -> Floats:
    """The numbers that declare these pixel corners; undoes `to_corners` up to rounding."""
    with np.errstate(invalid="ignore", over="ignore"):
        per_number = _pixels_per_number(units, sizes)
        low, high = corners[:, :2] / per_number, corners[:, 2:] / per_number
        layout = layouts[:, None]
        first = np.where(layout == Layout.CXCYWH, (low + high) / 2.0, low)
        second = np.where(layout == Layout.XYXY, high, high - low)
        return np.hstack((first, second))


def _pixels_per_number(units: Codes, sizes: Floats) -> Floats:
    """Pixels that the number 1 stands for along x and y, shape (N, 2)."""
    full_scale = _FULL_SCALE[units][:, None]
    return np.where(full_scale > 0.0, sizes / np.maximum(full_scale, 1.0), 1.0)
