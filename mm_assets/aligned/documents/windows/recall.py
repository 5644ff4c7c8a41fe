# pyright: strict
"""Figures and tables of earlier windows, remembered as long as there is room."""

from collections import OrderedDict

from mm_assets.aligned.documents.windows.units import Unit
from mm_assets.policy.windows import WindowPolicy


class Recall:
    """The latest figures and tables, at most ``recalled_tokens`` in all, each at most a share of a window."""

    def __init__(self, policy: WindowPolicy) -> None:
        self._room = policy.recalled_tokens
        self._largest = min(int(policy.max_context_share * policy.budget_tokens), policy.recalled_tokens)
        self._units: OrderedDict[int, Unit] = OrderedDict()
        self._first: dict[int, int] = {}
        self._tokens = 0

    def remember(self, unit: Unit) -> None:
        """Keep a unit, and forget the oldest ones if there is no room."""
        if unit.tokens > self._largest:
            return
        first = unit.elements[0].block.position
        self._units[first] = unit
        self._first |= {element.block.position: first for element in unit.elements}
        self._tokens += unit.tokens
        while self._tokens > self._room:
            _, oldest = self._units.popitem(last=False)
            self._tokens -= oldest.tokens
            for element in oldest.elements:
                del self._first[element.block.position]

    def find(self, position: int) -> Unit | None:
        """The unit that holds the block at this position, if it is remembered."""
        first = self._first.get(position)
        return None if first is None else self._units[first]
