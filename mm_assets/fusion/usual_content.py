"""Reads the usual content without parsing it: one image in front of plain text, or plain text."""

import itertools
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
        self._codes = vocabulary.image_codes
        names = [f"<IMG_TK_{code}>".encode() for code in range(self._codes)]
        self._pieces = np.array([*names, IMAGE_START.encode(), IMAGE_END.encode()])
        self._lengths = np.array([len(name) for name in names], dtype=np.int64)

    def spell(self, codes: NDArray[np.int64]) -> list[str]:
        """Spans of N images.

        Args:
            codes: shape (N, T).

        Returns:
            A span each; nothing for an image with a code outside the vocabulary, and for all if T is 0.
        """
        count, width = codes.shape
        if not codes.size:
            return [""] * count
        known = (codes.min(axis=1) >= 0) & (codes.max(axis=1) < self._codes)
        if not known.all():
            spans = iter(self.spell(codes[known]))
            return [next(spans) if one else "" for one in known.tolist()]
        pieces = np.empty((count, width + 2), np.int64)
        pieces[:, 0], pieces[:, 1:-1], pieces[:, -1] = self._codes, codes, self._codes + 1
        # cells are as wide as the longest piece, filled up with zeros, which no piece holds
        spelled = self._pieces.take(pieces).tobytes().translate(None, b"\0").decode("ascii")
        ends = np.cumsum(self._lengths.take(codes).sum(axis=1) + len(IMAGE_START) + len(IMAGE_END)).tolist()
        return [spelled[start:end] for start, end in itertools.pairwise([0, *ends])]

    def places(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Start and end of each placeholder of N images in front of a content: shape (N, T, 2)."""
        places = np.zeros((*codes.shape, 2), np.int64)
        if len(self._lengths):
            lengths = self._lengths.take(codes, mode="clip")
            np.cumsum(lengths, axis=-1, out=places[..., 1])
            places[..., 1] += len(IMAGE_START)
            np.subtract(places[..., 1], lengths, out=places[..., 0])
        return places

    @staticmethod
    def text_behind(content: str, span: str) -> tuple[str, bool] | None:
        """The text behind a span, without box tags, and whether it has any.

        Returns:
            None unless content is proven to be the span and plain text.
        """
        if not span or not content.startswith(span):
            return None
        behind = content[len(span) :]
        tagged = BOX_START in behind
        plain = strip_tags(behind) if tagged else behind
        return (plain.removeprefix(" "), tagged) if plain is not None and proves_plain(plain) else None
