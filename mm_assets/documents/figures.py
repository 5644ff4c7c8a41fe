# pyright: strict
"""The pixels of a document's figures: files beside it, regions of a PDF's pages or of pictures of pages."""

import io
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mm_assets.documents.blocks import Picture
from mm_assets.documents.pages import Box
from mm_assets.errors import DecodeError
from mm_assets.landing import Landing

Pixels = NDArray[np.uint8]
FOLDER: Final = "documents"


class RegionRenderer(Protocol):
    """Renders regions of a document's pages."""

    def render_region(self, number: int, box: Box, dpi: float) -> Pixels:
        """A region of a page, from 1, as uint8 RGB (H, W, 3)."""
        ...


@dataclass(frozen=True)
class FigureBounds:
    """What a picture of a figure may cost.

    Attributes:
        max_bytes: of an encoded file.
        max_pixels: of a decoded one.
        dpi: resolution at which regions of pages are rendered.
    """

    max_bytes: int
    max_pixels: int
    dpi: float


class FigurePictures:
    """Reads the figures of one document.

    Args:
        landing: where its files lie.
        batch: its batch.
        pages: renders regions of its pages; None for a document without.
        bounds: what a picture may cost.
    """

    def __init__(self, landing: Landing, batch: str, pages: RegionRenderer | None, bounds: FigureBounds) -> None:
        self._landing = landing
        self._batch = batch
        self._pages = pages
        self._bounds = bounds

    def read(self, picture: Picture) -> Pixels:
        """The figure as uint8 RGB (H, W, 3), alpha on white.

        Raises:
            DecodeError: code ``MISSING_PICTURE``, ``PICTURE_TOO_LARGE``, ``IMAGE_UNREADABLE``, or what rendering a
                page raises.
        """
        if picture.file is not None:
            return self._file(picture.file)
        if self._pages is None or picture.page is None or picture.box is None:
            raise DecodeError("MISSING_PICTURE", "a figure names neither a file nor a region; read the document again")
        return self._pages.render_region(picture.page, picture.box, self._bounds.dpi)

    def _file(self, name: str) -> Pixels:
        key = f"{self._batch}/{FOLDER}/{name}"
        found = self._landing.find(key)
        if found is None:
            raise DecodeError("MISSING_PICTURE", f"{key}: the document shows it, but it is not there; deliver it")
        if found.size_bytes > self._bounds.max_bytes:
            raise DecodeError(
                "PICTURE_TOO_LARGE", f"{key}: {found.size_bytes} bytes, over {self._bounds.max_bytes}; shrink it"
            )
        return self.decode(self._landing.read(key, 0, found.size_bytes), key)

    def decode(self, data: bytes, name: str) -> Pixels:
        """An encoded picture. Raises as `decode_picture`."""
        return decode_picture(data, name, self._bounds.max_pixels)


def decode_picture(data: bytes, name: str, max_pixels: int) -> Pixels:
    """An encoded picture as uint8 RGB (H, W, 3), alpha on white; of an animation, the first frame.

    Raises:
        DecodeError: code ``PICTURE_TOO_LARGE`` or ``IMAGE_UNREADABLE``.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > max_pixels:
                raise DecodeError(
                    "PICTURE_TOO_LARGE",
                    f"{name}: {opened.width} x {opened.height} pixels, over {max_pixels}; shrink it",
                )
            shown = opened.convert("RGBA")
            white = Image.new("RGBA", shown.size, "white")
            white.alpha_composite(shown)
            return np.asarray(white.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DecodeError("IMAGE_UNREADABLE", f"{name}: {error}; encode it anew") from error
