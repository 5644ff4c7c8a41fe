# pyright: strict
"""Pairs of slots whose words change places.

An exchange gives both captions a false word that is a true word of the other, so that over the negatives every word
stands exactly as often as over the positives they came from: who never sees the pictures learns nothing from words.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from mm_assets.hard_negatives.known_things import false_word, known_things
from mm_assets.hard_negatives.negatives import Negative, Positive, Strategy, edited
from mm_assets.hard_negatives.slots import Slot, article_of, find_slots, replace_slot
from mm_assets.hard_negatives.terms import TermRelations, closeness
from mm_assets.identifiers import make_id

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
    used: Counter[Place] = Counter()
    done: set[tuple[Place, Place]] = set()
    found: list[tuple[Slot, Slot]] = []
    for members in _alike(slots, captions):
        found += _pair_group(members, compatible, window, per_slot, used, done)
    return found


def possible_pairs(
    slots: Iterable[Slot],
    captions: Sequence[str],
    compatible: Callable[[Slot, Slot], bool],
    *,
    window: int,
) -> list[tuple[Slot, Slot]]:
    """Every pair that `pair_slots` would choose from, each once, for someone else to choose.

    Args:
        slots: of any captions.
        captions: the captions, by owner of the slots.
        compatible: whether the words of two slots are false in each other's pictures.
        window: places a slot looks ahead.
    """
    found: dict[frozenset[Place], tuple[Slot, Slot]] = {}
    for members in _alike(slots, captions):
        for _, distance, place in sorted(_candidates(members, window)):
            one, other = members[place], members[place + distance]
            ends = frozenset((_place(one), _place(other)))
            if ends not in found and compatible(one, other):
                found[ends] = one, other
    return list(found.values())


def slots_of(positives: Sequence[Positive], relations: TermRelations) -> list[Slot]:
    """Slots of all captions; their owner is the caption's place."""
    return [slot for owner, positive in enumerate(positives) for slot in find_slots(owner, positive.text, relations)]


def false_in_both(positives: Sequence[Positive], relations: TermRelations) -> Callable[[Slot, Slot], bool]:
    """Tells whether the words of two slots are false in each other's pictures, as far as captions and labels say.

    Args:
        positives: the captions, by owner of the slots.
        relations: compares names.
    """
    known = [known_things(positive) for positive in positives]

    def compatible(one: Slot, other: Slot) -> bool:
        return false_word(other, one, known[one.owner], relations) and false_word(
            one, other, known[other.owner], relations
        )

    return compatible


def exchange(
    positives: Sequence[Positive], pair: tuple[Slot, Slot], strategy: Strategy, provenance: Mapping[str, Any]
) -> tuple[Negative, Negative]:
    """Both halves of an exchange: each caption with the other's word.

    Args:
        positives: the captions, by owner of the slots.
        pair: slots of two captions.
        strategy: what made it.
        provenance: what chose it.
    """
    one, other = pair
    mirror = make_id("mir", *sorted((positives[one.owner].positive_id, positives[other.owner].positive_id)))
    mirror += f"-{min(one.start, other.start)}-{max(one.start, other.start)}"

    def half(slot: Slot, donor: Slot) -> Negative:
        positive, lender = positives[slot.owner], positives[donor.owner]
        edit = replace_slot(positive.text, slot, donor.text, article=article_of(lender.text, donor))
        return edited(positive, strategy, [edit], provenance, donor_id=lender.positive_id, mirror_id=mirror)

    return half(one, other), half(other, one)


def _alike(slots: Iterable[Slot], captions: Sequence[str]) -> Iterator[list[Slot]]:
    """Slots of one group between the same words, then those behind the same word, in the order of the net of words."""
    contexts = [(slot, slot.context(captions[slot.owner])) for slot in slots]
    for sides in (2, 1):
        keyed = [(slot.group, context[:sides], slot) for slot, context in contexts]
        keyed.sort(key=lambda item: (item[0], item[1], _order(item[2])))
        for _, members in groupby(keyed, key=lambda item: item[:2]):
            yield [slot for _, _, slot in members]


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
