"""Pages whose words are read from their pixels."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mm_assets.documents.interfaces import PageLayout, PageOcr, ReadWord
from mm_assets.documents.pages import Box, Page, PageFigure, PageRegion, Words
from mm_assets.documents.recognised_sizes import settle_sizes
from mm_assets.policy import DocumentRecognitionPolicy

_MEANINGLESS: Final = frozenset({"Co", "Cn", "Cc", "Cs"})  # private use, unassigned, control, surrogate
_SIZE_OF_BOX: Final = 0.9  # font size over the height of a found line's box; the median of a book with a text layer
Pixels = NDArray[np.uint8]
Sizes = NDArray[np.float32]


def nonsense_share(texts: Sequence[str]) -> float:
    r"""Share of characters that stand for nothing, 0 to 1; 0 without any.

    >>> nonsense_share(["ab", "\ufffd\ue000"])
    0.5
    """
    text = "".join(texts)
    kinds = (letter == "\ufffd" or unicodedata.category(letter) in _MEANINGLESS for letter in text)
    return sum(kinds) / len(text) if text else 0.0


def needs_recognition(page: Page, image_share: float, scan_share: float, policy: DocumentRecognitionPolicy) -> bool:
    """Whether the text layer of a page cannot be used: nonsense, or next to nothing beside pictures or drawings.

    Args:
        page: as its file states it.
        image_share: share of the page under its largest picture.
        scan_share: from which such a picture is the page itself.
        policy: what makes a text layer.
    """
    texts = page.words.texts
    if nonsense_share(texts) > policy.max_nonsense:
        return True
    return len(texts) < policy.min_layer_words and (image_share >= scan_share or bool(page.figures))


def recognise_pages(
    pages: Sequence[Page],
    pixels: Sequence[Pixels],
    ocr: PageOcr,
    layout: PageLayout | None,
    scan_share: float,
    policy: DocumentRecognitionPolicy,
) -> list[Page]:
    """The pages with the words, figures and regions that models see in their pixels, in the pages' own units.

    A page on which nothing can be read keeps what it had; if its pixels are a scan, it becomes one figure.

    Args:
        pages: their sizes; of pictures, in pixels.
        pixels: what each looks like, uint8 RGB (H, W, 3), any resolution.
        ocr: reads words.
        layout: finds regions; None leaves them out.
        scan_share: share of the page from which a picture is the page itself and no figure on it.
        policy: how sure the models have to be.
    """
    fitted = [_fit(one, policy.max_side_px) for one in pixels]
    words = ocr.read_pages(fitted)
    regions: Sequence[Sequence[PageRegion]] = [()] * len(pages) if layout is None else layout.find_regions(fitted)
    return [
        _joined(page, image, read, seen, scan_share, policy)
        for page, image, read, seen in zip(pages, fitted, words, regions, strict=True)
    ]


def _joined(
    page: Page,
    pixels: Pixels,
    read: Sequence[ReadWord],
    seen: Sequence[PageRegion],
    scan_share: float,
    policy: DocumentRecognitionPolicy,
) -> Page:
    scales = page.width / pixels.shape[1], page.height / pixels.shape[0]
    regions = tuple(
        PageRegion(_scaled(region.box, scales), region.type, region.score)
        for region in seen
        if region.score >= policy.min_region_score
    )
    figures = tuple(PageFigure(region.box, "raster") for region in regions if region.type == "figure")
    kept = [word for word in read if word.confidence >= policy.min_line_confidence and word.text]
    if not kept:
        whole = PageFigure((0.0, 0.0, page.width, page.height), "raster")
        shown = page.figures or figures or (whole,)
        return replace(page, words=Words.none(), figures=shown, regions=regions, text_from="none")
    boxes = np.asarray([_scaled(word.box, scales) for word in kept], np.float32)
    words = Words(
        tuple(word.text for word in kept),
        boxes,
        _sizes(kept, boxes, policy),
        np.zeros(len(kept), np.uint8),
        np.asarray([word.confidence for word in kept], np.float32),
    )
    drawn = tuple(figure for figure in page.figures if not _is_page(figure.box, page, scan_share))
    return replace(page, words=words, figures=figures or drawn, regions=regions, text_from="ocr")


def _sizes(words: Sequence[ReadWord], boxes: NDArray[np.float32], policy: DocumentRecognitionPolicy) -> Sizes:
    """The font size of each word: that of its line."""
    owners = np.unique([word.line for word in words], return_inverse=True)[1]
    lines = [np.flatnonzero(owners == line) for line in range(int(owners.max()) + 1)]
    sizes = [_SIZE_OF_BOX * float(np.median(boxes[line, 3] - boxes[line, 1])) for line in lines]
    around = [np.concatenate((boxes[line, :2].min(axis=0), boxes[line, 2:].max(axis=0))) for line in lines]
    characters = [sum(len(words[int(place)].text) for place in line) for line in lines]
    return settle_sizes(sizes, np.asarray(around, np.float64), characters, policy)[owners].astype(np.float32)


def _is_page(box: Box, page: Page, share: float) -> bool:
    return (box[2] - box[0]) * (box[3] - box[1]) >= share * page.width * page.height


def _scaled(box: Box, scales: tuple[float, float]) -> Box:
    across, down = scales
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def _fit(pixels: Pixels, max_side: int) -> Pixels:
    height, width, _ = pixels.shape
    scale = max_side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
