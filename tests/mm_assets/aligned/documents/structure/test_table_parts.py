"""Tables that go on in the next column or on the next page, and tables of their own."""

from collections.abc import Callable, Sequence

import pytest

from mm_assets.aligned.documents.structure.page_blocks import page_blocks
from mm_assets.documents.pages import Page
from mm_assets.policy import DocumentStructurePolicy

POLICY = DocumentStructurePolicy()
HEAD = ("Month", "Rain")
Place = tuple[float, float]
Text = tuple[float, float, str]
Rule = tuple[float, float, float, float]


def table(at: Place, rows: Sequence[tuple[str, str]]) -> tuple[list[Text], list[Rule]]:
    """A framed table of two columns, 150 wide, its rows 20 high."""
    left, top = at
    lines = [
        (left + 5 + 80 * place, top + 5 + 20 * row, cell)
        for row, cells in enumerate(rows)
        for place, cell in enumerate(cells)
    ]
    low = top + 20 * len(rows)
    rules = [(left, top + 20 * row, left + 150, top + 20 * row + 1) for row in range(len(rows) + 1)]
    rules += [(x, top, x + 1, low) for x in (left, left + 75, left + 149)]
    return lines, rules


def prose(x: float, y: float, count: int, first: str) -> list[Text]:
    return [(x, y + 12 * line, f"{first} {line:02d} and as wide as it") for line in range(count)] + [
        (x, y + 12 * count, "The end of it.")
    ]


def sheet(typeset: Callable[..., Page], number: int, *parts: tuple[list[Text], list[Rule]] | list[Text]) -> Page:
    lines = [line for part in parts for line in (part if isinstance(part, list) else part[0])]
    rules = [rule for part in parts if not isinstance(part, list) for rule in part[1]]
    return typeset(number, lines, rules=rules)


@pytest.mark.parametrize("head", [[], [HEAD]], ids=["rows alone", "head repeated"])
def test_a_table_goes_on_at_the_top_of_the_next_column(
    typeset: Callable[..., Page], head: list[tuple[str, str]]
) -> None:
    first = table((40, 460), [HEAD, ("May", "12"), ("June", "9")])
    rest = table((220, 80), [*head, ("July", "7"), ("August", "3")])
    left = [*prose(40, 80, 28, "A line"), (40.0, 444.0, "Table 1: Rain of a year")]
    page = sheet(typeset, 1, left, first, rest, prose(220, 180, 30, "The line"))
    blocks = list(page_blocks([page], POLICY))
    assert [block.type for block in blocks] == ["paragraph", "caption", "table", "paragraph"]
    assert blocks[2].cells == (HEAD, ("May", "12"), ("June", "9"), ("July", "7"), ("August", "3"))


@pytest.mark.parametrize("pages", [1, 2], ids=["next column", "next page"])
def test_a_table_with_a_caption_of_its_own_is_no_rest(typeset: Callable[..., Page], pages: int) -> None:
    first = table((40, 460), [HEAD, ("May", "12"), ("June", "9")])
    left = [*prose(40, 80, 28, "A line"), (40.0, 444.0, "Table 1: Rain of a year")]
    x = 220 if pages == 1 else 40
    other = table((x, 100), [HEAD, ("May", "2"), ("June", "1")])
    right = [(float(x), 80.0, "Table 2: Rain elsewhere"), *prose(x, 180, 30, "The line")]
    if pages == 1:
        written = [sheet(typeset, 1, left, first, other, right)]
    else:
        written = [sheet(typeset, 1, left, first), sheet(typeset, 2, other, right)]
    blocks = list(page_blocks(written, POLICY))
    assert [block.type for block in blocks] == ["paragraph", "caption", "table", "caption", "table", "paragraph"]
    assert [block.label for block in blocks if block.type == "caption"] == ["Table 1", "Table 2"]


def test_a_caption_that_repeats_the_number_does_not_part_a_table(typeset: Callable[..., Page]) -> None:
    first = table((40, 460), [HEAD, ("May", "12"), ("June", "9")])
    rest = table((60, 100), [HEAD, ("July", "7")])  # the margin of the other page
    pages = [
        sheet(typeset, 1, [*prose(40, 80, 28, "A line"), (40.0, 444.0, "Table 1: Rain of a year")], first),
        sheet(typeset, 2, [(60.0, 80.0, "Table 1: continued")], rest, prose(60, 180, 20, "The line")),
    ]
    (whole,) = [block for block in page_blocks(pages, POLICY) if block.type == "table"]
    assert whole.cells == (HEAD, ("May", "12"), ("June", "9"), ("July", "7"))
    assert (whole.page, whole.last_page) == (1, 2)


def test_tables_side_by_side_are_two(typeset: Callable[..., Page]) -> None:
    first = table((40, 460), [HEAD, ("May", "12"), ("June", "9")])
    beside = table((220, 460), [("Day", "Wind"), ("1", "4"), ("2", "6")])
    page = sheet(typeset, 1, prose(40, 80, 28, "A line"), first, beside)
    assert [block.type for block in page_blocks([page], POLICY)] == ["paragraph", "table", "table"]


def test_a_table_goes_on_from_the_last_column_to_two_more(typeset: Callable[..., Page]) -> None:
    begun, tall = [HEAD, ("May", "12"), ("June", "9")], [(str(row), str(100 - row)) for row in range(20)]
    rest = [("March", "8"), ("April", "5")]
    pages = [
        sheet(typeset, 1, prose(40, 80, 36, "A line"), prose(220, 80, 28, "The line"), table((220, 460), begun)),
        sheet(typeset, 2, table((40, 80), tall), table((220, 80), rest), prose(220, 160, 20, "The line")),
    ]
    (whole,) = [block for block in page_blocks(pages, POLICY) if block.type == "table"]
    assert whole.cells == (*begun, *tall, *rest)


def test_a_part_without_a_rule_below_goes_on_under_the_same_head(typeset: Callable[..., Page]) -> None:
    """As LaTeX and browsers cut a table with three rules: the last one stands at its end."""
    begun, ended = [HEAD, ("May", "12 mm"), ("June", "9 mm")], [HEAD, ("July", "7 mm"), ("August", "3 mm")]
    pages = [
        sheet(typeset, 1, prose(40, 80, 26, "A line"), (table((40, 460), begun)[0], [(30, 460, 200, 461)])),
        sheet(typeset, 2, (table((40, 80), ended)[0], [(30, y, 200, y + 1) for y in (80, 96, 140)])),
    ]
    (whole,) = [block for block in page_blocks(pages, POLICY) if block.type == "table"]
    assert whole.cells == (*begun, *ended[1:])
