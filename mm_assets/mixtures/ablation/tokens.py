# pyright: strict
"""Fusion samples as tokens of a compact vocabulary: bytes of text, box tags, sentinels and codes.

Text is read as UTF-8 bytes, so that no language and no script needs a vocabulary, and a loss is in nats per byte.
Codes lie behind the text tokens as a release declares them; the compact vocabulary only closes the gaps between.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.fusion.placeholders import MediaSegment, Modality, parse_content

TEXT, IMAGE, AUDIO, MARK = 0, 1, 2, 3
MODALITIES: Final = ("text", "image", "audio")
_BYTES: Final = 256
START: Final = _BYTES
END: Final = _BYTES + 1
_BOXES: Final = {"<box>": _BYTES + 2, "</box>": _BYTES + 3}
_FIRST_SENTINEL: Final = _BYTES + 4
_SENTINELS: Final = {
    medium: (_FIRST_SENTINEL + 2 * place, _FIRST_SENTINEL + 2 * place + 1) for place, medium in enumerate(Modality)
}
_FIRST_CODE: Final = _FIRST_SENTINEL + 2 * len(_SENTINELS)
_BOX_TAG: Final = re.compile("(</?box>)")


@dataclass(frozen=True)
class CompactVocabulary:
    """Bytes, marks, image codes and audio codes, without the gaps that a release's vocabulary leaves.

    Attributes:
        image_codes: image codes, 0 to image_codes - 1.
        audio_codes: audio codes.
    """

    image_codes: int
    audio_codes: int

    @property
    def size(self) -> int:
        """Number of tokens."""
        return _FIRST_CODE + self.image_codes + self.audio_codes

    def code_tokens(self, medium: Modality, codes: Sequence[int]) -> NDArray[np.int32]:
        """Tokens of codes of a medium."""
        offset = _FIRST_CODE + (self.image_codes if medium is Modality.AUDIO else 0)
        return np.asarray(codes, dtype=np.int32) + np.int32(offset)

    def modality_of(self, tokens: NDArray[np.int32]) -> NDArray[np.int8]:
        """Which of `MODALITIES` each token belongs to; box tags and the end mark are text, sentinels `MARK`."""
        behind_images = _FIRST_CODE + self.image_codes
        codes = np.where(tokens >= behind_images, AUDIO, IMAGE)
        return np.where(tokens >= _FIRST_CODE, codes, np.where(tokens >= _FIRST_SENTINEL, MARK, TEXT)).astype(np.int8)


def tokenize(content: str, vocabulary: CompactVocabulary, *, max_codes: int, max_tokens: int) -> NDArray[np.int32]:
    """Read a sample's content as tokens, a start mark before and an end mark behind.

    Args:
        content: content of a fusion sample.
        vocabulary: the tokens.
        max_codes: codes kept of a span; of a longer one that many, evenly spread.
        max_tokens: tokens kept of a sample, from its start.

    Returns:
        int32, shape (N,), N at least 2.

    Raises:
        FormatError: the content breaks the syntax.

    >>> tokenize("a<box>b</box>", CompactVocabulary(0, 0), max_codes=1, max_tokens=99).tolist()
    [256, 97, 258, 98, 259, 257]
    """
    pieces: list[NDArray[np.int32]] = [np.array([START], dtype=np.int32)]
    for segment in parse_content(content).segments:
        if isinstance(segment, MediaSegment):
            start, end = _SENTINELS[segment.modality]
            pieces.append(np.array([start], dtype=np.int32))
            pieces.append(vocabulary.code_tokens(segment.modality, _spread(segment.codes, max_codes)))
            pieces.append(np.array([end], dtype=np.int32))
        else:
            pieces += [_text_tokens(part) for part in _BOX_TAG.split(segment.text) if part]
    tokens = np.concatenate([*pieces, np.array([END], dtype=np.int32)])
    return tokens[:max_tokens]


def _text_tokens(part: str) -> NDArray[np.int32]:
    if part in _BOXES:
        return np.array([_BOXES[part]], dtype=np.int32)
    return np.frombuffer(part.encode(), dtype=np.uint8).astype(np.int32)


def _spread(codes: Sequence[int], at_most: int) -> Sequence[int]:
    if len(codes) <= at_most:
        return codes
    return [codes[place * len(codes) // at_most] for place in range(at_most)]
