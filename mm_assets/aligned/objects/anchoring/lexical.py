# pyright: strict
"""How a declared label and a phrase agree in words alone.

==========  ===========================================================================================
``exact``   The same words: label "rubber duck", phrase "rubber duck".
``lemma``   The same but for number, spacing and words that say where: "rubber ducks", "left duck".
``head``    Their last words agree: "duck" and "rubber duck". Not "lion" and "sea lion".
``synonym`` Their longest known endings mean the same.
``kind``    One is a kind that the other belongs to: "bird" and "duck".
``none``    None of these.
==========  ===========================================================================================

Labels and phrases are compared as distinct strings, by joins on keys, so that cost grows with the vocabulary and not
with the boxes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

import polars as pl

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon

EXACT: Final = "exact"
LEMMA: Final = "lemma"
SYNONYM: Final = "synonym"
HEAD: Final = "head"
KIND: Final = "kind"
NONE: Final = "none"
RELATIONS: Final = (EXACT, LEMMA, HEAD, SYNONYM, KIND, NONE)
"""The first that holds counts."""
RELATION_WEIGHTS: Final[Mapping[str, float]] = {EXACT: 1.0, LEMMA: 1.0, SYNONYM: 0.9, HEAD: 0.8, KIND: 0.7}
"""Order of preference where a box may go to several phrases; only the differences count."""

RELATION_SCHEMA: Final = pl.Schema(
    {"label": pl.String, "phrase": pl.String, "relation": pl.Enum(RELATIONS), "colors_clash": pl.Boolean}
)
_KEYS: Final = (EXACT, LEMMA, HEAD, SYNONYM, KIND)
_SPLIT: Final = re.compile(r"[^\w]+|_+")
_BRACKETS: Final = re.compile(r"\([^)]*\)")
_SIBILANT_ES: Final = ("ses", "xes", "zes", "ches", "shes", "oes")
_SHORTEST_PLURAL: Final = 3
_LEXICON: Final = read_lexicon()
_Words: TypeAlias = tuple[str, ...]
_Senses: TypeAlias = AbstractSet[tuple[str, str]]


def split_words(text: str) -> _Words:
    """Lower-case words without punctuation.

    >>> split_words("Hot-air_balloon (big)")
    ('hot', 'air', 'balloon')
    """
    return tuple(word for word in _SPLIT.split(_BRACKETS.sub(" ", text).casefold()) if word)


def word_forms(word: str) -> frozenset[str]:
    """The word and what its singular may be. Two words agree if they share a form.

    >>> sorted(word_forms("boxes")), sorted(word_forms("glass")), sorted(word_forms("geese"))
    (['box', 'boxe', 'boxes'], ['glass'], ['geese', 'goose'])
    """
    forms = {word}
    if word in _LEXICON.irregular:
        forms.add(_LEXICON.irregular[word])
    if len(word) > _SHORTEST_PLURAL and word.endswith("s") and not word.endswith("ss"):
        forms.add(word[:-1])
        if word.endswith("ies"):
            forms.add(word[:-3] + "y")
        if word.endswith("ves"):
            forms |= {word[:-3] + "f", word[:-3] + "fe"}
        if word.endswith(_SIBILANT_ES):
            forms.add(word[:-2])
    return frozenset(forms)


class Synonyms:
    """Terms that mean the same, and classes with their members.

    Args:
        classes: name of a class and the terms of its members, such as the 80 COCO classes with CHAIR's words. A member
            agrees with the class, but not with another member.
    """

    def __init__(self, classes: Mapping[str, Sequence[str]] | None = None) -> None:
        self._senses: dict[_Words, set[tuple[str, str]]] = {}
        self._longest = 1
        for number, terms in enumerate(_LEXICON.synonyms):
            for term in terms:
                self._add(term, ("same", str(number)))
        for name, members in [*_LEXICON.kinds.items(), *(classes or {}).items()]:
            self._add(name, ("class", name))
            for member in members:
                if split_words(member) != split_words(name):
                    self._add(member, ("member", name))
        for terms in _LEXICON.synonyms:  # what belongs to a class does so by all its names
            shared = [sense for term in terms for sense in self._senses[split_words(term)] if sense[0] == "member"]
            for term in terms:
                self._senses[split_words(term)].update(shared)

    def _add(self, term: str, sense: tuple[str, str]) -> None:
        words = split_words(term)
        if words:
            self._senses.setdefault(words, set()).add(sense)
            self._longest = max(self._longest, len(words))

    def senses(self, words: _Words) -> tuple[int, frozenset[tuple[str, str]]]:
        """Length and senses of the longest known ending of some words; 0 and none if no ending is known."""
        last = word_forms(words[-1]) if words else ()
        for length in range(min(self._longest, len(words)), 0, -1):
            found: set[tuple[str, str]] = set()
            for form in last:
                found |= self._senses.get((*words[-length:-1], form), set())
            if found:
                return length, frozenset(found)
        return 0, frozenset()

    def head_forms(self, words: _Words) -> frozenset[str]:
        """Forms of the word, or of the closed compound, that says what the thing is.

        >>> sorted(Synonyms().head_forms(("big", "sea", "lions")))
        ['sealion', 'sealions']
        """
        *before, last = words
        forms = word_forms(last)
        if before:
            if any((before[-1], form) in _LEXICON.closed_compounds for form in forms):
                return frozenset(before[-1] + form for form in forms)
            length, senses = self.senses(words)
            _, of_last = self.senses((last,))
            if length > 1 and of_last and not meet(senses, of_last):
                return frozenset("".join(before[1 - length :]) + form for form in forms)
        return forms

    def classify(self, terms: Sequence[str]) -> pl.DataFrame:
        """Columns ``term`` and ``class``: the classes each term names or belongs to; no row for an unknown term."""
        rows = [
            (term, name)
            for term in terms
            for kind, name in sorted(self.senses(strip_complement(strip_measure(split_words(term))))[1])
            if kind != "same"
        ]
        return pl.DataFrame(rows, schema={"term": pl.String, "class": pl.String}, orient="row").unique(
            maintain_order=True
        )


def meet(some: _Senses, others: _Senses) -> bool:
    """Whether two terms share a synonym set, or one names the class of the other."""
    same = {sense for sense in some if sense[0] == "same"} & set(others)
    return bool(same) or not set(_offered(some)).isdisjoint(_sought(others))


def _offered(senses: _Senses) -> Iterator[str]:
    """Keys of a label: its classes as one that names them (^) or as one of their members (v)."""
    for kind, name in senses:
        if kind != "same":
            yield ("^" if kind == "class" else "v") + name


def _sought(senses: _Senses) -> Iterator[str]:
    """Keys of a phrase: it goes with a label that names its class, and one that names a class with all its members."""
    for kind, name in senses:
        if kind != "same":
            yield "^" + name
        if kind == "class":
            yield "v" + name


def relate_labels(labels: Sequence[str], phrases: pl.DataFrame, synonyms: Synonyms) -> pl.DataFrame:
    """Compare labels with phrases.

    Args:
        labels: distinct labels.
        phrases: distinct phrases, columns ``text`` and ``head`` (its lemma).
        synonyms: what counts as a synonym.

    Returns:
        Columns of `RELATION_SCHEMA`: one row per pair that agrees, with its best relation, sorted.
    """
    left = _terms(labels, [None] * len(labels), synonyms, "label")
    right = _terms(phrases["text"].to_list(), phrases["head"].to_list(), synonyms, "phrase")
    found: list[pl.DataFrame] = []
    for rank, key in enumerate(_KEYS):
        pairs = _keyed(left, "label", key).join(_keyed(right, "phrase", key), on=key)
        found.append(pairs.select("label", "phrase", rank=pl.lit(rank, pl.UInt32)))
    best = pl.concat(found).group_by("label", "phrase").agg(pl.col("rank").min())
    colored = best.join(left.select("label", of_label="colors"), on="label").join(
        right.select("phrase", of_phrase="colors"), on="phrase"
    )
    both = (pl.col("of_label") > 0) & (pl.col("of_phrase") > 0)
    return colored.select(
        "label",
        "phrase",
        relation=pl.col("rank").cat.to(pl.Enum(RELATIONS)),
        colors_clash=both & ((pl.col("of_label") & pl.col("of_phrase")) == 0),
    ).sort("label", "phrase")


def _terms(
    texts: Sequence[str],
    lemmas: Sequence[str | None],
    synonyms: Synonyms,
    name: str,
) -> pl.DataFrame:
    rows: list[tuple[str, list[str], list[str], list[str], list[str], list[str], int]] = []
    for text, lemma in zip(texts, lemmas, strict=True):
        words = split_words(text)
        if not words:
            continue
        whole = strip_measure(words)
        own = strip_complement(whole)
        _, senses = synonyms.senses(own)
        heads = synonyms.head_forms(own)
        if lemma is not None and word_forms(own[-1]) == heads:
            heads |= {lemma}
        rows.append(
            (
                text,
                [" ".join(words)],
                sorted(_joined(whole) | (_joined(_placeless(whole)) if lemma is not None else set())),
                sorted(number for kind, number in senses if kind == "same"),
                sorted(heads),
                sorted(_sought(senses) if lemma is not None else _offered(senses)),
                color_bits(own[:-1]),
            )
        )
    schema = {
        name: pl.String,
        "exact": pl.List(pl.String),
        "lemma": pl.List(pl.String),
        "synonym": pl.List(pl.String),
        "head": pl.List(pl.String),
        "kind": pl.List(pl.String),
        "colors": pl.Int32,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _keyed(terms: pl.DataFrame, name: str, key: str) -> pl.DataFrame:
    return terms.select(name, key).explode(key).drop_nulls()


def strip_measure(words: _Words) -> _Words:
    """Leave out what counts or sorts.

    >>> strip_measure(("pair", "of", "black", "binoculars")), strip_measure(("cup", "of", "tea"))
    (('black', 'binoculars'), ('cup', 'of', 'tea'))
    """
    if "of" not in words[1:-1]:
        return words
    place = words.index("of", 1)
    counted = word_forms(words[place - 1])
    return words if counted.isdisjoint(_LEXICON.measures) else words[place + 1 :]


def strip_complement(words: _Words) -> _Words:
    """Leave out what follows "of": of a cup of tea, "cup" says what the thing is.

    >>> strip_complement(("cup", "of", "tea"))
    ('cup',)
    """
    return words[: words.index("of", 1)] if "of" in words[1:-1] else words


def _placeless(words: _Words) -> _Words:
    return (*(word for word in words[:-1] if word not in _LEXICON.positional), words[-1])


def _joined(words: _Words) -> set[str]:
    before = "".join(words[:-1])
    return {before + form for form in word_forms(words[-1])}


def color_bits(words: Iterable[str]) -> int:
    """The colours among some words, one bit each; 0 for none."""
    bits = 0
    for word in words:
        bits |= _LEXICON.colors.get(word, 0)
    return bits
