# pyright: strict
"""Attributes exchanged between two things of one caption, or the two things themselves where their places differ.

The negative has exactly the words of its positive, in another order, so that no reader tells it by its words. Things
trade places only where the caption says which stands where: a plain list means the same in any order.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import Final

from mm_assets.aligned.objects.claims.caption_reading import read_caption
from mm_assets.aligned.objects.claims.object_classes import singular
from mm_assets.aligned.objects.claims.phrase_drafts import NounPhrase
from mm_assets.hard_negatives.known_things import false_color, known_things
from mm_assets.hard_negatives.negatives import Edit, EditKind, Negative, Positive, Strategy, apply_edits, edited
from mm_assets.hard_negatives.region_edits import MOST_SHARED, regions_by_head
from mm_assets.hard_negatives.slots import find_slots, replace_slot
from mm_assets.hard_negatives.terms import Kinship, TermRelations

_ORDERED: Final = re.compile(r"(?i)\b(?:from left to right|from right to left|from top to bottom|from bottom to top)\b")
_MEASURE: Final = re.compile(r"(?i)\b(?:pair|set|couple|bunch|group|row|piece|slice|stack|pile)s? of\s+$")
"""What stands before a phrase that names half of a thing only: of "a pair of binoculars" the word binoculars."""
_SWAPPED: Final = frozenset({EditKind.COLOR, EditKind.NUMBER, EditKind.ATTRIBUTE})
_MOST_PER_CAPTION: Final = 3


class AttributeSwap:
    """Makes negatives by exchanging attributes, or things, within one caption.

    Args:
        relations: compares names.
    """

    strategy = Strategy.ATTRIBUTE_SWAP

    def __init__(self, relations: TermRelations) -> None:
        self._relations = relations

    def make(self, positives: Sequence[Positive]) -> Iterator[Negative]:
        """Swaps found in each caption, a few each."""
        for positive in positives:
            true = {positive.text.lower(), *(sibling.lower() for sibling in positive.siblings)}
            swaps = ((edits, said) for edits, said in self._swaps(positive) if self._text(positive, edits) not in true)
            for edits, said in islice(swaps, _MOST_PER_CAPTION):
                yield edited(positive, self.strategy, edits, {"source": said})

    def _swaps(self, positive: Positive) -> Iterator[tuple[tuple[Edit, Edit], str]]:
        yield from self._attributes(positive)
        yield from self._places(positive)

    @staticmethod
    def _text(positive: Positive, edits: tuple[Edit, Edit]) -> str:
        return apply_edits(positive.text, edits).lower()

    def _attributes(self, positive: Positive) -> Iterator[tuple[tuple[Edit, Edit], str]]:
        """Colours, numbers and other qualities that two different things exchange."""
        known = known_things(positive)
        slots = [slot for slot in find_slots(0, positive.text, self._relations) if slot.kind in _SWAPPED and slot.head]
        for one, other in combinations(slots, 2):
            if one.kind is not other.kind or one.group != other.group or one.value == other.value:
                continue
            if one.head == other.head:
                continue
            if one.kind is EditKind.COLOR and not (
                false_color(other.value, one.head, known) and false_color(one.value, other.head, known)
            ):
                continue
            first = replace_slot(positive.text, one, other.text)
            yield (first, replace_slot(positive.text, other, one.text)), f"{one.kind.value}s exchanged"

    def _places(self, positive: Positive) -> Iterator[tuple[tuple[Edit, Edit], str]]:
        """Things that trade places in an order from one side to the other, or around a word for a side."""
        reading = read_caption(positive.text)

        def whole(phrase: NounPhrase) -> bool:
            return _MEASURE.search(positive.text, 0, phrase.start) is None

        ordered = _ORDERED.search(positive.text)
        if ordered:
            axis = int("top" in ordered[0].lower())
            phrases = [phrase for phrase in reading.phrases if phrase.start >= ordered.end() and whole(phrase)]
            for one, other in _neighbours_first(phrases):
                if self._differ(one, other) and _one_comes_first(positive, one, other, axis):
                    yield _traded(positive.text, one, other, EditKind.ORDER), "order"
            return
        for subject, relation, place in reading.relations:
            one, other = sorted((reading.phrases[subject], reading.phrases[place]), key=lambda phrase: phrase.start)
            if self._differ(one, other) and whole(one) and whole(other):
                yield _traded(positive.text, one, other, EditKind.RELATION), relation

    def _differ(self, one: NounPhrase, other: NounPhrase) -> bool:
        """Whether two phrases name different things, so that trading them changes what is said."""
        plain = not (one.denied or other.denied or one.doubtful or other.doubtful)
        return plain and self._relations.compare(one.words, other.words) in {Kinship.APART, Kinship.UNKNOWN}


def _one_comes_first(positive: Positive, one: NounPhrase, other: NounPhrase, axis: int) -> bool:
    """Whether the boxes of two things, as far as they are known, lie one behind the other along an axis."""
    boxes = regions_by_head(positive)
    first, second = (boxes.get(singular(phrase.head), []) for phrase in (one, other))
    return all(mine.shares(theirs, axis) <= MOST_SHARED for mine in first for theirs in second)


def _neighbours_first(phrases: Sequence[NounPhrase]) -> list[tuple[NounPhrase, NounPhrase]]:
    pairs = list(combinations(range(len(phrases)), 2))
    return [(phrases[a], phrases[b]) for a, b in sorted(pairs, key=lambda pair: (pair[1] - pair[0], pair))]


def _traded(text: str, one: NounPhrase, other: NounPhrase, kind: EditKind) -> tuple[Edit, Edit]:
    """Two whole phrases, articles included, in each other's place."""
    first, second = text[one.start : one.end], text[other.start : other.end]
    capital = first[:1].isupper() and one.start == 0
    put_first = second[:1].upper() + second[1:] if capital else second
    put_second = first[:1].lower() + first[1:] if capital else first
    return Edit(one.start, one.end, first, put_first, kind), Edit(other.start, other.end, second, put_second, kind)
