"""What near-duplicate search compares: a picture squashed to a small square."""

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_SIDE_PX = 64


def thumbnail_of(pixels: NDArray[np.uint8]) -> bytes:
    """Squash a picture to 64 x 64; the aspect is lost, width and height keep it.

    Areas are averaged to twice the side, then a binomial filter halves it: what is finer than two px of the thumbnail
    is gone, so that the thumbnail of a crop can be had from that of the whole by interpolation.

    Args:
        pixels: uint8 RGB, shape (H, W, 3), after EXIF orientation.

    Returns:
        64 * 64 * 3 bytes of RGB, row major.

    >>> len(thumbnail_of(np.zeros((200, 100, 3), dtype=np.uint8)))
    12288
    """
    side = 2 * THUMBNAIL_SIDE_PX
    return cv2.pyrDown(cv2.resize(np.ascontiguousarray(pixels), (side, side), interpolation=cv2.INTER_AREA)).tobytes()
