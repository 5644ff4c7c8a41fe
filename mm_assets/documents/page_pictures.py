"""Pages that are delivered as pictures: one file each, or the frames of a TIFF."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mm_assets.documents.pages import Box
from mm_assets.errors import DecodeError
from mm_assets.landing import LandedObject, Landing
from mm_assets.policy import DocumentReadingPolicy

_FORMATS: Final = ("PNG", "JPEG", "WEBP", "TIFF")
_BROKEN: Final = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Place:
    key: str
    frame: int


class PagePictures:
    """The pages of one document; one of them is in memory at a time."""

    def __init__(self, landing: Landing, files: list[LandedObject], policy: DocumentReadingPolicy, name: str) -> None:
        """Find the pages.

        Raises:
            DecodeError: code ``BROKEN_PAGE``, ``TOO_MANY_PAGES`` or ``MISSING_FILE``.
        """
        self._landing = landing
        self._policy = policy
        self._name = name
        if not files:
            raise DecodeError("MISSING_FILE", f"{name}: none of its pages is there; deliver them")
        self._places: list[_Place] = []
        for landed in files:
            self._places += [_Place(landed.key, frame) for frame in range(self._frames(landed.key))]
            if len(self._places) > policy.max_pages:
                raise DecodeError(
                    "TOO_MANY_PAGES",
                    f"{name}: more than {policy.max_pages} pages; divide it or raise [document_reading] max_pages",
                )

    def __len__(self) -> int:
        return len(self._places)

    def pages(self) -> Iterator[Pixels]:
        """Every page as `page` gives it."""
        for number in range(1, len(self) + 1):
            yield self.page(number)

    def page(self, number: int) -> Pixels:
        """A page, from 1, as uint8 RGB (H, W, 3), upright as its file says, alpha on white.

        Raises:
            DecodeError: code ``BROKEN_PAGE`` or ``PAGE_TOO_LARGE``.
        """
        place = self._places[number - 1]
        try:
            with self._landing.open(place.key) as stream, Image.open(stream, formats=_FORMATS) as opened:
                opened.seek(place.frame)
                if opened.width * opened.height > self._policy.max_image_pixels:
                    raise DecodeError(
                        "PAGE_TOO_LARGE",
                        f"{place.key}: {opened.width} x {opened.height} pixels, more than "
                        f"{self._policy.max_image_pixels}; scan it at a lower resolution",
                    )
                upright = ImageOps.exif_transpose(opened)
                if not upright.has_transparency_data:
                    return np.asarray(upright.convert("RGB"))
                shown = upright.convert("RGBA")
                white = Image.new("RGBA", shown.size, "white")
                white.alpha_composite(shown)
                return np.asarray(white.convert("RGB"))
        except _BROKEN as error:
            raise _broken(place.key, error) from error

    def render_region(self, number: int, box: Box, dpi: float) -> Pixels:
        """A region of a page in its own pixels; ``dpi`` says nothing of a picture. Raises as `page`."""
        del dpi
        page = self.page(number)
        left, upper = (max(int(side), 0) for side in box[:2])
        right, lower = (int(np.ceil(side)) for side in box[2:])
        cut = page[upper:lower, left:right]
        if not cut.size:
            raise DecodeError("BROKEN_PAGE", f"{self._name}: a figure lies outside page {number}; read it again")
        return np.ascontiguousarray(cut)

    def _frames(self, key: str) -> int:
        try:
            with self._landing.open(key) as stream, Image.open(stream, formats=_FORMATS) as opened:
                return min(int(getattr(opened, "n_frames", 1)), self._policy.max_pages + 1)
        except _BROKEN as error:
            raise _broken(key, error) from error


def _broken(key: str, error: Exception) -> DecodeError:
    if isinstance(error, Image.DecompressionBombError):
        return DecodeError("PAGE_TOO_LARGE", f"{key}: {error} Scan it at a lower resolution; it is not opened")
    return DecodeError("BROKEN_PAGE", f"{key}: it is no picture that can be read ({error}); encode it anew")
