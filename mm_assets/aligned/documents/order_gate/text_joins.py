# pyright: strict
"""Joins between words that no sentence has: what is left where lines of two columns alternate."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# Words that open a noun phrase, and words that cannot follow them. Only joins of these are counted.
_OPENER_WORDS: Final = (
    "the a an their its our your my his her these those every "  # English
    "der die das den dem des ein eine einen einem einer eines "  # German
    "le la les un une des du ces cette cet "  # French
    "el los las una unos unas o os as um uma il lo gli i"  # Spanish, Portuguese, Italian
)
_NEVER_AFTER_WORDS: Final = (
    "the a an of and or is are was were be been to in on at by for with from that which has have had it they "
    "der die das und oder ist sind war waren von mit für auf bei zu nach wurde wird "
    "et ou est sont était dans avec pour sur par qui que "
    "y es son fue en con por para que e é são foi no na com sono di che nel"
)
_OPENERS: Final = frozenset(_OPENER_WORDS.split())
_NEVER_AFTER: Final = frozenset(_NEVER_AFTER_WORDS.split())
_WORD: Final = re.compile(r"[^\W\d_]+|[.!?;:,()\"“”]")
_TERMINAL: Final = re.compile(r"[^\W\d_]{3,}[.!?]\s+(?=[^\W\d_])")
_HYPHEN: Final = re.compile(r"[^\W\d_]{2,}-\s+(?=[^\W\d_])")


@dataclass(frozen=True)
class Joins:
    """Joins that could be told, and those among them that no sentence has."""

    told: int = 0
    broken: int = 0

    def __add__(self, other: "Joins") -> "Joins":
        return Joins(self.told + other.told, self.broken + other.broken)


def count_joins(text: str) -> Joins:
    """Count joins: behind the end of a sentence, and behind a word that opens a noun phrase.

    >>> count_joins("He took the boat. The river ran past the mill.")
    Joins(told=3, broken=0)
    >>> count_joins("He took the of a mill. and then boat")
    Joins(told=3, broken=2)
    """
    told = broken = 0
    for found in _TERMINAL.finditer(text):
        told += 1
        broken += text[found.end()].islower()
    words = _WORD.findall(text)
    for word, after in pairwise(words):
        if word in _OPENERS and after[0].isalpha():
            told += 1
            broken += after in _NEVER_AFTER
    return Joins(told, broken)
