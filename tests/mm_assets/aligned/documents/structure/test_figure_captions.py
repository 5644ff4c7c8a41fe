import hashlib

import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.documents.figure_captions import bind_batch
from mm_assets.documents.block_rows import OwnedBlock
from mm_assets.documents.blocks import Block, Picture
from mm_assets.documents.labels import label_of_caption
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES

TABLE = TABLES["caption_bindings"]
POLICY = Policy.model_validate({"document_captions": {"batch_texts": 2}})


class WordEncoder:
    """Bags of words in 64 dimensions, unit length; keeps what it was asked for."""

    def __init__(self):
        self.calls: list[list[str]] = []

    def encode_texts(self, texts):
        self.calls.append(texts)
        return np.stack([bag_of(text) for text in texts])


def bag_of(text):
    bag = np.full(64, 1e-3, np.float32)
    for word in text.lower().split():
        bag[hashlib.sha256(word.encode()).digest()[0] % 64] += 1.0
    return bag / np.linalg.norm(bag)


def owned(document, position, kind, text="", **more):
    picture = Picture("file", f"{position}.png", None, None) if kind == "figure" else None
    label = label_of_caption(text) if kind == "caption" else None
    block = Block(position, 1, kind, text, picture=picture, label=label, **more)
    return OwnedBlock(document, f"blk_{document}_{position}", block)


def figures(*rows):
    schema = {"document_id": pl.String, "position": pl.Int64, "embedding": pl.List(pl.Float32)}
    return pl.DataFrame(
        [{"document_id": name, "position": at, "embedding": bag_of(seen).tolist()} for name, at, seen in rows], schema
    )


def bind(blocks, seen, encoder):
    frames = list(bind_batch(iter(blocks), seen, "b1", encoder, POLICY))
    assert all(frame.schema == TABLE.schema for frame in frames)
    return frames


def test_each_document_has_its_own_rows_with_embeddings_of_figures_captions():
    table = {"cells": (("a", "b"),)}
    blocks = [
        owned("d1", 0, "heading", "Mills"), owned("d1", 1, "figure"), owned("d1", 2, "caption", "Figure 1. A red mill"),
        owned("d1", 3, "caption", "Table 1. Wheels"), owned("d1", 4, "table", "a\tb", **table),
        owned("d2", 0, "paragraph", "no picture"),
        owned("d3", 0, "figure"), owned("d3", 1, "paragraph", "x"),
    ]  # fmt: skip
    encoder = WordEncoder()
    first, third = bind(blocks, figures(("d1", 1, "red mill"), ("d3", 0, "x")), encoder)
    assert first.select("document_id", "block_id", "position", "type", "caption_id", "caption_position").rows() == [
        ("d1", "blk_d1_1", 1, "figure", "blk_d1_2", 2),
        ("d1", "blk_d1_4", 4, "table", "blk_d1_3", 3),
    ]
    embedding, of_table = first["embedding"].to_list()
    assert embedding == pytest.approx(bag_of("Figure 1. A red mill").tolist())
    assert of_table is None
    assert third.select("caption_id", "caption_position", "bound_by", "score", "embedding").row(0) == (
        None, None, "none", None, None,
    )  # fmt: skip


def test_embeddings_tell_which_of_two_figures_a_caption_belongs_to():
    blocks = [owned("d1", 0, "figure"), owned("d1", 1, "caption", "red mill"), owned("d1", 2, "figure")]
    for right, other in ((0, 2), (2, 0)):
        seen = figures(("d1", right, "a red mill"), ("d1", other, "grey bridge"))
        (rows,) = bind(blocks, seen, WordEncoder())
        captions = dict(rows.select("position", "caption_position").iter_rows())
        assert captions == {right: 1, other: None}


def test_captions_are_embedded_in_batches_and_once():
    blocks = []
    for at in range(0, 15, 3):
        blocks += [
            owned("d1", at, "figure"),
            owned("d1", at + 1, "caption", f"Figure {at + 1}. mill {at}"),
            owned("d1", at + 2, "paragraph", "x"),
        ]
    encoder = WordEncoder()
    seen = figures(*(("d1", at, f"mill {at}") for at in range(0, 15, 3)))
    bind(blocks, seen, encoder)
    assert [len(call) for call in encoder.calls] == [2, 2, 1]
    assert len({text for call in encoder.calls for text in call}) == 5


def test_captions_of_figures_that_could_not_be_read_are_embedded_too():
    blocks = [owned("d1", 0, "figure"), owned("d1", 1, "paragraph", "Figure 1: A mill"), owned("d1", 2, "heading", "x")]
    (rows,) = bind(blocks, figures(), WordEncoder())
    assert rows["caption_position"].to_list() == [1]
    assert rows["embedding"].to_list()[0] == pytest.approx(bag_of("Figure 1: A mill").tolist())


def test_markup_and_text_far_from_figures_are_kept_apart():
    far = [owned("d1", at, "paragraph", "x" * 1000) for at in range(1, 200)]
    blocks = [owned("d1", 0, "caption", "A mill", of=200), *far, owned("d1", 200, "figure")]
    (rows,) = bind(blocks, figures(), WordEncoder())
    assert rows.select("caption_position", "bound_by", "score").row(0) == (0, "markup", 1.0)
