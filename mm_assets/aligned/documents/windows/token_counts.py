# pyright: strict
"""Counters of tokens: an estimate that needs no model, and the count of a tokenizer file."""

import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from mm_assets.errors import WeightsMissingError

_PIECES: Final = re.compile(r" ?[^\W\d_]+|\d{1,3}| ?[^\s\w]+|_+|\s+")
_WORD: Final = re.compile(r" ?[^\W\d_]+")
_MARKS: Final = re.compile(r" ?[^\s\w]+|_+")
_REMEMBERED_PIECES: Final = 65_536  # some 10 MB
_SHORT_LETTERS: Final = 4
_PER_LETTER: Final = 0.12
_PER_BYTE: Final = 0.42
_PER_MARK: Final = 0.6


class EstimatedTokens:
    """An estimate of what a byte-level BPE tokenizer of a large model would count; it is not a tokenizer.

    Texts are split as such tokenizers split them. A word of up to four letters is a token, each letter beyond adds
    0.12; letters outside ASCII count 0.42 a byte, up to three digits one token, marks 0.6 each. The figures were read
    off the multilingual tokenizer of Whisper on English handbooks and come within a few per cent there; other
    languages and code are farther off. Where the exact count matters, use `TokenizerTokens` with the model's own file.

    >>> EstimatedTokens().count(["A duck on a pond.", ""])
    [6, 0]
    """

    @property
    def identity(self) -> str:
        """Name and version."""
        return "estimated-tokens@1"

    def count(self, texts: Sequence[str]) -> list[int]:
        """Estimated tokens of each text."""
        return [_estimate(text) for text in texts]


class TokenizerTokens:
    """Tokens as a ``tokenizer.json`` counts them, without special tokens.

    Args:
        path: the file.

    Raises:
        WeightsMissingError: there is no such file, or it is no tokenizer.
    """

    def __init__(self, path: Path) -> None:
        try:
            encoded = path.read_bytes()
            self._tokenizer: Any = Tokenizer.from_buffer(encoded)  # pyright: ignore[reportUnknownMemberType] - untyped
        except (OSError, ValueError) as error:
            raise WeightsMissingError(f"tokenizer {path}: {error}; name a tokenizer.json of the model") from error
        self._identity = f"tokenizer@{hashlib.sha256(encoded).hexdigest()}"

    @property
    def identity(self) -> str:
        """Hash of the file."""
        return self._identity

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]


class _Costs(dict[str, float]):
    """Tokens of pieces seen before; texts repeat few."""

    def __missing__(self, piece: str) -> float:
        if len(self) >= _REMEMBERED_PIECES:
            self.clear()
        cost = self[piece] = _cost(piece)
        return cost


_COSTS: Final = _Costs()


def _estimate(text: str) -> int:
    return math.ceil(sum(map(_COSTS.__getitem__, _PIECES.findall(text))) - 1e-9)


def _cost(piece: str) -> float:
    if _WORD.fullmatch(piece):
        if piece.isascii():
            return 1.0 + _PER_LETTER * max(0, len(piece) - piece.startswith(" ") - _SHORT_LETTERS)
        return max(1.0, _PER_BYTE * len(piece.encode("utf-8", "surrogatepass")))
    if _MARKS.fullmatch(piece):
        return 0.4 + _PER_MARK * len(piece.strip())
    return 1.0 + 0.7 * (piece.isdecimal() and len(piece) > 2)  # noqa: PLR2004 - three digits are often two tokens
