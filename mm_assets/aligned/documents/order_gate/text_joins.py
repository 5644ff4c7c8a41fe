# pyright: strict
"""Joins between words that no sentence has: what is left where lines of two columns alternate."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# By language, words that open a noun phrase, and words that cannot follow them: "la que" is a phrase. Only joins of
# these count. The English "a" opens none: in manuals it is a variable as often ("the value of a is").
_RULES: Final = {
    "en": (
        "the an their its our your my his her every",
        "the a an of and or is are was were be been to in on at by for with from that which has have had it they",
    ),
    "de": ("einen einem eines", "und oder ist sind war waren von mit für auf bei zu nach wurde wird der die das"),
    "fr": ("le la les un une des du ces cette cet", "le la les un une et ou est sont était dans avec pour sur par qui"),
    "es": ("el la los las un una unos unas", "el los las y es son fue en con por para"),
    "pt": ("os um uma uns umas", "os um uma e é são foi no na com por para"),
    "it": ("il lo gli un una", "il lo gli un una e è sono di con per nel"),
}
_WORDS: Final = {
    language: (frozenset(openers.split()), frozenset(never.split())) for language, (openers, never) in _RULES.items()
}
_WORD: Final = re.compile(r"[^\W\d_]+|[.!?;:,()\"“”]")
_TERMINAL: Final = re.compile(r"[^\W\d_]{3,}[.!?]\s+(?=[^\W\d_])")
_NAME: Final = re.compile(r"\w+?(?:[A-Z0-9_/(=]|\.\w|:/)")  # of a variable, a function, an address: these stay small


@dataclass(frozen=True)
class Joins:
    """Joins that could be told, and those among them that no sentence has."""

    told: int = 0
    broken: int = 0

    def __add__(self, other: "Joins") -> "Joins":
        return Joins(self.told + other.told, self.broken + other.broken)


def count_joins(text: str, language: str | None = "en") -> Joins:
    """Count joins: behind the end of a sentence and, in the languages known here, behind what opens a noun phrase.

    >>> count_joins("He took the boat. The river ran past the mill.")
    Joins(told=3, broken=0)
    >>> count_joins("He took the of a mill. and then boat")
    Joins(told=2, broken=2)
    >>> count_joins("It is told. maxIters is a bound. https://a.org is not. but this")
    Joins(told=1, broken=1)
    """
    told = broken = 0
    for found in _TERMINAL.finditer(text):
        is_small = text[found.end()].islower()
        if is_small and _NAME.match(text, found.end()):
            continue
        told += 1
        broken += is_small
    openers, never_after = _WORDS.get(language or "", (frozenset[str](), frozenset[str]()))
    for word, after in pairwise(_WORD.findall(text)):
        if word in openers and after[0].isalpha():
            told += 1
            broken += after in never_after
    return Joins(told, broken)
