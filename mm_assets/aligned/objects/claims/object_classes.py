# pyright: strict
"""What a noun phrase names: one of the 80 COCO classes, a label of the batch, something a detector knows, or neither.

The last words of a phrase decide, the longest known ending first. CHAIR's special cases follow from that: a hot dog is
no dog, a "baby elephant" and a "passenger train" name no person, "dog food" names no dog.

Source: Rohrbach et al. 2018, "Object Hallucination in Image Captioning".
"""

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from mm_assets.aligned.objects.anchoring.lexical import split_words, strip_measure, word_forms
from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon

_FILE: Final = Path(__file__).with_name("object_words.toml")
_IN_F: Final = frozenset(
    {
        "wolf",
        "leaf",
        "loaf",
        "shelf",
        "calf",
        "half",
        "knife",
        "wife",
        "life",
        "elf",
        "thief",
        "scarf",
        "hoof",
        "midwife",
    }
)
_IN_OE: Final = ("shoes", "toes", "canoes", "hoes", "oboes", "floes", "aloes", "foes", "does")
_SIBILANT_ES: Final = ("ches", "shes", "xes", "sses", "zes", "oes")
_WORDS_KEPT: Final = 16_384
_LIVING: Final = frozenset({"animal", "insect", "fish", "reptile", "amphibian", "mammal"})
_Words: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """What a phrase names.

    Attributes:
        name: canonical singular; synonyms share it.
        word: the words themselves, in the singular.
        coarse: COCO class it counts as; None if none.
        broader: names of what it is a kind of by its last words: "guitar" for an electric guitar.
        kinds: broader words that cover it: animal, fruit, vehicle.
        length: how many of the phrase's words name it; the words before only describe it.
        listed: whether a class, a label or a detector has it.
        homonym: whether the word often means something else.
    """

    name: str
    word: str
    coarse: str | None
    broader: frozenset[str]
    kinds: frozenset[str]
    length: int
    listed: bool
    homonym: bool


class _Compounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    names: str
    likenesses: str
    materials: str


class _Homonyms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: str
    colors: str


class _Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    chair: dict[str, str]
    more: dict[str, str]
    compounds: _Compounds
    homonyms: _Homonyms
    kinds: dict[str, str]
    narrower: dict[str, str]


@functools.cache
def _read_lists() -> _Lists:
    return msgspec.convert(tomllib.loads(_FILE.read_text(encoding="utf-8")), _Lists)


def _terms(text: str) -> list[str]:
    return [term for raw in text.split(",") if (term := " ".join(raw.split()))]


def chair_classes() -> dict[str, tuple[str, ...]]:
    """The 80 COCO classes and CHAIR's synonyms of each, as published.

    >>> classes = chair_classes()
    >>> len(classes), classes["refrigerator"]
    (80, ('fridge', 'freezer'))
    """
    return {name: tuple(_terms(words)) for name, words in _read_lists().chair.items()}


@functools.cache
def likeness_words() -> frozenset[str]:
    """Modifiers that make a likeness of any thing: toy, stuffed, model."""
    return frozenset(_terms(_read_lists().compounds.likenesses))


@functools.cache
def material_words() -> frozenset[str]:
    """Modifiers that make a likeness of what lives: a wooden horse is no horse, but a wooden bench is a bench."""
    return frozenset(_terms(_read_lists().compounds.materials))


@functools.cache
def color_nouns() -> frozenset[str]:
    """Objects whose name is a colour or a flavour, too."""
    return frozenset(_terms(_read_lists().homonyms.colors))


@functools.lru_cache(maxsize=_WORDS_KEPT)
def singular(word: str) -> str:
    """The likeliest singular of one word.

    >>> [singular(word) for word in ("knives", "buses", "glass", "horses", "cherries", "mantis", "geese")]
    ['knife', 'bus', 'glass', 'horse', 'cherry', 'mantis', 'goose']
    """
    lexicon = read_lexicon()
    if word in lexicon.irregular:
        return lexicon.irregular[word]
    if word.endswith(("is", "us", "ss")) or word in lexicon.paired:
        return word
    forms = sorted(word_forms(word) - {word})
    likely = (
        *(form for form in forms if (form,) in _class_words() or form in _IN_F),
        *(word[:-3] + "y" for _ in range(word.endswith("ies"))),
        *(word[:-1] for _ in range(word.endswith(_IN_OE))),
        *(word[:-2] for _ in range(word.endswith(_SIBILANT_ES))),
        word[:-1],
    )
    return next((form for form in likely if form in forms), word)


@functools.cache
def _class_words() -> Mapping[_Words, str]:
    """COCO class by the words that count as it; plurals are undone by the reader."""
    found: dict[_Words, str] = {}
    for lists in (_read_lists().more, _read_lists().chair):
        for name, words in lists.items():
            for term in (name, *_terms(words)):
                found[split_words(term)] = name
    return found


@functools.cache
def _canonical() -> Mapping[str, str]:
    """One name for all that mean the same: a class, else a word of the lists, else the shortest."""
    groups: list[set[str]] = []
    for terms in read_lexicon().synonyms:
        joined = set(terms).union(*(group for group in groups if group & terms))
        groups = [group for group in groups if not group & terms] + [joined]
    members = {member for words in _read_lists().kinds.values() for member in _terms(words)}

    def preference(term: str) -> tuple[bool, bool, bool, int, str]:
        known = split_words(term) in _class_words()
        return term not in _read_lists().chair, not known, term not in members, len(term), term

    return {term: min(group, key=preference) for group in groups for term in group}


@functools.cache
def _kinds() -> Mapping[str, frozenset[str]]:
    """By name of a member."""
    found: dict[str, set[str]] = {}
    for kind, members in _read_lists().kinds.items():
        for member in _terms(members):
            found.setdefault(_canonical().get(member, member), set()).add(kind)
    return {member: frozenset(kinds) for member, kinds in found.items()}


@functools.cache
def _wider() -> Mapping[str, frozenset[str]]:
    """By name of what is narrower in sense, whatever its last word."""
    found: dict[str, set[str]] = {}
    for wider, words in _read_lists().narrower.items():
        for word in _terms(words):
            found.setdefault(_canonical_name(split_words(word)), set()).add(_canonical_name(split_words(wider)))
    return {name: frozenset(names) for name, names in found.items()}


def is_animate(term: Term) -> bool:
    """Whether the thing lives, so that it sits or stands, and a wooden one is another thing."""
    return term.coarse == "person" or not _LIVING.isdisjoint({term.name, *term.kinds})


class ObjectWords:
    """The vocabulary captions are read with.

    Args:
        labels: labels of the batch; each is a name of its own.
        seen: what a detector can see; these are names, too.
    """

    def __init__(self, labels: Iterable[str] = (), seen: Iterable[str] = ()) -> None:
        lists = _read_lists()
        self._names: dict[_Words, str] = {}
        for words in _class_words():
            self._names[words] = _canonical_name(words)
        for text in _terms(lists.compounds.names):
            self._names.setdefault(split_words(text), _canonical_name(split_words(text)))
        for synonym in _canonical():
            self._names.setdefault(split_words(synonym), _canonical_name(split_words(synonym)))
        self._listed = {name for words, name in self._names.items() if words in _class_words()}
        self._compounds = frozenset(split_words(text) for text in _terms(lists.compounds.names))
        self._homonym_words = frozenset(split_words(text) for text in _terms(lists.homonyms.words))
        for text in (*labels, *seen):
            words = _plain(text)
            if words:
                self._names.setdefault(words, _canonical_name(words))
                self._listed.add(self._names[words])
        self._longest = max(len(words) for words in self._names)
        self.resolve = functools.lru_cache(_WORDS_KEPT)(self._find)
        self.labels: Mapping[str, Term] = {text: term for text in labels if (term := self.label(text)) is not None}

    def knows(self, term: Term) -> bool:
        """Whether the term is a class, a label, something a detector sees, or what covers a label."""
        return term.listed or term.name in self._broader_than_labels

    def is_label(self, name: str) -> bool:
        """Whether the batch annotates things of this name."""
        return name in self._label_names

    def covers_labels(self, name: str) -> bool:
        """Whether a name is broader than a label, or a class that some label counts as."""
        return name in self._broader_than_labels

    def is_label_word(self, word: str) -> bool:
        """Whether a label is spelled so."""
        return word in self._label_words

    @functools.cached_property
    def _label_words(self) -> frozenset[str]:
        return frozenset(term.word for term in self.labels.values())

    @functools.cached_property
    def _label_names(self) -> frozenset[str]:
        return frozenset(term.name for term in self.labels.values())

    @functools.cached_property
    def _broader_than_labels(self) -> frozenset[str]:
        found = {name for term in self.labels.values() for name in term.broader}
        return frozenset(found | {term.coarse for term in self.labels.values() if term.coarse is not None})

    def label(self, text: str) -> Term | None:
        """What a label names; None if it has no word."""
        words = _plain(text)
        return self.resolve(words) if words else None

    def _find(self, words: _Words) -> Term:
        """What a phrase names, by its longest known ending.

        Args:
            words: the phrase, lower case, its head last; at least one word.
        """
        ending = self._longest_ending(words)
        name = self._names.get(ending) or _canonical_name(ending)
        broader = set(_wider().get(name, ()))
        coarse = _coarse(ending)
        for start in range(1, len(ending)) if ending not in self._compounds else ():
            shorter = ending[start:]
            if coarse is not None and _coarse(shorter) not in {None, coarse}:
                continue
            broader.add(self._names.get(shorter) or _canonical_name(shorter))
            coarse = coarse or _coarse(shorter)
        kinds = _kinds().get(name, frozenset()) | _kinds().get(coarse or "", frozenset())
        for wider in broader:
            kinds |= _kinds().get(wider, frozenset())
        return Term(
            name=name,
            word=" ".join(ending),
            coarse=coarse,
            broader=frozenset(broader - {name}),
            kinds=kinds,
            length=len(ending),
            listed=name in self._listed or coarse is not None,
            homonym=ending in self._homonym_words,
        )

    def _longest_ending(self, words: _Words) -> _Words:
        for length in range(min(self._longest, len(words)), 0, -1):
            head = words[-1]
            for form in (singular(head), head, *sorted(word_forms(head))):
                ending = (*words[-length:-1], form)
                if ending in self._names:
                    return ending
        return (singular(words[-1]),)


def _coarse(words: _Words) -> str | None:
    return _class_words().get(words)


def _canonical_name(words: _Words) -> str:
    text = " ".join(words)
    return _canonical().get(text, text)


def _plain(text: str) -> _Words:
    """A label's words in the singular, without colours and measures."""
    words = split_words(text)
    if not words:
        return ()
    words = strip_measure(words)
    colors = read_lexicon().colors
    kept = tuple(word for word in words[:-1] if word not in colors)
    return (*kept, singular(words[-1]))
