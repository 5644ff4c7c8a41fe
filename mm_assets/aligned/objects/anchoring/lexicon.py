# pyright: strict
"""The word lists of ``lexicon.toml``, read once."""

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

_FILE: Final = Path(__file__).with_name("lexicon.toml")


class _Nouns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    measures: str
    pairs: str
    paired: str
    in_ing: str
    in_s: str
    not_boxed: str
    irregular: str


class _Modifiers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    positional: str
    colors: str
    same_color: dict[str, str]
    owned_sides: str


class _Compounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    closed: list[str]


class _Synonyms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sets: list[str]


class _Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nouns: _Nouns
    modifiers: _Modifiers
    compounds: _Compounds
    synonyms: _Synonyms
    kinds: dict[str, str]


@dataclass(frozen=True)
class Lexicon:
    """Words that chunking and matching know, lower case.

    Attributes:
        measures: nouns before "of" that count or sort what follows.
        pairs: those of them that mean two.
        paired: plural words for one thing.
        nouns_in_ing: nouns that look like a verb in -ing behind another noun.
        nouns_in_s: singular nouns in -s that follow another noun.
        not_boxed: nouns that name nothing to draw a box around.
        irregular: singular of each plural that does not end in -s.
        positional: modifiers that say where or which.
        colors: every word for a colour, and the bit of that colour.
        owned_sides: nouns whose left and right belong to their owner.
        closed_compounds: pairs of words that are not a kind of what the second names.
        synonyms: sets of terms, words joined by a space.
        kinds: of each kind all terms that belong to it, words joined by a space.
    """

    measures: frozenset[str]
    pairs: frozenset[str]
    paired: frozenset[str]
    nouns_in_ing: frozenset[str]
    nouns_in_s: frozenset[str]
    not_boxed: frozenset[str]
    irregular: dict[str, str]
    positional: frozenset[str]
    colors: dict[str, int]
    owned_sides: frozenset[str]
    closed_compounds: frozenset[tuple[str, str]]
    synonyms: tuple[frozenset[str], ...]
    kinds: dict[str, frozenset[str]]


@functools.cache
def read_lexicon() -> Lexicon:
    """The lists as sets."""
    lists = msgspec.convert(tomllib.loads(_FILE.read_text(encoding="utf-8")), _Lists)
    colors = {color: 1 << bit for bit, color in enumerate(lists.modifiers.colors.split())}
    colors.update({word: colors[color] for word, color in lists.modifiers.same_color.items()})
    pairs = frozenset(lists.nouns.pairs.split())
    return Lexicon(
        measures=frozenset(lists.nouns.measures.split()) | pairs,
        pairs=pairs,
        paired=frozenset(lists.nouns.paired.split()),
        nouns_in_ing=frozenset(lists.nouns.in_ing.split()),
        nouns_in_s=frozenset(lists.nouns.in_s.split()),
        not_boxed=frozenset(lists.nouns.not_boxed.split()),
        irregular=dict(_two_words(line.replace("-", " ")) for line in lists.nouns.irregular.split()),
        positional=frozenset(lists.modifiers.positional.split()),
        colors=colors,
        owned_sides=frozenset(lists.modifiers.owned_sides.split()),
        closed_compounds=frozenset(_two_words(compound) for compound in lists.compounds.closed),
        synonyms=tuple(
            frozenset(term.replace("_", " ").replace("-", " ") for term in terms.split())
            for terms in lists.synonyms.sets
        ),
        kinds=_close_kinds(
            {
                kind.replace("_", " "): [term.replace("_", " ") for term in terms.split()]
                for kind, terms in lists.kinds.items()
            }
        ),
    )


def _close_kinds(kinds: dict[str, list[str]]) -> dict[str, frozenset[str]]:
    """All that belongs to a kind, directly or through another."""
    closed: dict[str, frozenset[str]] = {}
    for kind, members in kinds.items():
        found, waiting = set[str](), list(members)
        while waiting:
            term = waiting.pop()
            if term not in found:
                found.add(term)
                waiting += kinds.get(term, ())
        closed[kind] = frozenset(found - {kind})
    return closed


def _two_words(compound: str) -> tuple[str, str]:
    first, second = compound.split()
    return first, second
