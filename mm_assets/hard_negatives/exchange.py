# pyright: strict
"""Pairs of slots whose words change places.

An exchange gives both captions a false word that is a true word of the other, so that over the negatives every word
stands exactly as often as over the positives they came from: who never sees the pictures learns nothing from words.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from mm_assets.hard_negatives.slots import Slot
from mm_assets.hard_negatives.terms import closeness

_LEAST_SHARED: Final = 4
"""Steps from the root that two names share at least: the first three of WordNet only say that it is a thing."""


Place = tuple[int, int]


def pair_slots(
    slots: Iterable[Slot],
    captions: Sequence[str],
    compatible: Callable[[Slot, Slot], bool],
    *,
    window: int,
    per_slot: int,
) -> list[tuple[Slot, Slot]]:
    """Pairs to exchange, closest first.

    Words change places where the same words stand around them, then where the same word stands before them: what fits
    into a sentence nowhere else would give itself away. Slots of one group are put in the order of the net of words,
    where neighbours are kinds of one thing, and each looks some places ahead: time is linear in the slots.

    Args:
        slots: of any captions.
        captions: the captions, by owner of the slots.
        compatible: whether the words of two slots are false in each other's pictures.
        window: places a slot looks ahead.
        per_slot: most exchanges a slot takes part in.

    Returns:
        Pairs of slots of one group, of different captions and values.
    """
    contexts = [(slot, slot.context(captions[slot.owner])) for slot in slots]
    used: Counter[Place] = Counter()
    done: set[tuple[Place, Place]] = set()
    found: list[tuple[Slot, Slot]] = []
    for sides in (2, 1):
        keyed = [(slot.group, context[:sides], slot) for slot, context in contexts]
        keyed.sort(key=lambda item: (item[0], item[1], _order(item[2])))
        for _, members in groupby(keyed, key=lambda item: item[:2]):
            found += _pair_group([slot for _, _, slot in members], compatible, window, per_slot, used, done)
    return found


def _order(slot: Slot) -> tuple[tuple[str, ...], str, int, int]:
    return slot.name.path if slot.name else (), slot.value, slot.owner, slot.start


def _place(slot: Slot) -> Place:
    return slot.owner, slot.start


def _pair_group(
    members: Sequence[Slot],
    compatible: Callable[[Slot, Slot], bool],
    window: int,
    per_slot: int,
    used: Counter[Place],
    done: set[tuple[Place, Place]],
) -> list[tuple[Slot, Slot]]:
    pairs: list[tuple[Slot, Slot]] = []
    places = [_place(slot) for slot in members]
    for _, distance, place in sorted(_candidates(members, window)):
        mine, theirs = places[place], places[place + distance]
        if used[mine] >= per_slot or used[theirs] >= per_slot or (mine, theirs) in done or (theirs, mine) in done:
            continue
        one, other = members[place], members[place + distance]
        if compatible(one, other):
            used.update((mine, theirs))
            done.add((mine, theirs))
            pairs.append((one, other))
    return pairs


def _candidates(members: Sequence[Slot], window: int) -> Iterator[tuple[int, int, int]]:
    """Shared steps, negated, places ahead and place of slots that are close enough to change words."""
    branches = [slot.name.path[:_LEAST_SHARED] if slot.name else None for slot in members]
    for place, slot in enumerate(members):
        seen, branch = 0, branches[place]
        for ahead in range(place + 1, len(members)):
            other = members[ahead]
            if other.value == slot.value or other.owner == slot.owner:
                continue
            seen += 1
            if seen > window:
                break
            if branch is None or branches[ahead] is None:
                yield -_LEAST_SHARED, ahead - place, place
            elif slot.name and other.name and branch == branches[ahead]:  # below it no two share enough
                near = closeness(slot.name, other.name)
                if near >= _LEAST_SHARED:
                    yield -near, ahead - place, place
