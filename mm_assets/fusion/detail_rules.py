# pyright: strict
"""What has to hold of a line beside its placeholders.

Its kind goes with its media, times run forward, and what a segment or a document says of itself goes with its content.
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from mm_assets.fusion.samples import DocumentDetails, FusionLine, Kind, SegmentDetails

_VISUAL_CODE: Final = "<IMG_TK_"
_MEDIA: Final = re.compile(r"<\|(image|audio|video)_start\|>.*?<\|\1_end\|>", re.DOTALL)
_NEEDS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "image_text": ("image",),
    "object": ("image",),
    "segment": ("audio", "video"),
}
_PLAIN: Final = ("text", "dialogue")


class _Segment(msgspec.Struct):
    segment: SegmentDetails | UnsetType = UNSET


class _Document(msgspec.Struct):
    document: DocumentDetails | UnsetType = UNSET


_SEGMENTS: Final = msgspec.json.Decoder(_Segment)
_DOCUMENTS: Final = msgspec.json.Decoder(_Document)


def find_kind_fault(line: FusionLine) -> str | None:
    """What is wrong with kind, modalities and times of a line; None if nothing is."""
    media = line.modalities
    if line.kind in _PLAIN:
        if media != ["text"] and ("image" in media or "audio" in media or "video" in media):
            return f"a sample of kind {line.kind} declares {', '.join(media)}; give it the kind of its media"
    elif line.kind in _NEEDS and not any(name in media for name in _NEEDS[line.kind]):
        return f"a sample of kind {line.kind} declares no {' or '.join(_NEEDS[line.kind])}; correct kind or modalities"
    for number, span in enumerate(line.times):
        if span.start_us >= span.end_us:
            return f"time {number} runs from {span.start_us} to {span.end_us}; write start_us < end_us"
    return None


def find_detail_fault(raw: bytes, line: FusionLine) -> str | None:
    """What is wrong with the details of a segment or a document, if its line has them; None if nothing is.

    Args:
        raw: the line, well-formed but for its details.
        line: the same, decoded; its placeholders are in order.
    """
    find = _FINDERS.get(line.kind)
    if find is None:
        return None
    try:
        return find(raw, line)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"{line.kind}: {error}; write it as the packer does"


def _find_segment_fault(raw: bytes, line: FusionLine) -> str | None:
    details = _SEGMENTS.decode(raw).segment
    if details is UNSET:
        return None
    if details.times != line.times:
        return "segment.times differ from times; write the same"
    for word in details.words:
        if word.start_us > word.end_us:
            return f"word {word.word[:40]!r} ends at {word.end_us}, before it starts at {word.start_us}; time it again"
    frames, codes = details.key_frames_us, line.content.count(_VISUAL_CODE)
    if any(late <= early for early, late in pairwise(frames)):
        return "segment.key_frames_us do not rise; sort the frames, each once"
    if bool(frames) != bool(codes) or (frames and codes % len(frames)):
        return f"{codes} visual placeholders do not go with {len(frames)} key frames; repack the sample"
    return None


def _find_document_fault(raw: bytes, line: FusionLine) -> str | None:
    details = _DOCUMENTS.decode(raw).document
    if details is UNSET:
        return None
    if details.pages[0] > details.pages[1]:
        return f"document.pages are {list(details.pages)}; write first and last page"
    media = [match.span() for match in _MEDIA.finditer(line.content)]
    for anchor in details.anchors:
        if anchor.span not in media:
            return f"figure {anchor.figure} names characters {list(anchor.span)}, which are no span; repack the sample"
        for start, end in (*anchor.referring, *([anchor.caption] if anchor.caption else [])):
            if not 0 <= start < end <= len(line.content) or any(start < high and low < end for low, high in media):
                return f"figure {anchor.figure} names characters {[start, end]}, which are no text; repack the sample"
    return None


_FINDERS: Final[Mapping[str, Callable[[bytes, FusionLine], str | None]]] = {
    "segment": _find_segment_fault,
    "document": _find_document_fault,
}
