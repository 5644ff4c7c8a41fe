"""Lines that were found in pixels have the sizes they were set in, not those of their boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.documents.interfaces import ReadWord
from mm_assets.documents.pages import Page, Words
from mm_assets.documents.recognised_sizes import settle_sizes
from mm_assets.documents.recognition import recognise_pages
from mm_assets.policy import Policy

POLICY = Policy().document_recognition
NOISE = (1.0, 1.12, 0.9, 1.0, 1.24, 1.0, 1.12, 0.86)


def boxes(tops, size=10.0):
    return np.asarray([(50.0, top, 350.0, top + size) for top in tops])


def test_lines_of_a_paragraph_have_one_size():
    sizes = settle_sizes([10 * part for part in NOISE], boxes([100 + 13 * line for line in range(8)]), [50] * 8, POLICY)
    assert sizes.tolist() == [10.0] * 8


def test_a_line_alone_is_no_larger_than_the_text_unless_clearly():
    tops = [60, *(100 + 13 * line for line in range(6)), 220, *(260 + 13 * line for line in range(6))]
    sizes = settle_sizes([13.0, *[10.0] * 6, 11.9, *[10.0] * 6], boxes(tops), [20, *[50] * 6, 20, *[50] * 6], POLICY)
    assert sizes.tolist() == [13.0, *[10.0] * 13]


def test_a_note_at_the_foot_stays_small():
    tops = [*(100 + 13 * line for line in range(6)), 500, 510, 520]
    sizes = settle_sizes([*[10.0] * 6, 7.6, 8.8, 8.0], boxes(tops), [50] * 9, POLICY)
    assert sizes.tolist() == [*[10.0] * 6, 8.0, 8.0, 8.0]


@given(st.lists(st.tuples(st.floats(1, 99), st.floats(0, 900), st.integers(1, 90)), max_size=12))
def test_no_size_is_made_up(lines):
    given_sizes = [size for size, _, _ in lines]
    places = boxes([top for _, top, _ in lines]).reshape(-1, 4)
    settled = settle_sizes(given_sizes, places, [count for _, _, count in lines], POLICY)
    assert len(settled) == len(lines)
    assert set(settled.tolist()) <= set(given_sizes)


class NoisyOcr:
    """Reads one paragraph, in boxes that are not equally high."""

    identity = None
    device = "cpu"

    def read_pages(self, pages):
        return [
            [
                ReadWord(
                    f"word{line}{place}", 0.9, (50.0 + 60 * place, 100.0 + 26 * line, 100.0 + 60 * place, high), line
                )
                for line, part in enumerate(NOISE)
                for place in range(6)
                for high in [100.0 + 26 * line + 20 * part]
            ]
            for _ in pages
        ]


def test_words_of_a_recognised_paragraph_have_one_size():
    page = Page(1, 500.0, 700.0, "px", Words.none(), (), np.zeros((0, 4), np.float32), text_from="none")
    (read,) = recognise_pages([page], [np.zeros((700, 500, 3), np.uint8)], NoisyOcr(), None, 0.9, POLICY)
    assert read.words.sizes == pytest.approx([18.0] * 48)
