"""Tables of HTML: which hold data, and their cells with spans laid out."""

from collections.abc import Iterator
from typing import Final

from selectolax.lexbor import LexborNode

from mm_assets.documents.html_boilerplate import names_of
from mm_assets.documents.html_text import RunningText
from mm_assets.errors import DecodeError
from mm_assets.policy import DocumentReadingPolicy

Cells = tuple[tuple[str, ...], ...]
_MAX_SPAN: Final = 1_000  # as HTML has it
_NESTED: Final = "td table, th table"
_LAYOUT: Final = ", ".join(
    (
        *(f"h{level}" for level in range(1, 7)),
        "figure",
        "pre",
        "section",
        "article",
        "div.mediaobject",
        "div.figure",
        "div.caption",
    )
)
_LAYOUT_ROLES: Final = frozenset({"presentation", "none"})
_BLOCKS: Final = frozenset(
    ["p", "div", "li", "ul", "ol", "dl", "dd", "dt", "br", "tr", "td", "th", "table", "blockquote", "pre"]
)
_UNSEEN: Final = frozenset({"script", "style", "template", "noscript"})
_FEWEST: Final = 2  # columns of a table of data


def rows_of(table: LexborNode) -> Iterator[LexborNode]:
    """Rows of the table itself, not of tables in it."""
    child = table.child
    while child is not None:
        if child.tag == "tr":
            yield child
        elif child.tag in {"tbody", "thead", "tfoot"}:
            row = child.child
            while row is not None:
                if row.tag == "tr":
                    yield row
                row = row.next
        child = child.next


def caption_of(table: LexborNode) -> LexborNode | None:
    """The caption of the table itself."""
    child = table.child
    while child is not None and child.tag != "caption":
        child = child.next
    return child


def cells_of(row: LexborNode) -> Iterator[LexborNode]:
    """Cells of a row."""
    cell = row.child
    while cell is not None:
        if cell.tag in {"td", "th"}:
            yield cell
        cell = cell.next


def holds_data(table: LexborNode) -> bool:
    """Whether a table holds data; else it only arranges what stands in it, and is read as if it were not there."""
    if (table.attributes.get("role") or "").lower() in _LAYOUT_ROLES or table.css_first(_LAYOUT) is not None:
        return False
    if table.css_first(_NESTED) is not None and not _is_titled(table):
        return False
    if "linenotable" in names_of(table) or "highlighttable" in names_of(table):
        return False
    columns = rows = texts = pictures = 0
    for row in rows_of(table):
        cells = list(cells_of(row))
        columns, rows = max(columns, len(cells)), rows + 1
        for cell in cells:
            texts += bool(cell.text(deep=True).strip())
            pictures += cell.css_first("img") is not None
    if rows == 0 or columns < _FEWEST or texts == 0:
        return False
    return pictures <= texts and not _is_admonition(table)


def _is_titled(table: LexborNode) -> bool:
    """Whether the table itself has a caption or a row of heads: then a table in a cell is part of it."""
    heads = (sum(cell.tag == "th" for cell in cells_of(row)) for row in rows_of(table))
    return caption_of(table) is not None or any(count >= _FEWEST for count in heads)


def _is_admonition(table: LexborNode) -> bool:
    return table.attributes.get("border") == "0" and bool(table.attributes.get("summary"))


def read_cells(table: LexborNode, policy: DocumentReadingPolicy, where: str) -> Cells:
    """Rows of equal length; a cell that spans several has its text in the first of them.

    Raises:
        DecodeError: code ``TABLE_TOO_LARGE``.
    """
    grid: list[dict[int, str]] = []
    taken: dict[int, int] = {}  # column -> rows it is still covered for
    columns = total = 0
    for row in rows_of(table):
        line: dict[int, str] = {}
        column = 0
        for cell in cells_of(row):
            while taken.get(column, 0):
                column += 1
            across = _span(cell, "colspan")
            down = _span(cell, "rowspan")
            line[column] = cell_text(cell)
            for covered in range(column, column + across):
                taken[covered] = max(taken.get(covered, 0), down)
            column += across
            total += across * down
            if total > policy.max_table_cells:
                raise DecodeError(
                    "TABLE_TOO_LARGE",
                    f"{where}: a table has more than {policy.max_table_cells} cells; divide it or raise "
                    "[document_reading] max_table_cells",
                )
        columns = max(columns, column, *(key + 1 for key, left in taken.items() if left)) if taken else column
        taken = {key: left - 1 for key, left in taken.items() if left > 1}
        grid.append(line)
        if len(grid) * columns > policy.max_table_cells:
            raise DecodeError(
                "TABLE_TOO_LARGE",
                f"{where}: a table has more than {policy.max_table_cells} cells; divide it or raise "
                "[document_reading] max_table_cells",
            )
    return tuple(tuple(line.get(column, "") for column in range(columns)) for line in grid)


def _span(cell: LexborNode, name: str) -> int:
    stated = (cell.attributes.get(name) or "").strip()
    return min(max(int(stated), 1), _MAX_SPAN) if stated.isascii() and stated.isdigit() else 1


def cell_text(cell: LexborNode) -> str:
    """Text of a cell in one line; a picture stands as its ``alt`` text."""
    text = RunningText()
    for node in cell.traverse(include_text=True):
        tag = node.tag
        if tag == "-text":
            if node.parent is None or node.parent.tag not in _UNSEEN:
                text.add(node.text_content or "")
        elif tag == "img":
            text.add(f" {node.attributes.get('alt') or ''} ")
        elif tag in _BLOCKS:
            text.add(" ")
    return text.take()[0].replace("\t", " ").replace("\n", " ")
