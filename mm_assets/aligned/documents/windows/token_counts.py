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

_PIECES: Final = re.compile(r"( ?[^\W\d_]+)|(\d{1,3})|( ?[^\s\w]+|_+)|(\s+)")
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


def _estimate(text: str) -> int:
    total = 0.0
    for word, digits, marks, _space in _PIECES.findall(text):
        if word:
            letters = len(word) - (word[0] == " ")
            total += (
                1.0 + _PER_LETTER * max(0, letters - _SHORT_LETTERS)
                if word.isascii()
                else max(1.0, _PER_BYTE * len(word.encode("utf-8", "surrogatepass")))
            )
        elif marks:
            total += 0.4 + _PER_MARK * len(marks.strip())
        else:
            total += 1.0 + 0.7 * (len(digits) > 2)  # noqa: PLR2004 - three digits are often two tokens
    return math.ceil(total - 1e-9)
