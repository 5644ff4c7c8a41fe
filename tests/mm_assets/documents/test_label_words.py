"""Captions and paragraphs that stand close to a drawing are none of its labels."""

from collections.abc import Callable

import numpy as np
import pytest

from mm_assets.documents.label_words import label_words
from mm_assets.documents.pages import BOLD, Words

DRAWING = (
    "1 w 60 100 m 90 180 120 80 180 120 c S 60 110 m 90 180 120 90 180 130 c S "
    "60 120 m 90 180 120 100 180 140 c S 60 130 m 90 180 120 110 180 150 c S 60 80 m 180 80 l S 60 80 m 60 180 l S "
)
LOW, HIGH = 80.0, 180.0


def line(text: str, x: float, y: float, font: str = "F1") -> str:
    return f"BT /{font} 10 Tf {x} {y} Td ({text}) Tj ET "


@pytest.mark.parametrize("gap", [-1.0, 1.0, 4.0])
@pytest.mark.parametrize("side", ["below", "above"])
def test_a_caption_that_touches_a_drawing_stays_outside(
    first_page: Callable, make_pdf: Callable, gap: float, side: str
) -> None:
    top = LOW - gap - 8 if side == "below" else HIGH + gap + 2 + 12
    texts = line("Figure 3: Levels of the river and", 60, top) + line("of the lake", 60, top - 12)
    page = first_page(make_pdf(DRAWING + line("May", 110, 86) + texts, size=(300, 260)))
    (drawing,) = page.figures
    places = dict(zip(page.words.texts, page.words.boxes, strict=True))
    for word in ("Figure", "river", "lake"):
        _, upper, _, lower = places[word]
        assert min(lower, drawing.box[3]) - max(upper, drawing.box[1]) < 5, word  # a box is higher than its letters
    assert drawing.box[1] < places["May"][1] < drawing.box[3]


def test_a_label_that_names_no_figure_belongs_to_the_drawing(first_page: Callable, make_pdf: Callable) -> None:
    page = first_page(make_pdf(DRAWING + line("Figure shows levels", 60, 68), size=(300, 260)))
    (drawing,) = page.figures
    assert drawing.box[3] >= page.words.boxes[:, 3].max() - 0.1


def written(*lines: tuple[str, float, float], styles: tuple[int, ...] = ()) -> Words:
    texts: list[str] = []
    boxes: list[tuple[float, float, float, float]] = []
    for text, x, y in lines:
        left = x
        for word in text.split():
            texts.append(word)
            boxes.append((left, y, left + 5 * len(word), y + 10))
            left += 5 * len(word) + 3
    count = len(texts)
    given = np.asarray(styles or (0,) * count, np.uint8)
    return Words(tuple(texts), np.asarray(boxes, np.float32), np.full(count, 10, np.float32), given, np.ones(count))


def test_lines_of_a_caption_are_aligned_and_close() -> None:
    words = written(
        ("before it", 40, 80),
        ("Fig. 2. A wheel", 40, 100),
        ("and its axle", 40, 112),
        ("a label", 70, 124),
        ("x", 40, 160),
    )
    assert [text for text, own in zip(words.texts, label_words(words), strict=True) if not own] == [
        *("Fig.", "2.", "A", "wheel", "and", "its", "axle")
    ]  # fmt: skip


def test_a_sentence_is_no_caption_unless_its_number_is_bold() -> None:
    sentence = ("Figure 2 shows a wheel", 40.0, 100.0)
    assert label_words(written(sentence)).all()
    assert not label_words(written(sentence, styles=(BOLD, BOLD, 0, 0, 0))).any()


def test_a_page_without_words_has_no_caption() -> None:
    assert label_words(Words.none()).shape == (0,)


@pytest.mark.parametrize("side", ["below", "above"])
def test_a_paragraph_that_touches_a_drawing_stays_outside(first_page: Callable, make_pdf: Callable, side: str) -> None:
    top = LOW - 11 if side == "below" else HIGH + 3 + 24
    texts = ("The river rises in spring and falls", "in summer, when a pond has to store", "what falls at night.")
    prose = "".join(line(text, 60, top - 12 * place) for place, text in enumerate(texts))
    page = first_page(make_pdf(DRAWING + line("May", 110, 86) + prose, size=(300, 260)))
    (drawing,) = page.figures
    assert drawing.box[3] - drawing.box[1] < HIGH - LOW + 8


def test_text_that_goes_on_in_the_next_column_is_no_label() -> None:
    left = [("the wheel turned slowly while it ran", 40.0, 300.0), ("and the miller watched it", 40.0, 312.0)]
    right = [("turn all of the day long", 240.0, 80.0), ("in spring.", 240.0, 92.0)]
    words = written(*left, *right, ("a label", 60.0, 200.0), ("5", 40.0, 190.0), ("10", 40.0, 180.0))
    told = [text for text, own in zip(words.texts, label_words(words), strict=True) if own]
    assert told == ["a", "label", "5", "10"]
