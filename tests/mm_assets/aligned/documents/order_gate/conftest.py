import numpy as np
import pytest

from mm_assets.documents.blocks import Block, Picture
from mm_assets.documents.pages import Page, PageLink, Words

TOPICS = ("river", "castle", "violin", "glacier", "lantern", "orchard", "beacon", "harbour", "weaver", "meadow")


def make_page(number, lines, *, links=(), label=None):
    """A page of lines set 14 points apart; words 30 points apart."""
    texts, boxes = [], []
    for row, line in enumerate(lines):
        for column, word in enumerate(line.split()):
            texts.append(word)
            boxes.append((50 + 30 * column, 50 + 14 * row, 75 + 30 * column, 60 + 14 * row))
    count = len(texts)
    words = Words(
        tuple(texts), np.array(boxes, np.float32).reshape(-1, 4), np.full(count, 10, np.float32),
        np.zeros(count, np.uint8), np.ones(count, np.float32),
    )  # fmt: skip
    found = tuple(PageLink((0.0, 0.0, 1.0, 1.0), target, None, None) for target in links)
    return Page(number, 600, 800, "pt", words, (), np.zeros((0, 4), np.float32), found, label=label)


def book_lines(pages, *, numbered=True):
    """Lines of a book of so many pages: a running line, text whose sentences cross the pages, a printed number."""
    text = [
        [
            f"The {TOPICS[(page + line) % 10]} of part {page} goes on and the {TOPICS[line]} stands near"
            for line in range(6)
        ]
        for page in range(pages)
    ]
    for page in range(pages):
        text[page][-1] += " the long and" if page % 3 == 0 else " there at last."
        if page % 3 == 1:  # every third sentence crosses a break
            text[page][0] = text[page][0].replace("The", "winding", 1)
    return [
        ["A short history of mills", *lines, *([str(page + 1)] if numbered else [])] for page, lines in enumerate(text)
    ]


def captioned(count, start=1):
    """A document of figures, each with alt text, caption, number and a paragraph about it."""
    blocks, bindings = [Block(0, 1, "heading", "Pictures", level=1)], []
    for at in range(count):
        topic, place = TOPICS[at % 10], len(blocks)
        blocks += [
            Block(place, 1, "paragraph", f"Here the {topic} is described, as Figure {start + at} shows."),
            Block(
                place + 1,
                1,
                "figure",
                f"The {topic} from afar",
                picture=Picture("file", f"img/{topic}.png", None, None),
            ),
            Block(place + 2, 1, "caption", f"Figure {start + at}. The {topic} from afar", label=f"Figure {start + at}"),
        ]
        bindings.append((place + 1, place + 2))
    return blocks, bindings


@pytest.fixture
def page_of():
    return make_page


@pytest.fixture
def book():
    return book_lines


@pytest.fixture
def captioned_blocks():
    return captioned
