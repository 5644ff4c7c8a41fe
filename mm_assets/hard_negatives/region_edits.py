"""Pictures made false of their captions: a region recoloured, or two regions in each other's place.

The text is kept; the picture changes inside the boxes only. An edit that does not change what is seen is refused:
`recolor_region` measures the change of chroma, `exchange_regions` wants two different things. An inpainting model may
stand in for either behind `RegionEditor`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.claims.caption_reading import read_caption
from mm_assets.aligned.objects.claims.object_classes import singular
from mm_assets.errors import InferenceError
from mm_assets.hard_negatives.lexicon import read_edit_lexicon
from mm_assets.hard_negatives.negatives import Negative, Positive, Region, Strategy

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]
_HALF_CIRCLE: Final = 180
_HUE_SPREAD: Final = 60
"""Degrees around a named colour's hue that count as it: a green apple is half way to yellow."""
_LEAST_OF_COLORED: Final = 0.6
"""Share of the coloured pixels in a box that must turn; with less the thing keeps its colour, or has several."""
_LEAST_SATURATION: Final = 60
_LEAST_VALUE: Final = 40
_LEAST_SHARE: Final = 0.05
_FEATHER: Final = 1.5
_SMALLEST_PX: Final = 8
_MOST_OVERLAP: Final = 0.05
MOST_SHARED: Final = 0.5
"""Share of the shorter extent from which nobody says which of two things comes first."""


class RegionEditor(Protocol):
    """Rewrites a region of a picture, as an inpainting model does."""

    def edit(self, pixels: Pixels, box: Box, instruction: str) -> Pixels:
        """The picture with the region inside the box changed as told, uint8 RGB, same shape."""
        ...


@dataclass(frozen=True, slots=True)
class PlannedEdit:
    """What to do to a picture so that its caption no longer holds.

    Attributes:
        form: ``recolored`` or ``exchanged``.
        boxes: the region, or both regions.
        before: colour the caption names, or label of the first region.
        after: colour to put there, or label of the second.
    """

    form: str
    boxes: tuple[Box, ...]
    before: str
    after: str


def regions_by_head(positive: Positive) -> dict[str, list[Region]]:
    """The boxes of a picture by the last word of their label, singular."""
    found: dict[str, list[Region]] = {}
    for region in positive.regions:
        words = region.label.lower().replace("_", " ").split()
        if words:
            found.setdefault(singular(words[-1]), []).append(region)
    return found


def plan_edits(positive: Positive) -> Iterator[PlannedEdit]:
    """Edits that contradict a caption: of a coloured thing with a box, or of two things it puts in an order.

    Things that stand above one another stay in any order from left to right, and are not exchanged for it.

    Args:
        positive: the caption, with the boxes of its picture.
    """
    reading, palette, lexicon = read_caption(positive.text), read_lexicon().colors, read_edit_lexicon()
    by_label = regions_by_head(positive)
    placed: list[Region] = []
    for phrase in reading.phrases:
        found = by_label.get(singular(phrase.head), [])
        if phrase.denied or phrase.doubtful or len(found) != 1:
            continue
        placed.append(found[0])
        named = [word for word in phrase.words if word in palette and word in phrase.qualities]
        if len(named) == 1 and named[0] in lexicon.hues:
            for other in lexicon.color_pairs.get(named[0], ()):
                if other in lexicon.hues:
                    yield PlannedEdit("recolored", (found[0].box,), named[0], other)
                    break
    ordered = "left to right" in positive.text.lower() or "right to left" in positive.text.lower()
    if (ordered or reading.relations) and len(placed) > 1:
        for one, other in pairwise(placed):
            apart = _overlap(one.box, other.box) <= _MOST_OVERLAP
            if one.label != other.label and apart and not (ordered and one.shares(other, 0) > MOST_SHARED):
                yield PlannedEdit("exchanged", (one.box, other.box), one.label, other.label)


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(0.0, width) * max(0.0, height) / smaller if smaller > 0 else 0.0


def recolor_region(
    pixels: Pixels, box: Box, before: str, after: str, *, mask: NDArray[np.bool_] | None = None
) -> tuple[Pixels, float]:
    """Turn what has one colour inside a box to another; shading and texture stay.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        box: edges in pixels.
        before: colour word of what is there.
        after: colour word to turn it to.
        mask: which pixels belong to the thing, shape (H, W); all of the box if None.

    Returns:
        The picture, and the mean change of chroma over the pixels that were meant, in CIELAB units; 0 if there are
        too few of them to see.
    """
    hues = read_edit_lexicon().hues
    left, top, right, bottom = _inside(box, pixels)
    if right - left < _SMALLEST_PX or bottom - top < _SMALLEST_PX:
        return pixels, 0.0
    region = np.ascontiguousarray(pixels[top:bottom, left:right])
    hsv = cv2.cvtColor(region, cv2.COLOR_RGB2HSV).astype(np.int16)
    away = (hsv[..., 0] * 2 - hues[before] + _HALF_CIRCLE) % 360 - _HALF_CIRCLE
    colored = (hsv[..., 1] >= _LEAST_SATURATION) & (hsv[..., 2] >= _LEAST_VALUE)
    if mask is not None:
        colored &= mask[top:bottom, left:right]
    meant = colored & (np.abs(away) <= _HUE_SPREAD)
    if meant.mean() < _LEAST_SHARE or meant.sum() < _LEAST_OF_COLORED * colored.sum():
        return pixels, 0.0
    turned = hsv.copy()
    turned[..., 0] = ((hues[after] + away) % 360) // 2
    changed = cv2.cvtColor(turned.astype(np.uint8), cv2.COLOR_HSV2RGB)
    weight = cv2.GaussianBlur(meant.astype(np.float32), (0, 0), _FEATHER)[..., None]
    weight = np.where(meant[..., None], 1.0, weight * (hsv[..., 1:2] >= _LEAST_SATURATION // 2))
    mixed = np.rint(region * (1.0 - weight) + changed * weight).astype(np.uint8)
    result = pixels.copy()
    result[top:bottom, left:right] = mixed
    return result, _chroma_change(region, mixed, meant)


def within_box(pixels: Pixels, edited: Pixels, box: Box) -> tuple[Pixels, float]:
    """What an editor did inside a box, and the mean change of chroma there, in CIELAB units.

    Args:
        pixels: the picture before, uint8 RGB, shape (H, W, 3).
        edited: the picture after, same shape.
        box: edges in pixels.

    Raises:
        InferenceError: the shapes or types differ.
    """
    if edited.shape != pixels.shape or edited.dtype != np.uint8:
        raise InferenceError(f"the editor made {edited.shape} {edited.dtype} of {pixels.shape} uint8; keep the size")
    left, top, right, bottom = _inside(box, pixels)
    result = pixels.copy()
    if right <= left or bottom <= top:
        return result, 0.0
    result[top:bottom, left:right] = edited[top:bottom, left:right]
    inside = [np.ascontiguousarray(part[top:bottom, left:right]) for part in (pixels, result)]
    return result, _chroma_change(inside[0], inside[1], np.ones(inside[0].shape[:2], np.bool_))


def _chroma_change(before: Pixels, after: Pixels, where: NDArray[np.bool_]) -> float:
    lab = [cv2.cvtColor(part, cv2.COLOR_RGB2LAB).astype(np.float32)[..., 1:] for part in (before, after)]
    return float(np.linalg.norm(lab[1] - lab[0], axis=-1)[where].mean())


def exchange_regions(pixels: Pixels, one: Box, other: Box) -> Pixels:
    """Two boxes' contents in each other's place, each scaled into the other's box, proportions kept.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        one: edges in pixels.
        other: edges in pixels; the boxes should hardly overlap.
    """
    result = pixels.copy()
    first, second = _inside(one, pixels), _inside(other, pixels)
    for own, away in ((first, second), (second, first)):
        _fill(result, away, pixels[own[1] : own[3], own[0] : own[2]], _background(pixels, away))
    return result


def _background(pixels: Pixels, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The median colour of the frame around a box."""
    left, top, right, bottom = box
    around = pixels[max(0, top - 3) : bottom + 3, max(0, left - 3) : right + 3].astype(np.int16)
    inner = np.zeros(around.shape[:2], bool)
    inner[3:-3, 3:-3] = True
    return np.median(around[~inner], axis=0).astype(np.uint8)


def _fill(result: Pixels, box: tuple[int, int, int, int], content: Pixels, background: NDArray[np.uint8]) -> None:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if min(width, height, *content.shape[:2]) < 1:
        return
    scale = min(width / content.shape[1], height / content.shape[0])
    size = max(1, round(content.shape[1] * scale)), max(1, round(content.shape[0] * scale))
    scaled = cv2.resize(content, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    result[top:bottom, left:right] = background
    x, y = left + (width - size[0]) // 2, top + (height - size[1]) // 2
    result[y : y + size[1], x : x + size[0]] = scaled


def _inside(box: Box, pixels: Pixels) -> tuple[int, int, int, int]:
    height, width = pixels.shape[:2]
    left, top, right, bottom = (round(edge) for edge in box)
    return max(0, left), max(0, top), min(width, right), min(height, bottom)


def edited_picture(positive: Positive, plan: PlannedEdit, path: str, change: float) -> Negative:
    """The negative that an edited picture makes: the true text beside a false picture.

    Args:
        positive: the pair.
        plan: what was done.
        path: where the picture lies, relative to the lake.
        change: mean change of chroma by recolouring; 0 for an exchange.
    """
    return Negative(
        positive_id=positive.positive_id,
        image_id=positive.image_id,
        strategy=Strategy.ATTRIBUTE_SWAP,
        positive_text=positive.text,
        text=positive.text,
        media={
            "form": plan.form,
            "path": path,
            "boxes": [list(box) for box in plan.boxes],
            "before": plan.before,
            "after": plan.after,
            "change": round(change, 2),
        },
        provenance={"source": f"region {plan.form}"},
    )
