import random
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from mm_assets.aligned.documents.order_gate.columns import ColumnOrder
from mm_assets.aligned.documents.order_gate.document_check import ObservedDocument, check_document
from mm_assets.aligned.documents.order_gate.number_series import judge_series, read_number
from mm_assets.aligned.documents.order_gate.page_marks import from_frame, mark_page, to_frame
from mm_assets.aligned.documents.order_gate.page_order import judge_pages
from mm_assets.aligned.documents.order_gate.text_joins import Joins, count_joins
from mm_assets.documents.blocks import Block
from mm_assets.policy.order import OrderGatePolicy

POLICY = OrderGatePolicy()


@pytest.fixture
def faults_of(page_of):
    def found(lines):
        marks = [mark_page(page_of(at + 1, page)) for at, page in enumerate(lines)]
        check = check_document(ObservedDocument("d", "d.pdf", (), pages=marks), POLICY)
        return {fault.kind: fault for fault in check.proven(POLICY)}

    return found


def test_a_sound_book_has_no_fault(book, faults_of):
    for pages in (2, 5, 12, 40):
        assert faults_of(book(pages)) == {}
        assert faults_of(book(pages, numbered=False)) == {}


@pytest.mark.parametrize("pages", [5, 12, 40])
def test_swapped_pages_are_named(book, faults_of, pages):
    lines = book(pages)
    lines[1], lines[3] = lines[3], lines[1]
    (kind,) = faults = faults_of(lines)
    assert kind == "pages_swapped"
    assert set(faults[kind].pages) & {2, 4}


@pytest.mark.parametrize("numbered", [True, False])
def test_reversed_pages_are_told_by_numbers_or_by_sentences(book, faults_of, numbered):
    faults = faults_of(book(30, numbered=numbered)[::-1])
    assert next(iter(faults)) == "pages_reversed"


def test_a_repeated_and_a_missing_page(book, faults_of):
    lines = book(12)
    assert "pages_duplicated" in faults_of([*lines[:5], lines[4], *lines[5:]])
    assert set(faults_of([*lines[:5], *lines[6:]])) == {"pages_missing"}
    # roman numbers in front, a chapter without numbers: nothing is missing
    assert faults_of([["Contents of the book", "iv"], *lines]) == {}


def test_contents_whose_links_go_back_and_forth(page_of, book):
    lines = book(12, numbered=False)
    sound = [page_of(1, ["Contents of the whole book"], links=[2, 3, 5, 7, 9, 11])]
    sound += [page_of(at + 2, page) for at, page in enumerate(lines)]
    order = judge_pages([mark_page(page) for page in sound], POLICY)
    assert order.link_disorder == (0, 6)
    swapped = [page_of(1, ["Contents of the whole book"], links=[2, 9, 5, 7, 3, 11, 12]), *sound[1:]]
    assert judge_pages([mark_page(page) for page in swapped], POLICY).link_disorder == (1, 7)


def test_marks_pass_through_their_table(page_of, book):
    marks = tuple(mark_page(page_of(at + 1, page, links=[3], label="v")) for at, page in enumerate(book(4)))
    assert from_frame(to_frame("b", "d", marks)) == marks
    assert to_frame("b", "d", marks)["words"].dtype == pl.Int32


def test_series_by_hand():
    one = judge_series([(4,), (1,), (2,), (3,)])
    assert (one.rotation, one.displaced) == (-1, (0,))
    assert judge_series([(3,), (2,), (1,)]).is_reversed
    assert judge_series([(1,), (2,), (9,), (3,)]).displaced == (), "9 has no neighbour: it is a stray number"
    assert judge_series([(1, 1), (1, 2), (2, 1), (2, 4)]).missing == ((2, 2), (2, 3))
    assert judge_series([]).count == 0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Figure 3.2: A mill", ("figure", (3, 2))),
        ("Fig. 7 A mill", ("figure", (7,))),
        ("Tabelle 4-1. Mühlen", ("table", (4, 1))),
        ("Chapter 4", ("section", (4,))),
        ("4.13.7 November", ("", (4, 13, 7))),
        ("In 1993 it began", None),
        ("1990s", None),
    ],
)
def test_numbers_of_labels(text, number):
    assert read_number(text) == number


def column_blocks(order, pages=3):
    left = [(50, 100 + 60 * at, 280, 150 + 60 * at) for at in range(6)]
    right = [(310, 100 + 60 * at, 540, 150 + 60 * at) for at in range(6)]
    boxes = [*left, *right] if order == "columns" else [box for pair in zip(left, right, strict=True) for box in pair]
    text = "five words of plain text"
    return [
        Block(at, page, "paragraph", text, box=box, last_page=page)
        for page in range(1, pages + 1)
        for at, box in enumerate([(50, 20, 540, 60), *boxes])
    ]


def test_columns_read_across_are_found_and_read_down_are_not():
    sound, across = ColumnOrder(POLICY), ColumnOrder(POLICY)
    for order, found in (("columns", sound), ("rows", across)):
        for block in column_blocks(order):
            found.add(block)
        found.close()
    assert (sound.pages_with_columns, sound.interleaved, sound.evidence()) == (3, [], 0.0)
    assert across.interleaved == [1, 2, 3]
    assert across.evidence() > POLICY.min_evidence


def test_bands_of_columns_under_wide_headings_are_sound():
    blocks = []
    for band in range(3):
        top = 50 + 200 * band
        boxes = [(50, top, 540, top + 20), (50, top + 30, 280, top + 150), (310, top + 30, 540, top + 150)]
        blocks += [Block(0, 1, "paragraph", "five words of plain text", box=box) for box in boxes]
    found = ColumnOrder(POLICY)
    for block in blocks:
        found.add(block)
    found.close()
    assert found.interleaved == []


def test_lines_of_two_columns_in_one_paragraph_break_sentences():
    prose = [line for path in sorted(Path("docs/decisions").glob("*.md")) for line in path.read_text().splitlines()]
    words = " ".join(line for line in prose if line[:1].isalpha()).split()
    half = len(words) // 2
    rng = random.Random(5)  # noqa: S311 - not cryptography
    mixed, one, other = [], words[:half], words[half:]
    while one or other:
        count = rng.randint(6, 10)
        mixed += one[:count] + other[:count]
        one, other = one[count:], other[count:]
    sound = ColumnOrder(POLICY)
    sound.add(Block(0, 1, "paragraph", " ".join(words)))
    assert sound.evidence() == 0.0
    found = ColumnOrder(POLICY)
    found.add(Block(0, 1, "paragraph", " ".join(mixed)))
    assert found.evidence() > POLICY.min_evidence
    assert found.joins == count_joins(" ".join(mixed)) + Joins()


def test_page_numbers_among_other_numbers(page_of, book):
    lines = [[*page[:1], "1999 was a good year", *page[1:]] for page in book(20)]
    order = judge_pages([mark_page(page_of(at + 1, page)) for at, page in enumerate(lines)], POLICY)
    assert order.printed == tuple((at + 1, (1, at + 1)) for at in range(20))
    assert (order.displaced, order.missing) == ((), ())
    assert replace(order, printed=()).pages == 20
