# pyright: strict
"""The English of captions: the lists of ``caption_grammar.toml``, read once."""

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from mm_assets.aligned.objects.anchoring.lexical import word_forms
from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon

_FILE: Final = Path(__file__).with_name("caption_grammar.toml")


class Tag(StrEnum):
    """What a word does."""

    DETERMINER = "determiner"
    NUMBER = "number"
    QUALITY = "quality"
    NOUN = "noun"
    OWNER = "owner"
    PREPOSITION = "preposition"
    CONJUNCTION = "conjunction"
    PRONOUN = "pronoun"
    VERB = "verb"
    PARTICIPLE = "participle"
    AUXILIARY = "auxiliary"
    ADVERB = "adverb"
    NEGATION = "negation"
    COMMA = "comma"
    STOP = "stop"
    PLACE = "place"
    SIDE = "side"
    STATE = "state"
    LIKENESS = "likeness"
    GONE = "gone"
    ORDER = "order"
    QUOTE = "quote"


@dataclass(frozen=True, slots=True)
class Token:
    """A word or mark: its place in the caption, its lower-case spelling, what it does and what it stands for."""

    start: int
    end: int
    text: str
    tag: Tag
    value: str


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    determiners: str
    prepositions: str
    conjunctions: str
    pronouns: str
    auxiliaries: str
    adverbs: str
    not_adverbs: str
    verbs: str
    forms: str
    nouns_too: str
    not_participles: str
    not_ing: str
    adjectives: str
    vague: str
    numbers: str
    estimates: str
    containers: str
    portions: str
    groups: str
    kinds: str
    likenesses: str
    endless: str


class _Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: _Words
    phrases: dict[str, str]
    states: dict[str, str]
    exclusive: dict[str, str]
    scenes: dict[str, str]
    people: dict[str, str]


@dataclass(frozen=True)
class Grammar:
    """The lists of ``caption_grammar.toml``, as sets; see the file for what each holds."""

    lists: Mapping[str, frozenset[str]]
    numbers: Mapping[str, int]
    verb_forms: Mapping[str, str]
    idioms: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]]
    states: Mapping[str, str]
    exclusive: Mapping[frozenset[str], str]
    scenes: Mapping[str, str]
    people: Mapping[str, frozenset[str]]


@functools.cache
def read_grammar() -> Grammar:
    """Read the lists once."""
    raw = msgspec.convert(tomllib.loads(_FILE.read_text(encoding="utf-8")), _Lists)
    words = {name: frozenset(value.split()) for name, value in msgspec.structs.asdict(raw.words).items()}
    forms = dict(_pairs(raw.words.forms))
    return Grammar(
        lists=words,
        numbers={word: int(value) for word, value in _pairs(raw.words.numbers)},
        verb_forms={form: verb for verb in words["verbs"] for form in _inflect(verb)} | forms,
        idioms=_index_idioms(raw.phrases),
        states={form: state for state, forms in raw.states.items() for form in forms.split()},
        exclusive={frozenset(pair): degree for degree, pairs in raw.exclusive.items() for pair in _pairs(pairs)},
        scenes={word: scene for scene, words in raw.scenes.items() for word in words.split()},
        people={name: frozenset(value.split()) for name, value in raw.people.items()},
    )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for item in text.split():
        first, _, second = item.partition("-")
        yield first, second


def _inflect(verb: str) -> Iterator[str]:
    """The forms of a regular verb.

    >>> list(_inflect("park"))[:4], list(_inflect("wave"))[1:4], list(_inflect("hug"))[4:]
    (['park', 'parks', 'parking', 'parked'], ['waves', 'waving', 'waved'], ['hugging', 'hugged'])
    """
    yield verb
    if verb.endswith(("s", "x", "z", "ch", "sh")):
        yield verb + "es"
    elif verb.endswith("y") and verb[-2] not in "aeiou":
        yield verb[:-1] + "ies"
        yield verb[:-1] + "ied"
    else:
        yield verb + "s"
    stem = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
    yield stem + "ing"
    yield stem + "ed"
    if verb[-1] not in "aeiouwxy" and verb[-2] in "aeiou" and verb[-3:-2] not in tuple("aeiou"):
        yield verb + verb[-1] + "ing"
        yield verb + verb[-1] + "ed"


def _index_idioms(phrases: Mapping[str, str]) -> dict[str, tuple[tuple[tuple[str, ...], str], ...]]:
    """By first word, longest first."""
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for kind, spellings in phrases.items():
        for spelling in spellings.split("|"):
            words = tuple(spelling.split())
            if words:
                found.setdefault(words[0], []).append((words, kind))
    return {first: tuple(sorted(entries, key=lambda entry: -len(entry[0]))) for first, entries in found.items()}


def is_plural(word: str) -> bool:
    """Whether a noun is spelled as a plural.

    >>> is_plural("ducks"), is_plural("glass"), is_plural("children"), is_plural("scissors")
    (True, False, True, False)
    """
    lexicon = read_lexicon()
    if word in lexicon.irregular:
        return True
    if word.endswith(("is", "us")):
        return False
    return word not in lexicon.paired and word not in lexicon.nouns_in_s and len(word_forms(word)) > 1
