"""Contact sheets: pictures with a line of text under each, as one PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from mm_assets.raw_pools.names import is_dicom

_TEXT_LINES = 3
_FONT_PX = 10
_MAX_DICOM_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 1)  # where Pillow refuses the other formats
_GAP = 8


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Attributes:
        encoded: encoded image bytes that decode (cleaning has seen to it).
        lines: text under the picture.
        mark: colour of the frame, a Pillow colour name.
    """

    encoded: bytes
    lines: tuple[str, ...]
    mark: str = "lightgray"


def thumbnail(encoded: bytes, side: int) -> Image.Image:
    """The picture on a white square of this side."""
    if is_dicom(encoded):
        from mm_assets.cleaned.dicom_pixels import decode_dicom  # noqa: PLC0415 - pydicom takes a second to load

        picture = Image.fromarray(decode_dicom(encoded, "the picture", _MAX_DICOM_PIXELS)).convert("RGBA")
    else:
        with Image.open(io.BytesIO(encoded)) as opened:
            opened.draft("RGB", (side, side))
            picture = ImageOps.exif_transpose(opened).convert("RGBA")
    picture.thumbnail((side, side))
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square.convert("RGB")


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which has dashes, accents, Greek and Cyrillic; the font that Pillow brings has not."""
    import matplotlib as mpl  # noqa: PLC0415 - a fifth of the graph's import time

    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _FONT_PX)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if font.getlength(longer) <= width or not line:
            line = longer
        else:
            lines.append(line)
            line = word
    return [*lines, line][:_TEXT_LINES]


def contact_sheet(tiles: Sequence[Tile], *, columns: int = 6, side: int = 112) -> bytes:
    """Draw the tiles row by row.

    Args:
        tiles: pictures in order.
        columns: tiles per row.
        side: side of a picture in pixels.

    Returns:
        PNG bytes.
    """
    font = _font()
    line_height = 13
    wrapped = [[line for text in tile.lines for line in _wrap(text, font, side)] for tile in tiles]
    text_height = line_height * max((len(lines) for lines in wrapped), default=0)
    rows = max(1, -(-len(tiles) // columns))
    cell_width, cell_height = side + _GAP, side + text_height + _GAP
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (tile, lines) in enumerate(zip(tiles, wrapped, strict=True)):
        x = _GAP + (index % columns) * cell_width
        y = _GAP + (index // columns) * cell_height
        sheet.paste(thumbnail(tile.encoded, side), (x, y))
        draw.rectangle((x - 1, y - 1, x + side, y + side), outline=tile.mark, width=2)
        for number, line in enumerate(lines):
            draw.text((x, y + side + 2 + number * line_height), line, fill="black", font=font)
    stream = io.BytesIO()
    sheet.save(stream, format="PNG")
    return stream.getvalue()
