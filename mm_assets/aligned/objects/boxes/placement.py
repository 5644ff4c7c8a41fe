# pyright: strict
"""Judge pixel corners against their image and cut off what reaches a little over its edge."""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mm_assets.aligned.objects.boxes.conventions import Floats
from mm_assets.policy import ObjectPolicy

Booleans: TypeAlias = npt.NDArray[np.bool_]

NOT_FINITE: Final = "NAN_VALUE"
NO_AREA: Final = "BOX_SIZE"
OUTSIDE: Final = "BOX_OUTSIDE"


@dataclass(frozen=True, eq=False)
class Placement:
    """Boxes inside their images.

    Attributes:
        corners: float32, shape (N, 4), inside the image; meaningless where there is a fault.
        clipped: shape (N,), whether a box reached over the edge and was cut.
        faults: shape (N,), ``NAN_VALUE``, ``BOX_SIZE``, ``BOX_OUTSIDE`` or empty.
    """

    corners: npt.NDArray[np.float32]
    clipped: Booleans
    faults: npt.NDArray[np.str_]


def place_boxes(corners: Floats, sizes: Floats, policy: ObjectPolicy) -> Placement:
    """Clip boxes to their images and say which cannot be used.

    A box faces ``BOX_OUTSIDE`` when it reaches further over an edge than the policy tolerates, or when nothing of it
    is left inside; ``BOX_SIZE`` when it has no area as float32.

    Args:
        corners: float64, shape (N, 4), ``x1 y1 x2 y2`` in pixels of the stored image.
        sizes: shape (N, 2), width and height of the stored image, pixels.
        policy: the tolerances.

    >>> corners = np.array([[-1.0, 0.0, 50.0, 40.0], [-30.0, 0.0, 50.0, 40.0], [9.0, 5.0, 8.0, 6.0]])
    >>> placed = place_boxes(corners, np.full((3, 2), 100.0), ObjectPolicy())
    >>> placed.clipped.tolist(), placed.faults.tolist()
    ([True, True, False], ['', 'BOX_OUTSIDE', 'BOX_SIZE'])
    """
    low, high = corners[:, :2], corners[:, 2:]
    tolerance = np.maximum(policy.outside_tolerance_px, policy.outside_tolerance * sizes)
    with np.errstate(invalid="ignore", over="ignore"):
        overshoot = np.maximum(-low, high - sizes)
        inside_low, inside_high = np.clip(low, 0.0, sizes), np.clip(high, 0.0, sizes)
        placed = np.hstack((inside_low, inside_high)).astype(np.float32)
        finite = np.isfinite(corners).all(axis=1)
        has_size = (low < high).all(axis=1)
        is_near = (overshoot <= tolerance).all(axis=1) & (inside_low < inside_high).all(axis=1)
        has_area = (placed[:, :2] < placed[:, 2:]).all(axis=1)
        clipped: Booleans = np.any(overshoot > policy.rounding_px, axis=1)
    faults = np.select([~finite, ~has_size, ~is_near, ~has_area], [NOT_FINITE, NO_AREA, OUTSIDE, NO_AREA], default="")
    return Placement(placed, clipped, faults)
