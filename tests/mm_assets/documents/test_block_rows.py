"""Blocks go into rows and come back; figures and text layers are read as they stand."""

import io
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mm_assets.aligned.documents.window_cuts import count_cuts
from mm_assets.documents.block_rows import block_rows, read_blocks
from mm_assets.documents.blocks import Block, Picture
from mm_assets.documents.figures import decode_picture
from mm_assets.documents.text_layers import disagreement
from mm_assets.errors import DecodeError

REFERENCE = {"uri": "b/documents/x.pdf", "member": None, "byte_offset": 0, "byte_size": 9, "frame_index": None}
_TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)
_SIDE = st.floats(0, 1000, width=32)
_BLOCKS = st.lists(
    st.one_of(
        st.builds(lambda text, level: ("heading", text, {"level": level, "label": "1.2"}), _TEXT, st.integers(1, 4)),
        st.builds(lambda text: ("paragraph", text, {}), _TEXT),
        st.builds(
            lambda text, missing: ("caption", text, {"of": None, "figure_missing": missing}),
            _TEXT,
            st.sampled_from([True, False, None]),
        ),
        st.builds(
            lambda rows: ("table", "", {"cells": tuple(tuple(row) for row in rows)}),
            st.lists(st.lists(_TEXT, min_size=2, max_size=2), min_size=1, max_size=3),
        ),
        st.builds(
            lambda box: ("figure", "", {"picture": Picture("vector", None, 1, box, "a wheel"), "anchors": ("w",)}),
            st.tuples(_SIDE, _SIDE, _SIDE, _SIDE),
        ),
    ),
    max_size=12,
)


@given(_BLOCKS, st.integers(1, 5))
def test_blocks_come_back_from_their_rows(described, rows):
    blocks = [
        Block(place, 1, kind, text, (0.0, 1.0, 2.0, 3.0), last_page=1, **more)
        for place, (kind, text, more) in enumerate(described)
    ]
    frames = list(block_rows(blocks, "b", "doc_1", REFERENCE, lambda _: "layer", rows))
    assert all(frame.height <= rows for frame in frames)
    back = list(read_blocks(frames))
    assert [owned.block for owned in back] == blocks
    assert len({owned.block_id for owned in back}) == len(blocks)


def test_a_row_names_the_headings_it_stands_under_and_its_page():
    blocks = [
        Block(0, 1, "heading", "A", level=1),
        Block(1, 1, "heading", "A.1", level=2),
        Block(2, 2, "paragraph", "x"),
        Block(3, 3, "heading", "B", level=1),
        Block(4, 3, "paragraph", "y"),
    ]
    frame = pl.concat(block_rows(blocks, "b", "doc_1", REFERENCE, lambda _: "layer"))
    assert frame["section"].to_list() == [[], [0], [0, 1], [], [3]]
    assert frame["source_ref"].struct.field("frame_index").to_list() == [0, 0, 1, 2, 2]


def _encoded(mode, colour, form="PNG"):
    buffer = io.BytesIO()
    Image.new(mode, (4, 3), colour).save(buffer, form)
    return buffer.getvalue()


def test_pictures_are_read_on_white_and_within_their_bounds():
    clear = decode_picture(_encoded("RGBA", (255, 0, 0, 0)), "x.png", 100)
    assert clear.shape == (3, 4, 3)
    assert (clear == np.uint8(255)).all()
    with pytest.raises(DecodeError, match="4 x 3") as large:
        decode_picture(_encoded("RGB", "red"), "x.png", 11)
    assert large.value.code == "PICTURE_TOO_LARGE"
    with pytest.raises(DecodeError) as broken:
        decode_picture(b"\x89PNG and nothing", "x.png", 100)
    assert broken.value.code == "IMAGE_UNREADABLE"


@given(st.lists(st.text("abcdefgh", min_size=3, max_size=8), min_size=1, max_size=20))
def test_a_layer_agrees_with_itself_however_its_words_are_joined(words):
    assert disagreement(words, ["".join(words)]) == 0.0
    assert disagreement(words, ["xyz" * 5]) == 1.0
    assert math.isclose(disagreement([], []), 0.0)


def test_cut_tables_and_parted_captions_are_counted():
    columns = ("document_id", "window_index", "block_position", "type", "role")
    placed = pl.DataFrame(
        [
            ("a", 0, 0, "figure", "body"),
            ("a", 1, 1, "caption", "body"),
            ("a", 1, 2, "table", "body"),
            ("a", 2, 2, "table", "body"),
            ("a", 2, 0, "figure", "context"),
            ("b", 0, 0, "figure", "body"),
            ("b", 0, 1, "caption", "body"),
        ],
        schema=columns,
        orient="row",
    )
    bindings = pl.DataFrame(
        [("a", 0, 1), ("b", 0, 1)], schema=("document_id", "position", "caption_position"), orient="row"
    )
    assert count_cuts(placed, bindings) == {"a": 2}
