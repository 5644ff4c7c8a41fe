# pyright: strict
"""Content as the parts it was packed from: texts with the phrases that have boxes, and spans of codes.

`take_apart` and `put_together` are each other's inverse: what a packer wrote comes back part by part, and the same
parts give the same content and boxes, to the character.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from mm_assets.errors import ContractError, FormatError
from mm_assets.fusion.box_markup import BOX_END, BOX_START, check_boxes, find_boxed
from mm_assets.fusion.placeholders import (
    CODE_NAMES,
    SENTINELS,
    MediaSegment,
    Modality,
    contains_placeholder,
    parse_content,
)
from mm_assets.fusion.samples import Box

_BETWEEN: Final = " "

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Characters of a text that boxes show, and the corners x1 y1 x2 y2 of each box, pixels of the stored image."""

    start: int
    end: int
    boxes: tuple[Corners, ...]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text between spans.

    Attributes:
        text: without box tags.
        phrases: those with boxes, in order; they do not overlap.
        apart: whether a space that belongs to neither stands between it and the span before it.
    """

    text: str
    phrases: tuple[Phrase, ...] = ()
    apart: bool = False


@dataclass(frozen=True, slots=True)
class MediaPart:
    """A span: its medium and its codes, in order."""

    modality: Modality
    codes: tuple[int, ...]


Part = TextPart | MediaPart
_NOTHING_APART: Final[list[Part]] = [TextPart("", apart=True)]  # a space behind a span, and no text


class PackedContent(NamedTuple):
    """Content and the boxes that point into it."""

    content: str
    boxes: list[Box]


def take_apart(content: str, boxes: Sequence[Box] = ()) -> list[Part]:
    """The parts of content, in order.

    Raises:
        FormatError: the content breaks the syntax, or its boxes do not go with its tags.

    >>> box = Box((46, 50), (0.0, 0.0, 9.0, 9.0))
    >>> parts = take_apart("<|image_start|><IMG_TK_3><|image_end|> A <box>duck</box>.", [box])
    >>> [part.codes if isinstance(part, MediaPart) else part.text for part in parts]
    [(3,), 'A duck.']
    """
    faults = check_boxes(content, boxes, tags_required=True)
    parsed = parse_content(content)
    if faults:
        raise FormatError("; ".join(f"{code}: {message}" for code, message in faults.items()))
    corners = dict[tuple[int, int], list[Corners]]()
    for box in boxes:
        corners.setdefault(box.phrase, []).append(box.xyxy)
    parts: list[Part] = []
    position = 0
    for segment in parsed.segments:
        parts += _NOTHING_APART if position < segment.start else []
        position = segment.end
        if isinstance(segment, MediaSegment):
            parts.append(MediaPart(segment.modality, segment.codes))
            continue
        apart = segment.end - segment.start > len(segment.text)
        before = segment.start + apart
        phrases: list[Phrase] = []
        for start, end in find_boxed(segment.text):
            shift = len(phrases) * len(BOX_START + BOX_END) + len(BOX_START)
            own = corners[start + before, end + before]
            phrases.append(Phrase(start - shift, end - shift, tuple(own)))
        text = segment.text.replace(BOX_START, "").replace(BOX_END, "")
        parts.append(TextPart(text, tuple(phrases), apart))
    return parts + (_NOTHING_APART if position < len(content) else [])


def put_together(parts: Sequence[Part]) -> PackedContent:
    """Content and boxes of the parts; boxes in the order of their phrases.

    Raises:
        ContractError: texts follow each other, a text or a span is empty, phrases overlap, or a text holds what reads
            as a placeholder.

    >>> put_together([MediaPart(Modality.IMAGE, (3,)), TextPart("A duck.", apart=True)]).content
    '<|image_start|><IMG_TK_3><|image_end|> A duck.'
    """
    content = ""
    boxes: list[Box] = []
    for number, part in enumerate(parts):
        if isinstance(part, MediaPart):
            content += _span(part)
            continue
        behind_span = number > 0 and isinstance(parts[number - 1], MediaPart)
        _refuse_unless_packable(part, first=number == 0, behind_span=behind_span)
        content += _BETWEEN if part.apart else ""
        position = 0
        for phrase in part.phrases:
            content += part.text[position : phrase.start] + BOX_START
            place = (len(content), len(content) + phrase.end - phrase.start)
            content += part.text[phrase.start : phrase.end] + BOX_END
            boxes += [Box(place, corners) for corners in phrase.boxes]
            position = phrase.end
        content += part.text[position:]
    return PackedContent(content, boxes)


def _span(part: MediaPart) -> str:
    if not part.codes or min(part.codes) < 0:
        raise ContractError(f"codes {list(part.codes)[:5]}: a span holds at least one code, and none is negative")
    name, (start, end) = CODE_NAMES[part.modality], SENTINELS[part.modality]
    return f"{start}{''.join(f'<{name}_{code}>' for code in part.codes)}{end}"


def _refuse_unless_packable(part: TextPart, *, first: bool, behind_span: bool) -> None:
    if not (first or behind_span):
        raise ContractError(f"text {part.text[:40]!r} follows a text; join them")
    if part.apart and not behind_span:
        raise ContractError(f"text {part.text[:40]!r} stands apart from no span")
    swallowed = behind_span and not part.apart and part.text.startswith(_BETWEEN)
    if swallowed or not (part.text or part.apart):
        raise ContractError(f"text {part.text[:40]!r} would not come back; set it apart from the span before it")
    if contains_placeholder(part.text):
        raise ContractError(f"text {part.text[:40]!r} holds what reads as a placeholder; reword it")
    bounds = [0, *(edge for phrase in part.phrases for edge in (phrase.start, phrase.end)), len(part.text)]
    if any(late < early for early, late in pairwise(bounds)) or any(
        phrase.start == phrase.end or not phrase.boxes for phrase in part.phrases
    ):
        raise ContractError(f"phrases of {part.text[:40]!r} overlap, are empty or have no box; anchor them again")
