"""Sheets of pictures with their boxes: as delivered, and where a diagnosis puts them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from mm_assets.cleaned.decoding import decode_image
from mm_assets.display.contact_sheet import Tile, contact_sheet
from mm_assets.policy import ImagePolicy

BOX_COLOURS = "Crimson: as delivered. Green: where the diagnosis puts the box."
_LINE_PX = 2
_COLOURS = 256
Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxedPicture:
    """One picture with a box.

    Attributes:
        encoded: encoded image bytes that decode (cleaning has seen to it).
        given: x1, y1, x2, y2 as delivered, pixels of the stored picture; drawn in crimson; None if it shows nothing.
        restored: the box a diagnosis puts in its place, drawn in green; None without one.
        lines: text under the picture.
    """

    encoded: bytes
    given: Corners | None
    restored: Corners | None
    lines: tuple[str, ...]


def draw_boxes(picture: BoxedPicture, side: int) -> bytes:
    """The picture, at most ``side`` pixels long, with its boxes drawn on it, as PNG."""
    image = Image.fromarray(decode_image(picture.encoded, "picture", ImagePolicy()).pixels)
    scale = min(1.0, side / max(image.size))
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    draw = ImageDraw.Draw(image)
    for box, colour in ((picture.restored, "seagreen"), (picture.given, "crimson")):
        if box is not None:
            draw.rectangle(tuple(value * scale for value in box), outline=colour, width=_LINE_PX)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def box_sheet(pictures: Sequence[BoxedPicture], *, columns: int = 4, side: int = 200) -> bytes:
    """Draw the pictures row by row as one PNG of 256 colours: crimson as delivered, green as restored."""
    tiles = [Tile(draw_boxes(picture, side), picture.lines) for picture in pictures]
    with Image.open(io.BytesIO(contact_sheet(tiles, columns=columns, side=side))) as sheet:
        # An octree keeps small spots of rare colour, and so the boxes; a quarter of the bytes.
        small = sheet.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
