# pyright: strict
"""Whether a text layer says what stands on its page: the layer against words recognised from the pixels."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.documents.pages import Page, Words
from mm_assets.policy import DocumentRecognitionPolicy

_LETTERS: Final = re.compile(r"[^\W_]+")
_DIGITS: Final = 8
_WHOLE: Final = 16**_DIGITS
_GRAM: Final = 3


def is_sampled(document_id: str, page: Page, policy: DocumentRecognitionPolicy) -> bool:
    """Whether a page is compared: drawn by the hash of its name, so that every run draws the same."""
    if page.text_from != "layer" or len(page.words.texts) < policy.min_sampled_words:
        return False
    return _drawn(f"{document_id}#{page.number}") < policy.sample_share


def sampled_band(name: str, words: Words, policy: DocumentRecognitionPolicy) -> tuple[float, float]:
    """The part of a page that is compared: a band across it, drawn by the hash of the page's name.

    Reading a whole page costs five times as much, and what a wrong layer gets wrong it gets wrong everywhere.

    Args:
        name: of the page.
        words: of its text layer, at least one.
        policy: how many words the band holds.

    Returns:
        Its upper and lower edge in the page's unit.
    """
    down = words.boxes[np.argsort(words.boxes[:, 1], kind="stable")]
    first = int(_drawn(name) * (max(len(down) - policy.words_of_band, 0) + 1))
    chosen = down[first : first + policy.words_of_band]
    return float(chosen[:, 1].min()), float(chosen[:, 3].max())


def within(band: tuple[float, float], boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes, (N, 4), have their middle in a band."""
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    return (middles >= band[0]) & (middles <= band[1])


def _drawn(name: str) -> float:
    """A number from 0 to below 1, the same for a name on every machine."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:_DIGITS], 16) / _WHOLE


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
