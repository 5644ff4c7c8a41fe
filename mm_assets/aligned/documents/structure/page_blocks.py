# pyright: strict
"""Pages as blocks in the order in which they are read."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from mm_assets.aligned.documents.structure.aligned_tables import find_aligned_tables
from mm_assets.aligned.documents.structure.columns import Leaf, Part, order_parts
from mm_assets.aligned.documents.structure.figure_labels import is_in, leave_out_labels
from mm_assets.aligned.documents.structure.lines import Line
from mm_assets.aligned.documents.structure.paragraphs import (
    ASIDE,
    TextBlock,
    Typography,
    goes_on,
    join_blocks,
    read_paragraphs,
)
from mm_assets.aligned.documents.structure.running_lines import without_running_lines
from mm_assets.aligned.documents.structure.table_parts import OpenTable, table_block
from mm_assets.aligned.documents.structure.tables import FoundTable, find_tables
from mm_assets.documents.blocks import Block, Picture
from mm_assets.documents.pages import Page, PageFigure
from mm_assets.policy.document_structure import DocumentStructurePolicy

_MOST_BETWEEN: Final = 24


def page_blocks(pages: Iterable[Page], policy: DocumentStructurePolicy) -> Iterator[Block]:
    """Blocks of a document with pages.

    In memory are a few pages and the paragraph that may go on.

    Args:
        pages: in their order.
        policy: what separates lines, columns and paragraphs.

    Yields:
        Blocks with positions from 0; running lines and page numbers are left out.
    """
    looks = Typography()
    writer = _Writer()
    for page, lines in without_running_lines(pages, policy):
        looks.learn(lines)
        local = looks.on(page, lines)
        tables = find_tables(page, lines, policy)
        free = [line for line in lines if not is_in(line.box, [table.box for table in tables])]
        free = leave_out_labels(free, [figure.box for figure in page.figures])
        aligned = find_aligned_tables(free, policy, from_pixels=page.text_from == "ocr")
        free = [line for line in free if not is_in(line.box, [table.box for table in aligned])]
        parts = [Part(line.box, line) for line in free]
        parts += [Part(table.box, None, table) for table in tables + aligned]
        parts += [Part(figure.box, None, figure) for figure in page.figures]
        for leaf in order_parts(parts, page.width, local.body, policy):
            for run in _runs(leaf):
                other = run[0].other
                if isinstance(other, FoundTable):
                    yield from writer.table(other, page)
                elif isinstance(other, PageFigure):
                    yield from writer.figure(other, page.number)
                else:
                    for block in read_paragraphs(run, page, local, policy):
                        yield from writer.text(block)
    yield from writer.end()


def _runs(leaf: Leaf) -> Iterator[Leaf]:
    """Lines that follow each other together, anything else alone."""
    run: Leaf = []
    for part in leaf:
        if isinstance(part.line, Line):
            run.append(part)
            continue
        if run:
            yield run
            run = []
        yield [part]
    if run:
        yield run


class _Writer:
    """Numbers blocks, and holds back a paragraph, list or table that may go on behind the end of a column or page."""

    def __init__(self) -> None:
        self._position = 0
        self._open: TextBlock | None = None
        self._between: list[Block] = []
        self._table: OpenTable | None = None
        self._place = 0  # of the open table among those between
        self._caption: str | None = None  # label of the caption that stands directly before

    def text(self, block: TextBlock) -> Iterator[Block]:
        self._caption = block.label if block.type == "caption" else None
        if self._open is not None and goes_on(self._open, block):
            self._open = join_blocks(self._open, block)
            self._table = None
            return
        if block.type in ASIDE:
            yield from self._hold(_as_block(block))
            return
        yield from self.end()
        if block.type in ("paragraph", "list"):
            self._open = block
        else:
            yield self._numbered(_as_block(block))

    def table(self, table: FoundTable, page: Page) -> Iterator[Block]:
        label, self._caption = self._caption, None
        if self._table is not None and self._table.goes_on(table, self._between[self._place + 1 :], page):
            self._table = self._table.joined(table, page)
            self._between[self._place] = self._table.block
            return
        block = table_block(table, page)
        self._table = OpenTable(block, table.box, label)
        self._place = len(self._between)
        self._between.append(block)
        if len(self._between) > _MOST_BETWEEN:
            yield from self.end()

    def figure(self, figure: PageFigure, page: int) -> Iterator[Block]:
        self._caption = None
        picture = Picture(figure.kind, None, page, figure.box)
        yield from self._hold(Block(0, page, "figure", "", figure.box, picture=picture, last_page=page))

    def end(self) -> Iterator[Block]:
        """Everything that is held back."""
        if self._open is not None:
            yield self._numbered(_as_block(self._open))
            self._open = None
        for block in self._between:
            yield self._numbered(block)
        self._between = []
        self._table = None

    def _hold(self, block: Block) -> Iterator[Block]:
        if self._open is None and self._table is None:
            yield self._numbered(block)
            return
        self._between.append(block)
        if len(self._between) > _MOST_BETWEEN:
            yield from self.end()

    def _numbered(self, block: Block) -> Block:
        numbered = replace(block, position=self._position)
        self._position += 1
        return numbered


def _as_block(block: TextBlock) -> Block:
    return Block(
        position=0,
        page=block.page,
        type=block.type,
        text=block.text,
        box=block.box,
        level=block.level,
        label=block.label,
        last_page=block.page if block.last_page is None else block.last_page,
    )
