# pyright: strict
"""Captions whose figure is not there, told from second captions of a figure that is."""

from collections.abc import Collection

from mm_assets.aligned.documents.order_gate.number_series import read_number
from mm_assets.documents.blocks import Block


class FigureGroup:
    """Figures and captions that stand together, looked at when the next text ends the group.

    Where the source itself says what its captions belong to, one of which it says nothing is lost. Elsewhere a figure
    may have two captions, a numbered one and a sentence, of which one is bound: there a caption that is bound to
    nothing is lost only if no figure or table stands in its group or, numbered as a figure, if the group has no figure
    left for its number. One without a number may be the heading of a table that was no table; it counts only where
    other figures of the document have captions. A caption whose element the source made for a figure, and left empty,
    is lost wherever it stands; one whose element holds something else is not.

    Attributes:
        certain: positions of lost captions that are numbered as figures, or stand in the empty element of one.
        others: positions of lost captions without a number.

    Args:
        bound: positions of captions that belong to a figure or table.
    """

    def __init__(self, bound: Collection[int]) -> None:
        self.certain: list[int] = []
        self.others: list[int] = []
        self._bound = bound
        self._has_markup = False
        self._clear()

    def add(self, block: Block) -> None:
        """Take the next block of the document."""
        if block.type == "figure":
            self._figures += 1
        elif block.type == "table":
            self._tables += 1
        elif block.type == "caption":
            number = read_number(block.label or block.text)
            kind = "" if number is None else number[0]
            if block.figure_missing:
                self.certain.append(block.position)
            elif block.position in self._bound or block.of is not None:
                self._kept += kind == "figure"
                self._has_markup |= block.of is not None
            elif block.figure_missing is False:
                pass  # it has what it belongs to, which is no figure
            elif kind == "figure":
                self._unbound_numbered.append(block.position)
            elif kind != "table":
                self._unbound.append(block.position)
        else:
            self.close()

    def close(self) -> None:
        """End the group."""
        left = 0 if self._has_markup else max(self._figures - self._kept, 0)
        self.certain += self._unbound_numbered[left:]
        if self._has_markup or not (self._figures or self._tables):
            self.others += self._unbound
        self._clear()

    def _clear(self) -> None:
        self._figures = self._tables = self._kept = 0
        self._unbound: list[int] = []
        self._unbound_numbered: list[int] = []
