"""A page with its blocks drawn over it."""

import io

import numpy as np
from PIL import Image

from mm_assets.aligned.documents.structure.page_blocks import page_blocks
from mm_assets.display.page_sheet import draw_page, page_sheet
from mm_assets.documents.blocks import Block
from mm_assets.documents.pdf import PdfReader
from mm_assets.policy import DocumentStructurePolicy

RED = (0xB3, 0x26, 0x1E)
ORANGE = (0xC7, 0x77, 0x00)


def test_boxes_stand_around_their_blocks_and_links_between_them() -> None:
    paper = np.full((200, 100, 3), 255, np.uint8)
    blocks = [
        Block(0, 1, "heading", "Title", (30.0, 10.0, 80.0, 20.0)),
        Block(1, 1, "figure", "", (30.0, 30.0, 80.0, 60.0)),
        Block(2, 1, "caption", "Figure 1", (30.0, 80.0, 80.0, 90.0)),
    ]
    plain = draw_page(paper, 1.0, blocks, [])
    linked = draw_page(paper, 1.0, blocks, [(1, 2)])
    assert plain.getpixel((55, 10)) == RED
    assert plain.getpixel((55, 70)) == (255, 255, 255)
    assert linked.getpixel((55, 70)) == ORANGE


def test_pages_of_a_book_stand_side_by_side(book: PdfReader) -> None:
    blocks = [block for block in page_blocks(book.pages(), DocumentStructurePolicy()) if block.page in (8, 14)]
    pages = [(book.render_page(number, 72), 1.0, [b for b in blocks if b.page == number]) for number in (8, 14)]
    with Image.open(io.BytesIO(page_sheet(pages, [], 600))) as sheet:
        assert sheet.height == 600
        assert sheet.width > 800
        shown = np.asarray(sheet.convert("RGB")).astype(int)
    red = np.abs(shown - RED).sum(2) < 60
    assert red[:, :424].any()
    assert red[:, 432:].any()
