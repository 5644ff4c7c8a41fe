# pyright: strict
"""Whether a text layer says what stands on its page: the layer against words recognised from the pixels."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from mm_assets.documents.pages import Page
from mm_assets.policy import DocumentRecognitionPolicy

_LETTERS: Final = re.compile(r"[^\W_]+")
_DIGITS: Final = 8
_WHOLE: Final = 16**_DIGITS
_GRAM: Final = 3


def is_sampled(document_id: str, page: Page, policy: DocumentRecognitionPolicy) -> bool:
    """Whether a page is compared: drawn by the hash of its name, so that every run draws the same."""
    if page.text_from != "layer" or len(page.words.texts) < policy.min_sampled_words:
        return False
    digest = hashlib.sha256(f"{document_id}#{page.number}".encode()).hexdigest()
    return int(digest[:_DIGITS], 16) < policy.sample_share * _WHOLE


def disagreement(layer: Iterable[str], read: Iterable[str]) -> float:
    """Share of the letters that two readings of a page do not share, 0 to 1.

    Compared are runs of three letters without blanks, whatever their order: recognition joins words that stand close.

    >>> disagreement(["The", "old", "mill"], ["Theold", "mill"])
    0.0
    >>> round(disagreement(["The", "old", "mill"], ["Qgb", "lzx", "pvwo"]), 2)
    1.0
    """
    one, other = _grams(layer), _grams(read)
    total = one.total() + other.total()
    return 1.0 - 2.0 * (one & other).total() / total if total else 0.0


def _grams(words: Iterable[str]) -> Counter[str]:
    text = "".join("".join(_LETTERS.findall(word)) for word in words).casefold()
    return Counter(text[place : place + _GRAM] for place in range(max(len(text) - _GRAM + 1, 0)))
