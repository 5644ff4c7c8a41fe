# pyright: strict
"""Encoded picture to the small square an encoder takes, decoding no more than that square needs.

A JPEG is decoded at the smallest of libjpeg's eighths that covers the target. Whatever the fast decoders
refuse or do not render faithfully goes to Pillow, which also judged the picture when it was cleaned.
Shrinking averages areas and enlarging is bicubic, so pixels differ slightly from a library that shrinks bicubically.
"""

from io import BytesIO
from typing import Final

import cv2
import numpy as np
import simplejpeg  # pyright: ignore[reportMissingTypeStubs] - it has none
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mm_assets.errors import DecodeError
from mm_assets.features.interfaces import ResizeMode
from mm_assets.raw_pools.names import is_dicom

_ORIENTATION_TAG: Final = 0x0112
_HEADER_BYTES: Final = 65_536
_ORIENTATION_MARKS: Final = (b"Exif\0\0", b"eXIf", b"EXIF")  # JPEG, PNG, WEBP
_TIFF_STARTS: Final = frozenset({b"II", b"MM"})  # Pillow turns a TIFF upright as it loads
_OPAQUE: Final = 255
_RGBA_CHANNELS: Final = 4
_MAX_DICOM_PIXELS: Final = 2 * (Image.MAX_IMAGE_PIXELS or 1)  # where Pillow refuses the other formats

Pixels = NDArray[np.uint8]


def decode_square(data: bytes, side_px: int, mode: ResizeMode, padding_rgb: tuple[int, int, int]) -> Pixels:
    """Decode one picture: alpha on white, EXIF orientation applied, made square.

    Args:
        data: encoded bytes in any format Pillow reads; of an animation, the first frame.
        side_px: side of the square.
        mode: ``shortest`` fits the shorter side and crops the centre, ``longest`` fits the longer side and pads,
            ``squash`` ignores the aspect.
        padding_rgb: colour of the padding.

    Returns:
        uint8 RGB, shape (side_px, side_px, 3), contiguous.

    Raises:
        DecodeError: code ``IMAGE_UNREADABLE``, or of a DICOM file the codes of `decode_dicom`.
    """
    small = _orient(_decode_small(data, side_px, mode), _orientation(data))
    return _make_square(small, side_px, mode, padding_rgb)


def make_square(pixels: Pixels, side_px: int, mode: ResizeMode, padding_rgb: tuple[int, int, int]) -> Pixels:
    """A decoded RGB picture, shape (H, W, 3), made square as `decode_square` makes them."""
    size = fitted_size(pixels.shape[1], pixels.shape[0], side_px, mode)
    return _make_square(_flatten_and_resize(pixels, size), side_px, mode, padding_rgb)


def use_calling_thread_only() -> None:
    """Keep OpenCV from starting threads of its own: the stage decides how many decode."""
    cv2.setNumThreads(0)


def fitted_size(width: int, height: int, side_px: int, mode: ResizeMode) -> tuple[int, int]:
    """Width and height to resize to before cropping or padding, each at least 1.

    >>> fitted_size(200, 100, 50, "shortest"), fitted_size(200, 100, 50, "longest"), fitted_size(200, 100, 50, "squash")
    ((100, 50), (50, 25), (50, 50))
    """
    if mode == "squash":
        return side_px, side_px
    if mode == "shortest":
        scale = side_px / min(width, height)
        return max(side_px, round(width * scale)), max(side_px, round(height * scale))
    scale = side_px / max(width, height)
    return min(side_px, max(1, round(width * scale))), min(side_px, max(1, round(height * scale)))


def _decode_small(data: bytes, side_px: int, mode: ResizeMode) -> Pixels:
    pixels: Pixels | None = None
    if is_dicom(data):
        from mm_assets.cleaned.dicom_pixels import decode_dicom  # noqa: PLC0415 - pydicom takes a second to load

        pixels = decode_dicom(data, "the picture", _MAX_DICOM_PIXELS)
    elif data.startswith(b"\xff\xd8"):
        pixels = _decode_jpeg(data, side_px, mode)
    elif data.startswith(b"\x89PNG"):
        pixels = _decode_png(data)
    if pixels is None:
        pixels = _decode_with_pillow(data)
    return _flatten_and_resize(pixels, fitted_size(pixels.shape[1], pixels.shape[0], side_px, mode))


def _decode_jpeg(data: bytes, side_px: int, mode: ResizeMode) -> Pixels | None:
    """RGB, no smaller than the target, or None if libjpeg-turbo complains or the colours need Pillow."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours in {"CMYK", "YCCK"}:
            return None
        target_width, target_height = fitted_size(int(width), int(height), side_px, mode)
        return simplejpeg.decode_jpeg(data, "RGB", min_height=target_height, min_width=target_width, min_factor=1)
    except ValueError:
        return None


def _decode_png(data: bytes) -> Pixels | None:
    """RGB or RGBA, or None if OpenCV refuses or ignores what the file holds."""
    if b"tRNS" in data[:_HEADER_BYTES]:
        return None
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None:
        return None
    pixels = np.right_shift(stored, 8).astype(np.uint8) if stored.dtype == np.uint16 else np.asarray(stored, np.uint8)
    if pixels.ndim == 2:  # noqa: PLR2004 - grey without a channel axis
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    swap = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == _RGBA_CHANNELS else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(pixels, swap).astype(np.uint8, copy=False)


def _decode_with_pillow(data: bytes) -> Pixels:
    try:
        with Image.open(BytesIO(data)) as image:
            if image.mode.startswith("I;16"):
                high_byte = (np.asarray(image) >> 8).astype(np.uint8)
                return np.repeat(high_byte[:, :, None], 3, axis=2)
            opaque = image.mode in {"1", "L", "RGB", "CMYK", "YCbCr"} and "transparency" not in image.info
            return np.asarray(image.convert("RGB" if opaque else "RGBA"))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DecodeError(
            "IMAGE_UNREADABLE", f"the picture does not decode ({error}); clean the batch again"
        ) from error


def _flatten_and_resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize, then lay transparent pixels on white; weighting colours by alpha first keeps hidden colours hidden."""
    shrinking = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    if pixels.shape[2] != _RGBA_CHANNELS:
        return cv2.resize(pixels, size, interpolation=method).astype(np.uint8, copy=False)
    weighted = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGBA2mRGBA), size, interpolation=method)
    # Bicubic overshoot may leave a colour above its alpha; saturating addition keeps it white.
    white = cv2.cvtColor(_OPAQUE - weighted[:, :, 3], cv2.COLOR_GRAY2RGB)
    return cv2.add(np.ascontiguousarray(weighted[:, :, :3]), white).astype(np.uint8, copy=False)


def _orientation(data: bytes) -> int:
    """EXIF orientation 1 to 8; 1 when absent or unreadable."""
    if data[:2] in _TIFF_STARTS or not any(mark in data[:_HEADER_BYTES] for mark in _ORIENTATION_MARKS):
        return 1
    try:
        with Image.open(BytesIO(data)) as image:
            return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (OSError, ValueError, SyntaxError, TypeError):
        return 1


def _orient(pixels: Pixels, orientation: int) -> Pixels:
    """Turn stored pixels upright; EXIF 2.3, tag 0x0112."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels


def _make_square(pixels: Pixels, side_px: int, mode: ResizeMode, padding_rgb: tuple[int, int, int]) -> Pixels:
    height, width = pixels.shape[:2]
    if mode == "longest" and (height, width) != (side_px, side_px):
        square = np.empty((side_px, side_px, 3), np.uint8)
        square[:] = padding_rgb
        top, left = (side_px - height) // 2, (side_px - width) // 2
        square[top : top + height, left : left + width] = pixels
        return square
    top, left = (height - side_px) // 2, (width - side_px) // 2
    return np.ascontiguousarray(pixels[top : top + side_px, left : left + side_px])
