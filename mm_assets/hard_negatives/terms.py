# pyright: strict
"""How two things that captions name relate: the same, one a kind of the other, plainly apart, or nobody knows.

Only ``APART`` makes a replacement false. A net of words is silent where it should warn (it does not know that a doe
is a deer), so that a mention in the other's definition, a shared last word and the pairs of ``lexicon.toml`` count as
possibly the same.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mm_assets.aligned.objects.claims.object_classes import ObjectWords, Term, singular
from mm_assets.hard_negatives.interfaces import Sense, WordNet
from mm_assets.hard_negatives.lexicon import read_edit_lexicon
from mm_assets.hard_negatives.negatives import EditKind

CONCRETE: Final = frozenset({"animal", "artifact", "food", "plant", "object", "body", "person", "substance"})
_WORD: Final = re.compile(r"[a-z]+")
_SENSES: Final = 4
_LONGEST_NAME: Final = 3
_NAMES_KEPT: Final = 50_000


class Kinship(StrEnum):
    """How the first of two things relates to the second."""

    SAME = "same"
    BROADER = "broader"
    NARROWER = "narrower"
    POSSIBLY_SAME = "possibly_same"
    APART = "apart"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Name:
    """A thing as a caption names it.

    Attributes:
        words: its words, the last in the singular.
        known: how many of the last words the net knows as one noun; 0 if none.
        senses: their concrete meanings, the commonest first.
    """

    words: tuple[str, ...]
    known: int
    senses: tuple[Sense, ...]

    @property
    def category(self) -> str:
        """Broad class of the commonest meaning; empty if it is unknown."""
        return self.senses[0].category if self.senses else ""

    @property
    def path(self) -> tuple[str, ...]:
        """Keys from the root of the net down to the commonest meaning."""
        return self.senses[0].path if self.senses else ()


class TermRelations:
    """Compares names.

    Args:
        net: a net of words.
        words: vocabulary of the batch's labels.
    """

    def __init__(self, net: WordNet, words: ObjectWords | None = None) -> None:
        self._net = net
        self.words = words or ObjectWords()
        self.name = functools.lru_cache(_NAMES_KEPT)(self._name)
        self.compare = functools.lru_cache(_NAMES_KEPT)(self._compare)
        self.opposites = functools.lru_cache(_NAMES_KEPT)(self._opposites)

    def _name(self, words: tuple[str, ...]) -> Name:
        """What a phrase names, from its words without article and number."""
        lower = tuple(word.lower() for word in words)
        spelled = (*lower[:-1], singular(lower[-1]))
        for last in (spelled[-1], lower[-1]):
            for length in range(min(_LONGEST_NAME, len(lower)), 0, -1):
                tail = (*lower[len(lower) - length : -1], last)
                senses = self._concrete(" ".join(tail))
                if senses:
                    return Name((*lower[:-1], last), length, senses)
        return Name(spelled, 0, ())

    def _concrete(self, term: str) -> tuple[Sense, ...]:
        """The concrete meanings of a noun whose commonest is one, or one of its two commonest."""
        senses = self._net.nouns(term)[:_SENSES]
        if not any(sense.category in CONCRETE for sense in senses[:2]):
            return ()
        concrete = [sense for sense in senses if sense.category in CONCRETE]
        return tuple(sorted(concrete, key=lambda sense: sense.category == "person"))  # a mug is no person first

    def _compare(self, one: tuple[str, ...], other: tuple[str, ...]) -> Kinship:
        """How what the first words name relates to what the second name."""
        first, second = self.name(one), self.name(other)
        if first.words == second.words:
            return Kinship.SAME
        mine, theirs = self.words.resolve(first.words), self.words.resolve(second.words)
        found = _in_net(first.senses, second.senses) or _in_lists(mine, theirs)
        if found is not None:
            return found
        if _may_be_same(first, second):
            return Kinship.POSSIBLY_SAME
        return Kinship.APART if first.senses and second.senses else Kinship.UNKNOWN

    def _opposites(self, word: str) -> tuple[tuple[str, EditKind], ...]:
        """What excludes a word or several, and what that is about: from the lexicon, else among its visible states."""
        lexicon = read_edit_lexicon()
        if word not in lexicon.visible_states or word in lexicon.opposites:
            return lexicon.opposites.get(word, ())
        shown = sorted(lexicon.visible_states.intersection(self._net.antonyms(word)))
        return tuple((other, EditKind.ATTRIBUTE) for other in shown)

    def is_false_of(self, name: tuple[str, ...], true: Iterable[tuple[str, ...]]) -> Kinship:
        """How a name relates to what is true of a picture: APART only if it is apart from all of it.

        Args:
            name: words of the name.
            true: words of everything known to be there.
        """
        worst = Kinship.APART
        for known in true:
            found = self.compare(name, known)
            if found is Kinship.UNKNOWN:
                worst = found
            elif found is not Kinship.APART:
                return found
        return worst


def _in_net(first: Sequence[Sense], second: Sequence[Sense]) -> Kinship | None:
    for one in first:
        for other in second:
            if one.key == other.key:
                return Kinship.SAME
            if one.key in other.broader:
                return Kinship.BROADER
            if other.key in one.broader:
                return Kinship.NARROWER
    return None


def _in_lists(one: Term, other: Term) -> Kinship | None:
    if one.name == other.name:
        return Kinship.SAME
    if one.name in other.broader or one.name in other.kinds or one.name == other.coarse:
        return Kinship.BROADER
    if other.name in one.broader or other.name in one.kinds or other.name == one.coarse:
        return Kinship.NARROWER
    return None


def _may_be_same(one: Name, other: Name) -> bool:
    """A shared last word, a definition that uses the other word, or look-alikes."""
    return (
        one.words[-1] == other.words[-1]
        or _mentions(one, other)
        or _mentions(other, one)
        or read_edit_lexicon().alike(one.words, other.words)
    )


def _mentions(one: Name, other: Name) -> bool:
    """Whether a definition of one uses the last word of the other: a drake is "an adult male … duck"."""
    head = other.words[-1]
    return any(head in _words_of(sense.gloss) for sense in one.senses)


@functools.lru_cache(_NAMES_KEPT)
def _words_of(gloss: str) -> frozenset[str]:
    return frozenset(singular(word) for word in _WORD.findall(gloss.lower()))


def closeness(one: Name, other: Name) -> int:
    """Steps that two names share on the way down from the root; more is closer.

    Names of different categories share none.
    """
    if not one.path or not other.path or one.category != other.category:
        return 0
    shared = 0
    for mine, theirs in zip(one.path, other.path, strict=False):
        if mine != theirs:
            break
        shared += 1
    return shared
