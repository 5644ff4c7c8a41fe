"""Decode one delivered picture completely, or say why it cannot be used."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin

from mm_assets.cleaned.bounds import refuse_scans, refuse_size, too_many_pixels
from mm_assets.errors import DecodeError
from mm_assets.policy import ImagePolicy
from mm_assets.raw_pools.names import is_dicom

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
DICOM: Final = "DICOM"
# libjpeg says this of junk between two segments; every block of pixels was there.
_HARMLESS: Final = "extraneous bytes before marker"
_FILLING: Final = 165
_MAY_TURN_IT: Final = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type")
_SIXTEEN_BIT: Final = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
# Everything Pillow's decoders were seen to raise on damaged bytes.
_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class DecodedImage:
    """A picture that decoded to its last row.

    Attributes:
        pixels: uint8 RGB, shape (H, W, 3), upright, alpha on white; of an animation, the first frame.
        format: format found in the bytes.
    """

    pixels: NDArray[np.uint8]
    format: str


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence what Pillow only warns of: it either decodes all the same or raises.

    Filters of warnings are global to the process: enter this once around the threads that decode, never inside them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode_image(data: bytes, name: str, policy: ImagePolicy) -> DecodedImage:
    """Decode a picture within the policy's bounds; cheap tests come first.

    Args:
        data: encoded bytes.
        name: the record, for the message.
        policy: bounds on size and aspect.

    Raises:
        DecodeError: EMPTY_FILE, NOT_AN_IMAGE, DECOMPRESSION_BOMB, TOO_SMALL, EXTREME_ASPECT or TRUNCATED_IMAGE; of a
            DICOM file also DICOM_INVALID, DICOM_NO_PIXELS, DICOM_NO_DECODER or DICOM_UNSUPPORTED.
    """
    if not data:
        raise DecodeError("EMPTY_FILE", f"{name}: the file is empty; deliver it again")
    if is_dicom(data):
        from mm_assets.cleaned.dicom_pixels import decode_dicom  # noqa: PLC0415 - pydicom takes a second to load

        pixels = decode_dicom(data, name, policy.max_pixels)
        refuse_size(pixels.shape[1], pixels.shape[0], name, policy)
        return DecodedImage(pixels, DICOM)
    try:
        opened = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DecodeError(
            "NOT_AN_IMAGE", f"{name}: the bytes are no {', '.join(FORMATS)} picture; convert or remove the file"
        ) from error
    except Image.DecompressionBombError as error:
        raise too_many_pixels(name, "too many", policy.max_pixels) from error
    except _DAMAGE as error:
        raise _damaged(name, error) from error
    with opened:
        refuse_size(*opened.size, name, policy)
        try:
            pixels = _decode_opened(data, opened, name)
        except Image.DecompressionBombError as error:
            raise too_many_pixels(name, "too many", policy.max_pixels) from error
        except _DAMAGE as error:
            raise _damaged(name, error) from error
        return DecodedImage(pixels, str(opened.format))


def _decode_opened(data: bytes, opened: Image.Image, name: str) -> NDArray[np.uint8]:
    if opened.format == "JPEG":
        return _decode_jpeg(data, opened, name)
    if isinstance(opened, PngImagePlugin.PngImageFile):
        return _decode_png(data, opened)
    if isinstance(opened, WebPImagePlugin.WebPImageFile):
        return _decode_webp(data, opened)
    return _to_rgb(ImageOps.exif_transpose(opened))


def _decode_png(data: bytes, opened: PngImagePlugin.PngImageFile) -> NDArray[np.uint8]:
    """Pixels of a PNG whose chunks all have their checksum.

    Plain ones go to libpng, which takes half the time. Pillow decodes the others, but leaves the rows that a stream
    lacks as they were and says nothing. So the image is filled first, and where one of the last two rows, which close
    an interlaced picture too, still shows nothing but the filling, libpng has the last word.

    Raises:
        SyntaxError: a checksum is wrong, or the end is missing.
        ValueError: rows are missing.
    """
    Image.open(BytesIO(data), formats=("PNG",)).verify()
    encoded = np.frombuffer(data, np.uint8)
    is_plain = opened.mode in {"RGB", "L"} and "transparency" not in opened.info
    if is_plain and not any(chunk in data for chunk in _MAY_TURN_IT):
        pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
        if pixels is not None:
            return pixels.astype(np.uint8, copy=False)
    width, height = opened.size
    bands = len(opened.getbands())
    opened.load_prepare()
    opened.im.paste(_FILLING if bands == 1 else (_FILLING,) * bands, (0, 0, width, height))
    opened.load()
    last = np.asarray(opened.crop((0, max(0, height - 2), width, height)))
    filling = np.array(_FILLING).astype(last.dtype)
    if (last == filling).reshape(len(last), -1).all(axis=1).any() and cv2.imdecode(encoded, cv2.IMREAD_COLOR) is None:
        raise ValueError("rows are missing")
    return _to_rgb(ImageOps.exif_transpose(opened))


def _decode_webp(data: bytes, opened: WebPImagePlugin.WebPImageFile) -> NDArray[np.uint8]:
    """Pixels of a WEBP; a plain still is decoded into its array, by the same library as Pillow's copies.

    Raises:
        OSError: damaged.
    """
    is_plain = opened.mode == "RGB" and not opened.is_animated
    if is_plain and not any(turning in opened.info for turning in ("exif", "xmp")):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        if pixels is not None:
            return pixels.astype(np.uint8, copy=False)
    return _to_rgb(ImageOps.exif_transpose(opened))


def _decode_jpeg(data: bytes, opened: Image.Image, name: str) -> NDArray[np.uint8]:
    """Pixels of a JPEG; libjpeg's warnings of lost data, which Pillow swallows, are errors here.

    Raises:
        DecodeError: DECOMPRESSION_BOMB, a progressive file of absurdly many scans.
        ValueError: damaged.
    """
    refuse_scans(data, name)
    if opened.mode in {"RGB", "L"}:
        try:
            pixels = simplejpeg.decode_jpeg(data, "RGB")
        except ValueError as error:
            if _HARMLESS not in str(error) and "subsampling" not in str(error):
                raise
        else:
            if opened.getexif().get(ExifTags.Base.Orientation, 1) == 1:
                return pixels
            upright = Image.fromarray(pixels)
            upright.getexif()[ExifTags.Base.Orientation] = opened.getexif()[ExifTags.Base.Orientation]
            return np.asarray(ImageOps.exif_transpose(upright))
    opened.load()
    return _to_rgb(ImageOps.exif_transpose(opened))


def _damaged(name: str, error: BaseException) -> DecodeError:
    said = " ".join(str(error).split())[:160] or type(error).__name__
    return DecodeError("TRUNCATED_IMAGE", f"{name}: does not decode to its last row ({said}); deliver it again")


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """RGB pixels: alpha composited on white, 16 bits a channel scaled to 8."""
    if image.mode == "RGB":
        return np.asarray(image)
    if image.mode in _SIXTEEN_BIT or image.mode in {"I", "F"}:
        values = np.asarray(image, dtype=np.float32)
        scale = 255.0 / 65_535.0 if image.mode in _SIXTEEN_BIT or values.max(initial=0.0) > 255.0 else 1.0  # noqa: PLR2004
        gray = np.clip(values * scale, 0.0, 255.0).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        white.alpha_composite(layered)
        return np.asarray(white.convert("RGB"))
    return np.asarray(image.convert("RGB"))
