# pyright: strict
"""Whether two captions of one picture contradict each other, by rules.

A rule speaks only where both captions talk about the same thing: "a red car and a blue car" does not contradict "a blue
car", because one of its cars agrees. Each finding says how sure it is. The rules see:

================  =================================================================================
``denial``        one says there is none, the other names it (or a kind of it, or a content)
``number``        two against three; "a" against two, less surely
``color``         one thing, no colour in common
``state``         open and closed, sitting and flying, full and empty; of a lid or door, its owner's
``quality``       big and small, old and new: exclusive, but a matter of taste
``side``          left of and right of, above and below, of the same two things
``place``         at the left and at the right of the picture
``person``        the only person is a man, or a woman
``scene``         day and night, indoors and outdoors
================  =================================================================================

What two rules cannot compare they leave open; an NLI model may be asked about it (`mm_assets.aligned.objects.claims.
interfaces.Entailment`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.claims.caption_reading import NounPhrase, Reading
from mm_assets.aligned.objects.claims.colors import are_near, colors_agree
from mm_assets.aligned.objects.claims.grammar import read_grammar
from mm_assets.aligned.objects.claims.object_classes import ObjectWords, Term, is_animate

_OPPOSITE: Final = {
    "left": "right",
    "right": "left",
    "above": "below",
    "below": "above",
    "top": "bottom",
    "bottom": "top",
}
_LIDS: Final = frozenset({"lid", "door", "cover", "flap", "top"})
_POSTURES: Final = frozenset({"standing", "sitting", "lying"})
_MORE: Final = re.compile(r"(?i)\b(?:another|others?|third|more|one of|some of|each|and one (?:is|\w+ing))\b")
_DISTINGUISHING: Final = frozenset({"another", "other", "second", "third", "left", "right", "same", "more"})
_SURE: Final = 0.9
_LIKELY: Final = 0.7
_ARGUABLE: Final = 0.6
_UNSURE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Conflict:
    """A contradiction between two captions.

    Attributes:
        rule: which rule found it.
        first: what the first caption says.
        second: what the second says.
        confidence: how sure the rule is, 0 to 1.
    """

    rule: str
    first: str
    second: str
    confidence: float

    def tell(self) -> str:
        """One line: rule, words, confidence."""
        return f"{self.rule}: {self.first!r} against {self.second!r} ({self.confidence:.2f})"


@dataclass(frozen=True, slots=True)
class _Thing:
    """A phrase, what it names, and what it says of it beyond the name."""

    place: int
    phrase: NounPhrase
    term: Term
    colors: int
    states: frozenset[str]


class ReadCaption:
    """A caption prepared for comparison.

    Args:
        text: the caption.
        reading: the caption taken apart.
        words: the vocabulary.
    """

    def __init__(self, text: str, reading: Reading, words: ObjectWords) -> None:
        self.text = text
        self.reading = reading
        self.things = tuple(_things(reading, words))
        self.has_more = _MORE.search(text) is not None

    def named(self) -> list[_Thing]:
        """Things it plainly says are there."""
        return [thing for thing in self.things if not thing.phrase.denied and not thing.phrase.doubtful]

    def denied(self) -> list[_Thing]:
        """Things it says are not there."""
        return [thing for thing in self.things if thing.phrase.denied]

    def like(self, thing: _Thing) -> list[_Thing]:
        """Its plain mentions of the same thing."""
        return [other for other in self.named() if _same(thing, other)]

    def say(self, *things: _Thing) -> str:
        """The caption's words for them."""
        return self.text[min(t.phrase.start for t in things) : max(t.phrase.end for t in things)]


def _things(reading: Reading, words: ObjectWords) -> Iterator[_Thing]:
    palette, states = read_lexicon().colors, read_grammar().states
    for place, phrase in enumerate(reading.phrases):
        term = words.resolve(phrase.words)
        inside = set(phrase.words[len(phrase.words) - term.length :])
        colors = 0
        for quality in phrase.qualities - inside:
            colors |= palette.get(quality, 0)
        own = phrase.states - {states[word] for word in inside if word in states}
        yield _Thing(place, phrase, term, colors, own)


def find_conflicts(first: ReadCaption, second: ReadCaption) -> list[Conflict]:
    """Contradictions between two captions of one picture, the surest first.

    Args:
        first: one caption.
        second: the other.
    """
    found = [
        *_find_denials(first, second),
        *(_turned(conflict) for conflict in _find_denials(second, first)),
        *_find_shared(first, second),
        *_find_sides(first, second),
        *_find_people(first, second),
        *_find_scenes(first, second),
    ]
    return sorted(found, key=lambda conflict: (-conflict.confidence, conflict.rule, conflict.first, conflict.second))


def _turned(conflict: Conflict) -> Conflict:
    return Conflict(conflict.rule, conflict.second, conflict.first, conflict.confidence)


def _same(one: _Thing, other: _Thing) -> bool:
    """Whether two phrases may mean one thing: one name, or one says it more exactly than the other."""
    a, b = one.term, other.term
    return a.name == b.name or a.name in b.broader or b.name in a.broader or b.name == a.coarse or a.name == b.coarse


def _find_denials(denying: ReadCaption, naming: ReadCaption) -> Iterator[Conflict]:
    for gone in denying.denied():
        for thing in naming.named():
            if not (_covers(gone.term, thing.term) or gone.term.name in thing.term.kinds):
                continue
            # "A giraffe, no other animals" denies no giraffe.
            if any(_same(thing, own) for own in denying.named()):
                continue
            if not _belongs_alike(denying, gone, naming, thing) or _differs(gone, thing):
                continue
            yield Conflict("denial", f"no {denying.say(gone)}", naming.say(thing), _SURE)
            break


def _covers(gone: Term, there: Term) -> bool:
    """Whether "no X" excludes a thing: X itself or anything X is a broader word for."""
    return gone.name == there.name or gone.name in there.broader or gone.name == there.coarse


def _differs(gone: _Thing, there: _Thing) -> bool:
    """Whether a denial like "no red car" says nothing of a blue one."""
    return bool(gone.colors) and gone.colors & there.colors == 0


def _belongs_alike(first: ReadCaption, one: _Thing, second: ReadCaption, other: _Thing) -> bool:
    """Whether two things are said of the same owner, or of none that is known to differ."""
    if one.phrase.owner is None or other.phrase.owner is None:
        return True
    return _same(first.things[one.phrase.owner], second.things[other.phrase.owner])


def _find_shared(first: ReadCaption, second: ReadCaption) -> Iterator[Conflict]:
    """Compare what both captions say of the things they share."""
    compared: set[tuple[str, str]] = set()
    for thing in first.named():
        others = [other for other in second.like(thing) if _belongs_alike(first, thing, second, other)]
        key = (thing.term.name, "|".join(sorted({other.term.name for other in others})))
        if not others or key in compared:
            continue
        compared.add(key)
        mine = [same for same in first.named() if _same(same, others[0]) and _same(same, thing)]
        alone = len(mine) == 1 and len(others) == 1
        yield from _find_numbers(first, mine, second, others)
        yield from _find_colors(first, mine, second, others, alone=alone)
        yield from _find_states(first, mine, second, others, alone=alone)
        if alone:
            yield from _find_places(first, mine[0], second, others[0])


def _find_numbers(
    first: ReadCaption, mine: Sequence[_Thing], second: ReadCaption, others: Sequence[_Thing]
) -> Iterator[Conflict]:
    if len(mine) != 1 or len(others) != 1:
        return
    one, other = mine[0], others[0]
    a, b = one.phrase.count, other.phrase.count
    picked = _DISTINGUISHING & (one.phrase.qualities | other.phrase.qualities)
    person = one.term.coarse == "person" and one.term.name != other.term.name
    apart = one.colors and other.colors and not colors_agree(one.colors, other.colors)
    if a is None or b is None or a == b or picked or apart or person:
        return
    if first.has_more or second.has_more:
        confidence = _UNSURE
    elif one.phrase.counted and other.phrase.counted:
        confidence = _SURE
    else:
        # "A" may pick one of several, but hardly where both captions are about the thing.
        subjects = one.place == other.place == 0 and one.term.coarse != "person"
        confidence = _ARGUABLE if subjects else _UNSURE
    yield Conflict("number", first.say(one), second.say(other), confidence)


def _find_colors(
    first: ReadCaption, mine: Sequence[_Thing], second: ReadCaption, others: Sequence[_Thing], *, alone: bool
) -> Iterator[Conflict]:
    colored = [thing for thing in mine if thing.colors and not _is_motley(thing)]
    matched = [thing for thing in others if thing.colors and not _is_motley(thing)]
    if len(colored) != len(mine) or len(matched) != len(others):
        return
    if any(colors_agree(a.colors, b.colors) for a, b in product(colored, matched)):
        return
    several = mine[0].phrase.plural != others[0].phrase.plural
    near = any(are_near(a.colors, b.colors) for a, b in product(colored, matched))
    confidence = (_LIKELY if several or near else _SURE) if alone else _UNSURE
    yield Conflict("color", first.say(colored[0]), second.say(matched[0]), confidence)


def _is_motley(thing: _Thing) -> bool:
    return bool(thing.phrase.qualities & {"multicolored", "colorful", "colourful"})


def _find_states(
    first: ReadCaption, mine: Sequence[_Thing], second: ReadCaption, others: Sequence[_Thing], *, alone: bool
) -> Iterator[Conflict]:
    exclusive = read_grammar().exclusive
    for one, other in product(mine, others):
        ours, theirs = _all_states(first, one), _all_states(second, other)
        if not (is_animate(one.term) or is_animate(other.term)):  # a hydrant that sits also stands
            ours, theirs = ours - _POSTURES, theirs - _POSTURES
        if ours & theirs:
            continue
        alone = alone and not (one.phrase.plural or other.phrase.plural)
        degrees = [exclusive.get(frozenset((a, b))) for a, b in product(sorted(ours), sorted(theirs)) if a != b]
        if "sure" in degrees:
            yield Conflict("state", first.say(one), second.say(other), _SURE if alone else _UNSURE)
        elif "likely" in degrees:
            yield Conflict("quality", first.say(one), second.say(other), _LIKELY if alone else _UNSURE)


def _all_states(caption: ReadCaption, thing: _Thing) -> frozenset[str]:
    """Its states, and whether its lid or door is open."""
    states = set(thing.states)
    for part in caption.things:
        if part.phrase.owner == thing.place and part.phrase.head in _LIDS and not part.phrase.denied:
            states |= part.states & {"open", "closed"}
    return frozenset(states)


def _find_places(first: ReadCaption, one: _Thing, second: ReadCaption, other: _Thing) -> Iterator[Conflict]:
    for a, b in product(sorted(one.phrase.places), sorted(other.phrase.places)):
        if _OPPOSITE.get(a) == b:
            yield Conflict("place", first.say(one), second.say(other), _SURE)


def _find_sides(first: ReadCaption, second: ReadCaption) -> Iterator[Conflict]:
    plain = [
        [
            (subject, side, place)
            for subject, side, place in caption.reading.relations
            if not any(caption.things[i].phrase.denied or caption.things[i].phrase.doubtful for i in (subject, place))
        ]
        for caption in (first, second)
    ]
    for (a, mine, b), (c, theirs, d) in product(*plain):
        straight = _same(first.things[a], second.things[c]) and _same(first.things[b], second.things[d])
        crossed = _same(first.things[a], second.things[d]) and _same(first.things[b], second.things[c])
        if straight == crossed:
            continue
        if (straight and theirs == _OPPOSITE[mine]) or (crossed and theirs == mine):
            words = (first.say(first.things[a], first.things[b]), second.say(second.things[c], second.things[d]))
            yield Conflict("side", *words, _SURE)


def _find_people(first: ReadCaption, second: ReadCaption) -> Iterator[Conflict]:
    people = read_grammar().people
    mine = [thing for thing in first.named() if thing.term.coarse == "person"]
    others = [thing for thing in second.named() if thing.term.coarse == "person"]
    if len(mine) != 1 or len(others) != 1 or mine[0].phrase.plural or others[0].phrase.plural:
        return
    heads = mine[0].phrase.head, others[0].phrase.head
    for a, b in (("male", "female"), ("female", "male"), ("grown", "small"), ("small", "grown")):
        if heads[0] in people[a] and heads[1] in people[b]:
            subjects = mine[0].place == others[0].place == 0
            confidence = _ARGUABLE if subjects and a in {"male", "female"} else _UNSURE
            yield Conflict("person", first.say(mine[0]), second.say(others[0]), confidence)


def _find_scenes(first: ReadCaption, second: ReadCaption) -> Iterator[Conflict]:
    for a, b in (("day", "night"), ("indoors", "outdoors"), ("summer", "winter")):
        for mine, theirs in ((a, b), (b, a)):
            ours, others = first.reading.scenes, second.reading.scenes
            if mine in ours and theirs in others and theirs not in ours and mine not in others:
                yield Conflict("scene", mine, theirs, _SURE)


def share_things(first: ReadCaption, second: ReadCaption) -> bool:
    """Whether both captions speak of the same thing, so that a contradiction is possible at all."""
    return any(first_thing for first_thing in first.things if any(_same(first_thing, other) for other in second.things))
