# pyright: strict
"""Tables that go on at the top of the next column or page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mm_assets.aligned.documents.structure.tables import FoundTable
from mm_assets.documents.blocks import Block
from mm_assets.documents.pages import Box, Page

_SAME_WIDTH: Final = 4.0
_TALL: Final = 0.5  # of the page: a table that high fills its column


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A table that may go on.

    Attributes:
        block: all of it so far.
        part: where its last part stands.
        label: of the caption over it; None without one.
    """

    block: Block
    part: Box
    label: str | None

    def goes_on(self, table: FoundTable, between: Sequence[Block], page: Page) -> bool:
        """Whether another table is the rest of this one: with as many columns, as wide or with its head repeated.

        It stands in the next column or on the next page. Rules end a part that a page cuts only where the table does,
        so that without them it is as wide as its text.

        Args:
            table: what may be the rest.
            between: what stands between both; a caption among it parts them, unless it repeats the number of this
                table or is that of a figure.
            page: on which the other table stands.
        """
        cells = self.block.cells or ((),)
        wider = (table.box[2] - table.box[0]) - (self.part[2] - self.part[0])
        if len(cells[0]) != len(table.cells[0]) or not (abs(wider) <= _SAME_WIDTH or self._has_head_of(table)):
            return False
        if any(block.type == "caption" and not self._parts_nothing(block) for block in between):
            return False
        last = self.block.last_page or self.block.page
        return page.number == last + 1 or (page.number == last and self._is_before(table, page))

    def joined(self, table: FoundTable, page: Page) -> "OpenTable":
        """This table with its rest; a head that is repeated there is left out."""
        cells = self.block.cells or ()
        repeated = 0
        while repeated < min(len(cells), len(table.cells)) and cells[repeated] == table.cells[repeated]:
            repeated += 1
        whole = cells + table.cells[repeated:]
        block = replace(self.block, text=_text(whole), cells=whole, last_page=page.number)
        return replace(self, block=block, part=table.box)

    def _is_before(self, table: FoundTable, page: Page) -> bool:
        """Whether a table stands in the next column: higher up, or beside this one if that fills a column."""
        if table.box[0] < self.part[2]:
            return False
        climbs = self.part[1] - table.box[1]
        is_tall = self.part[3] - self.part[1] >= _TALL * page.height
        return climbs > _SAME_WIDTH or (climbs >= -_SAME_WIDTH and (is_tall or self._has_head_of(table)))

    def _has_head_of(self, table: FoundTable) -> bool:
        return self.block.cells is not None and self.block.cells[0] == table.cells[0]

    def _parts_nothing(self, caption: Block) -> bool:
        label = caption.label
        return label is not None and (label == self.label or label.startswith("Figure"))


def table_block(table: FoundTable, page: Page) -> Block:
    """A table as a block."""
    return Block(0, page.number, "table", _text(table.cells), table.box, cells=table.cells, last_page=page.number)


def _text(cells: tuple[tuple[str, ...], ...]) -> str:
    return "\n".join("\t".join(row) for row in cells)
