"""What near-duplicate search compares: a picture squashed to small squares, coarse, coloured and fine."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

COARSE_SIDE_PX: Final = 16
THUMBNAIL_SIDE_PX: Final = 64
DETAIL_SIDE_PX: Final = 192
# In px of each view. They hold next to nothing finer than two of them, so that the view of a crop can be had from that
# of the whole by interpolation, down to the last line of a drawing.
_THUMBNAIL_BLUR: Final = 0.55
DETAIL_BLUR: Final = 0.75
# A pyramid of a filter as short as this blurs cheaply, and spoils lines that are too few px apart when it is done.
_PYRAMID_FACTOR: Final = 4
# The error of this quality is half of that of rounding to levels of 255, in a quarter of the bytes.
_DETAIL_QUALITY: Final = 100


@dataclass(frozen=True)
class Fingerprint:
    """Three views of a picture; its aspect is lost, width and height keep it.

    Attributes:
        coarse: RGB, 16 x 16 x 3 bytes, row major; finds candidates.
        thumbnail: RGB, 64 x 64 x 3 bytes, row major; tells colours, and finds crops.
        detail: JPEG of the luminance, 192 x 192; tells line drawings of other line counts apart.
    """

    coarse: bytes
    thumbnail: bytes
    detail: bytes


def fingerprint_of(pixels: NDArray[np.uint8]) -> Fingerprint:
    """Squash a picture; what is finer than two px of a view is gone from it.

    Args:
        pixels: uint8 RGB, shape (H, W, 3), after EXIF orientation.

    >>> made = fingerprint_of(np.zeros((200, 100, 3), dtype=np.uint8))
    >>> len(made.coarse), len(made.thumbnail), detail_of(made.detail).shape
    (768, 12288, (192, 192))
    """
    level = _Level(np.ascontiguousarray(pixels), 1, pixels.shape[1], pixels.shape[0]).reduced_to(DETAIL_SIDE_PX)
    luma = replace(level, pixels=cv2.cvtColor(level.pixels, cv2.COLOR_RGB2GRAY))
    detail = luma.squashed(DETAIL_SIDE_PX, DETAIL_BLUR)
    thumbnail = level.reduced_to(THUMBNAIL_SIDE_PX).squashed(THUMBNAIL_SIDE_PX, _THUMBNAIL_BLUR)
    coarse = cv2.resize(thumbnail, (COARSE_SIDE_PX, COARSE_SIDE_PX), interpolation=cv2.INTER_AREA)
    return Fingerprint(
        coarse=coarse.tobytes(),
        thumbnail=thumbnail.tobytes(),
        detail=simplejpeg.encode_jpeg(detail[:, :, None], quality=_DETAIL_QUALITY, colorspace="GRAY"),
    )


def detail_of(encoded: bytes) -> NDArray[np.uint8]:
    """A fingerprint's ``detail``, decoded: uint8, shape (192, 192).

    Raises:
        ValueError: no such JPEG.
    """
    return simplejpeg.decode_jpeg(encoded, "GRAY")[:, :, 0]


@dataclass(frozen=True)
class _Level:
    """A level of a Gaussian pyramid.

    Attributes:
        pixels: shape (h, w) or (h, w, 3); pixel (i, j) lies at pixel (step * i, step * j) of the picture.
        step: px of the picture, a power of two.
        width: of the picture.
        height: of the picture.
    """

    pixels: cv2.typing.MatLike
    step: int
    width: int
    height: int

    def reduced_to(self, side: int) -> "_Level":
        """Halve as long as four times the side are there: wide blurs are dear."""
        level = self
        while min(level.pixels.shape[:2]) >= _PYRAMID_FACTOR * side:
            level = replace(level, pixels=cv2.pyrDown(level.pixels), step=2 * level.step)
        return level

    def squashed(self, side: int, blur: float) -> NDArray[np.uint8]:
        """Sample side x side px, blurred by a Gaussian of ``blur`` of them, less what the pyramid has done."""
        # The pyramid's filter adds a variance of one px, and the step of two quarters what there is.
        done = (1.0 - self.step**-2) / 3.0
        across, down = self.width / (side * self.step), self.height / (side * self.step)
        sigmas = [math.sqrt(max((blur * scale) ** 2 - done, 0.01)) for scale in (across, down)]
        # In half the time of OpenCV's Gaussian of bytes, and rounded once only.
        smooth = cv2.sepFilter2D(self.pixels, cv2.CV_32F, _gaussian(sigmas[0]), _gaussian(sigmas[1]))
        if self.step == 1:
            sampled = cv2.resize(smooth, (side, side), interpolation=cv2.INTER_LINEAR)
        else:
            first = [0.5 * scale - 0.5 / self.step for scale in (across, down)]
            matrix = np.array([[across, 0.0, first[0]], [0.0, down, first[1]]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            sampled = cv2.warpAffine(smooth, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.convertScaleAbs(sampled), dtype=np.uint8)


@lru_cache(maxsize=256)  # pictures of a batch are often of a few sizes
def _gaussian(sigma: float) -> cv2.typing.MatLike:
    return cv2.getGaussianKernel(2 * max(1, round(3.0 * sigma)) + 1, sigma, cv2.CV_32F)
