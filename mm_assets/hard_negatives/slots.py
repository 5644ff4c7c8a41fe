# pyright: strict
"""Places in a caption where one word or name can be exchanged, read without a model."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.claims.caption_reading import read_caption
from mm_assets.aligned.objects.claims.grammar import Tag, read_grammar
from mm_assets.aligned.objects.claims.phrase_drafts import NounPhrase
from mm_assets.aligned.objects.claims.word_tags import tag_caption
from mm_assets.hard_negatives.lexicon import read_edit_lexicon
from mm_assets.hard_negatives.negatives import Edit, EditKind
from mm_assets.hard_negatives.terms import Name, TermRelations

_WORD: Final = re.compile(r"[^\W_]+")
_MARK: Final = re.compile(r"[^\W_]+|[^\w\s]")
_ARTICLE: Final = re.compile(r"(?i)\ban?\s+$")
_DETERMINER: Final = re.compile(r"(?i)^(an?|the|some|this|these|his|her|its|their|my|your)\b")
_FOLLOWED_BY_OF: Final = re.compile(r"\s+of\b")
_CLOSED_TAGS: Final = frozenset(
    {Tag.QUALITY, Tag.STATE, Tag.PARTICIPLE, Tag.PREPOSITION, Tag.SIDE, Tag.PLACE, Tag.VERB}
)
_SILENT_H: Final = ("hour", "honest", "honour", "honor", "heir")
_SPOKEN_CONSONANT: Final = ("uni", "use", "usa", "eu", "one", "ufo", "uku", "ura", "ute", "ubi")
_NOT_UNI: Final = ("unin", "unim", "unid")
_CAPTIONS_KEPT: Final = 4_096
_CLASS_NUMBER: Final = "number"
_NO_THINGS: Final = frozenset(
    {"picture", "photo", "photograph", "image", "drawing", "painting", "illustration", "sketch", "cartoon", "outline"}
    | {"icon", "part", "slice", "piece", "color", "colour", "kind", "side", "front", "back", "top", "bottom", "left"}
    | {"right", "middle", "center", "background", "foreground", "set", "collection", "style", "view"}
)


@dataclass(frozen=True, slots=True)
class Slot:
    """One exchangeable place.

    Attributes:
        owner: place of the caption among those that were read.
        start: first character of the word or name.
        end: character after the last.
        article_start: where an a or an right before it begins; ``start`` if there is none.
        text: the word or name as spelled, without article.
        value: what it stands for; slots of equal value are not exchanged.
        group: only slots of one group fit into each other's places grammatically.
        kind: what an exchange changes.
        name: the name, for objects.
        head: last word of the thing it describes; its own last word for an object.
    """

    owner: int
    start: int
    end: int
    article_start: int
    text: str
    value: str
    group: tuple[str, ...]
    kind: EditKind
    name: Name | None = None
    head: str = ""

    def context(self, caption: str) -> tuple[str, str]:
        """The words or marks before the slot and its article, and behind it; empty at the ends of the caption."""
        before, after = _MARK.findall(caption[: self.article_start]), _MARK.search(caption, self.end)
        return before[-1].lower() if before else "", after[0].lower() if after else ""


def find_slots(owner: int, caption: str, relations: TermRelations) -> list[Slot]:
    """All slots of one caption, in order.

    Args:
        owner: place of the caption.
        caption: the text.
        relations: knows names.
    """
    found: list[Slot] = []
    for phrase in read_caption(caption).phrases:
        if phrase.denied or phrase.doubtful:
            continue
        found += _in_phrase(owner, caption, phrase, relations)
    found += _closed(owner, caption, relations)
    taken: list[Slot] = []
    for slot in sorted(found, key=lambda slot: (slot.start, -slot.end)):
        if not taken or slot.start >= taken[-1].end:
            taken.append(slot)
    return taken


def _in_phrase(owner: int, caption: str, phrase: NounPhrase, relations: TermRelations) -> Iterator[Slot]:
    name = relations.name(phrase.words)
    tokens = [
        (m.start() + phrase.start, m.end() + phrase.start) for m in _WORD.finditer(caption[phrase.start : phrase.end])
    ]
    length = max(name.known, relations.words.resolve(phrase.words).length, 1)
    verbs = read_grammar().verb_forms
    while length < len(phrase.words) and phrase.words[-length - 1] not in phrase.qualities:
        if phrase.words[-length - 1] in verbs:
            return  # "raccoon opening box": no name of one thing
        length += 1  # "desk lamp": a lamp's place takes no "desk teapot"
    if len(tokens) < length:
        return
    start, end = tokens[-length][0], tokens[-1][1]
    yield from _colors(owner, caption, phrase, tokens[:-length])
    if name.known and _is_plain(caption, start, end, name.words[-1]):
        determiner = _determiner(caption, phrase, tokens[0][0])
        number = "plural" if phrase.plural else "singular"
        group = (EditKind.OBJECT.value, determiner, number, name.category)
        spelled = caption[start:end]
        value = " ".join(name.words[-length:])
        yield Slot(
            owner, start, end, _article(caption, start), spelled, value, group, EditKind.OBJECT, name, name.words[-1]
        )


def _is_plain(caption: str, start: int, end: int, head: str) -> bool:
    """Whether a name stands for a thing and alone: no medium, no measure, no remark in brackets, no proper name."""
    return (
        head not in _NO_THINGS
        and head not in read_lexicon().colors
        and end - start > 1
        and caption[start - 1 : start] != "-"
        and caption.count("(", 0, start) == caption.count(")", 0, start)
        and not _FOLLOWED_BY_OF.match(caption, end)
        and not _is_proper(caption, start, end)
    )


def _determiner(caption: str, phrase: NounPhrase, first: int) -> str:
    text = caption[min(phrase.start, first) :]
    match = _DETERMINER.match(text)
    if match:
        return "indefinite" if match[1].lower() in {"a", "an"} else "definite"
    return _CLASS_NUMBER if phrase.counted else "bare"


def _is_proper(caption: str, start: int, end: int) -> bool:
    """Whether a name is spelled with capitals where the caption around it is not."""
    if start == 0 or not any(part[:1].isupper() for part in caption[start:end].split()):
        return False
    others = _WORD.findall(caption[:start] + caption[end:])
    return any(word.islower() and len(word) > 3 for word in others) or _ARTICLE.search(caption[:start]) is not None  # noqa: PLR2004 - longer than a preposition


def _colors(owner: int, caption: str, phrase: NounPhrase, tokens: Sequence[tuple[int, int]]) -> Iterator[Slot]:
    palette = read_lexicon().colors
    for start, end in tokens:
        word = caption[start:end].lower()
        if word in palette and word in phrase.qualities and caption[end : end + 1] != "-":
            yield Slot(
                owner,
                start,
                end,
                _article(caption, start),
                caption[start:end],
                word,
                (EditKind.COLOR.value,),
                EditKind.COLOR,
                head=phrase.head,
            )


@functools.lru_cache(_CAPTIONS_KEPT)
def _tags(caption: str) -> Mapping[tuple[int, int], Tag]:
    """What each word does; every strategy asks of the same captions."""
    return {(token.start, token.end): token.tag for token in tag_caption(caption)}


def _closed(owner: int, caption: str, relations: TermRelations) -> Iterator[Slot]:
    """Numbers, materials and words with an opposite."""
    lexicon, tags = read_edit_lexicon(), _tags(caption)
    for match in _WORD.finditer(caption):
        word, span = match[0].lower(), match.span()
        if caption[span[0] - 1 : span[0]] == "-" or caption[span[1] : span[1] + 1] == "-":
            continue
        if word in lexicon.numbers and tags.get(span) is Tag.NUMBER:
            yield _closed_slot(owner, caption, span, (EditKind.NUMBER.value,), EditKind.NUMBER)
        elif word in lexicon.materials:
            yield _closed_slot(owner, caption, span, ("material",), EditKind.ATTRIBUTE)
        elif tags.get(span) in _CLOSED_TAGS:
            yield from _opposite(owner, caption, span, relations)
    for expression in _opposites_of_words():
        for match in expression.finditer(caption):
            yield from _opposite(owner, caption, match.span(), relations)


@functools.cache
def _opposites_of_words() -> tuple[re.Pattern[str], ...]:
    """Opposites of several words."""
    spellings = (spelling for spelling in read_edit_lexicon().opposites if " " in spelling)
    return tuple(re.compile(rf"(?i)\b{re.escape(spelling)}\b") for spelling in spellings)


def _opposite(owner: int, caption: str, span: tuple[int, int], relations: TermRelations) -> Iterator[Slot]:
    word = caption[span[0] : span[1]].lower()
    for other, kind in relations.opposites(word)[:1]:
        yield _closed_slot(owner, caption, span, (kind.value, *sorted((word, other))), kind)


def _closed_slot(owner: int, caption: str, span: tuple[int, int], group: tuple[str, ...], kind: EditKind) -> Slot:
    start, end = span
    after = _WORD.search(caption, end)
    return Slot(
        owner,
        start,
        end,
        _article(caption, start),
        caption[start:end],
        caption[start:end].lower(),
        group,
        kind,
        head=after[0].lower() if after else "",
    )


def _article(caption: str, start: int) -> int:
    match = _ARTICLE.search(caption, 0, start)
    return match.start() if match and match.end() == start else start


def replace_slot(caption: str, slot: Slot, text: str, *, article: str | None = None) -> Edit:
    """The edit that puts other words into a slot, with the article and the capitals that go with them.

    Args:
        caption: the caption of the slot.
        slot: the place.
        text: what goes there, as spelled in a sentence's middle.
        article: the article another caption gave these words; decided by sound if None.

    >>> slot = Slot(0, 2, 5, 0, "cat", "cat", (), EditKind.OBJECT)
    >>> replace_slot("A cat.", slot, "owl")
    Edit(start=0, end=5, before='A cat', after='An owl', kind=<EditKind.OBJECT: 'object'>)
    """
    before, after = caption[slot.start : slot.end], match_case(caption[slot.start : slot.end], text)
    if slot.article_start == slot.start:
        return Edit(slot.start, slot.end, before, after, slot.kind)
    spelled = caption[slot.article_start : slot.start]
    old = spelled.strip()
    new = article or indefinite_article(after)
    new = new.capitalize() if old[0].isupper() else new.lower()
    if new == old:
        return Edit(slot.start, slot.end, before, after, slot.kind)
    start = slot.article_start
    return Edit(start, slot.end, caption[start : slot.end], new + spelled[len(old) :] + after, slot.kind)


def match_case(before: str, after: str) -> str:
    """Other words with the capitals of those they replace.

    >>> match_case("Acoustic Guitar", "fire truck"), match_case("saw", "Hammer"), match_case("Cat", "owl")
    ('Fire Truck', 'hammer', 'Owl')
    """
    old = before.split()
    if all(word[:1].isupper() for word in old) and old:
        if len(old) > 1 or len(after.split()) == 1:
            return " ".join(word[:1].upper() + word[1:] for word in after.split(" "))
        return after[:1].upper() + after[1:]
    return " ".join(word if word[1:] != word[1:].lower() else word.lower() for word in after.split(" "))


def article_of(caption: str, slot: Slot) -> str | None:
    """The a or an that stands right before a slot, lower case; None if none does."""
    text = caption[slot.article_start : slot.start].strip().lower()
    return text or None


def indefinite_article(words: str) -> str:
    """A or an, by sound as far as spelling tells.

    >>> [indefinite_article(word) for word in ("owl", "unicorn", "hour", "umbrella", "cow", "European roe")]
    ['an', 'a', 'an', 'an', 'a', 'a']
    """
    word = words.lower()
    if word.startswith(_SILENT_H):
        return "an"
    if word.startswith(_SPOKEN_CONSONANT) and not word.startswith(_NOT_UNI):
        return "a"
    return "an" if word[:1] in "aeiou" else "a"
