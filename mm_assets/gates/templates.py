# pyright: strict
"""How many captions of a batch say nothing about their own picture.

A caption is *templated* if most of its word pairs also stand in many other captions of the batch: one sentence on many
pictures, or one sentence with a slot. Digits count as one digit, so that numbered copies are copies. Words are split at
white space; a text without white space is one word and only templated if it is repeated as a whole.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mm_assets.gates.recall_input import caption_key

BOILERPLATE_SHARE: Final = 0.6
"""Share of a caption's word pairs that must be common ones; plain captions of one style reach a third."""
_NUMBERS: Final = re.compile(r"\d+")
_SHOWN: Final = 3


@dataclass(frozen=True)
class Templates:
    """How templated a batch is.

    Attributes:
        templated: for each caption, whether it is.
        share: share of templated captions, 0 to 1.
        distinct: distinct sentences.
        examples: the most frequent templated sentences with their counts.
    """

    templated: tuple[bool, ...]
    share: float
    distinct: int
    examples: tuple[tuple[str, int], ...]


def find_templates(texts: Sequence[str], *, min_images: int, min_share: float) -> Templates:
    """Count captions made from a template.

    Args:
        texts: one caption per picture, at least one.
        min_images: pictures on which a word pair must stand to be common,
        min_share: and the share of the batch's pictures.

    >>> find_templates(["A green light."] * 9 + ["Two dogs run."], min_images=5, min_share=0.05).share
    0.9
    """
    keys = [caption_key(text) for text in texts]
    sentences = Counter(keys)
    shingles = [_split_pairs(key) for key in keys]
    spread = Counter(pair for pairs in shingles for pair in pairs)
    needed = max(float(min_images), min_share * len(texts))
    templated = tuple(
        sum(spread[pair] >= needed for pair in pairs) >= BOILERPLATE_SHARE * len(pairs) for pairs in shingles
    )
    chosen = Counter(key for key, is_templated in zip(keys, templated, strict=True) if is_templated)
    return Templates(
        templated=templated,
        share=sum(templated) / len(texts),
        distinct=len(sentences),
        examples=tuple(chosen.most_common(_SHOWN)),
    )


def _split_pairs(key: str) -> frozenset[tuple[str, ...]]:
    words = _NUMBERS.sub("0", key).split()
    return frozenset(pairwise(words)) if len(words) > 1 else frozenset({tuple(words)})
