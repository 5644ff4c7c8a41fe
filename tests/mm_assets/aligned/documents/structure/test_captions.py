from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.aligned.documents.structure.caption_matching import match_pairs
from mm_assets.aligned.documents.structure.captions import CaptionBinding, bind_captions
from mm_assets.documents.blocks import Block, Picture
from mm_assets.documents.labels import label_of_caption
from mm_assets.policy import DocumentCaptionPolicy

POLICY = DocumentCaptionPolicy()


def figure(position, *, alt="", file="pictures/a.png", **more):
    return Block(
        position, more.pop("page", 1), "figure", alt, picture=Picture("file", file, None, None, alt or None), **more
    )


def caption(position, text, **more):
    return Block(position, more.pop("page", 1), "caption", text, label=label_of_caption(text), **more)


def text(position, kind="paragraph", words="The mill stands by the river.", **more):
    return Block(position, more.pop("page", 1), kind, words, **more)


def bound(blocks, similarity=None) -> dict[int, int | None]:
    return {one.position: one.caption_position for one in bind_captions(blocks, similarity, POLICY)}


def how(blocks, position, similarity=None) -> CaptionBinding:
    return next(one for one in bind_captions(blocks, similarity, POLICY) if one.position == position)


def test_markup_binds_whatever_stands_nearer():
    blocks = [caption(0, "A mill.", of=3), figure(1), text(2), figure(3)]
    assert bound(blocks) == {1: None, 3: 0}
    assert how(blocks, 3) == CaptionBinding(3, "figure", 0, "markup", 1.0)


@pytest.mark.parametrize(("missing", "expected"), [(None, 1), (True, None), (False, None)])
def test_a_caption_of_something_else_goes_to_no_neighbour(missing, expected):
    blocks = [figure(0), caption(1, "A mill.", figure_missing=missing), text(2)]
    assert bound(blocks) == {0: expected}


def test_of_two_captions_in_the_markup_the_one_with_a_number_counts():
    blocks = [caption(0, "Figure 1. Mills", of=1), figure(1), caption(2, "A windmill", of=1)]
    assert bound(blocks) == {1: 0}
    assert bound([caption(0, "Mills", of=1), figure(1), caption(2, "Figure 1. A windmill", of=1)]) == {1: 2}


def test_a_document_s_habit_decides_between_two_neighbours():
    above = [caption(0, "Figure 1. A"), figure(1), text(2), caption(3, "Figure 2. B"), figure(4), text(5)]
    assert bound([*above, figure(6), caption(7, "Figure 3. C"), figure(8)]) == {1: 0, 4: 3, 6: None, 8: 7}
    below = [figure(0), caption(1, "Figure 1. A"), text(2), figure(3), caption(4, "Figure 2. B"), text(5)]
    assert bound([*below, figure(6), caption(7, "Figure 3. C"), figure(8)]) == {0: 1, 3: 4, 6: 7, 8: None}


def test_an_unbroken_row_of_figures_and_captions_is_paired_from_its_end():
    blocks = [block for at in range(0, 40, 2) for block in (figure(at), caption(at + 1, f"Figure {at // 2 + 1}. A"))]
    assert bound(blocks) == {at: at + 1 for at in range(0, 40, 2)}


def test_titles_above_and_captions_without_number_below_do_not_mix():
    blocks = [
        caption(0, "Figure 1. A"), figure(1), caption(2, "seen from the left"),
        caption(3, "Figure 2. B"), figure(4), caption(5, "seen from the right"), figure(6), caption(7, "from above"),
    ]  # fmt: skip
    assert bound(blocks) == {1: 0, 4: 3, 6: 7}


def test_tables_take_captions_of_tables():
    table = Block(1, 1, "table", "a\tb", cells=(("a", "b"),))
    blocks = [caption(0, "Table 1. Wheels"), table, figure(2), caption(3, "Figure 1. A wheel")]
    assert bound(blocks) == {1: 0, 2: 3}
    assert [one.type for one in bind_captions(blocks, None, POLICY)] == ["table", "figure"]
    assert bind_captions([Block(0, 1, "table", "a\tb", cells=(("a", "b"),))], None, POLICY) == []


def test_an_equal_number_binds_across_pages():
    pages = [text(at, page=at) for at in range(3, 30)]
    blocks = [caption(1, "Figure 7. A mill", page=1), text(2, page=1), *pages, figure(30, file="fig7.png", page=30)]
    assert how(blocks, 30).bound_by == "number"
    assert how(blocks, 30).caption_position == 1
    blocks[-1] = figure(30, file="mill.png", page=30)
    assert bound(blocks) == {30: None}


def test_words_of_the_alt_text_decide_where_place_cannot():
    blocks = [caption(0, "The wheel of the mill"), figure(1, alt="A bridge in fog"), text(2),
              figure(3, alt="wheel of the mill"), caption(4, "A bridge in fog")]  # fmt: skip
    assert bound(blocks) == {1: 4, 3: 0}
    assert how(blocks, 3).bound_by == "similarity"


def test_embeddings_decide_where_place_cannot():
    blocks = [figure(0), caption(1, "One"), figure(2)]

    def right(shown: Block, _caption: Block) -> float:
        return 0.31 if shown.position == 2 else 0.19

    assert bound(blocks, right) == {0: None, 2: 1}
    assert bound(blocks, lambda shown, _: 0.31 if shown.position == 0 else 0.19) == {0: 1, 2: None}
    assert bound(blocks, lambda *_: None) == bound(blocks)


def test_boxes_count_where_there_are_pages():
    # Two columns; the caption of each figure stands below it, and reading order puts both captions last.
    blocks = [
        figure(0, box=(50, 100, 250, 300)), figure(1, box=(300, 100, 500, 300)),
        caption(2, "Figure 1. Left", box=(50, 310, 250, 322)), caption(3, "Figure 2. Right", box=(300, 310, 500, 322)),
    ]  # fmt: skip
    assert bound(blocks) == {0: 2, 1: 3}
    swapped = [*blocks[:2], caption(2, "Figure 1. Right", box=(300, 310, 500, 322)),
               caption(3, "Figure 2. Left", box=(50, 310, 250, 322))]  # fmt: skip
    assert bound(swapped) == {0: 3, 1: 2}


def test_a_caption_beside_its_figure_is_found():
    blocks = [
        text(0, box=(50, 50, 500, 90)), caption(1, "Figure 1. Mill", box=(50, 150, 180, 200)),
        figure(2, box=(200, 100, 500, 300)), text(3, box=(50, 310, 500, 400)), figure(4, box=(50, 410, 180, 600)),
    ]  # fmt: skip
    assert bound(blocks) == {2: 1, 4: None}


def test_on_a_page_a_figure_is_found_however_much_text_was_read_between():
    # The figure stands at the top of the right column; its caption below it is read after the left column.
    column = [text(at, box=(50, 60 * at, 250, 60 * at + 50)) for at in range(1, 12)]
    blocks = [figure(0, box=(300, 60, 500, 200)), *column, caption(12, "Figure 1. Mill", box=(300, 210, 500, 222))]
    assert bound(blocks) == {0: 12}


def test_pictures_in_a_row_share_a_caption():
    blocks = [
        figure(0, box=(50, 100, 250, 300)), figure(1, box=(300, 100, 500, 300)),
        caption(2, "Figure 1. Before and after", box=(50, 310, 500, 322)),
    ]  # fmt: skip
    assert bound(blocks) == {0: 2, 1: 2}
    assert bound([figure(0, alt="Mill"), figure(1, alt="Mill"), caption(2, "Figure 1. Mill")]) == {0: 2, 1: 2}
    assert bound([figure(0, alt="Toolbar"), figure(1, alt="Mill"), caption(2, "Figure 1. Mill")]) == {0: None, 1: 2}


def test_a_paragraph_that_starts_as_a_caption_is_one_only_beside_a_figure():
    assert bound([text(0, words="Figure 3: A mill"), figure(1)]) == {1: 0}
    assert bound([text(0, words="Figure 3 shows a mill."), figure(1)]) == {1: None}
    assert bound([text(0, words="Figure 3: A mill"), text(1), figure(2)]) == {2: None}


def test_a_caption_far_from_any_figure_stays_alone():
    blocks = [caption(0, "A mill"), *(text(at) for at in range(1, 5)), text(5, "heading"), figure(6)]
    assert bound(blocks) == {6: None}
    assert how(blocks, 6) == CaptionBinding(6, "figure", None, "none", None)


@pytest.mark.parametrize("between", [text(1, "heading"), text(1), caption(1, "Table 9. Other")])
def test_what_stands_between_costs_score(between):
    near = how([caption(0, "Figure 1. A"), figure(1)], 1).score
    far = how([caption(0, "Figure 1. A"), between, figure(2)], 2).score
    assert near is not None
    assert far is None or 0.0 < far < near


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["figure", "table", "caption", "numbered", "paragraph", "heading"]), max_size=24))
def test_every_figure_has_one_row_and_no_caption_is_lent_twice(kinds):
    blocks = [
        figure(at, file=f"{at}.png") if kind == "figure"
        else caption(at, f"Figure {at}. A" if kind == "numbered" else "A mill") if kind in {"caption", "numbered"}
        else text(at, kind)
        for at, kind in enumerate(kinds)
    ]  # fmt: skip
    bindings = bind_captions(blocks, None, POLICY)
    positions = [one.position for one in bindings]
    assert positions == sorted(set(positions))
    assert {one.position for one in bindings if one.type == "figure"} == {
        block.position for block in blocks if block.type == "figure"
    }
    lent = [one.caption_position for one in bindings if one.caption_position is not None]
    assert len(lent) == len(set(lent))
    assert {blocks[place].type for place in lent} <= {"caption"}
    assert all(one.score is None or POLICY.min_score <= one.score <= 1.0 for one in bindings)
    assert bindings == bind_captions(blocks[::-1], None, POLICY)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 3)), st.floats(-2, 4).map(lambda one: round(one, 3)), max_size=12
    )
)
def test_the_matching_is_the_best_of_all(weights):
    matched = match_pairs(weights, 0.0)
    assert len({left for left, _ in matched}) == len({right for _, right in matched}) == len(matched)
    best = max(
        sum(max(weights.get((left, right), 0.0), 0.0) for left, right in enumerate(order))
        for order in permutations(range(4))
    )
    assert sum(weights[pair] for pair in matched) == pytest.approx(best, abs=1e-9)
