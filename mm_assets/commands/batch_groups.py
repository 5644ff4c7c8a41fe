# pyright: strict
"""Which batches have to run one after the other, and which may run at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

COMPARED_PARTS: Final = frozenset({"images", "text", "documents"})
"""Parts with a register: what lies in one batch is compared with every batch registered before it."""


def group_batches(batches: Sequence[str], marks: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Split batches into groups that share no mark; the order inside a group is kept.

    Args:
        batches: in the order in which they would run.
        marks: what a batch shares with others, such as its source and parts that are compared.

    Returns:
        Groups in the order of their first batch.

    >>> group_batches(["a", "b", "c", "d"], {"a": ["x"], "b": ["y"], "c": ["x", "z"], "d": ["z"]})
    [['a', 'c', 'd'], ['b']]
    """
    groups: list[tuple[set[str], list[str]]] = []
    for batch in batches:
        shared = {*marks.get(batch, ())}
        touched = [group for group in groups if group[0] & shared]
        groups = [group for group in groups if not group[0] & shared]
        members = [name for _, names in touched for name in names] + [batch]
        groups.append((shared.union(*(mine for mine, _ in touched)), members))
    order = {batch: place for place, batch in enumerate(batches)}
    return sorted((sorted(names, key=order.__getitem__) for _, names in groups), key=lambda names: order[names[0]])
