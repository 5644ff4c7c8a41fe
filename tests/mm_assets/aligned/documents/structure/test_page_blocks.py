"""Pages made by hand become blocks in the order in which a person reads them."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.documents.structure.page_blocks import page_blocks
from mm_assets.documents.pages import BOLD, MONOSPACE, Page, PageFigure, Words
from mm_assets.policy import Policy

POLICY = Policy().document_structure
WIDTH, HEIGHT, SIZE, PITCH = 600.0, 800.0, 10.0, 12.0
PROSE = (
    *("the", "wheel", "turned", "slowly", "while", "the", "miller", "watched", "the", "water", "run"),
    *("over", "the", "weir", "and", "into", "the", "race", "below"),
)


class Sheet:
    """A page that is written on, word by word."""

    def __init__(self, number=1):
        self.number = number
        self.words, self.boxes, self.sizes, self.styles = [], [], [], []
        self.figures, self.rules = [], []

    def write(self, text, x, y, size=SIZE, style=0):
        for word in text.split():
            wide = 0.5 * size * len(word)
            self.words.append(word)
            self.boxes.append((x, y, x + wide, y + size))
            self.sizes.append(size)
            self.styles.append(style)
            x += wide + 0.3 * size
        return x

    def paragraph(self, words, x, y, width, size=SIZE):
        """Set words in lines of at most this width; the height behind the last line."""
        line = []
        for word in [*words, None]:
            long = sum(0.5 * size * len(one) + 0.3 * size for one in [*line, word or ""])
            if word is None or long > width:
                self.write(" ".join(line), x, y, size)
                y += PITCH * size / SIZE
                line = []
            line.append(word)
        return y

    def rule(self, x1, y1, x2, y2):
        self.rules.append((x1, y1, x2, y2))

    def page(self):
        count = len(self.words)
        words = Words(
            tuple(self.words),
            np.array(self.boxes, np.float32).reshape(-1, 4),
            np.array(self.sizes, np.float32),
            np.array(self.styles, np.uint8),
            np.ones(count, np.float32),
        )
        rules = np.array(self.rules, np.float32).reshape(-1, 4)
        return Page(self.number, WIDTH, HEIGHT, "pt", words, tuple(self.figures), rules)


def told(*sheets):
    return [(block.type, block.text) for block in page_blocks((sheet.page() for sheet in sheets), POLICY)]


def test_a_heading_and_its_paragraphs():
    sheet = Sheet()
    sheet.write("1.2 The old mill", 60, 100, size=16, style=BOLD)
    below = sheet.paragraph(PROSE, 60, 140, 400)
    sheet.paragraph(["Then", *PROSE[1:], "again."], 60, below + 10, 400)
    (heading, first, second) = page_blocks([sheet.page()], POLICY)
    assert (heading.type, heading.level, heading.label) == ("heading", 2, "1.2")
    assert (first.type, first.text) == ("paragraph", " ".join(PROSE))
    assert second.text.endswith("again.")
    assert [block.position for block in (heading, first, second)] == [0, 1, 2]


@pytest.mark.parametrize("shuffled", [False, True])
def test_two_columns_under_a_title_are_read_one_after_the_other(shuffled):
    sheet = Sheet()
    sheet.write("A title that stands across both of the columns of it", 80, 60, size=18, style=BOLD)
    lines = [("left", 50.0), ("right", 320.0)]
    rows = [(name, x, 120 + PITCH * row, row) for name, x in lines for row in range(30)]
    if shuffled:
        random.Random(3).shuffle(rows)  # noqa: S311 - an order, no secret
    for name, x, y, row in rows:
        sheet.write(" ".join(f"{name}{row:02d}{letter}" for letter in "abcd"), x, y)
    text = " ".join(text for kind, text in told(sheet) if kind == "paragraph")
    places = [text.index(f"{name}{row:02d}a") for name, _ in lines for row in range(30)]
    assert places == sorted(places)


def test_a_figure_across_the_columns_parts_them():
    sheet = Sheet()
    for x, name in ((50.0, "one"), (320.0, "two")):
        for row in range(8):
            sheet.write(" ".join(f"{name}{row}{letter}" for letter in "abcde"), x, 80 + PITCH * row)
    sheet.figures.append(PageFigure((60.0, 200.0, 540.0, 380.0), "raster"))
    sheet.write("Figure 3: A wheel", 250, 392)
    for x, name in ((50.0, "tre"), (320.0, "fur")):
        for row in range(8):
            sheet.write(" ".join(f"{name}{row}{letter}" for letter in "abcde"), x, 430 + PITCH * row)
    blocks = list(page_blocks([sheet.page()], POLICY))
    text = " ".join(block.text for block in blocks)
    order = [text.index(word) for word in ("one0a", "one7a", "two0a", "two7a", "tre0a", "tre7a", "fur0a")]
    assert order == sorted(order)
    figure = next(block for block in blocks if block.type == "figure")
    caption = next(block for block in blocks if block.type == "caption")
    assert figure.picture.box == (60.0, 200.0, 540.0, 380.0)
    assert (caption.label, abs(caption.position - figure.position)) == ("Figure 3", 1)


@pytest.mark.parametrize(("text", "kind"), [("Levels of the river", "caption"), ("shows the river", "paragraph")])
def test_a_bold_number_starts_a_caption_and_no_sentence(text, kind):
    sheet = Sheet()
    sheet.paragraph([*PROSE, "again."], 60, 60, 400)
    sheet.figures.append(PageFigure((60.0, 100.0, 460.0, 280.0), "raster"))
    end = sheet.write("Figure 1", 60, 292, style=BOLD)
    sheet.write(text, end, 292)
    sheet.write("in three years", 60, 304)
    *_, last = page_blocks([sheet.page()], POLICY)
    assert (last.type, last.text) == (kind, f"Figure 1 {text} in three years")


def test_a_paragraph_goes_on_behind_the_page_and_a_divided_word_is_made_whole():
    first, second = Sheet(1), Sheet(2)
    first.paragraph([*PROSE, "and", "the", "hydro-"], 60, 100, 400)
    second.paragraph(["electric", "age", "began."], 60, 100, 400)
    (block,) = page_blocks([first.page(), second.page()], POLICY)
    assert block.text.endswith("and the hydroelectric age began.")
    assert (block.page, block.last_page) == (1, 2)


def test_running_lines_and_page_numbers_are_left_out():
    sheets = []
    for number in range(1, 7):
        sheet = Sheet(number)
        sheet.write(f"A history of mills {number}", 60, 30, size=8)
        sheet.paragraph([f"Page{number}", *PROSE, "it", "stopped."], 60, 120, 400)
        sheet.write(str(number), 300, 770, size=8)
        sheets.append(sheet)
    texts = [text for _, text in told(*sheets)]
    assert len(texts) == 6
    assert not any("history of mills" in text for text in texts)
    assert [text.split()[0] for text in texts] == [f"Page{number}" for number in range(1, 7)]


def test_a_table_between_rules_keeps_its_cells():
    sheet = Sheet()
    rows = [("wheel", "length", "turns"), ("old", "12", "7"), ("new", "30", "11")]
    for number, row in enumerate(rows):
        for x, cell in zip((70, 200, 330), row, strict=True):
            sheet.write(cell, x, 205 + 20 * number)
    for y in (200, 220, 262):
        sheet.rule(60, y, 420, y + 0.5)
    (table,) = [block for block in page_blocks([sheet.page()], POLICY) if block.type == "table"]
    assert table.cells == tuple(rows)
    assert table.text.splitlines()[1] == "old\t12\t7"


def test_lists_and_code_are_told_from_prose():
    sheet = Sheet()
    for number, item in enumerate(("oak for the wheel", "iron for the axle")):
        sheet.write("•", 60, 100 + 16 * number)
        sheet.write(item, 84, 100 + 16 * number)
    sheet.write("def turn():", 60, 160, style=MONOSPACE)
    sheet.write("return 1", 90, 172, style=MONOSPACE)
    assert told(sheet) == [
        ("list", "• oak for the wheel\n• iron for the axle"),
        ("code", "def turn():\n     return 1"),
    ]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_no_word_is_lost_or_doubled(counts, seed):
    """Whatever stands where: every word of a page stands in exactly one block."""
    random_place = random.Random(seed)  # noqa: S311 - places, no secrets
    sheets = []
    wanted = []
    for number, count in enumerate(counts, start=1):
        sheet = Sheet(number)
        for place in range(count):
            word = f"w{number}x{place}q"
            wanted.append(word)
            sheet.write(word, random_place.uniform(20, 540), random_place.uniform(150, 650))
        sheets.append(sheet)
    found = [word for _, text in told(*sheets) for word in text.replace("\t", " ").split()]
    assert sorted(found) == sorted(wanted)
