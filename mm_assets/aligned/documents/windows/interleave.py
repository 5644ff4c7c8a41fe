# pyright: strict
"""A document as windows: text and pictures in reading order, each window inside a budget of tokens.

- What stands together, by the rule of `mm_assets.aligned.documents.windows.units`, stands in one window.
- A heading stands in the window of what follows it.
- A window that continues a document opens with the headings it stands under, role ``context``.
- A figure or table of an earlier window that a block refers to is repeated directly before it, role ``context``, if it
  is still remembered (``recalled_tokens``), small (``max_context_share``) and there is room.
- A text longer than a window is cut behind a sentence. A table is never cut, nor a figure parted from its caption: what
  does not fit a window at all is rejected.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from mm_assets.aligned.documents.windows.interfaces import TokenCounter
from mm_assets.aligned.documents.windows.open_window import OpenWindow
from mm_assets.aligned.documents.windows.recall import Recall
from mm_assets.aligned.documents.windows.splitting import cut_text
from mm_assets.aligned.documents.windows.units import Binding, Element, Unit, Use, read_units
from mm_assets.documents.blocks import Block
from mm_assets.errors import ContractError
from mm_assets.policy.windows import WindowPolicy
from mm_assets.schemas import TABLES

STAGE = "documents"
_REJECTED = TABLES["rejected"]
_REASONS: Mapping[str, str] = {
    "EMPTY_BLOCK": "block {} of document {} has no text; see why its text was lost",
    "FIGURE_WITHOUT_PICTURE": "the figure at block {} of document {} has no picture that could be read; deliver it",
    "TABLE_LONGER_THAN_WINDOW": "the table at block {} of document {} does not fit a window and is not cut; raise "
    "[windows] budget_tokens",
    "FIGURE_LONGER_THAN_WINDOW": "the figure at block {} of document {} does not fit a window with its caption; raise "
    "[windows] budget_tokens",
}
_CODES: Mapping[str, str] = {"table": "TABLE_LONGER_THAN_WINDOW", "figure": "FIGURE_LONGER_THAN_WINDOW"}


@dataclass(frozen=True)
class DocumentNames:
    """What names a document in tables.

    Attributes:
        batch: its batch.
        document_id: its id.
        record_ref: what declared it.
        block_id: id of one of its blocks.
    """

    batch: str
    document_id: str
    record_ref: str
    block_id: Callable[[Block], str]


@dataclass(frozen=True, eq=False)
class Window:
    """One window.

    Attributes:
        rows: rows of ``document_windows``.
        rejected: rows of ``rejected``: blocks turned away since the window before.
        tokens: tokens of the rows.
        moved: units that stand before their place in the document.
        repeated: units of earlier windows that are repeated.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    tokens: int
    moved: int
    repeated: int


def interleave(
    blocks: Iterable[Block],
    uses: Iterable[Use],
    bindings: Iterable[Binding],
    figure_tokens: Callable[[Block], int | None],
    names: DocumentNames,
    policy: WindowPolicy,
    counter: TokenCounter,
) -> Iterator[Window]:
    """Lay a document out in windows.

    In memory are the window that is being filled, the look-ahead and the remembered figures, however long the document.

    Args:
        blocks: in reading order, their positions ascending.
        uses: references that were resolved, by ascending position.
        bindings: captions of figures and tables, by ascending position of the figure.
        figure_tokens: tokens of a figure's picture; None if it has none that could be read.
        names: of the document.
        policy: budget and rule.
        counter: counts the tokens of text.

    Yields:
        Windows in order. Every block stands in one of them with role ``body``, a cut one in several, or is rejected.
        The last may have no rows, only rejected ones.
    """
    packer = _Packer(figure_tokens, names, policy, counter)
    for unit in read_units(blocks, uses, bindings, packer.measure, policy):
        yield from packer.add(unit)
    yield from packer.finish()


class _Packer:
    """Fills windows unit by unit."""

    def __init__(
        self,
        figure_tokens: Callable[[Block], int | None],
        names: DocumentNames,
        policy: WindowPolicy,
        counter: TokenCounter,
    ) -> None:
        self._figure_tokens = figure_tokens
        self._names = names
        self._policy = policy
        self._count = counter.count
        self._headings: list[Element] = []
        self._pending: list[Element] = []
        self._recall = Recall(policy)
        self._faults: list[tuple[Block, str]] = []
        self._index = 0
        self._window = self._open()

    def measure(self, block: Block) -> int:
        """Tokens of a block with what stands around it; 0 if it cannot be used."""
        if block.type == "figure":
            tokens = self._figure_tokens(block)
            return 0 if tokens is None else tokens + self._policy.sentinel_tokens + self._policy.separator_tokens
        if not block.text.strip():
            return 0
        return self._count([block.text])[0] + self._policy.separator_tokens

    def add(self, unit: Unit) -> Iterator[Window]:
        """Place a unit; the windows that became full."""
        unit = self._usable(unit)
        if not unit.elements:
            return
        heading_room = self._policy.max_context_share * self._policy.budget_tokens
        is_heading = unit.elements[0].block.type == "heading"
        if is_heading and sum(e.tokens for e in self._pending) + unit.tokens <= heading_room:
            self._pending.extend(unit.elements)
            return
        headings, self._pending = tuple(self._pending), []
        group = Unit((*headings, *unit.elements), unit.moved)
        if group.tokens > self._window.room and group.tokens <= self._policy.budget_tokens:
            yield from self._close()
        self._open_with_context(group)
        if group.tokens <= self._window.room:
            self._place(headings, unit)
        elif unit.tokens <= self._policy.budget_tokens and unit.is_float:
            yield from self._cut(headings)
            yield from self._close()
            self._open_with_context(unit)
            self._place((), unit)
        else:
            yield from self._cut((*headings, *self._texts_of(unit)))

    def finish(self) -> Iterator[Window]:
        """The last window."""
        if self._pending:
            last, self._pending = Unit(tuple(self._pending)), []
            if last.tokens > self._window.room:
                yield from self._close()
            self._open_with_context(last)
            for element in last.elements:
                self._put(element)
        yield from self._close()

    def _open(self) -> OpenWindow:
        return OpenWindow(self._names.batch, self._names.document_id, self._names.block_id, self._index, self._policy)

    def _close(self) -> Iterator[Window]:
        window, faults = self._window, self._rejected()
        if not window.is_empty or faults.height:
            tokens = 0 if window.is_empty else window.tokens
            yield Window(window.rows(), faults, tokens, window.moved, window.repeated)
        if not window.is_empty:
            self._index += 1
            self._window = self._open()

    def _usable(self, unit: Unit) -> Unit:
        for element in unit.elements:
            if not element.tokens:
                code = "FIGURE_WITHOUT_PICTURE" if element.block.type == "figure" else "EMPTY_BLOCK"
                self._faults.append((element.block, code))
        return Unit(tuple(element for element in unit.elements if element.tokens), unit.moved)

    def _open_with_context(self, group: Unit) -> None:
        """Open a window that is still empty with the headings above a group, if they fit; else with the inner ones."""
        first = group.elements[0].block
        level = first.level if first.type == "heading" else None
        above = [e for e in self._headings if level is None or (e.block.level or 1) < level]
        room = self._policy.max_context_share * self._policy.budget_tokens
        if group.tokens <= self._policy.budget_tokens:
            room = min(room, self._policy.budget_tokens - group.tokens)
        kept: list[Element] = []
        for element in reversed(above):
            room -= element.tokens
            if room < 0:
                break
            kept.append(element)
        self._window.set_context(tuple(reversed(kept)))

    def _place(self, headings: tuple[Element, ...], unit: Unit) -> None:
        """Place headings and a unit that fit, and before the unit what it refers to in earlier windows."""
        for element in headings:
            self._put(element)
        for element in unit.elements:
            for use in element.uses:
                known = self._recall.find(use.refers_to)
                if known and not self._window.holds(use.refers_to) and known.tokens + unit.tokens <= self._window.room:
                    self._window.repeat(known)
        for element in unit.elements:
            self._put(element)
        self._window.moved += unit.moved
        if unit.is_float:
            self._recall.remember(unit)

    def _put(self, element: Element) -> None:
        if element.block.type == "heading":
            level = element.block.level or 1
            self._headings = [e for e in self._headings if (e.block.level or 1) < level]
            self._headings.append(element)
        self._window.put(element, element.block.text, 0, element.tokens)

    def _texts_of(self, unit: Unit) -> tuple[Element, ...]:
        """The texts of a unit that no window holds; its figures and tables are rejected."""
        for element in unit.elements:
            if element.block.type in _CODES:
                self._faults.append((element.block, _CODES[element.block.type]))
        return tuple(element for element in unit.elements if element.block.type not in _CODES)

    def _cut(self, elements: tuple[Element, ...]) -> Iterator[Window]:
        """Place texts one by one, cut where a window ends."""
        for element in elements:
            text, start = element.block.text, 0
            whole = Unit((element,))
            scarce = self._window.room < self._policy.min_split_share * self._policy.budget_tokens
            if element.tokens > self._window.room and (scarce or element.tokens <= self._policy.budget_tokens):
                yield from self._close()
                self._open_with_context(whole)
            if element.tokens <= self._window.room:
                self._put(element)
                continue
            while start < len(text):
                if start:
                    yield from self._close()
                    self._open_with_context(whole)
                room = self._window.room - self._policy.separator_tokens
                end, tokens = cut_text(text, start, room, self._count, element.block.type)
                if end == start:
                    raise ContractError(f"a window of {room} tokens holds no character; raise [windows] budget_tokens")
                self._window.put(element, text[start:end], start, tokens + self._policy.separator_tokens)
                start = end

    def _rejected(self) -> pl.DataFrame:
        names = self._names
        faults, self._faults = self._faults, []
        rows = [
            {
                "batch": names.batch,
                "stage": STAGE,
                "record_kind": "block",
                "record_ref": names.record_ref,
                "record_id": names.block_id(block),
                "code": code,
                "reason": _REASONS[code].format(block.position, names.record_ref),
            }
            for block, code in faults
        ]
        return pl.DataFrame(rows, schema=_REJECTED.schema)
