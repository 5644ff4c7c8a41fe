"""Proves the usual line clean at little cost; what it cannot prove goes to the exact rules.

The usual line is plain text, or an image, or a video and a sound, in front of plain text, with or without boxes. Spans
are rendered anew from the stored codes and compared with the content, which proves spelling, vocabulary, count and
codes at once.
"""

from operator import itemgetter
from typing import Final

import msgspec

from mm_assets.fusion.box_markup import check_boxes, strip_tags
from mm_assets.fusion.detail_rules import find_detail_fault, find_kind_fault
from mm_assets.fusion.negative_texts import find_negative_fault
from mm_assets.fusion.placeholders import CODE_NAMES, SENTINELS, Modality, Vocabulary, proves_plain
from mm_assets.fusion.samples import FusionLine
from mm_assets.fusion.shard_index import Shard, ShardIndex, UnresolvedReferenceError
from mm_assets.fusion.usual_content import UsualContent

_REMEMBERED_BLOCKS: Final = 16_384  # rendered spans kept for further captions of the same images: some 15 MB
_TEXT_ONLY: Final = (["text"],)
_WITH_IMAGE: Final = (["image", "text"], ["text", "image"])
_OF_SEGMENTS: Final = {
    ("audio", "text"): (False, True),
    ("text", "video"): (True, False),
    ("audio", "text", "video"): (True, True),
}
"""Whether each combination of a segment has a video and a sound."""


class LineProof:
    """Proves lines of one release clean.

    Args:
        vocabulary: the release's vocabulary.
        placeholder_version: version of the syntax the lines must declare.
        visual: shards behind ``visual_features_path``.
        audio: shards behind ``audio_features_path``; without them no sound is proven.
    """

    def __init__(
        self, vocabulary: Vocabulary, placeholder_version: str, visual: ShardIndex, audio: ShardIndex | None = None
    ) -> None:
        self._version = placeholder_version
        self._visual = visual
        self._audio = audio
        self._blocks = dict[str, str]()
        self._usual = UsualContent(vocabulary)
        self._placeholders = {
            medium: [f"<{name}_{code}>" for code in range(vocabulary.size(medium))]
            for medium, name in CODE_NAMES.items()
        }
        self._decode = msgspec.json.Decoder(FusionLine).decode

    def proven_id(self, raw: bytes) -> str | None:
        """The id of a line that is proven clean; None if the exact rules have to look."""
        try:
            line = self._decode(raw)
            if not raw.isascii():
                raw.decode("utf-8")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if b"\\" in raw and (b"\\u00" in raw or b"\\/" in raw):
            return None
        if line.placeholder_version != self._version:
            return None
        content = _without_boxes(line) if line.boxes else line.content
        proven = content is not None and self._is_proven(content, line)
        proven = proven and find_negative_fault(line.content, line.negatives) is None
        proven = proven and find_kind_fault(line) is None and find_detail_fault(raw, line) is None
        return line.id if proven else None

    def _is_proven(self, content: str, line: FusionLine) -> bool:
        reference = line.visual_features_path
        if line.audio_features_path is not None or (reference is not None and "video" in line.modalities):
            return self._is_segment(content, line)
        if reference is None:
            return line.modalities in _TEXT_ONLY and proves_plain(content)
        if line.modalities not in _WITH_IMAGE:
            return False
        block = self._blocks.get(reference) or self._render_image(reference)
        if block is None:
            codes = self._usual.image_codes(content)
            return codes is not None and len(codes) == self._vectors_without_codes(reference)
        return content.startswith(block) and proves_plain(content[len(block) :])

    def _is_segment(self, content: str, line: FusionLine) -> bool:
        """Whether the content is a video, a sound or both, as its modalities and references say, and plain text."""
        video, audio = line.visual_features_path, line.audio_features_path
        if _OF_SEGMENTS.get(tuple(line.modalities)) != (video is not None, audio is not None):
            return False
        blocks = [
            self._render(shards, reference, medium)
            for shards, reference, medium in (
                (self._visual, video, Modality.VIDEO),
                (self._audio, audio, Modality.AUDIO),
            )
            if reference is not None
        ]
        head = "".join(block or "" for block in blocks)
        return all(blocks) and content.startswith(head) and proves_plain(content[len(head) :])

    def _render_image(self, reference: str) -> str | None:
        block = self._render(self._visual, reference, Modality.IMAGE)
        if block is not None and len(self._blocks) < _REMEMBERED_BLOCKS:
            self._blocks[reference] = block
        return block

    def _render(self, shards: ShardIndex | None, reference: str, medium: Modality) -> str | None:
        """The span that the stored codes of a reference spell; None if there are none, or not of this vocabulary."""
        shard, row = _resolve(shards, reference)
        if shard is None or shard.codes_of is None or not shard.vectors:
            return None
        placeholders = self._placeholders[medium]
        low, high = shard.code_range
        if low < 0 or high >= len(placeholders):
            return None
        spelled = itemgetter(*shard.codes_of(row))(placeholders)
        start, end = SENTINELS[medium]
        return f"{start}{''.join(spelled)}{end}"

    def _vectors_without_codes(self, reference: str) -> int:
        """Feature rows of a reference into a release without codes; 0 if there are codes, or no such row."""
        shard, _ = _resolve(self._visual, reference)
        return 0 if shard is None or shard.codes_of is not None else shard.vectors


def _resolve(shards: ShardIndex | None, reference: str) -> tuple[Shard | None, int]:
    path, _, digits = reference.partition("#")
    try:
        row = int(digits)
        shard = None if shards is None else shards.shard(path)
    except (ValueError, UnresolvedReferenceError):
        return None, 0
    return (shard, row) if shard is not None and 0 <= row < shard.rows and str(row) == digits else (None, 0)


def _without_boxes(line: FusionLine) -> str | None:
    """The content without its tags; None if tags and boxes do not go together, or in doubt."""
    stripped = strip_tags(line.content)
    if stripped is None or check_boxes(line.content, line.boxes, tags_required=True):
        return None
    return stripped
