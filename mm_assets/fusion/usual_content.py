"""Reads the usual content without parsing it: one image in front of plain text, or plain text."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.fusion.box_markup import BOX_START, strip_tags
from mm_assets.fusion.placeholders import IMAGE_END, IMAGE_START, Vocabulary, proves_plain

_HEAD: Final = f"{IMAGE_START}<IMG_TK_"
_BETWEEN: Final = "><IMG_TK_"
_TAIL: Final = f">{IMAGE_END}"


class UsualContent:
    """Looks every code up in a table of canonical spellings, which proves spelling and vocabulary at once.

    Args:
        vocabulary: the release's vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._code_of = {str(code): code for code in range(vocabulary.image_codes)}

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


class SpelledImages:
    """Spells the codes of images as content has to, to be compared with it.

    Args:
        vocabulary: the release's vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._names = [f"<IMG_TK_{code}>" for code in range(vocabulary.image_codes)]
        self._lengths = np.array([len(name) for name in self._names], dtype=np.int64)

    def spell(self, codes: NDArray[np.int64]) -> list[str]:
        """Spans of N images.

        Args:
            codes: shape (N, T).

        Returns:
            A span each; nothing for an image with a code outside the vocabulary, and for all if T is 0.
        """
        if not codes.size:
            return [""] * len(codes)
        inside = (codes.min(axis=1) >= 0) & (codes.max(axis=1) < len(self._names))
        name = self._names.__getitem__
        return [
            f"{IMAGE_START}{''.join(map(name, row))}{IMAGE_END}" if known else ""
            for row, known in zip(codes.tolist(), inside.tolist(), strict=True)
        ]

    def places(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Start and end of each placeholder of N images in front of a content: shape (N, T, 2)."""
        if not len(self._lengths):
            return np.zeros((*codes.shape, 2), np.int64)
        lengths = self._lengths[np.clip(codes, 0, len(self._lengths) - 1)]
        ends = len(IMAGE_START) + np.cumsum(lengths, axis=-1)
        return np.stack([ends - lengths, ends], axis=-1)

    @staticmethod
    def text_behind(content: str, span: str) -> str | None:
        """The text behind a span, without box tags; None unless content is proven to be the span and plain text."""
        if not span or not content.startswith(span):
            return None
        behind = content[len(span) :]
        plain = strip_tags(behind) if BOX_START in behind else behind
        return plain.removeprefix(" ") if plain is not None and proves_plain(plain) else None
