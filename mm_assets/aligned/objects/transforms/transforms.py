"""Geometric augmentations that keep picture, boxes, captions and orientation metadata true together.

What a transform would make false refuses it: nothing is changed by halves. Mirrors exchange the sides a caption names,
never touch medical pictures and never mirror writing; turns refuse captions that speak of heights; crops refuse
captions that speak of places in the frame or of objects that would be cut away.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mm_assets.aligned.objects.boxes.geometry import (
    HALF_TURN,
    Crop,
    Floats,
    HorizontalFlip,
    Pixels,
    Resize,
    Transform,
    Turn,
    VerticalFlip,
    move_picture,
)
from mm_assets.aligned.objects.orientation.patient_orientation import OrientationError, is_medical, turn_orientation
from mm_assets.aligned.objects.transforms.side_rules import Sense
from mm_assets.aligned.objects.transforms.sides import (
    SidesError,
    SwappedText,
    find_frame_words,
    find_heights,
    swap_sides,
)
from mm_assets.errors import ContractError, CrossModalCode, InputError
from mm_assets.policy import ObjectPolicy


class TransformRefusedError(InputError):
    """A transform would make a record false; the record is fine as it is."""


@dataclass(frozen=True)
class Phrase:
    """A stretch of a caption that names a box: first character, character after it, row of the box."""

    start: int
    end: int
    box: int


@dataclass(frozen=True)
class PictureCaption:
    """A caption, its language (ISO 639-1; None is taken for English) and its anchored phrases."""

    text: str
    language: str | None = "en"
    phrases: tuple[Phrase, ...] = ()


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture and everything that is said of it.

    Attributes:
        pixels: uint8 RGB, shape (H, W, 3).
        boxes: float64, shape (N, 4), ``x1 y1 x2 y2`` in its pixels.
        labels: N labels, None for a box without one.
        captions: what it is said to show.
        orientation: declared orientation metadata, if any.
        medical: whether it is known to be medical; orientation metadata says so too.
    """

    pixels: Pixels
    boxes: Floats
    labels: tuple[str | None, ...]
    captions: tuple[PictureCaption, ...] = ()
    orientation: Mapping[str, Any] | None = None
    medical: bool = False


@dataclass(frozen=True, eq=False)
class TransformedPicture:
    """What a transform made.

    Attributes:
        picture: the new picture, its boxes in the order of the old.
        kept: int64, shape (M,), rows of the old boxes that are left; fewer than before only after a crop.
    """

    picture: LabelledPicture
    kept: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _TextRule:
    """What a transform does to captions: senses it swaps, senses it leaves true, and other words it cannot bear."""

    swapped: frozenset[Sense] = frozenset()
    kept: frozenset[Sense] = frozenset(Sense)
    heights: bool = False
    frame: bool = False
    any_language: bool = False


_IDIOM: Final = frozenset({Sense.IDIOM})
_UNTURNED: Final = frozenset({Sense.BODY, Sense.IDIOM, Sense.CHIRAL, Sense.WRITING})
_HORIZONTAL: Final = _TextRule(frozenset({Sense.SCENE, Sense.BODY, Sense.DIRECTION}), _IDIOM)
_VERTICAL: Final = _TextRule(frozenset({Sense.BODY}), frozenset({Sense.SCENE, Sense.IDIOM}), heights=True)
_UPSIDE_DOWN: Final = _TextRule(frozenset({Sense.SCENE}), _UNTURNED, heights=True)
_SIDEWAYS: Final = _TextRule(kept=_UNTURNED, heights=True)
_CROPPED: Final = _TextRule(frame=True)
_RESIZED: Final = _TextRule(any_language=True)


def transform_picture(picture: LabelledPicture, transform: Transform, policy: ObjectPolicy) -> TransformedPicture:
    """Apply one transform to picture, boxes, captions and orientation, or to none of them.

    Args:
        picture: the picture; it is not changed.
        transform: what to do.
        policy: how much of a box a crop must leave.

    Raises:
        TransformRefusedError: code ``ERR_CROSS_MDL_MIRROR`` (a medical picture would be mirrored), ``SIDE_WORDS``,
            ``HEIGHT_WORDS``, ``FRAME_WORDS``, ``CAPTION_LANGUAGE`` (a caption that cannot be followed; the message
            names the words), ``LOST_OBJECT`` (a crop cuts away what a caption names) or ``ORIENTATION``.
        ContractError: the crop does not lie inside the picture, or boxes, labels and phrases disagree.
    """
    _check(picture, transform)
    orientation = _follow_orientation(picture, transform)
    captions = tuple(_follow_caption(caption, transform) for caption in picture.captions)
    labels = tuple(None if label is None else _follow_sides(label, transform).text for label in picture.labels)
    pixels, boxes, kept = move_picture(picture.pixels, picture.boxes, transform, policy.min_visible_share)
    captions = _keep_phrases(picture, captions, kept)
    moved = replace(
        picture,
        pixels=pixels,
        boxes=boxes,
        labels=tuple(labels[row] for row in kept.tolist()),
        captions=captions,
        orientation=orientation,
    )
    return TransformedPicture(moved, kept)


def _check(picture: LabelledPicture, transform: Transform) -> None:
    height, width = picture.pixels.shape[:2]
    rows = len(picture.labels)
    if picture.boxes.shape != (rows, 4):
        raise ContractError(f"{rows} labels for boxes of shape {picture.boxes.shape}; pass one label per box")
    if any(not 0 <= phrase.box < rows for caption in picture.captions for phrase in caption.phrases):
        raise ContractError(f"a phrase names a box that is not among the {rows}; pass rows of the boxes")
    low, high = picture.boxes[:, :2], picture.boxes[:, 2:]
    if not ((low >= 0.0) & (low < high) & (high <= (width, height))).all():
        raise ContractError(f"a box has no area inside a picture of {width} x {height} px; convert boxes first")
    if isinstance(transform, Crop):
        x1, y1, x2, y2 = transform.x1, transform.y1, transform.x2, transform.y2
        if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
            raise ContractError(f"{transform} does not lie inside a picture of {width} x {height} px")


def _follow_orientation(picture: LabelledPicture, transform: Transform) -> Mapping[str, Any] | None:
    orientation = picture.orientation
    medical = picture.medical or is_medical(orientation)
    if medical and isinstance(transform, HorizontalFlip | VerticalFlip):
        raise TransformRefusedError(
            CrossModalCode.MIRROR,
            f"a medical picture (orientation {orientation!r}) is never mirrored: left and right of the body would be "
            "exchanged; use transforms that keep its sides",
        )
    if orientation is None or not isinstance(transform, Turn):
        return orientation
    try:
        return turn_orientation(orientation, transform.degrees // 90)
    except OrientationError as error:
        raise TransformRefusedError(error.code, error.reason) from error


def _text_rule(transform: Transform) -> _TextRule:
    match transform:
        case HorizontalFlip():
            return _HORIZONTAL
        case VerticalFlip():
            return _VERTICAL
        case Turn():
            return _UPSIDE_DOWN if transform.degrees == HALF_TURN else _SIDEWAYS
        case Crop():
            return _CROPPED
        case Resize():
            return _RESIZED


def _follow_caption(caption: PictureCaption, transform: Transform) -> PictureCaption:
    rule = _text_rule(transform)
    if rule.any_language:
        return caption
    name = type(transform).__name__
    if caption.language not in {None, "en"}:
        raise TransformRefusedError(
            "CAPTION_LANGUAGE",
            f"{name}: caption {caption.text[:200]!r} is in {caption.language!r}, and sides are understood in English "
            "only; leave the picture as it is",
        )
    for code, words in (
        ("HEIGHT_WORDS", find_heights(caption.text) if rule.heights else []),
        ("FRAME_WORDS", find_frame_words(caption.text) if rule.frame else []),
    ):
        if words:
            raise TransformRefusedError(
                code, f"{name}: caption {caption.text[:200]!r} speaks of {', '.join(words)}; leave the picture as it is"
            )
    swapped = _follow_sides(caption.text, transform)
    phrases = tuple(
        Phrase(swapped.move_offset(phrase.start), swapped.move_offset(phrase.end), phrase.box)
        for phrase in caption.phrases
    )
    return replace(caption, text=swapped.text, phrases=phrases)


def _follow_sides(text: str, transform: Transform) -> SwappedText:
    rule = _text_rule(transform)
    try:
        return swap_sides(text, rule.swapped, rule.kept)
    except SidesError as error:
        raise TransformRefusedError(error.code, f"{type(transform).__name__}: {error.reason}") from error


def _keep_phrases(
    picture: LabelledPicture, captions: tuple[PictureCaption, ...], kept: npt.NDArray[np.int64]
) -> tuple[PictureCaption, ...]:
    """Phrases with the new rows of their boxes.

    Raises:
        TransformRefusedError: code ``LOST_OBJECT``: a caption names a box that is gone.
    """
    rows = {old: new for new, old in enumerate(kept.tolist())}
    lost = [row for row in range(len(picture.labels)) if row not in rows]
    for caption in captions:
        named = {caption.text[phrase.start : phrase.end] for phrase in caption.phrases if phrase.box not in rows}
        named |= {label for row in lost if (label := picture.labels[row]) and _names(caption.text, label)}
        if named:
            raise TransformRefusedError(
                "LOST_OBJECT",
                f"caption {caption.text[:200]!r} names {', '.join(sorted(named))}, which the crop cuts away; crop "
                "around it",
            )
    return tuple(
        replace(caption, phrases=tuple(replace(phrase, box=rows[phrase.box]) for phrase in caption.phrases))
        for caption in captions
    )


def _names(caption: str, label: str) -> bool:
    return re.search(rf"\b{re.escape(label)}(?:s|es)?\b", caption, re.IGNORECASE) is not None
