# pyright: strict
"""A window that is being filled."""

from collections.abc import Callable
from typing import Any, Final

import polars as pl

from mm_assets.aligned.documents.windows.units import Element, Unit
from mm_assets.documents.blocks import Block
from mm_assets.identifiers import make_id
from mm_assets.policy.windows import WindowPolicy
from mm_assets.schemas import TABLES

_TABLE: Final = TABLES["document_windows"]
_BODY: Final = "body"
_CONTEXT: Final = "context"


class OpenWindow:
    """Elements of one window in order, and the room that is left.

    Attributes:
        tokens: tokens of its elements.
        moved: units that stand before their place in the document.
        repeated: units of earlier windows it repeats.
    """

    def __init__(
        self, batch: str, document_id: str, block_id: Callable[[Block], str], index: int, policy: WindowPolicy
    ) -> None:
        self.tokens = 0
        self.moved = 0
        self.repeated = 0
        self._batch = batch
        self._document_id = document_id
        self._block_id = block_id
        self._index = index
        self._budget = policy.budget_tokens
        self._rows: list[dict[str, Any]] = []
        self._targets: list[tuple[int, ...]] = []
        self._places: dict[int, int] = {}
        self._first: tuple[int, int] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing but context stands in it."""
        return self._first is None

    @property
    def room(self) -> int:
        """Tokens left."""
        return self._budget - self.tokens

    def holds(self, position: int) -> bool:
        """Whether the block at this position stands in it."""
        return position in self._places

    def set_context(self, headings: tuple[Element, ...]) -> None:
        """Open with these headings, if nothing stands in it yet and it continues a document."""
        if self._first is None:
            self.tokens, self._rows, self._targets, self._places = 0, [], [], {}
            for heading in headings:
                self._append(heading, heading.block.text, 0, heading.tokens, _CONTEXT)

    def repeat(self, unit: Unit) -> None:
        """Add a unit of an earlier window."""
        for element in unit.elements:
            self._append(element, element.block.text, 0, element.tokens, _CONTEXT)
        self.repeated += 1

    def put(self, element: Element, text: str, start: int, tokens: int) -> None:
        """Add a block, or the piece of it that begins at character ``start``."""
        if self._first is None:
            self._first = (element.block.position, start)
        self._append(element, text, start, tokens, _BODY)

    def rows(self) -> pl.DataFrame:
        """Rows of ``document_windows``."""
        if self._first is None:
            return _TABLE.empty()
        window_id = make_id("win", self._document_id, *self._first, self._budget)
        links = [
            sorted({self._places[target] for target in targets if target in self._places}) for targets in self._targets
        ]
        frame = pl.DataFrame(self._rows, schema_overrides={"text": pl.String, "image_ref": pl.String}).with_columns(
            batch=pl.lit(self._batch),
            window_id=pl.lit(window_id),
            document_id=pl.lit(self._document_id),
            window_index=pl.lit(self._index),
            refers_to=pl.Series(links, dtype=pl.List(pl.Int64)),
        )
        return _TABLE.conform(frame.select(_TABLE.schema.names()))

    def _append(self, element: Element, text: str, start: int, tokens: int, role: str) -> None:
        block = element.block
        is_image = block.type == "figure"
        place = len(self._rows)
        self._places.setdefault(block.position, place)
        end = start + len(text)
        inside = tuple(use.refers_to for use in element.uses if is_image or start <= use.start < end)
        self._targets.append(inside)
        self.tokens += tokens
        self._rows.append(
            {
                "position": place,
                "block_position": block.position,
                "modality": "image" if is_image else "text",
                "role": role,
                "type": block.type,
                "text": None if is_image else text,
                "start": start,
                "image_ref": self._block_id(block) if is_image else None,
                "page": block.page,
                "tokens": tokens,
            }
        )
