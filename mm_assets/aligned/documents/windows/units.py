# pyright: strict
"""Blocks that stay together, in the order in which a model reads them.

The order is the document's own, with two exceptions, both within ``look_ahead_tokens`` and ``look_ahead_blocks``:

1. A figure or table and its caption are one unit, even if other blocks stand between them; the unit stands where the
   first of them stood.
2. A figure or table that comes more than ``near_tokens`` behind the first block that refers to it is moved up to stand
   directly before that block. One nearer stays where it is, and so does one beyond the look-ahead.

Nothing else moves.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from mm_assets.documents.blocks import Block
from mm_assets.policy.windows import WindowPolicy

_FLOATS: Final = frozenset({"figure", "table"})


class Use(NamedTuple):
    """Character ``start`` of the block at ``position`` begins a reference to the block at ``refers_to``."""

    position: int
    start: int
    refers_to: int


class Binding(NamedTuple):
    """The caption at ``caption_position`` belongs to the figure or table at ``position``."""

    position: int
    caption_position: int


_Item = TypeVar("_Item", Use, Binding)


@dataclass(frozen=True, slots=True)
class Element:
    """A block with its tokens, separator included, and what it refers to."""

    block: Block
    tokens: int
    uses: tuple[Use, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """Blocks that no window may part.

    Attributes:
        elements: in the order in which they are read.
        moved: whether the unit stands before its place in the document.
    """

    elements: tuple[Element, ...]
    moved: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of all elements."""
        return sum(element.tokens for element in self.elements)

    @property
    def is_float(self) -> bool:
        """Whether it holds a figure or a table."""
        return any(element.block.type in _FLOATS for element in self.elements)


def read_units(
    blocks: Iterable[Block],
    uses: Iterable[Use],
    bindings: Iterable[Binding],
    measure: Callable[[Block], int],
    policy: WindowPolicy,
) -> Iterator[Unit]:
    """Group and order the blocks of a document by the rule of this module.

    Args:
        blocks: in reading order, their positions ascending; read no farther than the look-ahead.
        uses: by ascending position; read along with the blocks.
        bindings: by ascending position of the figure or table; read along with the blocks.
        measure: tokens of a block.
        policy: look-ahead and what counts as near.

    Yields:
        Every block once.
    """
    ahead = _Ahead(iter(blocks), iter(uses), iter(bindings), measure, policy)
    while (first := ahead.fill()) is not None:
        unit = ahead.take(first)
        for element in unit.elements:
            for use in element.uses:
                if ahead.is_far_float(use.refers_to):
                    yield Unit(ahead.take(use.refers_to).elements, moved=True)
        yield unit


class _Ahead:
    """The blocks that are looked at before the first of them is placed."""

    def __init__(
        self,
        blocks: Iterator[Block],
        uses: Iterator[Use],
        bindings: Iterator[Binding],
        measure: Callable[[Block], int],
        policy: WindowPolicy,
    ) -> None:
        self._blocks = blocks
        self._uses = _Along(uses)
        self._bindings = _Along(bindings)
        self._measure = measure
        self._policy = policy
        self._waiting: OrderedDict[int, Element] = OrderedDict()
        self._tokens = 0
        self._captions: dict[int, int] = {}
        self._figures: dict[int, list[int]] = {}

    def fill(self) -> int | None:
        """Read on to the look-ahead; the position of the first waiting block, None at the end."""
        while self._tokens < self._policy.look_ahead_tokens and len(self._waiting) < self._policy.look_ahead_blocks:
            block = next(self._blocks, None)
            if block is None:
                break
            element = Element(block, self._measure(block), tuple(self._uses.until(block.position)))
            self._waiting[block.position] = element
            self._tokens += element.tokens
            for figure, caption in self._bindings.until(block.position):
                self._captions[figure] = caption
                self._figures.setdefault(caption, []).append(figure)
        return next(iter(self._waiting), None)

    def take(self, position: int) -> Unit:
        """The unit of a waiting block; none of it waits any longer."""
        caption = self._captions.get(position, position)
        members = sorted({position, caption, *self._figures.get(caption, [])})
        taken = tuple(self._pop(member) for member in members if member in self._waiting)
        for member in members:
            self._captions.pop(member, None)
        self._figures.pop(caption, None)
        return Unit(taken)

    def is_far_float(self, position: int) -> bool:
        """Whether a figure or table waits more than ``near_tokens`` behind the first waiting block."""
        position = self._figure_of(position)
        if position not in self._waiting or self._waiting[position].block.type not in _FLOATS:
            return False
        between = 0
        for other, element in self._waiting.items():
            if other == position or between > self._policy.near_tokens:
                break
            between += element.tokens
        return between > self._policy.near_tokens

    def _figure_of(self, position: int) -> int:
        """The first figure of a caption, or the position itself."""
        return min(self._figures.get(position, [position]))

    def _pop(self, position: int) -> Element:
        element = self._waiting.pop(position)
        self._tokens -= element.tokens
        return element


class _Along(Generic[_Item]):
    """Items read as far as a position, no farther."""

    def __init__(self, items: Iterator[_Item]) -> None:
        self._items = items
        self._next = next(items, None)

    def until(self, position: int) -> Iterator[_Item]:
        """The unread items whose position is at most this."""
        while self._next is not None and self._next[0] <= position:
            yield self._next
            self._next = next(self._items, None)
