# pyright: strict
"""The word lists of ``lexicon.toml``, read once."""

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from mm_assets.hard_negatives.negatives import EditKind

_FILE: Final = Path(__file__).with_name("lexicon.toml")


class _Alike(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sets: list[str]


class _Colors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hues: dict[str, int]
    exchange: list[str]


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: str


class _Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alike: _Alike
    colors: _Colors
    materials: _Words
    pairs: dict[str, list[str]]
    numbers: _Words
    visible_states: _Words


@dataclass(frozen=True)
class EditLexicon:
    """Words that edits exchange, lower case.

    Attributes:
        alike_sets: by word, the sets of look-alikes it belongs to.
        hues: degrees on the colour circle.
        color_pairs: colours that may stand for each, never taken for it.
        materials: words for what a thing is made of.
        opposites: by spelling, what excludes it, and what the pair is about.
        numbers: number words, from two.
        visible_states: adjectives whose opposites in a net of words a picture shows, too.
    """

    alike_sets: Mapping[str, frozenset[int]]
    hues: Mapping[str, int]
    color_pairs: Mapping[str, tuple[str, ...]]
    materials: tuple[str, ...]
    opposites: Mapping[str, tuple[tuple[str, EditKind], ...]]
    numbers: tuple[str, ...]
    visible_states: frozenset[str]

    def alike(self, one: Sequence[str], other: Sequence[str]) -> bool:
        """Whether pictures may show two names alike."""
        none = frozenset[int]()
        mine = none.union(*(self.alike_sets.get(word, none) for word in one))
        return any(mine & self.alike_sets.get(word, none) for word in other)


@functools.cache
def read_edit_lexicon() -> EditLexicon:
    """The lists, indexed."""
    lists = msgspec.convert(tomllib.loads(_FILE.read_text(encoding="utf-8")), _Lists)
    alike: dict[str, set[int]] = {}
    for place, words in enumerate(lists.alike.sets):
        for word in words.split():
            alike.setdefault(word, set()).add(place)
    colors: dict[str, list[str]] = {}
    for pair in lists.colors.exchange:
        first, second = pair.split()
        colors.setdefault(first, []).append(second)
    opposites: dict[str, list[tuple[str, EditKind]]] = {}
    for kind, pairs in lists.pairs.items():
        for pair in pairs:
            first, second = pair.split("|") if "|" in pair else pair.split()
            opposites.setdefault(first, []).append((second, EditKind(kind)))
            opposites.setdefault(second, []).append((first, EditKind(kind)))
    return EditLexicon(
        alike_sets={word: frozenset(places) for word, places in alike.items()},
        hues=lists.colors.hues,
        color_pairs={color: tuple(others) for color, others in colors.items()},
        materials=tuple(lists.materials.words.split()),
        opposites={word: tuple(found) for word, found in opposites.items()},
        numbers=tuple(lists.numbers.words.split()),
        visible_states=frozenset(lists.visible_states.words.split()),
    )
