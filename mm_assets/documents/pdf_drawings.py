"""Which objects of a page make a figure, and which are ruling lines.

Pictures that touch are strips or tiles of one. Slanted and curved strokes that lie together are a drawing, if there
are enough of them and they do not merely frame text; the axes, boxes and labels among and around them belong to it.
What is left of lines and rectangles are rules: tables, underlines, shaded rows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mm_assets.documents.geometry import PageFrame
from mm_assets.documents.label_words import label_words
from mm_assets.documents.messages import Limits
from mm_assets.documents.pages import PageFigure, Words
from mm_assets.documents.pdf_objects import PageObjects

_MAX_CELLS: Final = 1_000_000  # of the grid on which boxes are joined
_CELL_PT: Final = 1.0
_MAX_FRAME_SHARE: Final = 0.6  # of the page: a larger rectangle frames the page, not a drawing
_FRAME_GROWTH: Final = 12.0  # how many times as large as its drawing a frame may be
_LINE_GROWTH: Final = 2.0  # how many times as long as its drawing's longer side a line may be
_INSIDE: Final = 0.6  # share of a box that has to lie in another to be part of it
_LABEL_GAP_PT: Final = 6.0  # how close words stand that belong to a drawing; most captions keep ten
_ROUNDS: Final = 3  # lines lead to frames, frames to labels
_TOUCH_PT: Final = 1.0  # how close lines and frames lie that touch
_AXIS_GAP: Final = 0.08  # of the drawing's side across: how far from it an axis may run; charts leave 5 %
_AXIS_GAP_PT: Final = 3.0  # and this much more
_AXIS_COVER: Final = 0.8  # of the drawing's side along it: how much of it an axis reaches past
Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Figures of a page in the order of the file, its rules, and the share of it under its largest picture."""

    figures: list[PageFigure]
    rules: NDArray[np.float32]
    image_share: float


def find_figures(objects: PageObjects, words: Words, frame: PageFrame, limits: Limits) -> Drawn:
    """Tell figures from rules.

    Args:
        objects: what the page draws.
        words: its words.
        frame: the page.
        limits: gaps and sizes.
    """
    page_area = frame.width * frame.height
    images, _ = _join(_as_boxes(objects.images), limits.image_gap_pt, frame)
    share = float(_areas(images).max() / page_area) if len(images) else 0.0
    pictures = images[_areas(images) < limits.page_image_share * page_area] if words.texts else images
    pictures = _large(pictures, limits)
    lines, frames = _as_boxes(objects.lines), _as_boxes(objects.frames)
    texts = words.boxes.astype(np.float64)
    drawings: list[Boxes] = []
    drawn = [*_strokes(objects, pictures, frame, limits), *_bars(objects, texts, frame, limits)]
    labels = texts[label_words(words)] if drawn else texts
    for box in drawn:
        if _text_share(box, texts) > limits.max_drawing_text:
            continue  # a frame of text, with or without rules beside it
        whole = _grow(box, lines, frames, labels, page_area)
        whole = np.clip(whole, 0.0, [frame.width, frame.height, frame.width, frame.height])
        if min(whole[2] - whole[0], whole[3] - whole[1]) < limits.min_figure_pt:
            continue
        if _text_share(whole, texts) <= limits.max_drawing_text:
            drawings.append(whole)
    joined, _ = _join(np.asarray(drawings).reshape(-1, 4), 0.0, frame)
    joined = joined[~_covered(joined, pictures)]
    pictures = pictures[~_covered(pictures, joined)]
    figures = [PageFigure(_as_box(box), "raster") for box in pictures]
    figures += [PageFigure(_as_box(box), "vector") for box in joined]
    rules = np.concatenate((lines, _edges(frames, limits.max_rule_pt)))
    inside = _covered(rules, np.concatenate((joined, pictures)))
    return Drawn(figures, np.unique(rules[~inside].astype(np.float32), axis=0), share)


def _strokes(objects: PageObjects, pictures: Boxes, frame: PageFrame, limits: Limits) -> list[Boxes]:
    """Where enough slanted and curved strokes lie together."""
    strokes = _as_boxes(objects.strokes)
    free = ~_covered(strokes, pictures)
    weights = np.asarray(objects.weights, np.int64)[free]
    clusters = _clusters(strokes[free], limits.drawing_gap_pt, frame)
    return [box for box, members in clusters if weights[members].sum() >= limits.min_drawing_strokes]


def _bars(objects: PageObjects, words: Boxes, frame: PageFrame, limits: Limits) -> list[Boxes]:
    """Where coloured rectangles without words stand between lines, as the bars of a chart between its axes."""
    fills = _as_boxes(objects.fills)
    if len(fills) < limits.min_drawing_strokes:
        return []
    centres = (words[:, :2] + words[:, 2:]) / 2
    wordless = np.asarray([not np.any(np.all((centres > box[:2]) & (centres < box[2:]), axis=1)) for box in fills])
    fills = fills[wordless]
    lines = _as_boxes(objects.lines)
    parts = np.concatenate((fills, lines))
    clusters = _clusters(parts, limits.drawing_gap_pt, frame)
    return [box for box, members in clusters if np.count_nonzero(members < len(fills)) >= limits.min_drawing_strokes]


def _as_boxes(boxes: list[list[float]]) -> Boxes:
    return np.asarray(boxes, np.float64).reshape(-1, 4)


def _as_box(box: Boxes) -> tuple[float, float, float, float]:
    left, upper, right, lower = (round(float(value), 3) for value in box)
    return left, upper, right, lower


def _areas(boxes: Boxes) -> Boxes:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _large(boxes: Boxes, limits: Limits) -> Boxes:
    sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    return boxes[sides >= limits.min_figure_pt]


def _join(boxes: Boxes, gap: float, frame: PageFrame) -> tuple[Boxes, list[NDArray[np.int64]]]:
    """Boxes around those that lie within the gap of each other, in the order of their first members."""
    clusters = _clusters(boxes, gap, frame)
    return np.asarray([box for box, _ in clusters]).reshape(-1, 4), [members for _, members in clusters]


def _clusters(boxes: Boxes, gap: float, frame: PageFrame) -> list[tuple[Boxes, NDArray[np.int64]]]:
    """Boxes that lie within the gap of each other, found on a grid of cells, each with its members."""
    if not len(boxes):
        return []
    cell = max(_CELL_PT, (frame.width * frame.height / _MAX_CELLS) ** 0.5)
    columns, rows = int(frame.width / cell) + 2, int(frame.height / cell) + 2
    covered = np.zeros((rows, columns), bool)
    reach = gap / 2
    spans = np.stack(
        (
            np.clip(((boxes[:, 0] - reach) / cell).astype(int), 0, columns - 1),
            np.clip(((boxes[:, 1] - reach) / cell).astype(int), 0, rows - 1),
            np.clip(((boxes[:, 2] + reach) / cell).astype(int) + 1, 1, columns),
            np.clip(((boxes[:, 3] + reach) / cell).astype(int) + 1, 1, rows),
        ),
        axis=1,
    )
    for left, upper, right, lower in spans:
        covered[upper:lower, left:right] = True
    labels = np.empty(covered.shape, np.int32)
    ndimage.label(covered, output=labels)
    owners = labels[spans[:, 1], spans[:, 0]]
    _, first = np.unique(owners, return_index=True)
    found: list[tuple[Boxes, NDArray[np.int64]]] = []
    for owner in owners[np.sort(first)]:
        members = np.flatnonzero(owners == owner)
        box = np.concatenate((boxes[members, :2].min(axis=0), boxes[members, 2:].max(axis=0)))
        found.append((box, members))
    return found


def _grow(box: Boxes, lines: Boxes, frames: Boxes, words: Boxes, page_area: float) -> Boxes:
    """The drawing with the lines, frames and labels that belong to it."""
    side = max(box[2] - box[0], box[3] - box[1], 1.0)
    area = max(float(_areas(box[None])[0]), side)
    lengths = np.maximum(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1])
    near_lines = lines[lengths <= _LINE_GROWTH * side]
    sizes = _areas(frames)
    near_frames = frames[(sizes <= _FRAME_GROWTH * area) & (sizes <= _MAX_FRAME_SHARE * page_area)]
    for _ in range(_ROUNDS):
        before = box
        parts = np.concatenate((near_lines, near_frames))
        box = _around(box, parts[_touches(parts, box, _TOUCH_PT)])
        box = _around(box, near_lines[_are_axes(near_lines, box)])
        box = _around(box, words[_touches(words, box, _LABEL_GAP_PT)]) if len(words) else box
        if np.array_equal(before, box):
            break
    return box


def _are_axes(lines: Boxes, box: Boxes) -> NDArray[np.bool_]:
    """Lines that run along a side of the drawing, close to it and at least most of its length."""
    sides = box[2:] - box[:2]
    common = np.minimum(lines[:, 2:], box[2:]) - np.maximum(lines[:, :2], box[:2])
    near = -common <= _AXIS_GAP * sides + _AXIS_GAP_PT
    along = common >= _AXIS_COVER * sides
    return (along[:, 0] & near[:, 1]) | (along[:, 1] & near[:, 0])


def _around(box: Boxes, parts: Boxes) -> Boxes:
    if not len(parts):
        return box
    return np.concatenate(
        (np.minimum(box[:2], parts[:, :2].min(axis=0)), np.maximum(box[2:], parts[:, 2:].max(axis=0)))
    )


def _touches(parts: Boxes, box: Boxes, gap: float) -> NDArray[np.bool_]:
    return (
        (parts[:, 0] <= box[2] + gap)
        & (parts[:, 2] >= box[0] - gap)
        & (parts[:, 1] <= box[3] + gap)
        & (parts[:, 3] >= box[1] - gap)
    )


def _shares(boxes: Boxes, other: Boxes) -> NDArray[np.float64]:
    """Share of each box, or of its length if it has no area, that lies in another box."""
    low, high = np.maximum(boxes[:, :2], other[:2]), np.minimum(boxes[:, 2:], other[2:])
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    return np.prod(np.clip(high - low + 1e-3, 0.0, sides) / sides, axis=1)


def _covered(boxes: Boxes, by: Boxes) -> NDArray[np.bool_]:
    """Which boxes lie mostly in one of the others."""
    inside = np.zeros(len(boxes), bool)
    for other in by:
        inside |= _shares(boxes, other) >= _INSIDE
    return inside


def _text_share(box: Boxes, words: Boxes) -> float:
    if not len(words):
        return 0.0
    low, high = np.maximum(words[:, :2], box[:2]), np.minimum(words[:, 2:], box[2:])
    return float(np.prod(np.clip(high - low, 0.0, None), axis=1).sum() / max(float(_areas(box[None])[0]), 1.0))


def _edges(frames: Boxes, width: float) -> Boxes:
    """The four edges of each rectangle, as thin boxes."""
    half = min(width, 0.5) / 2
    left, upper, right, lower = frames.T
    return np.concatenate(
        (
            np.stack((left, upper - half, right, upper + half), axis=1),
            np.stack((left, lower - half, right, lower + half), axis=1),
            np.stack((left - half, upper, left + half, lower), axis=1),
            np.stack((right - half, upper, right + half, lower), axis=1),
        )
    )
