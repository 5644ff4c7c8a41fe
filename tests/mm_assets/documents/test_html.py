"""What an HTML page says, in its order, and what hostile pages do."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.documents.blocks import Block
from mm_assets.documents.html import HtmlReader
from mm_assets.errors import DecodeError, RecordError
from mm_assets.policy import DocumentReadingPolicy


def blocks_of(body: str | bytes, policy: DocumentReadingPolicy | None = None) -> list[Block]:
    content = body if isinstance(body, bytes) else body.encode()
    blocks = list(HtmlReader(content, "site/en/p.html", policy or DocumentReadingPolicy()).blocks())
    assert [block.position for block in blocks] == list(range(len(blocks)))
    for block in blocks:
        assert all(0 <= link.start < link.end <= len(block.text) for link in block.links)
        assert block.of is None or blocks[block.of].type in {"figure", "table", "formula"}
    return blocks


def shape(blocks: list[Block]) -> list[tuple[str, str]]:
    return [(block.type, block.text) for block in blocks]


def test_headings_paragraphs_and_nested_lists() -> None:
    blocks = blocks_of(
        "<h1>3.1. Top</h1><p>One  <b>two</b>\n three.</p>loose text<h2 id=low>Low</h2>"
        "<ul><li>a<ol start=4><li>b</li><li><p>c</p><p>more</p></li></ol></li><li>d</ul>"
        "<dl><dt>term<dd>told</dl><blockquote>said</blockquote>"
    )
    assert shape(blocks) == [
        ("heading", "3.1. Top"),
        ("paragraph", "One two three."),
        ("paragraph", "loose text"),
        ("heading", "Low"),
        ("list", "- a\n  4. b\n  5. c\n    more\n- d"),
        ("list", "term\n  told"),
        ("paragraph", "said"),
    ]
    assert [block.level for block in blocks[:4]] == [1, None, None, 2]
    assert (blocks[0].label, blocks[3].anchors) == ("3.1", ("low",))


def test_figures_interrupt_lists_in_place() -> None:
    blocks = blocks_of("<ol><li>a<p><img src=x.png alt=X></p></li><li>b</li></ol>")
    assert shape(blocks) == [("list", "1. a"), ("figure", "X"), ("list", "2. b")]


@pytest.mark.parametrize(
    ("markup", "order"),
    [
        ("<figure><img src=a.png><figcaption>Figure 2. Cat</figcaption></figure>", ["figure", "caption"]),
        (
            "<div class=figure><p class=title>Figure 2. Cat</p><div class=mediaobject><img src=a.png></div></div>",
            ["caption", "figure"],
        ),
        ("<div class=image><img src=a.png><div class=caption>Figure 2. Cat</div></div>", ["figure", "caption"]),
        ("<div class=figure><img src=a.png><p class=caption>Figure 2. Cat</p></div>", ["figure", "caption"]),
        (
            "<table><caption>Figure 2. Cat</caption><tr><td><img src=a.png></td></tr></table>",
            ["caption", "figure"],
        ),
    ],
    ids=["html5", "docbook", "doxygen", "sphinx", "latex2html"],
)
def test_captions_know_their_figure(markup: str, order: list[str]) -> None:
    blocks = blocks_of(f"<p>Before.</p>{markup}<p>After.</p>")
    assert [block.type for block in blocks] == ["paragraph", *order, "paragraph"]
    (caption,) = [block for block in blocks if block.type == "caption"]
    (figure,) = [block for block in blocks if block.type == "figure"]
    assert caption.of == figure.position
    assert (caption.text, caption.label, figure.label) == ("Figure 2. Cat", "Figure 2", "Figure 2")
    assert figure.picture is not None
    assert (figure.picture.kind, figure.picture.file) == ("file", "site/en/a.png")


def test_figures_of_a_group_keep_their_own_captions() -> None:
    part = "<div class=mediaobject><img src={0}.png><div class=caption><p>Part {0}</p></div></div>"
    blocks = blocks_of(f"<div class=figure><p class=title>Figure 1. Both</p>{part.format(1)}{part.format(2)}</div>")
    assert [(block.type, block.text, block.of) for block in blocks] == [
        ("caption", "Figure 1. Both", 1),
        ("figure", "", None),
        ("caption", "Part 1", 1),
        ("figure", "", None),
        ("caption", "Part 2", 3),
    ]


@pytest.mark.parametrize(
    ("markup", "missing"),
    [
        ("<figure><figcaption>Cat</figcaption></figure>", [True]),
        ("<div class=image><div class=caption>Cat</div></div>", [True]),
        ("<div class=figure><p class=title>Cat</p><div class=mediaobject></div></div>", [True]),
        ("<div class=image><img src=a.png><div class=caption>Cat</div></div>", [None]),
        ("<div class=image><object data=a.svg></object><div class=caption>Cat</div></div>", [False]),
        ("<figure><pre>meow()</pre><figcaption>Cat</figcaption></figure>", [False]),
        ("<figure><p>Meow, it says.</p><figcaption>Cat</figcaption></figure>", [None]),
        ("<table><caption>Cat</caption><tr><td><p>One</p></td></tr></table>", [False]),
        ("<div class=caption>Cat</div>", [None]),
    ],
)
def test_a_caption_knows_that_its_figure_is_gone(markup: str, missing: list[bool | None]) -> None:
    blocks = blocks_of(f"<p>Before.</p>{markup}<p>After.</p>")
    assert [block.figure_missing for block in blocks if block.type == "caption"] == missing


def test_a_lost_figure_of_a_group_leaves_its_caption_alone() -> None:
    part = "<div class=mediaobject>{0}<div class=caption><p>Part {1}</p></div></div>"
    group = "<div class=figure><p class=title>Figure 1. Both</p>{0}{1}</div>"
    blocks = blocks_of(group.format(part.format("", 1), part.format("<img src=2.png>", 2)))
    assert [(block.type, block.of, block.figure_missing) for block in blocks] == [
        ("caption", 2, None),
        ("caption", None, True),
        ("figure", None, None),
        ("caption", 2, None),
    ]
    without = "<div class=mediaobject>{0}</div>"
    blocks = blocks_of(group.format(without.format(""), without.format("<img src=2.png>")))
    assert [(block.type, block.of, block.figure_missing) for block in blocks] == [
        ("caption", 1, True),
        ("figure", None, None),
    ]


def test_tables_keep_their_cells() -> None:
    (before, caption, table) = blocks_of(
        "<p>x<table id=t><caption>Table 4: Ages</caption><thead><tr><th>Name<th colspan=2>Age</thead>"
        "<tr><td rowspan=2>Ann<td>1<td>2 <i>y</i><tr><td>3<td><img src=i.png alt=yes></table>"
    )
    assert before.type == "paragraph"
    assert (caption.of, table.label, table.position) == (2, "Table 4", 2)
    assert table.cells == (("Name", "Age", ""), ("Ann", "1", "2 y"), ("", "3", "yes"))
    assert table.text == "Name\tAge\t\nAnn\t1\t2 y\n\t3\tyes"
    assert "t" in caption.anchors + table.anchors


@pytest.mark.parametrize("title", ["<caption>Ages</caption><tr><td>Name<td>Age", "<tr><th>Name<th>Age"])
def test_a_table_in_a_cell_of_data_is_part_of_the_cell(title: str) -> None:
    inner = "<table><tr><td>7<td>in May</table>"
    *_, table = blocks_of(f"<table>{title}<tr><td>Ann<td>{inner}</table>")
    assert table.cells == (("Name", "Age"), ("Ann", "7 in May"))
    assert all(
        block.type != "table" for block in blocks_of(f"<table><tr><td>Ann<p>one<td>two<tr><td>{inner}</table>")[:2]
    )


def test_tables_that_arrange_are_read_through() -> None:
    note = (
        "<div class=note><table border=0 summary=Note><tr><td><img alt='[Note]' src=n.png>"
        "<th>Note<tr><td><p>Mind it.</table></div>"
    )
    blocks = blocks_of(
        f"{note}<table role=presentation><tr><td>left<td>right</table><table><tr><td><h2>H</h2><p>t</table>"
    )
    assert shape(blocks) == [
        ("paragraph", "Note"),
        ("paragraph", "Mind it."),
        ("paragraph", "left"),
        ("paragraph", "right"),
        ("heading", "H"),
        ("paragraph", "t"),
    ]


def test_code_formulas_and_footnotes() -> None:
    blocks = blocks_of(
        "<pre>a\n  b</pre><div class=fragment><div class=line>x = 1;</div><div class=line>  y</div></div>"
        "<math display=block alttext='e=mc^2'><mi>e</mi></math><p>with <math alttext='x'><mi>x</mi></math> inside"
        "<aside role=doc-footnote id=f1><p>told below</p></aside>"
    )
    assert shape(blocks) == [
        ("code", "a\n  b"),
        ("code", "x = 1;\n  y"),
        ("formula", "e=mc^2"),
        ("paragraph", "with x inside"),
        ("footnote", "told below"),
    ]
    assert blocks[-1].anchors == ("f1",)


def test_links_lead_to_anchors_of_the_page() -> None:
    (paragraph, target) = blocks_of(
        "<p>  See <a href='#fig-1'>Figure 1</a>, <a href='p.html#s'>that <b>section</b></a>, "
        "<a href='q.html#z'>other</a>."
        "<p><a name='fig-1'></a>Here<span id=s></span>."
    )
    said = [(paragraph.text[link.start : link.end], link.anchor) for link in paragraph.links]
    assert said == [("Figure 1", "fig-1"), ("that section", "s")]
    assert target.anchors == ("fig-1", "s")


def test_links_in_lists_move_with_their_lines() -> None:
    (block,) = blocks_of("<ul><li>one<li>see <a href='#x'>there</a></ul>")
    (link,) = block.links
    assert block.text[link.start : link.end] == "there"


def test_boilerplate_is_dropped() -> None:
    blocks = blocks_of(
        "<header><a href=/>Site</a></header><nav>menu</nav><div class=navheader>Prev</div>"
        "<div class=header><p>Next: <a href=a>Graphics</a>, Up: <a href=b>Introduction</a></p></div>"
        "<p>[ <a href='#n'>Next</a> | <a href='#p'>Previous</a> ]</p><script>bad()</script>"
        "<main><header><h1>Kept</h1></header><p style='display: none'>x</p><p aria-hidden=true>y</p>"
        "<p>Text<style>z</style></main>"
        "<div class=toc><a href=#a>a</a></div><table summary='Navigation footer'><tr><td>a<td>b</table>"
        "<footer>(c)</footer>"
    )
    assert shape(blocks) == [("heading", "Kept"), ("paragraph", "Text")]


def test_icons_are_words_and_pictures_are_figures() -> None:
    blocks = blocks_of(
        "<p>Press <img src=i.png alt=OK> now.</p><p>Wide <img src=w.png width=400> text</p>"
        "<p><img src=s.gif width=1 height=1>"
    )
    assert shape(blocks) == [("paragraph", "Press OK now."), ("paragraph", "Wide text"), ("figure", "")]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("../../../secret.png", "UNSAFE_PATH"),
        ("/../../etc/passwd", "UNSAFE_PATH"),
        ("..%2f..%2f..%2fsecret.png", "UNSAFE_PATH"),
        ("..\\..\\..\\secret.png", "UNSAFE_PATH"),
        ("file:///etc/passwd", "REMOTE_PICTURE"),
        ("https://a.example/x.png", "REMOTE_PICTURE"),
        ("//a.example/x.png", "REMOTE_PICTURE"),
        ("", "MISSING_FIELD"),
        ("data:image/png;base64," + "A" * 2_000, "PICTURE_TOO_LARGE"),
    ],
)
def test_pictures_that_cannot_be_had_stay_figures_without_pixels(source: str, code: str) -> None:
    policy = DocumentReadingPolicy(max_data_uri_bytes=1_000)
    reader = HtmlReader(f'<img src="{source}" alt="a cat">'.encode(), "site/en/p.html", policy)
    (figure,) = reader.blocks()
    assert (figure.type, figure.text) == ("figure", "a cat")
    assert figure.picture is not None
    assert figure.picture.file is None
    assert [error.code for error in reader.faults] == [code]
    assert ";" in reader.faults[0].reason


def test_pictures_inside_the_page_are_found_again() -> None:
    data = b"\x89PNG picture"
    coded = base64.b64encode(data).decode()
    content = (
        f'<nav><img src=n.png></nav><img src=a.png><img src="data:image/png;base64,{coded}"><img src="data:,%41b">'
    )
    reader = HtmlReader(content.encode(), "p.html", DocumentReadingPolicy())
    files = [block.picture.file for block in reader.blocks() if block.picture]
    assert files == ["a.png", "p.html#picture/2", "p.html#picture/3"]
    assert (reader.picture(2), reader.picture(3)) == (data, b"Ab")
    with pytest.raises(RecordError, match="MISSING_FILE"):
        reader.picture(9)
    with pytest.raises(RecordError, match="BROKEN_PICTURE"):
        reader.picture(1)


@pytest.mark.parametrize(
    "content",
    [
        "<p>naïve café".encode(),
        b"\xef\xbb\xbf<p>na\xc3\xafve caf\xc3\xa9",
        '<meta charset="iso-8859-1"><p>naïve café'.encode("latin-1"),
        "<meta http-equiv=content-type content='text/html; charset=windows-1252'><p>naïve café".encode("cp1252"),
        '<?xml version="1.0" encoding="ISO-8859-15"?><p>naïve café</p>'.encode("iso-8859-15"),
        "<p>naïve café".encode("utf-16"),
        "<p>naïve café".encode("cp1252"),
        '<meta charset="koi99"><p>naïve café'.encode(),
    ],
)
def test_encodings_are_those_declared(content: bytes) -> None:
    assert shape(blocks_of(content)) == [("paragraph", "naïve café")]


def test_a_wrong_encoding_is_refused() -> None:
    with pytest.raises(DecodeError, match="INVALID_ENCODING"):
        blocks_of(b'<meta charset="utf-8"><p>' + bytes(range(128, 256)) * 20)


def test_xhtml_elements_that_close_themselves_hold_nothing() -> None:
    blocks = blocks_of(
        '<?xml version="1.0"?><html><body><p><a id="x"/>one</p><script src="s.js"/><p>two<br/>three</p></body></html>'
    )
    assert shape(blocks) == [("paragraph", "one"), ("paragraph", "two\nthree")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<div>" * 200_000 + b"x", "HTML_TOO_DEEP"),
        (b"<p " + b" ".join(b"a%d=1" % n for n in range(50_000)) + b">x", "HTML_TOO_COMPLEX"),
        (
            b"<table><tr><td colspan=1000 rowspan=1000>a<td>b" + b"<td colspan=1000 rowspan=1000>c" * 50,
            "TABLE_TOO_LARGE",
        ),
        (b"<p>x" * 3_000, "HTML_TOO_COMPLEX"),
        (b"x" * 2_000_000, "HTML_TOO_LARGE"),
    ],
)
def test_pages_out_of_bounds_are_refused_in_little_time(content: bytes, code: str) -> None:
    started = time.process_time()
    with pytest.raises(DecodeError, match=code):
        blocks_of(content, DocumentReadingPolicy(max_html_bytes=1_500_000, max_blocks=2_000))
    assert time.process_time() - started < 5


def test_old_pages_that_close_nothing_are_read() -> None:
    blocks = blocks_of("<ul>" + "<li>x" * 5_000 + "</ul>" + "<p>y" * 5_000 + "<b><i><font>" * 100 + "<p>z")
    assert len(blocks) == 5_002
    assert blocks[0].text.count("\n") == 4_999


WORDS = "p div b a ul ol li table tr td th caption figure figcaption img br h1 pre math section nav dl dt dd span"
TAGS = st.sampled_from(WORDS.split())


@given(
    st.lists(
        st.tuples(st.just("<"), TAGS)
        | st.tuples(st.just("</"), TAGS)
        | st.tuples(st.just(""), st.text("ab <&", max_size=5)),
        max_size=40,
    )
)
def test_any_tangle_of_tags_gives_blocks(parts: list[tuple[str, str]]) -> None:
    content = "".join(
        f"{start}{text} class=caption id=i href='#i' src=a.png>" if start else text for start, text in parts
    )
    for block in blocks_of(content):
        assert block.text or block.type in {"figure", "table"}


def test_titles_and_languages() -> None:
    reader = HtmlReader(b"<html lang=fr><title> A\n title </title><p>x", "p.html", DocumentReadingPolicy())
    assert (reader.title, reader.language) == ("A title", "fr")
    assert HtmlReader(b"", "p.html", DocumentReadingPolicy()).title is None
    assert blocks_of("") == []


def test_what_stands_in_itself_costs_no_square_of_time() -> None:
    text = "<p>word <a href=x>link</a>" * 5_000
    started = time.process_time()
    for opening in ("<div class=header>", "<header>", "<table><tr><td>", "<div class=figure>", "<ul><li>"):
        blocks = blocks_of(opening * 450 + text, DocumentReadingPolicy(max_html_depth=2_000))
        assert sum(block.text.count("word") for block in blocks) in {0, 5_000}
    assert time.process_time() - started < 15
