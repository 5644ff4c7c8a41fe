# pyright: strict
"""Noun phrases from part-of-speech tags.

A phrase is a run of describing words that ends in a run of nouns: ``(CD | JJ* | VBN | VBG)* (NN*)+`` in Penn Treebank
tags, as in Ramshaw and Marcus 1995. Tags are enough for captions, whose phrases are short and often stand in lists and
fragments that a full parse takes apart wrongly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.anchoring.phrases import Number, Phrase

_ADJECTIVES: Final = frozenset({"JJ", "JJR", "JJS"})
_PARTICIPLES: Final = frozenset({"VBN", "VBG"})
_FINITE_VERBS: Final = frozenset({"VB", "VBD", "VBP", "VBZ"})
_DETERMINERS: Final = frozenset({"DT", "PDT", "PRP$", "POS", "WDT", "WP$"})
_PLURAL_TAGS: Final = frozenset({"NNS", "NNPS"})
_ONE_OF: Final = frozenset({"a", "an", "one", "this", "that", "another"})
_DEFINITE: Final = frozenset({"the", "this", "that", "these", "those", "its", "their"})
_ALL_OF: Final = frozenset({"every", "each", "all", "both", "these", "those", "several", "many", "few"})
_NUMBERS: Final = {
    word: value
    for value, words in enumerate(
        ("one", "two both", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve dozen"),
        start=1,
    )
    for word in words.split()
}
_LEXICON: Final = read_lexicon()
_MAX_COUNT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text: place, spelling, Penn Treebank tag and lemma."""

    start: int
    text: str
    tag: str
    lemma: str

    @property
    def end(self) -> int:
        """Character after the word."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class _Run:
    """Tokens first to last (inclusive) of a phrase; what stands before them said how many or which."""

    first: int
    last: int
    determiner: str
    count: int | None


def chunk_phrases(tokens: Sequence[Token], text: str) -> list[Phrase]:
    """Find the noun phrases of one text.

    Args:
        tokens: its words in order.
        text: the text they stand in.

    Returns:
        Phrases in order, none overlapping.

    >>> words = [("A", "DT"), ("rubber", "NN"), ("duck", "NN"), ("on", "IN"), ("two", "CD"), ("ponds", "NNS")]
    >>> starts = [0, 2, 9, 14, 17, 21]
    >>> tokens = [Token(start, word, tag, word.rstrip("s")) for start, (word, tag) in zip(starts, words)]
    >>> [(phrase.text, phrase.head, phrase.count) for phrase in chunk_phrases(tokens, "A rubber duck on two ponds")]
    [('rubber duck', 'duck', None), ('ponds', 'pond', 2)]
    """
    runs = _find_runs(tokens)
    phrases: list[Phrase] = []
    place = 0
    while place < len(runs):
        run, measure = runs[place], None
        following = runs[place + 1] if place + 1 < len(runs) else None
        if following is not None and _measures(tokens, run, following):
            measure, run = run, following
            place += 1
        phrases.append(_phrase(tokens, run, measure, text))
        place += 1
    return phrases


def _find_runs(tokens: Sequence[Token]) -> list[_Run]:
    runs: list[_Run] = []
    place = 0
    while place < len(tokens):
        determiner, count, first = "", None, place
        while first < len(tokens) and (tokens[first].tag in _DETERMINERS or _is_count(tokens, first)):
            word = tokens[first].text.lower()
            if tokens[first].tag != "CD":
                determiner = word
            count = _count(word) or count
            first += 1
        last = _last_noun(tokens, first, determined=first > place)
        if last < 0:
            place = max(first, place + 1)
            continue
        trimmed = _without_verb(tokens, first, last, determiner, count)
        runs.append(_Run(first, trimmed, determiner, count))
        place = last + 1
    return runs


def _is_count(tokens: Sequence[Token], place: int) -> bool:
    following = tokens[place + 1].tag if place + 1 < len(tokens) else ""
    if tokens[place].text.lower() == "dozen":
        return following != "IN"
    return tokens[place].tag == "CD" and following != "HYPH"


def _count(word: str) -> int | None:
    if word.isdecimal():
        value = int(word[:5])
        return value if 0 < value <= _MAX_COUNT else None
    return _NUMBERS.get(word)


def _last_noun(tokens: Sequence[Token], first: int, *, determined: bool) -> int:
    """Place of the last noun of the run that starts at ``first``, or -1."""
    last, place = -1, first
    while place < len(tokens):
        if tokens[place].tag.startswith("NN") or (determined and _stands_for_noun(tokens, place, noun_seen=last >= 0)):
            last = place
        elif not _describes(tokens, place, first, determined=determined, noun_seen=last >= 0):
            break
        place += 1
    return last


def _tag(tokens: Sequence[Token], place: int) -> str:
    return tokens[place].tag if place < len(tokens) else ""


def _stands_for_noun(tokens: Sequence[Token], place: int, *, noun_seen: bool) -> bool:
    """Whether a word behind an article, with no noun yet, must be one whatever its tag: "a red rose/VBD lies"."""
    if tokens[place].tag == "FW":
        return True
    following = _tag(tokens, place + 1)
    ends = not following.startswith("NN") and following not in _ADJECTIVES | {"HYPH"}
    return tokens[place].tag in _FINITE_VERBS and not noun_seen and ends


def _describes(tokens: Sequence[Token], place: int, first: int, *, determined: bool, noun_seen: bool) -> bool:
    """Whether a word that is no noun goes on with the phrase that started at ``first``."""
    tag, previous, following = (
        tokens[place].tag,
        _tag(tokens, place - 1) if place > first else "",
        _tag(tokens, place + 1),
    )
    hyphenated = previous == "HYPH" or following == "HYPH"
    if tag in _ADJECTIVES:  # a single thing behind a noun and without an article can only be the same thing
        return not noun_seen or hyphenated or (determined and following in {"NN", "NNP"})
    if tag == "HYPH":
        return place > first
    if tag in _PARTICIPLES:
        return not noun_seen and (determined or place > first)
    if hyphenated and (determined or place > first):
        return not noun_seen
    return (tag == "CD" and following == "HYPH") or (not noun_seen and _joins_adjectives(tokens, place, first))


def _joins_adjectives(tokens: Sequence[Token], place: int, first: int) -> bool:
    """Whether "and" or a comma stands between two adjectives, as in "black and white cat"."""
    if place == first or place + 1 >= len(tokens):
        return False
    return tokens[place].text in {"and", ","} and {tokens[place - 1].tag, tokens[place + 1].tag} <= _ADJECTIVES


def _without_verb(tokens: Sequence[Token], first: int, last: int, determiner: str, count: int | None) -> int:
    """Step back from a verb or a place that was taken for a noun: "a cello leans", "duck swimming", "owl right"."""
    if last == first:
        return last
    head, before, word = tokens[last], tokens[last - 1], tokens[last].text.lower()
    if word in {"left", "right"} and before.tag.startswith("NN"):  # "an owl left, a fox right"
        return last - 1
    plural_head = head.tag in _PLURAL_TAGS
    if not before.tag.startswith("NN") and not (plural_head and before.tag == "JJ"):
        return last
    says_one = (determiner in _ONE_OF or count == 1) and before.tag not in _PLURAL_TAGS
    in_s = word.endswith("s") and not word.endswith(("ss", "us", "is"))
    if says_one and in_s and word not in _LEXICON.paired | _LEXICON.nouns_in_s:
        return last - 1
    if word.endswith("ing") and word not in _LEXICON.nouns_in_ing and not plural_head:
        return last - 1
    return last


def _measures(tokens: Sequence[Token], run: _Run, following: _Run) -> bool:
    """Whether the first run counts or sorts the second: "pair of binoculars"."""
    if tokens[run.last].lemma.lower() not in _LEXICON.measures or following.determiner or following.count:
        return False
    return following.first == run.last + 2 and tokens[run.last + 1].text.lower() == "of"


def _phrase(tokens: Sequence[Token], run: _Run, measure: _Run | None, text: str) -> Phrase:
    head = tokens[run.last]
    word = head.text.lower()
    leading = measure or run
    count, plural = leading.count, head.tag in _PLURAL_TAGS or leading.determiner in _ALL_OF
    if measure is not None:
        counted = tokens[measure.last]
        if counted.lemma.lower() in _LEXICON.pairs and word not in _LEXICON.paired:
            count, plural = 2 * (count or 1), True
        elif word in _LEXICON.paired:
            plural = (count or 1) > 1 or counted.tag in _PLURAL_TAGS
        elif count is not None and count > 1:
            plural = True
        else:
            count = None
    elif word in _LEXICON.paired:
        plural = (count or 1) > 1 or leading.determiner in _ALL_OF - {"these", "those"}
    elif count is not None:
        plural = count > 1
    number: Number = "plural" if plural else "singular"
    start = tokens[leading.first].start
    modifiers = tuple(
        token.text.lower() for token in tokens[leading.first : run.last] if token.tag not in {"HYPH", "CC", ",", "IN"}
    )
    return Phrase(
        start=start,
        end=head.end,
        text=text[start : head.end],
        head=head.lemma.lower() or word,
        head_start=head.start,
        number=number,
        count=count,
        definite=leading.determiner in _DEFINITE,
        modifiers=modifiers,
    )
