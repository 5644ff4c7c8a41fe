"""Boxes in text: ``A <box>duck</box> on a pond`` and a list of boxes that point at what stands between the tags.

One pair of tags may stand for several boxes ("two <box>ducks</box>"), and every pair stands for at least one. Tags do
not nest. Offsets count characters of the whole content, media spans included: ``content[start:end]`` is the phrase.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from mm_assets.errors import FormatError
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.placeholders import IMAGE_END, parse_content, proves_plain
from mm_assets.fusion.samples import Box

BOX_START: Final = "<box>"
BOX_END: Final = "</box>"
_SENTINEL_END: Final = "|>"
_BOXED: Final = re.compile(f"{BOX_START}(.*?){BOX_END}", re.DOTALL)
_DECODER: Final = msgspec.json.Decoder(list[Box])


def find_boxed(content: str) -> list[tuple[int, int]]:
    """Places between the tags of well-formed content, in order.

    >>> find_boxed("A <box>duck</box> and a <box>mug</box>")
    [(7, 11), (29, 32)]
    """
    return [match.span(1) for match in _BOXED.finditer(content)]


def strip_tags(content: str) -> str | None:
    """The content without its box tags, if they lie behind every image and are paired, and hide no placeholder.

    Proves that taking the stripped content apart says all there is to say about the rest. None where in doubt.

    >>> strip_tags("A <box>duck</box>"), strip_tags("A <box>duck"), strip_tags("<box>IMG_TK</box>_3")
    ('A duck', None, None)
    >>> strip_tags("<box><b</box>ox>") is None
    True
    """
    last = content.rfind(_SENTINEL_END)
    head = 0 if last < 0 else last + len(_SENTINEL_END)
    first, *others = content[head:].split(BOX_START)
    segments = [first]
    for piece in others:
        phrase, tag, behind = piece.partition(BOX_END)
        if not tag:
            return None
        segments += [phrase, behind]
    bare = "".join(segments)
    joins_to_a_tag = BOX_START in bare or BOX_END in bare
    if BOX_START in content[:head] or joins_to_a_tag or not proves_plain(" ".join(segments)):
        return None
    return content[:head] + bare


def decode_boxes(boxes_json: str | None) -> list[Box]:
    """Boxes of a row of ``fusion_samples``; none for null."""
    return [] if boxes_json is None else _DECODER.decode(boxes_json)


def check_boxes(content: str, boxes: Sequence[Box], *, tags_required: bool) -> dict[LintCode, str]:
    """What is wrong with the boxes of content whose tags are paired.

    Args:
        content: the content.
        boxes: its boxes.
        tags_required: whether boxes need tags even where the content has none.

    Returns:
        Message per code: ``INVALID_BOX`` for corners or offsets that cannot be, ``BOX_MISMATCH`` where tags and boxes
        do not go together.
    """
    if not boxes and BOX_START not in content:
        return {}
    faults: dict[LintCode, str] = {}
    for number, box in enumerate(boxes):
        x1, y1, x2, y2 = box.xyxy
        start, end = box.phrase
        if not (0 <= x1 < x2 < np.inf and 0 <= y1 < y2 < np.inf):
            faults.setdefault(
                LintCode.INVALID_BOX, f"box {number} has corners {list(box.xyxy)}; write x1 < x2, y1 < y2 in pixels"
            )
        if not 0 <= start < end <= len(content):
            message = f"box {number} names characters {start} to {end} of {len(content)}; point at its phrase"
            faults.setdefault(LintCode.INVALID_BOX, message)
    boxed = find_boxed(content)
    if not boxed and not tags_required:
        return faults
    named = {box.phrase for box in boxes}
    bare, astray = [span for span in boxed if span not in named], sorted(named.difference(boxed))
    if bare:
        seen = content[slice(*bare[0])][:40]
        faults[LintCode.BOX_MISMATCH] = (
            f"<box> at character {bare[0][0]} ({seen!r}) has no box; add it or drop the tags"
        )
    elif astray:
        seen = content[slice(*astray[0])][:40]
        message = (
            f"a box names characters {list(astray[0])} ({seen!r}), which stand between no tags; correct the offsets"
        )
        faults[LintCode.BOX_MISMATCH] = message
    return faults


class AnchoredText(NamedTuple):
    """Text behind an image, and its boxes with offsets into that text.

    Attributes:
        text: without media and box tags.
        boxes: in their order.
    """

    text: str
    boxes: list[Box]


def read_anchored_text(content: str, boxes: Sequence[Box]) -> AnchoredText:
    """Take the content of an object sample apart: the caption as it was, and where its phrases stand in it.

    Raises:
        FormatError: the content breaks the syntax, or its boxes do not go with its tags.

    >>> box = Box((46, 50), (0.0, 0.0, 9.0, 9.0))
    >>> read_anchored_text("<|image_start|><IMG_TK_3><|image_end|> A <box>duck</box>.", [box])
    AnchoredText(text='A duck.', boxes=[Box(phrase=(2, 6), xyxy=(0.0, 0.0, 9.0, 9.0))])
    """
    text = parse_content(content).text
    faults = check_boxes(content, boxes, tags_required=True)
    if faults:
        raise FormatError("; ".join(f"{code}: {message}" for code, message in faults.items()))
    head = content.rfind(IMAGE_END)
    offset = 0 if head < 0 else head + len(IMAGE_END) + content.startswith(" ", head + len(IMAGE_END))
    places = {
        span: place * len(BOX_START + BOX_END) + len(BOX_START) + offset
        for place, span in enumerate(find_boxed(content))
    }
    moved = [Box((box.phrase[0] - places[box.phrase], box.phrase[1] - places[box.phrase]), box.xyxy) for box in boxes]
    return AnchoredText(text, moved)
