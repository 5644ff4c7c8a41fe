# pyright: strict
"""Words about sides in English captions: where they stand, what they mean, and their exchange.

A mirror turns every side it shows into the other, the viewer's and the body's alike: of "the left hand of the man on
the right" it makes the right hand of the man on the left. It also makes writing unreadable. Words of no side ("left
behind", "right now") stay, and a caption with a word that cannot be told is not touched at all.
"""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from mm_assets.aligned.objects.transforms.side_rules import RULES, Sense
from mm_assets.errors import InputError

# Spelt out, because ignoring case would also find the dotless i.
_SIDE: Final = re.compile(r"\b([Ll][Ee][Ff][Tt]|[Rr][Ii][Gg][Hh][Tt])((?i:most|wards?|hand(?:ed)?|y|s|ies))?\b")
_CHIRAL: Final = re.compile(
    r"\b(?:(?:counter|anti)[\s-]?)?clockwise\b|\bstarboard\b|\bport\s+(?:side|bow|wing)\b|\([LR]\)|\bL\.?\s*(?:to|-)\s*R\b",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"\"[^\"]*\"|(?<!\w)'(?=\w)[^']*(?:(?<=\w)'(?=\w)[^']*)*'(?!\w)")
_PLAIN: Final = str.maketrans({"_": " ", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"'})
_WRITTEN: Final = re.compile(
    r"\b(?:signs?|shirts?|banners?|posters?|boards?|billboards?|labels?|plates?|cards?|screens?|letters|text|writing|"
    r"caps?|hats?|flags?|books?|stickers?|clocks?)\b(?:\W+\w+){0,3}?\W+(?:says?|saying|reads?|reading|spells?|spelling)\b"
    r"[^.,;]*|\bthe\s+(?:words?|letters?|numbers?)\s+[^\s,.;]+",
    re.IGNORECASE,
)
_CONTEXT: Final = 160  # characters before a word that rules look at
_OTHER: Final = {"left": "right", "right": "left"}
_OF_AN_OBJECT: Final = re.compile(
    r"\s+of\s+(?!(?:the\s+|this\s+)?(?:image|picture|photo|photograph|frame|scene|screen|shot|view|painting|drawing)\b)",
    re.IGNORECASE,
)
_HEIGHT: Final = re.compile(
    r"\b(?:above|below|beneath|under|underneath|over|overhead|atop|top|topmost|bottom|bottommost|upper|uppermost|lower|"
    r"lowermost|up|down|upside|upright|upwards?|downwards?)\b",
    re.IGNORECASE,
)
_IN_FRAME: Final = re.compile(
    r"\b(?:top|bottom|upper|lower|cent(?:er|re)|middle|foreground|background|corners?|edges?)\b(?!\s+of\s+(?!(?:the\s+|"
    r"this\s+)?(?:image|picture|photo|photograph|frame|scene|screen|shot|view|painting|drawing)\b))",
    re.IGNORECASE,
)


class SidesError(InputError):
    """A caption's words about sides cannot be kept true."""


@dataclass(frozen=True)
class SideWord:
    """One word, or a stretch of writing, that a mirror may make false.

    Attributes:
        start: first character in the caption.
        end: character after it.
        text: the caption between them.
        side: ``left`` or ``right``; None for writing and senses of rotation.
        sense: what it refers to.
        relative: whether it is said against another thing ("left of the cat") rather than the picture's frame.
    """

    start: int
    end: int
    text: str
    side: str | None
    sense: Sense
    relative: bool = False


@dataclass(frozen=True)
class SwappedText:
    """A caption with sides exchanged.

    Attributes:
        text: the new caption.
        words: the words of the old caption that were exchanged.
    """

    text: str
    words: tuple[SideWord, ...]

    def move_offset(self, offset: int) -> int:
        """Where a character of the old caption stands in the new one; for ends of phrases as for starts."""
        longer = sum(len(_OTHER[str(word.side)]) - len(str(word.side)) for word in self.words if word.end <= offset)
        return offset + longer


def find_sides(caption: str) -> tuple[SideWord, ...]:
    """Find and classify what a mirror may make false, in the order of the caption.

    >>> [(word.text, word.sense.value) for word in find_sides("The left hand of the man on the right.")]
    [('left', 'body'), ('right', 'scene')]
    >>> [(word.text, word.sense.value) for word in find_sides("Right now a bag is left behind.")]
    [('Right', 'idiom'), ('left', 'idiom')]
    """
    plain = caption.translate(_PLAIN)
    writing = [match.span() for pattern in (_QUOTED, _WRITTEN) for match in pattern.finditer(plain)]
    found = [SideWord(start, end, caption[start:end], None, Sense.WRITING) for start, end in _merge(writing)]
    found += [SideWord(*match.span(), match[0], None, Sense.CHIRAL) for match in _CHIRAL.finditer(plain)]
    sides = {match[1].lower() for match in _SIDE.finditer(plain)}
    for match in _SIDE.finditer(plain):
        if not any(start <= match.start() < end for start, end in writing):
            found.append(_classify(plain, match, contrast=len(sides) > 1))
    return tuple(sorted(found, key=lambda word: word.start))


def swap_sides(caption: str, swapped: AbstractSet[Sense], kept: AbstractSet[Sense]) -> SwappedText:
    """Exchange left and right where they have one of the given senses.

    Args:
        caption: the caption.
        swapped: senses to exchange.
        kept: senses to leave as they are. A word of any other sense refuses the whole caption.

    Raises:
        SidesError: code ``SIDE_WORDS``: a word has a sense in neither set, is oddly capitalised, or would be
            understood otherwise once exchanged ("looking left at the camera"). The message names the words.

    >>> swap_sides("The left hand of the man on the right.", {Sense.SCENE, Sense.BODY}, {Sense.IDIOM}).text
    'The right hand of the man on the left.'
    """
    words = find_sides(caption)
    exchanged = tuple(word for word in words if word.sense in swapped)
    refused = [word for word in words if word.sense not in swapped and word.sense not in kept]
    refused += [word for word in exchanged if word.side is None or not _is_plain(word.text)]
    _refuse(caption, refused)
    pieces: list[str] = []
    end = 0
    for word in exchanged:
        pieces += [caption[end : word.start], _exchange(word)]
        end = word.end
    text = "".join([*pieces, caption[end:]])
    senses = [word.sense for word in find_sides(text)]
    if senses != [word.sense for word in words]:
        _refuse(caption, exchanged)
    return SwappedText(text, exchanged)


def find_heights(caption: str) -> list[str]:
    """Words about heights, which turning a picture upside down may make false."""
    return [match[0] for match in _HEIGHT.finditer(caption)]


def find_frame_words(caption: str) -> list[str]:
    """Words that place things in the picture's frame, which cropping may make false."""
    framed = [
        word.text
        for word in find_sides(caption)
        if word.sense is Sense.AMBIGUOUS or (word.sense is Sense.SCENE and not word.relative)
    ]
    return framed + [match[0] for match in _IN_FRAME.finditer(caption)]


def _classify(caption: str, match: re.Match[str], *, contrast: bool) -> SideWord:
    side, suffix = match[1].lower(), (match[2] or "").lower()
    before, after = caption[: match.start()], caption[match.end() :]
    relative = _OF_AN_OBJECT.match(after) is not None
    sense = Sense.AMBIGUOUS
    if suffix in {"most", "ward", "wards"}:
        sense = Sense.SCENE
    elif suffix in {"y", "ies", "handed"}:
        sense = Sense.BODY
    elif suffix == "s":
        sense = Sense.IDIOM if side == "right" else Sense.AMBIGUOUS
    else:
        after = f"-hand{after}" if suffix == "hand" else after
        for rule in RULES:
            fits = rule.side in {None, side} and rule.contrast in {None, contrast}
            if fits and rule.after.match(after) and rule.before.search(before, max(0, len(before) - _CONTEXT)):
                sense = rule.sense
                break
    return SideWord(*match.span(), match[0], side, sense, relative)


def _is_plain(text: str) -> bool:
    """Whether the capitals of a word survive two exchanges."""
    return text.islower() or text.isupper() or text.istitle()


def _exchange(word: SideWord) -> str:
    side = str(word.side)
    stem = _OTHER[side]
    if word.text.isupper():
        stem = stem.upper()
    elif word.text.istitle():
        stem = stem.title()
    return stem + word.text[len(side) :]


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _refuse(caption: str, refused: list[SideWord] | tuple[SideWord, ...]) -> None:
    if refused:
        told = ", ".join(f"{word.text!r} at {word.start} ({word.sense.value})" for word in refused)
        raise SidesError(
            "SIDE_WORDS",
            f"caption {caption[:200]!r}: {told} cannot be kept true; leave the picture as it is or reword it",
        )
