"""A page with its blocks drawn over it: boxes by type, order numbers, and lines from captions to their figures."""

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mm_assets.documents.blocks import Block

_COLOURS: Final = {
    "heading": "#b3261e",
    "paragraph": "#2b5f9e",
    "list": "#3a7d8c",
    "table": "#7a4fa3",
    "figure": "#2e7d32",
    "caption": "#c77700",
    "formula": "#8a6d1d",
    "code": "#5b5852",
    "footnote": "#9e9e9e",
}
LEGEND: Final = (
    "Numbers: reading order. Red headings, blue paragraphs, teal lists, violet tables, green figures, orange captions."
)
_PALETTE: Final = 128


def page_sheet(
    pages: Sequence[tuple[NDArray[np.uint8], float, Sequence[Block]]], links: Sequence[tuple[int, int]], height: int
) -> bytes:
    """Pages side by side as one PNG.

    Args:
        pages: pixels, uint8 RGB (H, W, 3), pixels per unit of the page, and the blocks that start on it.
        links: positions of a figure or table and of its caption.
        height: of the sheet, pixels.
    """
    drawn = [draw_page(pixels, scale, blocks, links) for pixels, scale, blocks in pages]
    resized = [image.resize((max(1, round(image.width * height / image.height)), height)) for image in drawn]
    sheet = Image.new("RGB", (sum(image.width + 8 for image in resized) or 1, height), "white")
    left = 0
    for image in resized:
        sheet.paste(image, (left, 0))
        left += image.width + 8
    buffer = io.BytesIO()
    sheet.quantize(_PALETTE, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        buffer, "PNG", optimize=True
    )
    return buffer.getvalue()


def draw_page(
    pixels: NDArray[np.uint8], scale: float, blocks: Sequence[Block], links: Sequence[tuple[int, int]]
) -> Image.Image:
    """One page with its blocks; arguments as of `page_sheet`."""
    image = Image.fromarray(pixels).convert("RGB")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(10, round(8 * scale)))
    middles: dict[int, tuple[float, float]] = {}
    for block in blocks:
        if block.box is None:
            continue
        x1, y1, x2, y2 = (side * scale for side in block.box)
        if (block.last_page or block.page) != block.page:
            y1, y2 = max(0.0, min(y1, image.height - 2.0)), image.height - 1.0  # the box of what goes on spans pages
        colour = _COLOURS.get(block.type, "black")
        draw.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=colour, width=max(1, round(scale)))
        told = str(block.position)
        wide = draw.textlength(told, font=font)
        draw.rectangle((x1 - wide - 4, y1, x1, y1 + 9 * scale), fill=colour)
        draw.text((x1 - wide - 2, y1), told, fill="white", font=font)
        middles[block.position] = ((x1 + x2) / 2, (y1 + y2) / 2)
    for one, other in links:
        if one in middles and other in middles:
            draw.line((*middles[one], *middles[other]), fill=_COLOURS["caption"], width=max(2, round(2 * scale)))
    return image
