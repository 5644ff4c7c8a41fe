"""Decode one delivered picture completely, or say why it cannot be used."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mm_assets.errors import DecodeError
from mm_assets.policy import ImagePolicy

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
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


def decode_image(data: bytes, name: str, policy: ImagePolicy) -> DecodedImage:
    """Decode a picture within the policy's bounds; cheap tests come first.

    Args:
        data: encoded bytes.
        name: the record, for the message.
        policy: bounds on size and aspect.

    Raises:
        DecodeError: EMPTY_FILE, NOT_AN_IMAGE, DECOMPRESSION_BOMB, TOO_SMALL, EXTREME_ASPECT or TRUNCATED_IMAGE.
    """
    if not data:
        raise DecodeError("EMPTY_FILE", f"{name}: the file is empty; deliver it again")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow only warns of either decodes or raises below
        try:
            opened = Image.open(BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as error:
            raise DecodeError(
                "NOT_AN_IMAGE", f"{name}: the bytes are no {', '.join(FORMATS)} picture; convert or remove the file"
            ) from error
        except Image.DecompressionBombError as error:
            raise _bomb(name, "more", policy) from error
        except _DAMAGE as error:
            raise _damaged(name, error) from error
        with opened:
            _refuse_by_header(opened, name, policy)
            try:
                opened.load()
                upright = ImageOps.exif_transpose(opened)
                pixels = _to_rgb(upright)
            except Image.DecompressionBombError as error:
                raise _bomb(name, "more", policy) from error
            except _DAMAGE as error:
                raise _damaged(name, error) from error
            return DecodedImage(pixels, str(opened.format))


def _refuse_by_header(opened: Image.Image, name: str, policy: ImagePolicy) -> None:
    width, height = opened.size
    if width * height > policy.max_pixels:
        raise _bomb(name, f"{width} x {height}", policy)
    if min(width, height) < policy.min_side_px:
        raise DecodeError(
            "TOO_SMALL",
            f"{name}: {width} x {height} px, the shorter side must have {policy.min_side_px}; deliver a larger picture",
        )
    if max(width, height) > policy.max_aspect * min(width, height):
        raise DecodeError(
            "EXTREME_ASPECT",
            f"{name}: {width} x {height} px is longer than {policy.max_aspect:g} to 1; crop the picture",
        )


def _bomb(name: str, size: str, policy: ImagePolicy) -> DecodeError:
    return DecodeError(
        "DECOMPRESSION_BOMB", f"{name}: {size} pixels declared, at most {policy.max_pixels:,} are decoded; shrink it"
    )


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
