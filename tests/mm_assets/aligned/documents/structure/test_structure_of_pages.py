"""Pages become blocks in the order in which they are read."""

import itertools
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from mm_assets.aligned.documents.structure.page_blocks import page_blocks
from mm_assets.documents.blocks import Block
from mm_assets.documents.pages import BOLD, MONOSPACE, Page, PageRegion
from mm_assets.documents.pdf import PdfReader
from mm_assets.policy import DocumentStructurePolicy

POLICY = DocumentStructurePolicy()
LEFT = ["Here the left column", "starts and it goes on", "for a while until the", "page is at its end, and"]
RIGHT = ["then the right column", "is read, as any reader", "of a journal would do", "without a thought."]


def column(x: float, y: float, texts: list[str]) -> list[tuple[float, float, str]]:
    return [(x, y + 12 * place, text) for place, text in enumerate(texts)]


def told(blocks: Iterator[Block]) -> list[tuple[str, str]]:
    return [(block.type, block.text) for block in blocks]


def test_columns_are_read_one_after_the_other_below_what_spans_them(typeset: Callable[..., Page]) -> None:
    title = (40.0, 60.0, "A title that spans both columns of the page", 14.0, BOLD)
    page = typeset(1, [title, *column(40, 120, LEFT), *column(210, 120, RIGHT)])
    assert told(page_blocks([page], POLICY)) == [
        ("heading", "A title that spans both columns of the page"),
        ("paragraph", " ".join(LEFT + RIGHT)),
    ]


def test_order_does_not_depend_on_the_order_of_the_file(typeset: Callable[..., Page]) -> None:
    lines = [*column(40, 120, LEFT), *column(210, 120, RIGHT)]
    turned = typeset(1, lines[::-1])
    assert told(page_blocks([turned], POLICY)) == told(page_blocks([typeset(1, lines)], POLICY))


def test_a_paragraph_goes_on_behind_a_figure_and_the_end_of_a_page(typeset: Callable[..., Page]) -> None:
    first = typeset(
        1, column(40, 100, ["This paragraph is as wide as all of the page, and it is not at an", "end but divi-"])
    )
    lines = [*column(40, 220, ["Figure 1: A picture."]), *column(40, 260, ["ded by the end of the page."])]
    second = typeset(2, lines, figures=[(40, 80, 300, 200)])
    blocks = list(page_blocks([first, second], POLICY))
    assert told(iter(blocks)) == [
        (
            "paragraph",
            "This paragraph is as wide as all of the page, and it is not at an end but divided by the end of the page.",
        ),
        ("figure", ""),
        ("caption", "Figure 1: A picture."),
    ]
    assert [(block.position, block.page, block.last_page) for block in blocks] == [(0, 1, 2), (1, 2, 2), (2, 2, 2)]
    assert blocks[1].picture is not None
    assert blocks[1].picture.box == (40, 80, 300, 200)
    assert blocks[2].label == "Figure 1"


def test_running_lines_and_page_numbers_are_left_out(typeset: Callable[..., Page]) -> None:
    pages = [
        typeset(
            number,
            [
                (40, 20, f"A history of {number} things"),
                (40, 100, f"Sentence {number} of the text."),
                (200, 580, str(number)),
            ],
        )
        for number in range(1, 8)
    ]
    assert told(page_blocks(pages, POLICY)) == [
        ("paragraph", f"Sentence {number} of the text.") for number in range(1, 8)
    ]


def test_lists_code_and_notes_are_told_apart(typeset: Callable[..., Page]) -> None:
    body = [
        (40.0, 100.0 + 12 * line, "Some lines of text that show how large the type of the body is.")
        for line in range(4)
    ]
    marks = [(50.0, 170.0, "• One of two things"), (50.0, 182.0, "• The other thing")]
    code = [(40.0, 220.0, "def one():", 10.0, MONOSPACE), (58.0, 232.0, "return 1", 10.0, MONOSPACE)]
    note = [(40.0, 540.0, "1 This is a note at the foot of the page.", 8.0)]
    found = told(page_blocks([typeset(1, [*body, *marks, *code, *note])], POLICY))
    assert [kind for kind, _ in found] == ["paragraph", "list", "code", "footnote"]
    assert found[1][1] == "• One of two things\n• The other thing"
    assert found[2][1] == "def one():\n   return 1"


def test_formulas_stand_apart_with_their_numbers(typeset: Callable[..., Page]) -> None:
    lines = [
        (40, 100, "The energy of a body at rest and the sides of a right-angled"),
        (40, 112, "triangle are"),
        (120, 140, "E = m c²"),
        (300, 140, "(1)"),
        (120, 152, "a² + b² = c²"),
        (300, 152, "(2)"),
        (40, 180, "of which the second is older."),
    ]
    blocks = list(page_blocks([typeset(1, lines)], POLICY))
    assert [(block.type, block.text, block.label) for block in blocks[1:3]] == [
        ("formula", "E = m c² (1)", "(1)"),
        ("formula", "a² + b² = c² (2)", "(2)"),
    ]
    assert [block.type for block in blocks] == ["paragraph", "formula", "formula", "paragraph"]


def test_an_indent_begins_a_paragraph_behind_one_that_is_indented_too(typeset: Callable[..., Page]) -> None:
    first = [
        (60, 100, "This paragraph is set as in a book,"),
        (40, 112, "where an indent and nothing else is the sign"),
    ]
    second = [(60, 124, "Then comes the second one, it begins"), (40, 136, "in the same way.")]
    found = told(page_blocks([typeset(1, [*first, *second])], POLICY))
    assert [text[:4] for _, text in found] == ["This", "Then"]


def test_lines_that_hang_below_a_word_are_one_paragraph(typeset: Callable[..., Page]) -> None:
    lines = [
        (40, 100, "draft: Print the numbers of pages. This vio-"),
        (60, 112, "lates the rules, but is useful while"),
        (60, 124, "a text is written."),
    ]
    assert told(page_blocks([typeset(1, lines)], POLICY)) == [
        (
            "paragraph",
            "draft: Print the numbers of pages. This violates the rules, but is useful while a text is written.",
        )
    ]


def test_small_text_at_the_foot_of_a_column_does_not_part_its_paragraph(typeset: Callable[..., Page]) -> None:
    left = [(40.0, 480.0 + 12 * place, text) for place, text in enumerate(LEFT)]
    note = [(40.0, 540.0, "Written while they were", 8.0), (40.0, 550.0, "at another place.", 8.0)]
    page = typeset(1, [*left, *note, *column(210, 480, RIGHT)])
    assert told(page_blocks([page], POLICY)) == [
        ("paragraph", " ".join(LEFT + RIGHT)),
        ("footnote", "Written while they were at another place."),
    ]


@pytest.mark.parametrize("upright", [True, False], ids=["boxed", "three rules"])
def test_tables_keep_their_cells(typeset: Callable[..., Page], upright: bool) -> None:
    lines = [
        (50, 103, "Key"),
        (200, 103, "What it does"),
        (50, 123, "a"),
        (200, 123, "First"),
        (50, 143, "b"),
        (200, 143, "Next"),
    ]
    rules = [(40.0, y, 340.0, y + 1) for y in ((100, 120, 140, 160) if upright else (100, 118, 160))]
    rules += [(x, 100.0, x + 1, 160.0) for x in (40, 190, 339)] if upright else []
    (block,) = page_blocks([typeset(1, lines, rules=rules)], POLICY)
    assert block.type == "table"
    assert block.cells == (("Key", "What it does"), ("a", "First"), ("b", "Next"))
    assert block.text == "Key\tWhat it does\na\tFirst\nb\tNext"


def test_regions_tell_what_a_page_of_pixels_shows(typeset: Callable[..., Page]) -> None:
    lines = [
        (40, 20, "On a museum"),
        (40, 100, "A title"),
        (40, 130, "Text without a style of its own."),
        (40, 280, "A vase"),
    ]
    regions = (
        PageRegion((35, 15, 130, 35), "header", 0.9),
        PageRegion((35, 95, 130, 112), "title", 0.9),
        PageRegion((35, 275, 130, 295), "caption", 0.8),
    )
    page = typeset(1, lines, regions=regions, text_from="ocr", figures=[(40, 160, 200, 270)])
    assert told(page_blocks([page], POLICY)) == [
        ("heading", "A title"),
        ("paragraph", "Text without a style of its own."),
        ("figure", ""),
        ("caption", "A vase"),
    ]
    unasked = typeset(1, lines, figures=[(40, 160, 200, 270)])
    assert [kind for kind, _ in told(page_blocks([unasked], POLICY))].count("paragraph") == 4


def test_a_table_without_rules_keeps_its_cells(typeset: Callable[..., Page]) -> None:
    lines = [
        *[(40, 100 + 12 * line, "Some lines of text that are as wide as the page is, nearly.") for line in range(4)],
        (40, 170, "Key"), (160, 170, "What it does"),
        (40, 184, "C-c C-a"), (160, 184, "Go to the beginning of the"),
        (160, 196, "form."),
        (40, 210, "C-c C-e"), (160, 210, "Go to the end."),
    ]  # fmt: skip
    blocks = list(page_blocks([typeset(1, lines)], POLICY))
    assert [block.type for block in blocks] == ["paragraph", "table"]
    assert blocks[1].cells == (
        ("Key", "What it does"),
        ("C-c C-a", "Go to the beginning of the form."),
        ("C-c C-e", "Go to the end."),
    )


@pytest.mark.parametrize(
    "second", [RIGHT, ["(1)", "(2)", "(3)", "(4)"], ["7", "9", "12", "15"]], ids=["text", "formulas", "contents"]
)
def test_columns_formulas_and_contents_are_no_tables(typeset: Callable[..., Page], second: list[str]) -> None:
    page = typeset(1, [*column(40, 120, ["a = b", "b = c", "c = d", "d = e"]), *column(210, 120, second)])
    assert "table" not in [block.type for block in page_blocks([page], POLICY)]


def test_a_table_and_a_list_go_on_on_the_next_page(typeset: Callable[..., Page]) -> None:
    edges = [(40.0, 500.0, 340.0, 501.0), (40.0, 518.0, 340.0, 519.0), (40.0, 560.0, 340.0, 561.0)]
    head = [(50, 503, "Key"), (200, 503, "What it does")]
    rows = [[(50, 523, "a"), (200, 523, "First")], [(50, 523, "b"), (200, 523, "Next")]]
    items = [[(50, 480, "• One of three things")], [(50, 80, "• Another thing"), (50, 92, "• The last thing")]]
    body = [(40, 40 + 12 * line, "Some lines of text that are as wide as the page is here.") for line in range(4)]
    pages = [
        typeset(1, [*body, *head, *rows[0]], rules=edges),
        typeset(
            2,
            [*[(x, y - 400, text) for x, y, text in head + rows[1]], *items[0]],
            rules=[(x1, y1 - 400, x2, y2 - 400) for x1, y1, x2, y2 in edges],
        ),
        typeset(3, items[1]),
    ]
    blocks = list(page_blocks(pages, POLICY))
    assert [block.type for block in blocks] == ["paragraph", "table", "list"]
    assert blocks[1].cells == (("Key", "What it does"), ("a", "First"), ("b", "Next"))
    assert (blocks[1].page, blocks[1].last_page) == (1, 2)
    assert blocks[2].text == "• One of three things\n• Another thing\n• The last thing"
    assert (blocks[2].page, blocks[2].last_page) == (2, 3)


def test_a_book_is_read_in_order(book: PdfReader) -> None:
    blocks = list(page_blocks(book.pages(), POLICY))
    assert [block.position for block in blocks] == list(range(len(blocks)))
    assert all(one.page <= other.page for one, other in itertools.pairwise(blocks))
    headings = [block.text for block in blocks if block.type == "heading" and block.page > 6]
    wanted = ["4.1 ", "4.2 ", "4.3 ", "4.4 ", "4.5 "]
    assert [next(text for text in headings if text.startswith(start)) for start in wanted] == sorted(
        text for text in headings if text.startswith(tuple(wanted))
    )
    assert not [block.text for block in blocks if block.text.startswith("A Brief History of Debian") and block.page > 7]
    assert not [block.text for block in blocks if " / 2" in block.text[:8]]
    kinds = Counter(block.type for block in blocks)
    assert kinds["paragraph"] > 100
    assert kinds["list"] >= 5


def test_few_pages_are_held(typeset: Callable[..., Page]) -> None:
    drawn: list[int] = []

    def pages() -> Iterator[Page]:
        for number in range(1, 100):
            drawn.append(number)
            yield typeset(
                number, [(40, 100 + 12 * line, f"A line of page {number} of a long book, it is.") for line in range(8)]
            )

    blocks = page_blocks(pages(), POLICY)
    tracemalloc.start()
    try:
        next(blocks)
        ahead = len(drawn)
        early = tracemalloc.get_traced_memory()[0]
        for _ in blocks:
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ahead <= POLICY.pages_around + 2
    assert peak < 3 * early


@pytest.mark.parametrize("top", [262, 288], ids=["inside", "at the edge"])
def test_a_numbered_caption_inside_a_figure_is_no_label_of_it(typeset: Callable[..., Page], top: float) -> None:
    lines = [
        *column(40, 60, LEFT),
        (120, 180, "a label"),
        (60, top, "Figure 3: Levels of the river and"),
        (60, top + 12, "of the lake"),
    ]
    blocks = list(page_blocks([typeset(1, lines, figures=[(40, 140, 300, 290)])], POLICY))
    assert [block.type for block in blocks] == ["paragraph", "figure", "caption"]
    assert (blocks[2].label, blocks[2].text) == ("Figure 3", "Figure 3: Levels of the river and of the lake")


def test_rules_drawn_cell_by_cell_make_one_table(typeset: Callable[..., Page]) -> None:
    lefts, tops, rows = (40, 110, 190), (100, 120, 140), (("Month", "Flow"), ("May", "12"), ("June", "9"))
    lines = [(lefts[x] + 5, top + 5, cell) for top, row in zip(tops, rows, strict=True) for x, cell in enumerate(row)]
    rules = [(left, y, right, y + 0.8) for left, right in itertools.pairwise(lefts) for y in (*tops, 160)]
    rules += [(x, top, x + 0.8, top + 20) for x in lefts for top in tops]
    (block,) = page_blocks([typeset(1, lines, rules=rules)], POLICY)
    assert (block.type, block.cells) == ("table", rows)


def test_rules_of_two_columns_on_one_level_stay_two_tables(typeset: Callable[..., Page]) -> None:
    cells = {40: [("Month", "Flow"), ("May", "12"), ("June", "9")], 210: [("Day", "Wind"), ("1", "4"), ("2", "6")]}
    lines = [
        (x + 5 + 70 * at, 105 + 20 * y, cell)
        for x in (40, 210)
        for y, row in enumerate(cells[x])
        for at, cell in enumerate(row)
    ]
    rules = [(x, y, x + 150, y + 0.8) for x in (40, 210) for y in (100, 120, 160)]
    blocks = list(page_blocks([typeset(1, lines, rules=rules)], POLICY))
    assert [block.type for block in blocks] == ["table", "table"]


def test_figures_side_by_side_have_their_captions_below_them(typeset: Callable[..., Page]) -> None:
    body = [(40, 60 + 12 * line, "Some lines of text that are as wide as the page is, nearly so.") for line in range(3)]
    captions = [
        (40, 250, "Figure 2: Rain in the"), (40, 262, "month of May"),
        (210, 250, "Figure 3: Rain in the"), (210, 262, "month of June"),
    ]  # fmt: skip
    more = [(40, 300, "Then the text goes on across the page below both of the figures.")]
    page = typeset(1, [*body, *captions, *more], figures=[(40, 120, 190, 240), (210, 120, 360, 240)])
    assert [(block.type, block.text) for block in page_blocks([page], POLICY)][1:] == [
        ("figure", ""),
        ("caption", "Figure 2: Rain in the month of May"),
        ("figure", ""),
        ("caption", "Figure 3: Rain in the month of June"),
        ("paragraph", more[0][2]),
    ]


def test_a_page_of_pixels_is_measured_by_its_own_text(typeset: Callable[..., Page]) -> None:
    def page(number: int, size: float) -> Page:
        texts = [f"Sentence {number}-{line} of a long text stands here for once" for line in range(10)]
        lines = [(40.0, 90.0 + (30 + size) * line, text, size) for line, text in enumerate(texts)]
        return typeset(number, lines, text_from="ocr")

    blocks = list(page_blocks([page(1, 9.0), page(2, 9.0), page(3, 12.0)], POLICY))
    assert {block.type for block in blocks} == {"paragraph"}


@pytest.mark.parametrize(("origin", "tables"), [("ocr", 1), ("layer", 0)])
def test_rows_of_pixels_begin_below_each_other_if_nearly(
    typeset: Callable[..., Page], origin: str, tables: int
) -> None:
    rows = [("Mill", "Count", "Remark"), ("Weir", "12", "in use"), ("Race", "7", "lost"), ("Pond", "30", "in use")]
    noise = (0.0, -5.5, -1.0, -6.0)
    lines = [
        (left + apart, 100 + 16 * place, cell)
        for place, (apart, row) in enumerate(zip(noise, rows, strict=True))
        for left, cell in zip((60, 160, 260), row, strict=True)
    ]
    blocks = list(page_blocks([typeset(1, lines, text_from=origin)], POLICY))
    found = [block for block in blocks if block.type == "table"]
    assert len(found) == tables
    assert all(block.cells == tuple(rows) for block in found)


def test_cells_of_pixels_that_were_found_as_one_line_are_parted(typeset: Callable[..., Page]) -> None:
    rows = [("Mill", "Count", "Remark"), ("Weir", "12", "in use"), ("Race wall", "7", "lost"), ("Pond", "30", "in use")]
    lines = [
        (left, 100 + 16 * place, cell)
        for place, row in enumerate(rows)
        for left, cell in zip((60, 120, 200), row, strict=True)
    ]
    (table,) = page_blocks([typeset(1, lines, text_from="ocr")], POLICY)
    assert (table.type, table.cells) == ("table", tuple(rows))
