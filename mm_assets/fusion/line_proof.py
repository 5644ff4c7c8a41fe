"""Proves the usual line clean at little cost; what it cannot prove goes to the exact rules.

The usual line is plain text, or one image in front of plain text. For an image the span is rendered anew from the
stored codes and compared with the content, which proves spelling, vocabulary, count and codes at once.
"""

from operator import itemgetter
from typing import Final

import msgspec

from mm_assets.fusion.placeholders import IMAGE_END, IMAGE_START, Vocabulary, proves_plain
from mm_assets.fusion.samples import FusionLine
from mm_assets.fusion.shard_index import Shard, ShardIndex, UnresolvedReferenceError

_HEAD: Final = IMAGE_START + "<IMG_TK_"
_BETWEEN: Final = "><IMG_TK_"
_TAIL: Final = ">" + IMAGE_END
_TEXT_ONLY: Final = (["text"],)
_WITH_IMAGE: Final = (["image", "text"], ["image"], ["text", "image"])


class LineProof:
    """Proves lines of one release clean.

    Args:
        vocabulary: the release's vocabulary.
        placeholder_version: version of the syntax the lines must declare.
        visual: shards behind ``visual_features_path``.
    """

    def __init__(self, vocabulary: Vocabulary, placeholder_version: str, visual: ShardIndex) -> None:
        self._version = placeholder_version
        self._visual = visual
        self._code_of = {str(code): code for code in range(vocabulary.image_codes)}
        self._placeholders = [f"<IMG_TK_{code}>" for code in range(vocabulary.image_codes)]
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
        content, reference = line.content, line.visual_features_path
        if line.audio_features_path is not None or line.placeholder_version != self._version:
            return None
        if reference is None:
            plain = line.modalities in _TEXT_ONLY and proves_plain(content)
        else:
            plain = line.modalities in _WITH_IMAGE and self._is_image_and_text(content, reference)
        return line.id if plain else None

    def image_codes(self, content: str) -> list[int] | None:
        """The codes of one well-formed image in front of plain text (none for plain text); None if in doubt."""
        if not content.startswith(_HEAD):
            return [] if proves_plain(content) else None
        end = content.find(_TAIL)
        if end < 0 or not proves_plain(content[end + len(_TAIL) :]):
            return None
        code_of = self._code_of
        try:
            return [code_of[code] for code in content[len(_HEAD) : end].split(_BETWEEN)]
        except KeyError:
            return None

    def _is_image_and_text(self, content: str, reference: str) -> bool:
        path, _, digits = reference.partition("#")
        try:
            row = int(digits)
            shard = self._visual.shard(path)
        except (ValueError, UnresolvedReferenceError):
            return False
        if not 0 <= row < shard.rows or str(row) != digits:
            return False
        if shard.codes is None:
            codes = self.image_codes(content)
            return codes is not None and len(codes) == shard.vectors > 0
        block = self._render(shard, row)
        return block is not None and content.startswith(block) and proves_plain(content[len(block) :])

    def _render(self, shard: Shard, row: int) -> str | None:
        low, high = shard.code_range
        if shard.codes is None or low < 0 or high >= len(self._placeholders) or not shard.vectors:
            return None
        codes: list[int] = shard.codes[row].tolist()
        return f"{IMAGE_START}{''.join(itemgetter(*codes)(self._placeholders))}{IMAGE_END}"
