"""Pictures, ruling lines, boxes and strokes of a page, from its objects and those of its nested forms."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pypdfium2 import PdfPage, raw

from mm_assets.documents.geometry import IDENTITY, Matrix, PageFrame, compose, transform
from mm_assets.documents.messages import Limits

_MAX_FORM_DEPTH: Final = 24  # PDFium's own bound on nesting is 40
_STRAIGHT_PT: Final = 0.1  # how far a line may lean and still count as level or upright
_THINNEST_PT: Final = 0.1  # a hairline of width 0 is as thin as the device can draw
_RECTANGLE_POINTS: Final = (4, 5)
_COLOURED: Final = 40  # of 255: difference of the channels from which a fill is no grey
_WHITE: Final = 250  # of 255: fills as light as this are paper
Points = NDArray[np.float64]


@dataclass
class PageObjects:
    """What is drawn on a page besides text, as it is shown.

    Attributes:
        images: boxes of pictures.
        lines: boxes of level and upright strokes and of bars as thin as a rule.
        frames: boxes of rectangles, stroked or filled with a colour.
        fills: boxes of rectangles filled with a colour that is no grey: bars of charts, cells of heat maps.
        strokes: boxes of paths with slanted or curved strokes.
        weights: how many such strokes each of these paths has.
    """

    images: list[list[float]] = field(default_factory=list[list[float]])
    lines: list[list[float]] = field(default_factory=list[list[float]])
    frames: list[list[float]] = field(default_factory=list[list[float]])
    fills: list[list[float]] = field(default_factory=list[list[float]])
    strokes: list[list[float]] = field(default_factory=list[list[float]])
    weights: list[int] = field(default_factory=list[int])


def read_objects(page: PdfPage, frame: PageFrame, limits: Limits) -> PageObjects | str:
    """The page's objects; if there are more than the limits allow, what is too much."""
    return _Reader(frame, limits).read(page)


class _Reader:
    def __init__(self, frame: PageFrame, limits: Limits) -> None:
        self._frame = frame
        self._limits = limits
        self._found = PageObjects()
        self._segments = 0
        self._page_box = (0.0, 0.0, frame.width, frame.height)

    def read(self, page: PdfPage) -> PageObjects | str:
        for count, (item, matrix) in enumerate(_walk(page, IDENTITY)):
            if count >= self._limits.max_objects:
                return f"has more than {self._limits.max_objects} objects"
            kind = raw.FPDFPageObj_GetType(item)
            if kind == raw.FPDF_PAGEOBJ_IMAGE:
                too_large = self._add_image(item, matrix)
                if too_large:
                    return too_large
            elif kind == raw.FPDF_PAGEOBJ_PATH:
                self._segments += max(raw.FPDFPath_CountSegments(item), 0)
                if self._segments > self._limits.max_segments:
                    return f"has paths of more than {self._limits.max_segments} segments"
                self._add_path(item, matrix)
            elif kind == raw.FPDF_PAGEOBJ_SHADING:
                box = self._bounds(item, matrix)
                if box is not None:
                    self._found.strokes.append(box)
                    self._found.weights.append(1)
        return self._found

    def _add_image(self, item: object, matrix: Matrix) -> str | None:
        width, height = ctypes.c_uint(), ctypes.c_uint()
        if raw.FPDFImageObj_GetImagePixelSize(item, width, height):
            pixels = width.value * height.value
            if pixels > self._limits.max_image_pixels:
                return (
                    f"holds a picture of {width.value} x {height.value} pixels, more than "
                    f"{self._limits.max_image_pixels}"
                )
        box = self._bounds(item, matrix)
        if box is not None:
            self._found.images.append(box)
        return None

    def _bounds(self, item: object, matrix: Matrix) -> list[float] | None:
        """Box as shown, cut to the page and to the object's clip; None if nothing is left."""
        left, bottom, right, top = (ctypes.c_float() for _ in range(4))
        if not raw.FPDFPageObj_GetBounds(item, left, bottom, right, top):
            return None
        box = self._shown(np.asarray([[left.value, bottom.value], [right.value, top.value]]), matrix)
        clip = raw.FPDFPageObj_GetClipPath(item)
        for path in range(max(raw.FPDFClipPath_CountPaths(clip), 0) if clip else 0):
            points = [
                _point(raw.FPDFClipPath_GetPathSegment(clip, path, index))
                for index in range(min(max(raw.FPDFClipPath_CountPathSegments(clip, path), 0), 256))
            ]
            if points:
                box = _overlap(box, self._shown(np.asarray(points), matrix))
        box = _overlap(box, self._page_box)
        return box if box[0] < box[2] and box[1] < box[3] else None

    def _shown(self, points: Points, matrix: Matrix) -> list[float]:
        corners = _corners(points)
        shown = self._frame.points(transform(corners, matrix))
        return [*map(float, shown.min(axis=0)), *map(float, shown.max(axis=0))]

    def _add_path(self, item: object, matrix: Matrix) -> None:
        mode, stroked = ctypes.c_int(), raw.FPDF_BOOL()
        if not raw.FPDFPath_GetDrawMode(item, mode, stroked):
            return
        colour = _fill(item) if mode.value != raw.FPDF_FILLMODE_NONE else None
        filled = colour is not None
        if not (filled or stroked.value):
            return
        outer = compose(_matrix(item), matrix)
        width = ctypes.c_float()
        raw.FPDFPageObj_GetStrokeWidth(item, width)
        scale = abs(outer[0] * outer[3] - outer[1] * outer[2]) ** 0.5
        half = max(width.value * scale, _THINNEST_PT) / 2 if stroked.value else 0.0
        weight, corners = 0, []
        for points, curves in _subpaths(item):
            shown = self._frame.points(transform(points, outer))
            low, high = shown.min(axis=0), shown.max(axis=0)
            steps = np.abs(np.diff(shown, axis=0))
            slanted = int(np.count_nonzero(np.all(steps > _STRAIGHT_PT, axis=1))) if len(steps) else 0
            box = [float(low[0] - half), float(low[1] - half), float(high[0] + half), float(high[1] + half)]
            if not curves and not slanted and (len(shown) in _RECTANGLE_POINTS or _is_line(low, high)):
                self._add_straight(box, half, colour)
                continue
            weight += max(curves + slanted, 1)
            corners.append(box)
        if corners:
            boxes = np.asarray(corners)
            box = _overlap(
                [*map(float, boxes[:, :2].min(axis=0)), *map(float, boxes[:, 2:].max(axis=0))], self._page_box
            )
            if box[0] <= box[2] and box[1] <= box[3]:
                self._found.strokes.append(box)
                self._found.weights.append(weight)

    def _add_straight(self, box: list[float], half: float, colour: tuple[int, int, int] | None) -> None:
        box = _overlap(box, self._page_box)
        if box[0] > box[2] or box[1] > box[3] or (half == 0 and colour is None):
            return
        thin = min(box[2] - box[0], box[3] - box[1]) <= self._limits.max_rule_pt
        (self._found.lines if thin else self._found.frames).append(box)
        if colour is not None and not thin and max(colour) - min(colour) >= _COLOURED:
            self._found.fills.append(box)


def _walk(page: PdfPage, matrix: Matrix) -> Iterator[tuple[object, Matrix]]:
    """Objects in the order of drawing with the matrix of the form they stand in; forms themselves are left out."""
    for index in range(raw.FPDFPage_CountObjects(page)):
        yield from _unfold(raw.FPDFPage_GetObject(page, index), matrix, 0)


def _unfold(item: object, matrix: Matrix, depth: int) -> Iterator[tuple[object, Matrix]]:
    if raw.FPDFPageObj_GetType(item) != raw.FPDF_PAGEOBJ_FORM:
        yield item, matrix
        return
    if depth >= _MAX_FORM_DEPTH:
        return
    inner = compose(_matrix(item), matrix)
    for index in range(max(raw.FPDFFormObj_CountObjects(item), 0)):
        yield from _unfold(raw.FPDFFormObj_GetObject(item, index), inner, depth + 1)


def _matrix(item: object) -> Matrix:
    found = raw.FS_MATRIX()
    if not raw.FPDFPageObj_GetMatrix(item, found):
        return IDENTITY
    return found.a, found.b, found.c, found.d, found.e, found.f


def _subpaths(item: object) -> Iterator[tuple[Points, int]]:
    """Points of each subpath, and how many curves it has; three points are one curve."""
    points: list[tuple[float, float]] = []
    curves = 0
    for index in range(max(raw.FPDFPath_CountSegments(item), 0)):
        segment = raw.FPDFPath_GetPathSegment(item, index)
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == raw.FPDF_SEGMENT_MOVETO and points:
            if len(points) > 1:
                yield np.asarray(points), curves // 3
            points, curves = [], 0
        curves += kind == raw.FPDF_SEGMENT_BEZIERTO
        points.append(_point(segment))
        if raw.FPDFPathSegment_GetClose(segment) and points[0] != points[-1]:
            points.append(points[0])
    if len(points) > 1:
        yield np.asarray(points), curves // 3


def _point(segment: object) -> tuple[float, float]:
    x, y = ctypes.c_float(), ctypes.c_float()
    raw.FPDFPathSegment_GetPoint(segment, x, y)
    return x.value, y.value


def _is_line(low: Points, high: Points) -> bool:
    return bool(np.any(high - low <= _STRAIGHT_PT))


def _fill(item: object) -> tuple[int, int, int] | None:
    """The colour an object is filled with; None for one that leaves no trace on paper, grey for a pattern."""
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not raw.FPDFPageObj_GetFillColor(item, red, green, blue, alpha):
        return 0, 0, 0
    colour = red.value, green.value, blue.value
    return colour if alpha.value > 0 and min(colour) < _WHITE else None


def _corners(points: Points) -> Points:
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    return np.asarray([[left, low], [right, low], [right, high], [left, high]])


def _overlap(one: list[float], other: "list[float] | tuple[float, float, float, float]") -> list[float]:
    return [max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])]
