"""What a picture may cost to decode, judged before it is decoded."""

from typing import Final

from mm_assets.errors import DecodeError
from mm_assets.policy import ImagePolicy

# libjpeg-turbo's own bound for untrusted files: every scan of a progressive JPEG costs a pass over all pixels.
MAX_JPEG_SCANS: Final = 500
_SCAN_MARKER: Final = b"\xff\xda"


def too_many_pixels(name: str, size: str, max_pixels: int) -> DecodeError:
    """The error of a picture that declares more pixels than are decoded."""
    return DecodeError(
        "DECOMPRESSION_BOMB", f"{name}: {size} pixels declared, at most {max_pixels:,} are decoded; shrink it"
    )


def refuse_scans(data: bytes, name: str) -> None:
    """Refuse a progressive JPEG of absurdly many scans.

    Raises:
        DecodeError: DECOMPRESSION_BOMB.
    """
    scans = data.count(_SCAN_MARKER)
    if scans > MAX_JPEG_SCANS:
        raise DecodeError(
            "DECOMPRESSION_BOMB",
            f"{name}: {scans} scans, at most {MAX_JPEG_SCANS} are decoded; save it as baseline JPEG",
        )


def refuse_size(width: int, height: int, name: str, policy: ImagePolicy) -> None:
    """Refuse a size that is too large to decode, too small to see or too long to crop.

    Raises:
        DecodeError: DECOMPRESSION_BOMB, TOO_SMALL or EXTREME_ASPECT.
    """
    if width * height > policy.max_pixels:
        raise too_many_pixels(name, f"{width} x {height}", policy.max_pixels)
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
