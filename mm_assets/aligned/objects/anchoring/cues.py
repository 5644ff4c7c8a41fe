# pyright: strict
"""What a caption says about where and how large the things are that it names.

Three kinds of cue: a place in the picture ("the owl on the left", "in the top right corner", "the second duck from the
left"), a place relative to another phrase ("to the left of the owl", "from left to right: …"; "below it" is not
resolved), and a size among others of its kind ("the larger owl"). Left and right are the viewer's; of a hand or a wing
they are its owner's and say nothing about the picture.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon

Axis = Literal["x", "y", "area"]

_SIDES: Final[dict[str, tuple[Axis, int]]] = {
    "left": ("x", -1),
    "leftmost": ("x", -1),
    "right": ("x", 1),
    "rightmost": ("x", 1),
    "top": ("y", -1),
    "topmost": ("y", -1),
    "uppermost": ("y", -1),
    "upper": ("y", -1),
    "bottom": ("y", 1),
    "bottommost": ("y", 1),
    "lowermost": ("y", 1),
    "lower": ("y", 1),
    "middle": ("x", 0),
    "center": ("x", 0),
    "centre": ("x", 0),
    "central": ("x", 0),
}
_LARGER: Final = ("largest", "biggest", "larger", "bigger", "big", "large", "huge", "giant")
_SMALLER: Final = ("smallest", "smaller", "tiniest", "small", "little", "tiny")
SIZES: Final[dict[str, int]] = {**dict.fromkeys(_LARGER, 1), **dict.fromkeys(_SMALLER, -1)}
_RANKS: Final = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "sixth": 5}
_NOT_AS_MODIFIER: Final = frozenset({"top", "center", "centre"})  # a top hat, a center forward
_RELATIONS: Final[dict[str, tuple[Axis, int]]] = {
    "left of": ("x", -1),
    "right of": ("x", 1),
    "above": ("y", -1),
    "over": ("y", -1),
    "on top of": ("y", -1),
    "atop": ("y", -1),
    "below": ("y", 1),
    "under": ("y", 1),
    "beneath": ("y", 1),
    "underneath": ("y", 1),
}
_SIDE: Final = r"(?:left|right|top|bottom|upper|lower|middle|center|centre)"
_PICTURE: Final = r"(?:picture|image|photo|photograph|frame|scene|screen)"
_PART: Final = r"(?:[\s-]+hand)?(?:\s+(?:side|corner|edge|part|half))?"
_PLACE: Final = (
    rf"(?:on|at|in|to)\s+(?:the\s+)?(?:far\s+|very\s+|extreme\s+)?(?P<sides>{_SIDE}(?:[\s-]+(?:hand\s+)?{_SIDE})?)\b"
    rf"(?!{_PART}\s+of\b(?!\s+(?:the|this)\s+{_PICTURE})){_PART}(?:\s+of\s+(?:the|this)\s+{_PICTURE})?\b"
)
_AFTER: Final = re.compile(rf"[\s,]*(?:[\w'-]+\s+){{0,3}}?{_PLACE}")
_BARE: Final = re.compile(rf"\s+(?P<sides>{_SIDE})\s*(?:[,.;:!]|$)")
_BEFORE: Final = re.compile(rf"(?:^|[.;:,]|\band|\bwhile)\s*{_PLACE}[\s,]*(?:[\w'-]+\s+){{0,4}}$")
_FROM: Final = re.compile(r"\s+from\s+(?:the\s+)?(?P<side>left|right|top|bottom)\b")
_CHAIN: Final = re.compile(r"\bfrom\s+(?P<one>left|right|top|bottom)\s+to\s+(?:left|right|top|bottom)\b")
_DETERMINER: Final = r"(?:(?:the|a|an|another|its|his|her|their|this|that|some)\s+)?"
_RELATION: Final = r"(?P<relation>left of|right of|above|over|on top of|atop|below|underneath|under|beneath)"
_BETWEEN: Final = re.compile(rf"(?:^|\s){_RELATION}\s+{_DETERMINER}$")
_INVERTED: Final = re.compile(rf"(?:^|[.;:,])\s*(?:(?:to|on)\s+the\s+)?{_RELATION}\s+{_DETERMINER}$")
_SENTENCE_END: Final = re.compile(r"[.;!?](?:\s|$)")
TRIGGER: Final = (
    r"(?i)\b(?:left|right|top|bottom|upper|lower|middle|cent(?:er|re)|central|leftmost|rightmost|above|over|atop|below|"
    r"under(?:neath)?|beneath|uppermost|lowermost|topmost|bottommost|larg|big|small|tin|huge|giant|little)"
)
"""A caption without it has no cue."""
_BEHIND_A_PHRASE: Final = "|"
_LEXICON: Final = read_lexicon()


class PlacedPhrase(Protocol):
    """What a cue is read from."""

    @property
    def start(self) -> int:
        """First character."""
        ...

    @property
    def end(self) -> int:
        """Character after the last."""
        ...

    @property
    def head(self) -> str:
        """Lemma of its noun."""
        ...

    @property
    def modifiers(self) -> Sequence[str]:
        """Words before the noun, lower case."""
        ...


@dataclass(frozen=True, slots=True)
class Cue:
    """One thing a caption says about one phrase.

    Attributes:
        phrase: number of the phrase.
        axis: x to the right, y down, or the area of the box.
        side: -1 towards the lesser end of the axis, 1 towards the greater, 0 the middle.
        rank: place counted from that end, from 0; None for the end itself.
        other: number of the phrase it is relative to; None for the picture, or for others of its kind.
    """

    phrase: int
    axis: Axis
    side: int
    rank: int | None = None
    other: int | None = None


def find_cues(text: str, phrases: Sequence[PlacedPhrase]) -> list[Cue]:
    """Read the cues of a caption.

    Args:
        text: the caption.
        phrases: its phrases in order, none overlapping.

    Returns:
        Cues without repetition, in order of the phrase.
    """
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter whose lower case is longer; places would no longer agree
        return []
    things = [n for n, phrase in enumerate(phrases) if phrase.head not in _LEXICON.not_boxed]
    cues: list[Cue] = []
    for place, number in enumerate(things):
        phrase = phrases[number]
        after = phrases[things[place + 1]].start if place + 1 < len(things) else len(text)
        ahead, behind = lowered[phrase.end : after], lowered[: phrase.start]
        if place:  # a clause does not start right behind a phrase
            behind = _BEHIND_A_PHRASE + behind[phrases[things[place - 1]].end :]
        own = [*_modifier_cues(number, phrase, ahead), *_place_cues(number, ahead, behind)]
        cues += own
        if place + 1 < len(things) and (match := _BETWEEN.search(ahead)):
            axis, side = _RELATIONS[match["relation"]]
            cues += _relative(number, things[place + 1], axis, side)
        if place + 1 < len(things) and (match := _INVERTED.search(behind)) and not _SENTENCE_END.search(ahead):
            axis, side = _RELATIONS[match["relation"]]
            cues += _relative(things[place + 1], number, axis, side)
    cues += _chain_cues(lowered, phrases, things)
    return sorted(set(cues), key=lambda cue: (cue.phrase, cue.axis, cue.side, cue.rank or 0, cue.other or 0))


def _modifier_cues(number: int, phrase: PlacedPhrase, ahead: str) -> list[Cue]:
    words = set(phrase.modifiers)
    cues = [Cue(number, "area", SIZES[word]) for word in words & SIZES.keys()]
    ranked = [_RANKS[word] for word in words & _RANKS.keys()]
    match = _FROM.match(ahead)
    if ranked and match:
        axis, side = _SIDES[match["side"]]
        cues.append(Cue(number, axis, side, rank=ranked[0]))
    if phrase.head not in _LEXICON.owned_sides:
        named = (words & _SIDES.keys()) - _NOT_AS_MODIFIER
        cues += [Cue(number, *_SIDES[word]) for word in named]
    return cues


def _place_cues(number: int, ahead: str, behind: str) -> list[Cue]:
    match = _AFTER.match(ahead) or _BARE.match(ahead) or _BEFORE.search(behind)
    if match is None:
        return []
    sides = [word for word in re.split(r"[\s-]+", match["sides"]) if word in _SIDES]
    return [Cue(number, *_SIDES[word]) for word in sides]


def _relative(one: int, other: int, axis: Axis, side: int) -> list[Cue]:
    return [Cue(one, axis, side, other=other), Cue(other, axis, -side, other=one)]


def _chain_cues(lowered: str, phrases: Sequence[PlacedPhrase], things: Sequence[int]) -> list[Cue]:
    """Of a list such as "from left to right: a, b and c": each lies left of those behind it."""
    cues: list[Cue] = []
    for match in _CHAIN.finditer(lowered):
        axis, side = _SIDES[match["one"]]
        end = _SENTENCE_END.search(lowered, match.end())
        behind = end.start() if end else len(lowered)
        listed = [n for n in things if match.end() <= phrases[n].start and phrases[n].end <= behind]
        for place, one in enumerate(listed):
            for other in listed[place + 1 :]:
                cues += _relative(one, other, axis, side)
    return cues
