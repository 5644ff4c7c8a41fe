"""From the coordinates of a PDF page to those of the page as it is shown."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = tuple[float, float, float, float, float, float]
IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class PageFrame:
    """The visible part of a page and how it is turned.

    Attributes:
        width: of the page as shown, points.
        height: of the page as shown, points.
        matrix: a b c d e f of PDF: x' = a x + c y + e, y' = b x + d y + f; the origin ends up top left.
        plain: neither turned nor cropped.
    """

    width: float
    height: float
    matrix: Matrix
    plain: bool

    @classmethod
    def of(cls, visible: tuple[float, float, float, float], rotation: int) -> "PageFrame":
        """The frame of a page.

        Args:
            visible: left, bottom, right, top of the visible part, in the page's coordinates.
            rotation: degrees clockwise: 0, 90, 180 or 270.

        >>> PageFrame.of((0, 0, 200, 100), 90).shown(np.asarray([[10.0, 20, 30, 25]])).tolist()
        [[20.0, 10.0, 25.0, 30.0]]
        """
        left, bottom, right, top = visible
        width, height = right - left, top - bottom
        turned: dict[int, tuple[float, float, Matrix]] = {
            0: (width, height, (1.0, 0.0, 0.0, -1.0, -left, top)),
            90: (height, width, (0.0, 1.0, 1.0, 0.0, -bottom, -left)),
            180: (width, height, (-1.0, 0.0, 0.0, 1.0, right, -bottom)),
            270: (height, width, (0.0, -1.0, -1.0, 0.0, top, right)),
        }
        shown_width, shown_height, matrix = turned[rotation % 360]
        return cls(shown_width, shown_height, matrix, rotation % 360 == 0 and left == 0 and bottom == 0)

    def shown(self, boxes: NDArray[np.float64]) -> NDArray[np.float32]:
        """Boxes x1 y1 x2 y2, shape (N, 4), in any order of corners, as they are shown."""
        first, second = self.points(boxes[:, :2]), self.points(boxes[:, 2:])
        return np.concatenate((np.minimum(first, second), np.maximum(first, second)), axis=1).astype(np.float32)

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points, shape (N, 2), as they are shown."""
        return transform(points, self.matrix)


def transform(points: NDArray[np.float64], matrix: Matrix) -> NDArray[np.float64]:
    """Points, shape (N, 2), through a matrix of PDF."""
    a, b, c, d, e, f = matrix
    return points @ np.asarray([[a, b], [c, d]]) + np.asarray([e, f])


def compose(inner: Matrix, outer: Matrix) -> Matrix:
    """The matrix that applies ``inner`` first and ``outer`` to its result.

    >>> compose((2, 0, 0, 2, 1, 0), (1, 0, 0, 1, 10, 0))
    (2, 0, 0, 2, 11, 0)
    """
    a, b, c, d, e, f = inner
    p, q, r, s, t, u = outer
    return (
        a * p + b * r,
        a * q + b * s,
        c * p + d * r,
        c * q + d * s,
        e * p + f * r + t,
        e * q + f * s + u,
    )
