# pyright: strict
"""What is known to be true of each picture, as names and qualities, and whether a word would be false of it."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.claims.caption_reading import read_caption
from mm_assets.aligned.objects.claims.colors import are_near, colors_agree
from mm_assets.aligned.objects.claims.object_classes import singular
from mm_assets.hard_negatives.negatives import EditKind, Positive
from mm_assets.hard_negatives.slots import Slot
from mm_assets.hard_negatives.terms import Kinship, TermRelations

_PICTURES_KEPT: Final = 4_096


@dataclass(frozen=True, slots=True)
class KnownThings:
    """What the captions and labels of one picture say is there.

    Attributes:
        names: words of every name.
        colors: by last word of a thing, its colours as bits.
        texts: every caption, lower case.
    """

    names: tuple[tuple[str, ...], ...]
    colors: Mapping[str, int]
    texts: tuple[str, ...]


def known_things(positive: Positive) -> KnownThings:
    """Read all captions and labels of a positive's picture; the last ones are remembered, every strategy asks."""
    return _known_things((positive.text, *positive.siblings), positive.labels)


@functools.lru_cache(_PICTURES_KEPT)
def _known_things(texts: tuple[str, ...], labels: tuple[str, ...]) -> KnownThings:
    palette = read_lexicon().colors
    names: dict[tuple[str, ...], None] = {}
    colors: dict[str, int] = {}
    for text in texts:
        for phrase in read_caption(text).phrases:
            if phrase.denied:
                continue
            words = tuple(word for word in phrase.words[:-1] if word not in phrase.qualities)
            names[(*words, phrase.words[-1])] = None
            bits = 0
            for quality in phrase.qualities:
                bits |= palette.get(quality, 0)
            head = singular(phrase.head)
            colors[head] = colors.get(head, 0) | bits
    for label in labels:
        names[tuple(label.lower().replace("_", " ").replace("-", " ").split())] = None
    return KnownThings(tuple(name for name in names if name), colors, tuple(text.lower() for text in texts))


def false_name(name: Sequence[str], known: KnownThings, relations: TermRelations) -> Kinship:
    """How a name relates to all that is known; APART if it is false of the picture."""
    return relations.is_false_of(tuple(name), known.names)


def false_color(color: str, head: str, known: KnownThings) -> bool:
    """Whether a thing of this name is known to have a colour that nobody takes for the given one."""
    bits = read_lexicon().colors.get(color, 0)
    own = known.colors.get(singular(head), 0)
    return bool(bits and own) and not colors_agree(bits, own) and not are_near(bits, own)


def false_word(donor: Slot, place: Slot, known: KnownThings, relations: TermRelations) -> bool:
    """Whether the word of one slot is false where another is.

    Args:
        donor: the word.
        place: where it goes.
        known: of the picture of that place.
        relations: compares names.
    """
    if place.kind is EditKind.OBJECT:
        name = donor.name.words if donor.name else ()
        return false_name(name, known, relations) is Kinship.APART
    if place.kind is EditKind.COLOR:
        return false_color(donor.value, place.head, known)
    return donor.value != place.value
