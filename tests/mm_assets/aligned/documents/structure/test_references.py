import tracemalloc

import pytest

from mm_assets.aligned.documents.structure.reference_phrases import find_named, find_relative
from mm_assets.aligned.documents.structure.references import Reference, ReferenceFinder
from mm_assets.documents.blocks import Block, Link
from mm_assets.documents.labels import label_of_caption, label_of_heading
from mm_assets.policy import DocumentCaptionPolicy

POLICY = DocumentCaptionPolicy()


def block(position, kind, text="", **more):
    label = label_of_caption(text) if kind == "caption" else label_of_heading(text) if kind == "heading" else None
    return Block(position, more.pop("page", 1), kind, text, label=more.pop("label", label), **more)


def references(blocks, labels=()) -> list[Reference]:
    finder = ReferenceFinder(POLICY)
    for one in blocks:
        finder.add(one)
    for page, label in labels:
        finder.add_page_label(page, label)
    return finder.resolve()


def ends(blocks, labels=()) -> list[tuple[str, str, int | None]]:
    return [(one.kind, one.text, one.refers_to) for one in references(blocks, labels)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("as Figure 3 shows", [("figure", "3")]),
        ("(Fig. 3a)", [("figure", "3a")]),
        ("Figs. 2 and 4", [("figure", "2"), ("figure", "4")]),
        ("Figures 2, 3, and 5", [("figure", "2"), ("figure", "3"), ("figure", "5")]),
        ("Figures 3-5", [("figure", "3"), ("figure", "4"), ("figure", "5")]),
        ("Figures 3.1 to 3.3", [("figure", "3.1"), ("figure", "3.2"), ("figure", "3.3")]),
        ("Figure 3-5", [("figure", "3-5")]),
        ("Tables 2 & 3", [("table", "2"), ("table", "3")]),
        ("see table 4.", [("table", "4")]),
        ("Section 4.1.2 tells", [("section", "4.1.2")]),
        ("§ 7", [("section", "7")]),
        ("Appendix B", [("section", "B")]),
        ("equation (3.1), Eq. 4", [("equation", "3.1"), ("equation", "4")]),
        ("on page 12", [("page", "12")]),
        ("(see p. 9)", [("page", "9")]),
        ("siehe Abbildung 4 und Tabelle 2", [("figure", "4"), ("table", "2")]),
        ("Figure\u00a03", [("figure", "3")]),
    ],
)
def test_names_are_found(text, found):
    assert [(one.kind, one.number) for one in find_named(text, POLICY.max_range)] == found


@pytest.mark.parametrize(
    "text",
    [
        "in 2 figures",
        "We figure 3 people will come",
        "a figure. 3 people came",
        "the table 5% larger",
        "Table 3rd from the left",
        "stable 3 and transfiguration 4",
        "Vision 11(1) (2005), pp. 13-24",
        "Conference on, pages 382-390. IEEE",
        'see Section 3.4, of "Concrete Mathematics"',
        "Chapter 5 of the book",
        "[Buc85], page 431.",
        "pages 133-136. Three volumes.",
        "List of Figures 129",
        "sec 4 and fig 3",
        "the figure a shows",
        "in 2024 figures 12000 rose",
        "Figure it out",
    ],
)
def test_what_names_nothing_is_no_reference(text):
    assert list(find_named(text, POLICY.max_range)) == []


@pytest.mark.parametrize(
    "text",
    ["put the images below each other", "as above", "the temperature is below 3", "get the next image", "listed below"],
)
def test_above_and_below_of_other_things_are_no_references(text):
    assert list(find_relative(text)) == []


def test_spans_are_those_of_the_text():
    text = "Compare Figs. 2 and 4 with Section 3."
    found = references([block(0, "paragraph", text)])
    assert [text[one.start : one.end] for one in found] == [one.text for one in found] == ["Figs. 2", "4", "Section 3"]


def test_numbers_lead_to_figures_tables_and_headings():
    blocks = [
        block(0, "heading", "1. Mills", level=1),
        block(1, "paragraph", "Figure 1 and Table 1 belong to Section 2.1; Figure 1a too, Figure 9 not."),
        block(2, "figure"),
        block(3, "caption", "Figure 1. A mill (see Table 1)"),
        block(4, "caption", "Table 1: Wheels"),
        block(5, "table", "a\tb", cells=(("a", "b"),)),
        block(6, "heading", "2.1 Wheels", level=2),
    ]
    assert ends(blocks) == [
        ("figure", "Figure 1", 2), ("table", "Table 1", 5), ("section", "Section 2.1", 6), ("figure", "Figure 1a", 2),
        ("figure", "Figure 9", None), ("table", "Table 1", 5),
    ]  # fmt: skip
    lost = [one for one in references(blocks) if one.refers_to is None]
    assert [one.reason for one in lost] == ["NO_SUCH_NUMBER"]


def test_a_caption_without_its_figure_is_led_to_itself():
    blocks = [block(0, "paragraph", "see Figure 2"), block(1, "caption", "Figure 2. Lost"), block(2, "paragraph", "x")]
    assert ends(blocks) == [("figure", "Figure 2", 1)]


def test_a_paragraph_that_is_a_caption_does_not_refer_to_itself():
    blocks = [block(0, "figure"), block(1, "paragraph", "Figure 2: A mill"), block(2, "paragraph", "As Figure 2 shows")]
    assert ends(blocks) == [("figure", "Figure 2", 0)]


def test_a_section_is_not_its_line_in_the_contents():
    blocks = [
        block(0, "heading", "2 Mills 17", level=1),
        block(1, "paragraph", "See Section 2 and Section 3."),
        block(5, "heading", "2 Mills", level=1),
        block(6, "heading", "3 Wheels of 1890", level=1),
    ]
    assert [one.refers_to for one in references(blocks)] == [5, 6]


def test_of_equal_numbers_the_nearest_is_meant():
    chapters = [
        block(at + offset, kind, text)
        for at in (0, 10, 20)
        for offset, kind, text in ((0, "paragraph", "See Figure 1."), (1, "figure", ""), (2, "caption", "Figure 1. A"))
    ]
    assert [one.refers_to for one in references(chapters)] == [1, 11, 21]


def test_links_lead_to_anchors_and_from_captions_to_figures():
    text = "See Figure 7 and the wheel, or nothing."
    links = (Link(4, 12, "fig"), Link(17, 26, "wheel"), Link(31, 38, "gone"))
    blocks = [
        block(0, "paragraph", text, links=links),
        block(1, "caption", "A mill", anchors=("fig",), of=2),
        block(2, "figure"),
        block(3, "list", "wheel", anchors=("wheel",)),
    ]
    found = references(blocks)
    assert [(one.kind, one.text, one.refers_to, one.reason) for one in found] == [
        ("figure", "Figure 7", 2, None),
        ("anchor", "the wheel", 3, None),
        ("anchor", "nothing", None, "NO_SUCH_ANCHOR"),
    ]


def test_pages_are_those_that_are_printed():
    box = (0.0, 0.0, 1.0, 1.0)
    blocks = [block(at, "paragraph", "see page 2" if at == 0 else "x", page=at + 1, box=box) for at in range(4)]
    assert ends(blocks) == [("page", "page 2", 1)]
    assert ends(blocks, [(1, "i"), (2, "1"), (3, "2")]) == [("page", "page 2", 2)]
    assert references([block(0, "paragraph", "on page 2")])[0].reason == "NO_PAGES"
    linked = [block(0, "paragraph", "see there", page=1, box=box, links=(Link(4, 9, None, 3),)), *blocks[1:]]
    assert ends(linked) == [("anchor", "there", 2)]


def test_equations_are_known_by_the_number_behind_them():
    blocks = [
        block(0, "formula", "E = mc^2   (3)"),
        block(1, "paragraph", "From (3) and equation (4), in (5) cases; see (3)."),
        block(2, "formula", "a = b (x)"),
    ]
    assert ends(blocks) == [("equation", "(3)", 0), ("equation", "equation (4)", None), ("equation", "(3)", 0)]


def test_titles_of_equations_name_the_formula_beside_them():
    blocks = [
        block(0, "paragraph", "Equation 8.1 and Equation 8.2 differ."),
        block(1, "paragraph", "Equation 8.1. Normal mode"),
        block(2, "formula", "E = M"),
        block(3, "paragraph", "x"),
        block(4, "caption", "Equation 8.2. Screen mode"),
    ]
    assert ends(blocks) == [("equation", "Equation 8.1", 2), ("equation", "Equation 8.2", 4)]


def test_marks_and_links_to_their_own_block_are_no_references():
    links = (Link(6, 7, "here"), Link(0, 4, "here"))
    assert references([block(0, "list", "emptyp \u00b6", anchors=("here",), links=links)]) == []


def test_above_and_below_lead_to_the_nearest_in_reach():
    blocks = [
        block(0, "figure"),
        block(1, "paragraph", "the figure above, the next table, the screenshot below; see below"),
        block(2, "paragraph", "x"),
        block(3, "paragraph", "x"),
        block(4, "figure"),
        block(5, "table", "a", cells=(("a",),)),
    ]
    assert [one.refers_to for one in references(blocks)] == [0, 5, 4, None]
    assert references(blocks)[-1].reason == "NOTHING_THERE"


def test_a_heading_and_a_caption_do_not_refer_to_themselves():
    assert references([block(0, "heading", "Section 3 Mills"), block(1, "caption", "Figure 3. A mill")]) == []


def test_memory_is_that_of_labels_and_references():
    finder = ReferenceFinder(POLICY)
    words = "The river runs past the old mill and turns the wheel. " * 40
    tracemalloc.start()
    for at in range(300):
        finder.add(block(at, "paragraph", f"{at} {words}"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000 < 300 * len(words)
    assert finder.resolve() == []
