# pyright: strict
"""A noun phrase in the making: its number, its qualities, and what its head does before "of"."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from mm_assets.aligned.objects.anchoring.lexical import word_forms
from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.claims.grammar import Tag, Token, is_plural, read_grammar

Relation = Literal["left", "right", "above", "below"]
Measure = Literal["", "pair", "couple", "kind", "group", "likeness", "medium", "content"]
TRANSPARENT: Final[frozenset[Measure]] = frozenset({"pair", "couple", "kind", "group", "medium"})
"""Measures whose phrase is no thing itself: what follows "of" stands in its place."""
RUN: Final = frozenset({Tag.DETERMINER, Tag.NUMBER, Tag.QUALITY, Tag.NOUN, Tag.OWNER})
"""What a phrase is made of."""
ABSENT: Final = frozenset({"missing", "absent"})
_MEDIA: Final = frozenset(
    {"picture", "photo", "photograph", "image", "drawing", "painting", "illustration", "sketch", "cartoon", "depiction"}
    | {"print", "outline", "portrait", "silhouette", "rendering", "clipart", "view", "close-up", "closeup", "shot"}
)
_COUPLE: Final = frozenset({"couple"})
_ONE: Final = frozenset({"a", "an", "another", "each", "every"})
_ARTICLES: Final = frozenset({"a", "an", "another"})
_LARGEST_COUNT: Final = 1_000
_SHORTEST_PART: Final = 3
_LESS: Final = "less"


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A thing a caption names.

    Attributes:
        start: first character in the caption.
        end: character after the last.
        words: all its words up to its head, which stands last; no articles and numbers.
        plural: whether the head is a plural.
        count: how many there are, 1 for "a"; None where the caption does not say.
        counted: whether a number says so, not an article.
        qualities: its colours, sizes and other qualities.
        states: its states, as named in ``caption_grammar.toml``.
        places: left, right, top, bottom or middle of the picture.
        denied: the caption says that it is not there.
        doubtful: likened, depicted, quoted, wanted or one of several possibilities.
        owner: which phrase it is part of or belongs to.
        link: word between owner and phrase.
    """

    start: int
    end: int
    words: tuple[str, ...]
    plural: bool = False
    count: int | None = None
    counted: bool = False
    qualities: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    denied: bool = False
    doubtful: bool = False
    owner: int | None = None
    link: str = ""

    @property
    def head(self) -> str:
        """Its last word, as it is spelled."""
        return self.words[-1]


@dataclass(slots=True)
class Draft:
    """A phrase that later words may still change; attributes as of `NounPhrase`, and whether something governs it."""

    start: int
    end: int
    words: tuple[str, ...]
    plural: bool = False
    count: int | None = None
    counted: bool = False
    governed: bool = False
    qualities: set[str] = field(default_factory=set[str])
    states: set[str] = field(default_factory=set[str])
    places: set[str] = field(default_factory=set[str])
    denied: bool = False
    doubtful: bool = False
    owner: int | None = None
    link: str = ""

    def qualify(self, qualities: Iterable[str]) -> None:
        """Take on qualities and the states they mean; half empty is neither full nor empty."""
        self.qualities.update(qualities)
        if "half" not in self.qualities:
            states = read_grammar().states
            self.states.update(states[word] for word in self.qualities if word in states)

    def finish(self) -> NounPhrase:
        """The phrase as it stands."""
        return NounPhrase(
            start=self.start,
            end=self.end,
            words=self.words,
            plural=self.plural,
            count=self.count,
            counted=self.counted,
            qualities=frozenset(self.qualities),
            states=frozenset(self.states),
            places=frozenset(self.places),
            denied=self.denied,
            doubtful=self.doubtful,
            owner=self.owner,
            link=self.link,
        )


@dataclass(slots=True)
class Pending:
    """What the words since the last phrase say about the next one."""

    link: str = ""
    side: Relation | None = None
    denied: bool = False
    doubtful: bool = False
    negated: bool = False
    finite: bool = False
    relative: bool = False
    joined: bool = False
    either: bool = False
    owner: int | None = None
    measure: Measure = ""
    multiple: int | None = None


def end_of_run(tokens: Sequence[Token], first: int) -> int:
    """Place behind the phrase that starts at ``first``."""
    place, noun_seen = first, False
    while place < len(tokens):
        token = tokens[place]
        if token.tag is Tag.OWNER:
            return place + 1
        following = tokens[place + 1].tag if place + 1 < len(tokens) else Tag.STOP
        starts_another = token.tag in {Tag.DETERMINER, Tag.NUMBER} or (
            token.tag is Tag.QUALITY and following is Tag.NOUN
        )
        if noun_seen and (starts_another or token.tag not in RUN):
            break
        # "And" or a comma between two qualities, as in "black and white cat".
        joins = place > first and token.value in {"and", ","} and following is tokens[place - 1].tag is Tag.QUALITY
        if token.tag not in RUN and not joins:
            break
        noun_seen |= token.tag is Tag.NOUN
        place += 1
    return place


def draft_phrase(run: Sequence[Token], nouns: Sequence[Token], described: Sequence[Token]) -> Draft:
    """A phrase from the words it is made of.

    Args:
        run: all its words.
        nouns: its nouns, at least one, the head last.
        described: its qualities; those behind the head describe it without being part of its name.
    """
    spoken = sorted(
        [*(token for token in described if token.end <= nouns[-1].start), *nouns], key=lambda token: token.start
    )
    words = tuple(part for token in spoken for part in token.value.split("-") if part)
    plural = is_plural(words[-1]) and not (len(words) == 1 and any(token.value in _ONE for token in run))
    count, counted = _read_count(run, plural=plural)
    draft = Draft(run[0].start, run[-1].end, words, plural, count, counted)
    draft.qualify(token.value for token in described)
    if any(token.value == "another" for token in run):
        draft.qualities.add("another")
    draft.denied = not ABSENT.isdisjoint(draft.qualities)
    return draft


def _read_count(run: Sequence[Token], *, plural: bool) -> tuple[int | None, bool]:
    """Count, and whether a number says so: not in "a four sided clock", where the head is singular."""
    lexicon = read_lexicon()
    article: int | None = None
    for token in run:
        if token.tag in {Tag.NOUN, Tag.OWNER}:
            break
        if token.tag is Tag.DETERMINER and token.value in _ARTICLES and not plural:
            article = 1
        if token.tag is Tag.NUMBER:
            number = _number(token.value)
            several = number is not None and number > 1
            if several and not plural and run[-1].text not in lexicon.paired | lexicon.pairs:
                return None, False
            return number, number is not None
    return article, False


def _number(word: str) -> int | None:
    if word.isdecimal() and len(word) <= len(str(_LARGEST_COUNT)):
        return int(word)
    return read_grammar().numbers.get(word)


def apply_measure(draft: Draft, measure: Measure, multiple: int | None) -> None:
    """Count what stands behind "a pair of", "two kinds of" or "a stack of"."""
    if measure == "pair":
        paired = draft.words[-1] in read_lexicon().paired
        draft.count, draft.counted = (None, False) if paired else ((multiple or 1) * 2, True)
    elif measure == "kind":
        draft.count, draft.counted = multiple, multiple is not None
    elif measure:
        draft.count, draft.counted = None, False


def classify_measure(head: str, *, opens: bool) -> Measure:
    """What a noun before "of" does to the noun behind it; empty if nothing.

    Args:
        head: the noun.
        opens: whether it opens the caption: "a picture of a dog" then only says what the caption is about.

    >>> [classify_measure(word, opens=True) for word in ("pair", "statue", "cup", "dog")]
    ['pair', 'likeness', 'content', '']
    """
    lists, forms = read_grammar().lists, word_forms(head)
    rules: tuple[tuple[Measure, frozenset[str]], ...] = (
        ("couple", _COUPLE),
        ("pair", read_lexicon().pairs),
        ("kind", lists["kinds"]),
        ("group", lists["groups"] | lists["portions"]),
        ("medium", _MEDIA if opens else frozenset()),
        ("likeness", lists["likenesses"]),
        ("medium", _MEDIA),
        ("content", lists["containers"]),
    )
    found: Measure = ""
    for measure, words in reversed(rules):
        found = measure if forms & words else found
    return found


def lost_parts(described: Iterable[Token]) -> list[Draft]:
    """What a "hornless" goat has not: its horns."""
    found: list[Draft] = []
    for token in described:
        part = token.value.removesuffix(_LESS).rstrip("-")
        known = token.value in read_grammar().lists["endless"]
        if token.value.endswith(_LESS) and len(part) >= _SHORTEST_PART and not known:
            found.append(Draft(token.start, token.end, (part,), governed=True, denied=True, link="without"))
    return found
