"""Reading documents: pages a second with and without OCR, word boxes against another reader, errors of the OCR path.

The PDF is read by its text layer here and by pdfplumber, on one core each; words that both read alike in the same order
are compared by the overlap of their boxes. Sampled pages are rendered, read by the OCR path and compared with their
text layer, white space apart; lines are put in the order of the text layer's words, so that the figure is of
characters, not of order. Data: ``apt-get download debian-history maxima-doc`` and ``dpkg -x``.

Usage: python benchmarks/document_reading.py PDF [PDF …] [--ocr-pages N] [--dpi N].
"""

import argparse
import os
import statistics
import sys
import time
from difflib import SequenceMatcher
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pdfplumber
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from mm_assets.documents.pages import Page
from mm_assets.documents.pdf import PdfProcess
from mm_assets.documents.recognition import recognise_pages
from mm_assets.policy import DocumentReadingPolicy, DocumentRecognitionPolicy
from resources.layout_model import LayoutResource
from resources.ocr import OcrResource

LEAST_IOU = 0.99
MOST_ERRORS = 0.02
FEWEST_PAGES_A_SECOND = 10.0
GAP_PT = 1.0  # pdfplumber's own 3 points join words of ten-point text


def read_here(path: Path) -> tuple[list[Page], float]:
    """Every page, and CPU seconds of this process and its child."""
    started = os.times()
    with (
        PdfProcess(DocumentReadingPolicy()) as process,
        path.open("rb") as file,
        process.open(file, path.name) as reader,
    ):
        pages = list(reader.pages())
    ended = os.times()
    return pages, sum(ended[:4]) - sum(started[:4])


def read_there(path: Path) -> tuple[list[list[dict[str, object]]], float]:
    """Words of every page by pdfplumber, with figures and rules looked up as well, and CPU seconds."""
    started = time.process_time()
    pages: list[list[dict[str, object]]] = []
    with pdfplumber.open(path) as document:
        for page in document.pages:
            pages.append(page.extract_words(x_tolerance=GAP_PT, use_text_flow=True))
            _ = page.images, page.rects, page.lines, page.curves
            page.close()
    return pages, time.process_time() - started


def overlaps(pages: list[Page], others: list[list[dict[str, object]]]) -> tuple[NDArray[np.float64], int]:
    """Intersection over union of words both readers read alike, and how many words there are here."""
    found: list[float] = []
    for page, other in zip(pages, others, strict=True):
        texts = [
            str(word["text"]).replace("\ufb01", "fi").replace("\ufb02", "fl").replace("\ufb00", "ff") for word in other
        ]
        boxes = np.asarray([[word[side] for side in ("x0", "top", "x1", "bottom")] for word in other], float)
        matcher = SequenceMatcher(None, list(page.words.texts), texts, autojunk=False)
        for here, there, size in matcher.get_matching_blocks():
            a, b = page.words.boxes[here : here + size].astype(float), boxes[there : there + size]
            if size:
                low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
                common = np.prod(np.clip(high - low, 0, None), axis=1)
                areas = [np.prod(one[:, 2:] - one[:, :2], axis=1) for one in (a, b)]
                found += (common / (areas[0] + areas[1] - common)).tolist()
    return np.asarray(found), sum(len(page.words.texts) for page in pages)


def characters(page: Page) -> str:
    """The page's characters without white space and leaders, lines from above, words from the left."""
    words = page.words
    if not words.texts:
        return ""
    middles = (words.boxes[:, 1] + words.boxes[:, 3]) / 2
    order = np.argsort(middles, kind="stable")
    line, lines, last = 0, np.zeros(len(order), int), -np.inf
    for place in order:
        if middles[place] - last > statistics.median(words.sizes) / 2:
            line, last = line + 1, middles[place]
        lines[place] = line
    text = "".join(words.texts[place] for place in np.lexsort((words.boxes[:, 0], lines)))
    while ".." in text:
        text = text.replace("..", ".")
    return text


def recognise(path: Path, pages: list[Page], count: int, dpi: float) -> tuple[float, float, float]:
    """Character error rate of the OCR path over sampled pages, CPU seconds a page, and the worst page's rate."""
    texts = [page for page in pages if len(page.words.texts) >= 50]
    sample = texts[:: max(len(texts) // count, 1)][:count]
    ocr, layout = OcrResource().handle, LayoutResource().handle
    errors = total = 0
    rates: list[float] = []
    seconds = 0.0
    with (
        PdfProcess(DocumentReadingPolicy()) as process,
        path.open("rb") as file,
        process.open(file, path.name) as reader,
    ):
        for page in sample:
            pixels = reader.render_page(page.number, dpi)
            started = time.process_time()
            (read,) = recognise_pages([page], [pixels], ocr, layout, 0.85, DocumentRecognitionPolicy())
            seconds += time.process_time() - started
            truth = characters(page)
            wrong = Levenshtein.distance(truth, characters(read))
            errors, total = errors + wrong, total + len(truth)
            rates.append(wrong / len(truth))
            print(f"    page {page.number}: {len(truth)} characters, CER {rates[-1]:.4f}", flush=True)
    return errors / total, seconds / len(sample), max(rates)


def main() -> int:
    """Measure every file; returns how many bounds were missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pdfs", type=Path, nargs="+")
    parser.add_argument("--ocr-pages", type=int, default=5)
    parser.add_argument("--dpi", type=float, default=150.0)
    arguments = parser.parse_args()
    missed = 0
    for path in arguments.pdfs:
        pages, here = read_here(path)
        others, there = read_there(path)
        shares, words = overlaps(pages, others)
        count = len(pages)
        print(f"{path.name}: {count} pages, {words} words, {sum(len(page.figures) for page in pages)} figures")
        print(f"  here {count / here:.1f} pages/s of CPU, start of the process counted; pdfplumber {count / there:.1f}")
        print(
            f"  word boxes: {len(shares)} words read alike ({len(shares) / max(words, 1):.1%}), mean IoU "
            f"{shares.mean():.4f}, 1st percentile {np.percentile(shares, 1):.4f}, median {np.median(shares):.4f}"
        )
        missed += (shares.mean() < LEAST_IOU) + (count / here < FEWEST_PAGES_A_SECOND)
        if arguments.ocr_pages:
            rate, seconds, worst = recognise(path, pages, arguments.ocr_pages, arguments.dpi)
            print(
                f"  OCR at {arguments.dpi:g} dpi: CER {rate:.4f}, worst page {worst:.4f}, {1 / seconds:.2f} pages/s "
                "of CPU"
            )
            missed += rate > MOST_ERRORS
    return missed


if __name__ == "__main__":
    sys.exit(main())
