import tracemalloc
from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.aligned.documents.windows.interleave import DocumentNames, Window, interleave
from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens
from mm_assets.aligned.documents.windows.units import Binding, Use
from mm_assets.documents.blocks import Block, Picture
from mm_assets.policy.windows import WindowPolicy

PICTURE = Picture("file", "a.png", None, None)
NAMES = DocumentNames("b1", "doc_1", "documents/a.html", lambda block: f"blk_{block.position}")
SENTENCE = "The river runs past the old mill and turns the wheel. "


def block(position, kind, text="", **more):
    return Block(position, 1, kind, text, picture=PICTURE if kind == "figure" else None, **more)


def lay_out(blocks, uses=(), bindings=(), *, figure_tokens=lambda _: 100, **settings_) -> list[Window]:
    policy = WindowPolicy(**{"budget_tokens": 512, **settings_})
    return list(interleave(blocks, uses, bindings, figure_tokens, NAMES, policy, EstimatedTokens()))


def rows_of(windows: list[Window]) -> pl.DataFrame:
    return pl.concat([window.rows for window in windows])


def order_of(windows: list[Window]) -> list[int]:
    return rows_of(windows)["block_position"].to_list()


def test_what_fits_is_one_window_in_reading_order():
    blocks = [block(0, "heading", "Mills", level=1), block(1, "paragraph", SENTENCE), block(2, "figure"),
              block(3, "caption", "Figure 1. A mill.")]  # fmt: skip
    (window,) = lay_out(blocks, [Use(1, 4, 3)], [Binding(2, 3)])
    assert order_of([window]) == [0, 1, 2, 3]
    assert window.rows["modality"].to_list() == ["text", "text", "image", "text"]
    assert window.rows["refers_to"].to_list() == [[], [3], [], []]
    assert window.rows["image_ref"].to_list() == [None, None, "blk_2", None]
    assert window.rows["tokens"].sum() == window.tokens <= 512
    assert window.rows["window_id"].n_unique() == 1


def test_a_figure_far_behind_its_first_use_is_moved_before_it():
    text = [block(at, "paragraph", SENTENCE * 10) for at in range(10)]
    blocks = [*text[:6], block(6, "figure"), block(7, "caption", "Figure 1. A mill.")]
    windows = lay_out(blocks, [Use(1, 0, 6)], [Binding(6, 7)], budget_tokens=4096, near_tokens=200)
    assert order_of(windows) == [0, 6, 7, 1, 2, 3, 4, 5]
    assert windows[0].moved == 1
    near = lay_out(blocks, [Use(4, 0, 6)], [Binding(6, 7)], budget_tokens=4096, near_tokens=300)
    assert order_of(near) == list(range(8))


def test_a_figure_beyond_the_look_ahead_stays():
    text = [block(at, "paragraph", SENTENCE * 10) for at in range(30)]
    blocks = [*text, block(30, "figure")]
    windows = lay_out(blocks, [Use(0, 0, 30)], budget_tokens=8192, look_ahead_tokens=600)
    assert order_of(windows) == list(range(31))


def test_a_caption_apart_joins_its_figure():
    kinds = ("caption", "paragraph", "figure", "figure", "paragraph", "caption")
    blocks = [block(at, kind, "" if kind == "figure" else SENTENCE) for at, kind in enumerate(kinds)]
    windows = lay_out(blocks, bindings=[Binding(2, 0), Binding(3, 5)])
    assert order_of(windows) == [0, 2, 1, 3, 5, 4]


def test_a_figure_and_its_caption_share_a_window_even_at_its_end():
    for length in range(1, 40):
        blocks = [block(0, "paragraph", "mill " * 10 * length), block(1, "figure"), block(2, "caption", "A mill. " * 9)]
        rows = rows_of(lay_out(blocks, bindings=[Binding(1, 2)]))
        windows = rows.filter(pl.col("block_position") > 0, pl.col("role") == "body")
        assert windows["window_index"].n_unique() == 1
        assert windows["position"].diff().drop_nulls().to_list() == [1]


def test_a_window_that_continues_opens_with_its_headings_and_leaves_none_behind():
    blocks = [block(0, "heading", "Mills", level=1), block(1, "heading", "Water", level=2)]
    blocks += [block(at, "paragraph", SENTENCE * 20) for at in range(2, 8)]
    blocks += [block(8, "heading", "Wind", level=2), block(9, "paragraph", SENTENCE * 20)]
    windows = lay_out(blocks)
    for window in windows[1:]:
        context = window.rows.filter(pl.col("role") == "context")["text"].to_list()
        assert context == (["Mills"] if 8 in window.rows["block_position"] else ["Mills", "Water"])
    assert all(window.rows["type"][-1] == "paragraph" for window in windows)
    body = rows_of(windows).filter(pl.col("role") == "body")
    assert body["block_position"].to_list() == list(range(10))


def test_a_figure_of_an_earlier_window_is_repeated_before_what_refers_to_it():
    blocks = [block(0, "figure"), block(1, "caption", "Figure 1.")]
    blocks += [block(at, "paragraph", SENTENCE * 20) for at in range(2, 8)]
    windows = lay_out(blocks, [Use(7, 0, 0)], [Binding(0, 1)])
    rows = windows[-1].rows
    repeated = rows.filter(pl.col("role") == "context")
    assert repeated["block_position"].to_list() == [0, 1]
    place = rows.filter(pl.col("block_position") == 7)
    assert place["refers_to"].to_list() == [[repeated["position"][0]]]
    assert place["position"][0] == repeated["position"][1] + 1
    none = lay_out(blocks, [Use(7, 0, 0)], [Binding(0, 1)], recalled_tokens=0)
    assert rows_of(none).filter(pl.col("role") == "context").height == 0


def test_a_long_paragraph_is_cut_behind_sentences():
    text = (SENTENCE * 200).strip()
    rows = rows_of(lay_out([block(0, "paragraph", "Before."), block(1, "paragraph", text)]))
    pieces = rows.filter(pl.col("block_position") == 1)
    assert "".join(pieces["text"]) == text
    assert pieces["start"].to_list() == pieces["text"].str.len_chars().cum_sum().shift(1).fill_null(0).to_list()
    assert all(piece.rstrip().endswith(".") for piece in pieces["text"])
    assert rows.group_by("window_index").agg(pl.col("tokens").sum())["tokens"].max() <= 512


def test_references_of_a_cut_paragraph_stay_with_their_piece():
    text = (SENTENCE * 200).strip()
    uses = [Use(2, len(text) - 20, 0)]
    rows = rows_of(lay_out([block(0, "figure"), block(1, "caption", "F"), block(2, "paragraph", text)], uses))
    assert rows["refers_to"].list.len().sum() == 0, "its piece stands in a later window than the figure"
    early = rows_of(lay_out([block(0, "figure"), block(1, "paragraph", text)], [Use(1, 0, 0)]))
    assert early["refers_to"].list.len().sum() == 1


def test_what_no_window_holds_is_rejected_and_named():
    table = block(1, "table", "cell\t" * 5000, cells=(("cell",) * 5000,))
    blocks = [block(0, "heading", "Mills", level=1), table, block(2, "figure"), block(3, "caption", "Fig. 1"),
              block(4, "figure"), block(5, "paragraph", " "), block(6, "paragraph", SENTENCE)]  # fmt: skip
    sizes = {2: 5000, 4: None}
    windows = lay_out(blocks, bindings=[Binding(2, 3)], figure_tokens=lambda figure: sizes[figure.position])
    rejected = pl.concat([window.rejected for window in windows])
    assert dict(rejected.select("record_id", "code").iter_rows()) == {
        "blk_1": "TABLE_LONGER_THAN_WINDOW",
        "blk_2": "FIGURE_LONGER_THAN_WINDOW",
        "blk_4": "FIGURE_WITHOUT_PICTURE",
        "blk_5": "EMPTY_BLOCK",
    }
    assert order_of(windows) == [0, 3, 6]


KINDS = st.sampled_from(["heading", "paragraph", "list", "table", "figure", "caption", "code"])


@st.composite
def documents(draw):
    kinds = draw(st.lists(KINDS, min_size=1, max_size=40))
    words = draw(st.lists(st.integers(1, 600), min_size=len(kinds), max_size=len(kinds)))
    level = st.integers(1, 3)
    blocks = [
        block(at, kind, "mill. " * (1 + length % 20 if kind in ("heading", "caption") else length),
              level=draw(level) if kind == "heading" else None)
        for at, (kind, length) in enumerate(zip(kinds, words, strict=True))
    ]  # fmt: skip
    figures = [b.position for b in blocks if b.type in ("figure", "table")]
    captions = [b.position for b in blocks if b.type == "caption"]
    pairs = draw(st.permutations(captions))[: len(figures)]
    bindings = sorted(Binding(f, c) for f, c in zip(figures, pairs, strict=False))
    place = st.integers(0, len(blocks) - 1)
    uses = sorted(Use(a, 0, b) for a, b in draw(st.lists(st.tuples(place, place), max_size=10)) if a != b)
    return blocks, uses, bindings


@given(documents(), st.sampled_from([256, 512, 4096]))
@settings(max_examples=80, deadline=None)
def test_every_block_stands_once_inside_the_budget(document, budget):
    blocks, uses, bindings = document
    windows = lay_out(blocks, uses, bindings, budget_tokens=budget, look_ahead_tokens=100_000)
    rows = rows_of(windows)
    body = rows.filter(pl.col("role") == "body").sort("block_position", "start", maintain_order=True)
    texts = body.group_by("block_position", maintain_order=True).agg(pl.col("text").str.join("", ignore_nulls=True))
    rejected = {int(name[4:]) for window in windows for name in window.rejected["record_id"]}
    placed = dict(texts.iter_rows())
    assert {**placed, **{at: blocks[at].text for at in rejected}} == {
        b.position: "" if b.type == "figure" and b.position not in rejected else b.text for b in blocks
    }
    assert len(placed) + len(rejected) == len(blocks)
    assert all(window.rows["tokens"].sum() == window.tokens <= budget for window in windows)
    whole = body.filter(pl.col("type").is_in(["table", "figure"]))
    assert whole["block_position"].is_unique().all()
    place = {at: (w, p) for w, p, at in body.select("window_index", "position", "block_position").iter_rows()}
    for figure, caption in bindings:
        if figure not in rejected:
            assert place[figure][0] == place[caption][0]
            assert abs(place[figure][1] - place[caption][1]) == 1


def long_document(blocks: int) -> Iterator[Block]:
    for at in range(blocks):
        yield block(at, "paragraph", f"{at} " + SENTENCE * 8)


@pytest.mark.parametrize("budget", [2_048, 65_536])
def test_memory_does_not_grow_with_the_document(budget):
    def peak(blocks: int) -> int:
        tracemalloc.start()
        policy = WindowPolicy(budget_tokens=budget)
        for window in interleave(long_document(blocks), (), (), lambda _: 100, NAMES, policy, EstimatedTokens()):
            assert window.tokens <= budget
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(100)
    one, three = peak(1_000), peak(3_000)
    assert three < 1.3 * one
