"""Match captions and figures one to one so that the sum of their weights is largest."""

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching


def match_pairs(weights: Mapping[tuple[int, int], float], least: float) -> list[tuple[int, int]]:
    """The matching of largest total weight; whoever gains nothing by it stays alone.

    Args:
        weights: of a left and a right member together; pairs that are not named cannot be matched.
        least: weight at which a pair is worth as much as none.

    Returns:
        Matched pairs, ascending.

    Source: Jonker and Volgenant 1987, sparse, as scipy has it; every left member has an empty place of its own.

    >>> match_pairs({(0, 5): 2.0, (0, 6): 1.5, (1, 5): 1.9, (2, 6): -1.0}, 0.0)
    [(0, 6), (1, 5)]
    """
    useful = {pair: weight - least for pair, weight in weights.items() if weight > least}
    if not useful:
        return []
    left = _indexed(pair[0] for pair in useful)
    right = _indexed(pair[1] for pair in useful)
    top = max(useful.values()) + 1.0  # costs must be over zero: a sparse zero is no pair
    rows = [left[pair[0]] for pair in useful] + list(range(len(left)))
    columns = [right[pair[1]] for pair in useful] + [len(right) + index for index in range(len(left))]
    costs = np.asarray([top - weight for weight in useful.values()] + [top] * len(left), np.float64)
    graph = csr_array((costs, (rows, columns)), shape=(len(left), len(right) + len(left)))
    taken, places = min_weight_full_bipartite_matching(graph)
    lefts, rights = list(left), list(right)
    return sorted(
        (lefts[row], rights[column]) for row, column in zip(taken.tolist(), places.tolist(), strict=True)
        if column < len(right)
    )  # fmt: skip


def _indexed(members: Iterable[int]) -> dict[int, int]:
    return {member: index for index, member in enumerate(sorted(set(members)))}
