"""Reading order of a PDF against the HTML of the same book: debian-history.

    python benchmarks/document_page_order.py DIR

DIR holds ``project-history.en.pdf`` and the pages it was made from (Debian's package debian-history,
/usr/share/doc/debian-history/docs). The truth is the HTML as a parser gives it, apart from our reader: paragraphs,
those of list entries too, and headings in the order of the pages, of which those count that begin with words that occur
once in the HTML. Order: Kendall's tau over those that are found once in the blocks of the PDF, as agreement
(tau + 1) / 2; headings, which the PDF's contents repeat, are left out by that. Text: the share of paragraphs that stand
in the PDF's blocks whole, letter for letter, in one block.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from selectolax.lexbor import LexborHTMLParser

from mm_assets.aligned.documents.structure.page_blocks import page_blocks
from mm_assets.documents.blocks import Block
from mm_assets.documents.pdf import PdfProcess
from mm_assets.policy import DocumentReadingPolicy, DocumentStructurePolicy

PAGES = ("intro", "leaders", "releases", "detailed", "manifesto")
KEY_CHARACTERS = 48
MIN_CHARACTERS = 24
MIN_AGREEMENT = 0.98
MIN_FOUND = 0.95


def plain(text: str) -> str:
    """Letters and digits alone."""
    return re.sub(r"[\W_]+", "", text).lower()


def paragraphs_of(folder: Path) -> list[str]:
    """Paragraphs and headings of the book, as letters and digits, in order."""
    found: list[str] = []
    for page in PAGES:
        tree = LexborHTMLParser((folder / f"{page}.en.html").read_text("utf-8"))
        tree.strip_tags([".navheader", ".navfooter", "script", "style"])
        found += [plain(node.text(deep=True)) for node in tree.css("h1, h2, h3, h4, p")]
    return [text for text in found if len(text) >= MIN_CHARACTERS]


def agreement(places: Sequence[int]) -> float:
    """Share of pairs of different places that ascend: (Kendall's tau + 1) / 2."""
    order = np.asarray(places)
    later = sum(int((order[index + 1 :] > place).sum()) for index, place in enumerate(order))
    return 2.0 * later / max(len(order) * (len(order) - 1), 1)


def compare(paragraphs: Sequence[str], blocks: Sequence[Block]) -> dict[str, float | int]:
    """Order and text of the blocks against the paragraphs."""
    texts = [plain(block.text) for block in blocks]
    whole = "\n".join(texts)
    keys = Counter(text[:KEY_CHARACTERS] for text in paragraphs)
    once = [text for text in paragraphs if keys[text[:KEY_CHARACTERS]] == 1]
    joined = "".join(texts)
    placed = [text for text in once if joined.count(text[:KEY_CHARACTERS]) == 1]
    places = [joined.find(text[:KEY_CHARACTERS]) for text in placed]
    return {
        "paragraphs": len(once),
        "found": sum(text[:KEY_CHARACTERS] in joined for text in once) / max(len(once), 1),
        "placed": len(placed),
        "whole": sum(text in whole for text in placed) / max(len(placed), 1),
        "agreement": agreement(places),
    }


def main() -> int:
    """Measure, print, and fail if a floor is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    start = time.process_time()
    with (
        PdfProcess(DocumentReadingPolicy()) as process,
        (folder / "project-history.en.pdf").open("rb") as file,
        process.open(file, "project-history.en.pdf") as document,
    ):
        pages = list(document.pages())
    read = time.process_time() - start
    start = time.process_time()
    blocks = list(page_blocks(iter(pages), DocumentStructurePolicy()))
    built = time.process_time() - start
    measured = compare(paragraphs_of(folder), blocks)
    measured |= {
        "pages": len(pages),
        "blocks": len(blocks),
        "reading_s": round(read, 2),
        "structure_s": round(built, 2),
    }
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")
    return int(measured["agreement"] < MIN_AGREEMENT or measured["found"] < MIN_FOUND)


if __name__ == "__main__":
    sys.exit(main())
