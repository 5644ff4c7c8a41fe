# pyright: strict
"""Whether columns are read one after the other: returns to a column that was left, and broken sentences."""

import math
from dataclasses import dataclass, field

from mm_assets.aligned.documents.order_gate.text_joins import Joins, count_joins
from mm_assets.documents.blocks import Block
from mm_assets.documents.pages import Box
from mm_assets.policy.order import OrderGatePolicy

_TEXTS = frozenset({"paragraph", "list"})
_PROSE = frozenset({"paragraph"})
_APART = 0.1


@dataclass
class ColumnOrder:
    """What the blocks of a document tell about its columns, added up one by one.

    Attributes:
        policy: rates and weights.
        language: ISO 639-1 code of the text, None if unknown.
        pages_with_columns: pages on which text goes on to the side.
        interleaved: pages on which a column is returned to ``min_zigzags`` times or more.
        backward: blocks that stand above the one before them in the same column.
        steps: pairs of blocks that follow each other in one column.
        joins: joins between words of paragraphs.
    """

    policy: OrderGatePolicy
    language: str | None = "en"
    pages_with_columns: int = 0
    interleaved: list[int] = field(default_factory=list[int])
    backward: int = 0
    steps: int = 0
    joins: Joins = field(default_factory=Joins)
    _page: int = 0
    _before: Box | None = None
    _direction: int = 0
    _zigzags: int = 0
    _has_columns: bool = False

    def add(self, block: Block) -> None:
        """Take the next block in reading order."""
        if block.type in _PROSE:
            self.joins += count_joins(block.text, self.language)
        if block.box is None or (block.last_page or block.page) != block.page:
            self._before = None
            return
        if block.page != self._page:
            self.close()
            self._page = block.page
        if block.type not in _TEXTS or len(block.text.split()) < self.policy.min_column_words:
            return
        if self._before is not None:
            self._step(self._before, block.box)
        self._before = block.box

    def close(self) -> None:
        """End a page."""
        self.pages_with_columns += self._has_columns
        if self._zigzags >= self.policy.min_zigzags:
            self.interleaved.append(self._page)
        self._before, self._direction, self._zigzags, self._has_columns = None, 0, 0, False

    def evidence(self) -> float:
        """Log-likelihood ratio of interleaved columns against columns read one after the other."""
        sound, broken = self.policy.broken_joins
        missed = self.joins.told - self.joins.broken
        by_text = self.joins.broken * math.log(broken / sound) + missed * math.log((1 - broken) / (1 - sound))
        share = min(max(self.policy.max_zigzag_share, 1e-3), 0.5)
        pages, bad = self.pages_with_columns, len(self.interleaved)
        by_place = bad * math.log(0.95 / share) + (pages - bad) * math.log(0.05 / (1 - share)) if bad else 0.0
        return max(by_text, by_place, 0.0)

    def _step(self, before: Box, box: Box) -> None:
        narrow = min(before[2] - before[0], box[2] - box[0])
        overlap = min(before[2], box[2]) - max(before[0], box[0])
        if overlap > _APART * narrow:
            self.steps += 1
            self.backward += box[3] < before[1]
            if (box[2] - box[0]) > 1.5 * narrow or (before[2] - before[0]) > 1.5 * narrow:
                self._direction = 0  # a block across the columns begins a new band
            return
        direction = 1 if box[0] > before[0] else -1
        self._has_columns |= direction > 0
        # Back to the left without anything across: columns that are read once each have no such step.
        self._zigzags += direction < 0 < self._direction
        self._direction = direction
