# pyright: strict
"""Which colours two people may give to one thing."""

from typing import Final

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon

_COLOR_FAMILIES: Final = (
    {"gray", "silver"},
    {"gold", "yellow", "orange"},
    {"brown", "beige", "gold"},
    {"turquoise", "blue", "green"},
    {"purple", "pink", "red"},
    {"beige", "white"},
    {"red", "orange"},
    {"yellow", "beige"},
)
_NEAR_COLORS: Final = (
    {"yellow", "brown"},
    {"brown", "gray", "red", "black"},
    {"blue", "black", "gray"},
    {"green", "gray"},
)


def _bits(families: tuple[set[str], ...]) -> tuple[int, ...]:
    return tuple(sum(read_lexicon().colors[color] for color in family) for family in families)


_FAMILY_BITS: Final = _bits(_COLOR_FAMILIES)
_NEAR_BITS: Final = _bits(_NEAR_COLORS)


def colors_agree(one: int, other: int) -> bool:
    """Whether two sets of colours share one, or ones that people take for each other.

    >>> gray, silver, red = (read_lexicon().colors[name] for name in ("grey", "silver", "red"))
    >>> colors_agree(gray, silver), colors_agree(gray, red)
    (True, False)
    """
    return bool(one & other) or any(one & bits and other & bits for bits in _FAMILY_BITS)


def are_near(one: int, other: int) -> bool:
    """Whether two sets of colours hold ones that are sometimes mistaken, in the shade or on fur."""
    return any(one & bits and other & bits for bits in _NEAR_BITS)
