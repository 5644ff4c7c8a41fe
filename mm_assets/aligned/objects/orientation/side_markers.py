"""Burned-in side markers: where an L or R stands in a radiograph, and which way round it reads.

A technologist lays a lead letter beside the patient, so it is mirrored whenever the picture is. Candidates are blobs
of a letter's size that stand out of their surroundings, single or in a row; each is read as given and mirrored. Only a
reading that is sure one way round and fails the other way is evidence; most pictures give none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from mm_assets.aligned.interfaces import Ocr, ReadText
from mm_assets.policy import OrientationPolicy

Side = Literal["L", "R"]
Reads = Literal["as_given", "mirrored"]
Boxes = NDArray[np.int64]

_SIDES: Final[dict[str, Side]] = {"L": "L", "LT": "L", "LEFT": "L", "R": "R", "RT": "R", "RIGHT": "R"}
_LONGEST: Final = 5
# A corner bracket is an L, and mirrored a mirrored L; nothing but the letter was found to read as R.
_TRUST: Final[dict[str, float]] = {"L": 0.9, "R": 0.97}
_WORD_TRUST: Final = 0.99
_WORKING_SIDE_PX: Final = 800
_SMOOTHING_PX: Final = 1.2
_SURROUNDINGS: Final = 1.1  # window of the top-hat over the tallest letter
_MAX_BLOBS: Final = 400  # more at one level are noise, and pairs cost the square
_NARROWEST: Final = 0.45
_WIDEST: Final = 1.6  # a letter's width over its height
_SPACING: Final = 0.6  # widest gap inside a word, over the height of its letters
_ALONE: Final = 0.9  # a letter nearer than this to another is one of a word
_SAME: Final = 0.6  # overlap over union at which two levels see the same blob
_PADDING: Final = 0.35  # of the height, around a crop
_CLIPPED_PERCENT: Final = 2.0

MARKER_SCHEMA: Final = pl.Schema(
    {
        "image_id": pl.String,
        "side": pl.String,
        "text": pl.String,
        "reads": pl.String,
        "confidence": pl.Float64,
        "x1": pl.Float64,
        "y1": pl.Float64,
        "x2": pl.Float64,
        "y2": pl.Float64,
    }
)


@dataclass(frozen=True)
class SideMarker:
    """One marker.

    Attributes:
        side: the patient's side it names.
        text: what it says.
        reads: the way round in which it reads.
        confidence: how sure the reading is, 0 to 1.
        box: left, upper, right and lower edge in pixels of the picture.
    """

    side: Side
    text: str
    reads: Reads
    confidence: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class _Candidate:
    """A blob or a row of blobs: x, y, width and height, brighter (1) or darker (-1) than around it, and its level."""

    box: tuple[int, int, int, int]
    polarity: int
    level: int
    is_single: bool


def marker_rows(found: Iterable[tuple[str, Sequence[SideMarker]]]) -> pl.DataFrame:
    """One row per marker of the pictures named by their ids."""
    rows = [
        (image_id, marker.side, marker.text, marker.reads, marker.confidence, *marker.box)
        for image_id, markers in found
        for marker in markers
    ]
    return pl.DataFrame(rows, schema=MARKER_SCHEMA, orient="row")


def read_side_markers(pixels: NDArray[np.uint8], ocr: Ocr, policy: OrientationPolicy) -> list[SideMarker]:
    """Find the side markers of a picture.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        ocr: reader of single lines.
        policy: sizes and confidences.

    Returns:
        Markers from left to right; empty if nothing reads surely one way round only.

    Raises:
        ModelError: the reader failed.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, _WORKING_SIDE_PX / min(grey.shape))
    if scale < 1.0:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey = grey.astype(np.uint8, copy=False)
    candidates = _find_candidates(grey, policy)
    crops = [_crop(grey, candidate) for candidate in candidates]
    readings = ocr.read_lines([turned for crop in crops for turned in (crop, np.ascontiguousarray(crop[:, ::-1]))])
    markers: list[SideMarker] = []
    for candidate, given, mirrored in zip(candidates, readings[::2], readings[1::2], strict=True):
        marker = _judge(candidate, given, mirrored, scale, policy)
        if marker is not None:
            markers.append(marker)
    return sorted(_distinct(markers), key=lambda marker: marker.box)


def _find_candidates(grey: NDArray[np.uint8], policy: OrientationPolicy) -> list[_Candidate]:
    """Letters and rows of letters, the most contrasting first, one per place and polarity."""
    side = min(grey.shape)
    window = int(_SURROUNDINGS * policy.max_marker_height * side) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (window, window))
    smooth = cv2.GaussianBlur(grey, (0, 0), _SMOOTHING_PX)
    blobs: dict[tuple[int, int], Boxes] = {}
    joined: list[Boxes] = []
    for polarity, operation in ((1, cv2.MORPH_TOPHAT), (-1, cv2.MORPH_BLACKHAT)):
        relief = cv2.morphologyEx(smooth, operation, kernel).astype(np.uint8, copy=False)
        for level in policy.marker_levels:
            blobs[polarity, level], lines = _blobs(relief, level, side, policy)
            joined.append(lines)
    everything = np.concatenate([*blobs.values(), *joined])
    found: list[_Candidate] = []
    for (polarity, level), boxes in blobs.items():
        for members in _rows_of(boxes):
            row = _hull(boxes[members])
            if len(members) <= _LONGEST and not _has_neighbour(row, everything):
                found.append(_Candidate(row, polarity, level, len(members) == 1))
    found.sort(key=lambda candidate: -candidate.level)
    kept: list[_Candidate] = []
    for candidate in found:
        if not any(
            candidate.polarity == other.polarity and _overlap(candidate.box, other.box) > _SAME for other in kept
        ):
            kept.append(candidate)
    return kept[: policy.max_marker_candidates]


def _blobs(relief: NDArray[np.uint8], level: int, side: int, policy: OrientationPolicy) -> tuple[Boxes, Boxes]:
    """Blobs of a letter's size and shape, and longer ones of its height, as letters that run together make.

    Both x, y, width and height, shape (N, 4).
    """
    above = (relief > level).astype(np.uint8)
    _, _, statistics, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    boxes, area = statistics[1:, :4].astype(np.int64), statistics[1:, 4]
    width, height = boxes[:, 2], boxes[:, 3]
    tall = (height >= policy.min_marker_height * side) & (height <= policy.max_marker_height * side)
    filled = area / (width * height)
    single = tall & (width >= 0.1 * height) & (width <= _WIDEST * height)
    single &= (filled >= 0.12) & (filled <= 0.92)  # noqa: PLR2004 - thinner is a line, fuller a disc or a plate
    letters, lines = boxes[single], boxes[tall & (width > _WIDEST * height)]
    return (letters, lines) if len(letters) + len(lines) <= _MAX_BLOBS else (boxes[:0], boxes[:0])


def _beside(first: Boxes, second: Boxes, reach: float) -> NDArray[np.bool_]:
    """Which of the second boxes stand right of which of the first as the next letter would; shape (N, M)."""
    x, y, width, height = (first[:, None, place] for place in range(4))
    other_x, other_y, _, other_height = (second[None, :, place] for place in range(4))
    taller, shorter = np.maximum(height, other_height), np.minimum(height, other_height)
    gap = other_x - (x + width)
    level = np.abs((other_y + other_height / 2) - (y + height / 2)) < 0.35 * taller
    return (gap > -0.3 * taller) & (gap < reach * taller) & level & (shorter > 0.6 * taller) & (other_x > x)


def _rows_of(boxes: Boxes) -> list[NDArray[np.intp]]:
    """Indices of the boxes that stand in a row, row by row."""
    if not len(boxes):
        return []
    count, labels = connected_components(_beside(boxes, boxes, _SPACING), directed=False)
    return [np.flatnonzero(labels == label) for label in range(count)]


def _has_neighbour(box: tuple[int, int, int, int], others: Boxes) -> bool:
    """Whether the letters are a piece of a longer word: UPRIGHT is not RIGHT."""
    own = np.array([box], np.int64)
    x, y, width, height = box
    left = np.maximum(others[:, 0], x)
    common = np.minimum(others[:, 0] + others[:, 2], x + width) - left
    apart = common <= 0
    near = _beside(own, others, _ALONE)[0] | _beside(others, own, _ALONE)[:, 0]
    upper, lower = np.maximum(others[:, 1], y), np.minimum(others[:, 1] + others[:, 3], y + height)
    within = (lower - upper > 0.8 * height) & (others[:, 3] < height / 0.6) & (common > 0.6 * width)
    longer = others[:, 2] > np.maximum(_WIDEST * height, 1.5 * width)
    return bool(((near & apart) | (within & longer)).any())


def _hull(boxes: Boxes) -> tuple[int, int, int, int]:
    left, upper = boxes[:, :2].min(axis=0).tolist()
    right, lower = (boxes[:, :2] + boxes[:, 2:]).max(axis=0).tolist()
    return left, upper, right - left, lower - upper


def _overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes of x, y, width and height."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (first[2] * first[3] + second[2] * second[3] - common)


def _crop(grey: NDArray[np.uint8], candidate: _Candidate) -> NDArray[np.uint8]:
    """The candidate with room around it, as dark print on light ground at full contrast."""
    x, y, width, height = candidate.box
    room = round(_PADDING * height)
    rows = np.clip(np.arange(y - room, y + height + room), 0, grey.shape[0] - 1)
    columns = np.clip(np.arange(x - room, x + width + room), 0, grey.shape[1] - 1)
    cut = grey[np.ix_(rows, columns)].astype(np.float32)
    low, high = np.percentile(cut, (_CLIPPED_PERCENT, 100.0 - _CLIPPED_PERCENT))
    shades = np.clip((cut - low) / max(1.0, float(high - low)), 0.0, 1.0)
    if candidate.polarity > 0:
        shades = 1.0 - shades
    return np.repeat(np.rint(shades * 255.0).astype(np.uint8)[:, :, None], 3, axis=2)


def _judge(
    candidate: _Candidate, given: ReadText, mirrored: ReadText, scale: float, policy: OrientationPolicy
) -> SideMarker | None:
    for reads, reading, counter in (("as_given", given, mirrored), ("mirrored", mirrored, given)):
        text = _normalised(reading.text)
        side = _SIDES.get(text)
        if side is None or reading.confidence < policy.min_marker_confidence:
            continue
        against = counter.confidence if _SIDES.get(_normalised(counter.text)) is not None else 0.0
        if against > policy.max_counter_confidence or (len(text) == 1 and not _is_letter(candidate)):
            return None
        trust = _TRUST[text] if len(text) == 1 else _WORD_TRUST
        x, y, width, height = (edge / scale for edge in candidate.box)
        return SideMarker(
            side=side,
            text=text,
            reads="as_given" if reads == "as_given" else "mirrored",
            confidence=round(trust * reading.confidence * (1.0 - 0.5 * against), 4),
            box=(x, y, x + width, y + height),
        )
    return None


def _is_letter(candidate: _Candidate) -> bool:
    """Whether one blob is as wide as an L or R; even condensed faces make them half as wide as high."""
    _, _, width, height = candidate.box
    return candidate.is_single and width >= _NARROWEST * height


def _normalised(text: str) -> str:
    """Letters alone; small ones count in words only, where they cannot be an i or a one."""
    letters = text.strip(" .,:;()[]{}-_|'\"")
    return letters.upper() if len(letters) > 1 else letters


def _distinct(markers: list[SideMarker]) -> list[SideMarker]:
    """The surest of the markers found in one place; none where they contradict each other."""
    kept: list[list[SideMarker]] = []
    for marker in sorted(markers, key=lambda marker: (-len(marker.text), -marker.confidence)):
        for place in kept:
            if _touches(marker, place[0]):
                place.append(marker)
                break
        else:
            kept.append([marker])
    return [place[0] for place in kept if len({(marker.side, marker.reads) for marker in place}) == 1]


def _touches(first: SideMarker, second: SideMarker) -> bool:
    return (
        first.box[0] < second.box[2]
        and second.box[0] < first.box[2]
        and first.box[1] < second.box[3]
        and second.box[1] < first.box[3]
    )
