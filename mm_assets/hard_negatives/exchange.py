# pyright: strict
"""Pairs of slots whose words change places.

An exchange gives both captions a false word that is a true word of the other, so that over the negatives every word
stands exactly as often as over the positives they came from: who never sees the pictures learns nothing from words.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

from mm_assets.hard_negatives.slots import Slot
from mm_assets.hard_negatives.terms import closeness

_LEAST_SHARED: Final = 4
"""Steps from the root that two names share at least: the first three of WordNet only say that it is a thing."""


def pair_slots(
    slots: Iterable[Slot], compatible: Callable[[Slot, Slot], bool], *, window: int, per_slot: int
) -> list[tuple[Slot, Slot]]:
    """Pairs to exchange, closest first.

    Slots of one group are put in the order of the net of words, where neighbours are kinds of one thing, and each looks
    some places ahead: time is linear in the slots.

    Args:
        slots: of any captions.
        compatible: whether the words of two slots are false in each other's pictures.
        window: places a slot looks ahead.
        per_slot: most exchanges a slot takes part in.

    Returns:
        Pairs of slots of one group, of different captions and values.
    """
    found: list[tuple[Slot, Slot]] = []
    ordered = sorted(slots, key=_order)
    for _, members in groupby(ordered, key=lambda slot: slot.group):
        found += _pair_group(list(members), compatible, window, per_slot)
    return found


def _order(slot: Slot) -> tuple[tuple[str, ...], tuple[str, ...], str, int, int]:
    return slot.group, slot.name.path if slot.name else (), slot.value, slot.owner, slot.start


def _pair_group(
    members: Sequence[Slot], compatible: Callable[[Slot, Slot], bool], window: int, per_slot: int
) -> list[tuple[Slot, Slot]]:
    candidates: list[tuple[int, int, int]] = []
    for place, slot in enumerate(members):
        seen = 0
        for ahead in range(place + 1, len(members)):
            other = members[ahead]
            if other.value == slot.value or other.owner == slot.owner:
                continue
            seen += 1
            if seen > window:
                break
            near = closeness(slot.name, other.name) if slot.name and other.name else _LEAST_SHARED
            if near >= _LEAST_SHARED and compatible(slot, other):
                candidates.append((-near, ahead - place, place))
    used = [0] * len(members)
    pairs: list[tuple[Slot, Slot]] = []
    for _, distance, place in sorted(candidates):
        other = place + distance
        if used[place] < per_slot and used[other] < per_slot:
            used[place] += 1
            used[other] += 1
            pairs.append((members[place], members[other]))
    return pairs
