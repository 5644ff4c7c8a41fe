"""Figures of documents go through the models in batches; what cannot be had or is unsafe is turned away."""

import numpy as np
import pytest

from mm_assets.documents.block_rows import OwnedBlock
from mm_assets.documents.blocks import Block, Picture
from mm_assets.errors import DecodeError
from mm_assets.features.figure_features import FigureSafety, read_figures
from mm_assets.features.interfaces import ImageFeatures
from mm_assets.models import ModelIdentity


class Encoder:
    """Embeds a picture as its mean brightness; counts its calls."""

    identity = ModelIdentity("brightness", "1", "0" * 64)
    dimension, input_side_px, resize_mode, padding_rgb, spatial_shape, device = 2, 8, "squash", (0, 0, 0), (1, 3), "cpu"

    def __init__(self):
        self.sizes = []

    def encode_images(self, pixels):
        self.sizes.append(len(pixels))
        level = pixels.reshape(len(pixels), -1).mean(axis=1) / 255
        embedding = np.stack([level, 1 - level], axis=1).astype(np.float32)
        return ImageFeatures(embedding, np.repeat(level[:, None, None], 3, axis=2).astype(np.float16))


class Blackness:
    """Takes dark pictures for unsafe."""

    def prepare(self, pixels):
        return np.float32([1 - pixels.mean() / 255])

    def score(self, prepared):
        return np.concatenate(prepared)


class Reader:
    """Reads a grey picture named by its level; some are gone."""

    def read(self, picture):
        if picture.file == "gone":
            raise DecodeError("MISSING_PICTURE", "gone: it is not there; deliver it")
        return np.full((20, 30, 3), int(picture.file), np.uint8)


def figures(*names):
    return [
        (
            OwnedBlock(
                "doc_1", f"blk_{place}", Block(place, 1, "figure", "", picture=Picture("file", name, None, None))
            ),
            Reader(),
        )
        for place, name in enumerate(names)
    ]


@pytest.mark.parametrize("shard_rows", [2, 100])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_figures_in_are_rows_and_rejected_whatever_the_batches(batch_size, shard_rows):
    names = ("250", "gone", "5", "200", "240", "10", "230")
    encoder = Encoder()
    chunks = list(
        read_figures(
            figures(*names), "b", lambda _: "x.html", encoder, batch_size, shard_rows, FigureSafety(Blackness(), 0.5)
        )
    )
    kept = [row for chunk in chunks for row in chunk.rows.iter_rows(named=True)]
    rejected = [row for chunk in chunks for row in chunk.rejected.iter_rows(named=True)]
    assert [row["picture"] for row in kept] == ["250", "200", "240", "230"]
    assert sorted((row["record_id"], row["code"]) for row in rejected) == [
        ("blk_1", "MISSING_PICTURE"),
        ("blk_2", "NSFW"),
        ("blk_5", "NSFW"),
    ]
    for row in kept:
        assert row["embedding"][0] == pytest.approx(int(row["picture"]) / 255)
        assert (row["width_px"], row["height_px"]) == (30, 20)
    spatial = np.concatenate([chunk.spatial for chunk in chunks if chunk.spatial is not None])
    assert spatial[:, 0, 0] == pytest.approx([int(row["picture"]) / 255 for row in kept], abs=1e-3)
    assert max(encoder.sizes) <= batch_size


def test_without_a_safety_model_nothing_is_turned_away():
    (chunk,) = read_figures(figures("0", "9"), "b", lambda _: "x.html", Encoder(), 4, 10)
    assert chunk.rows.height == 2
    assert chunk.rejected.is_empty()
    assert list(read_figures([], "b", lambda _: "x.html", Encoder(), 4, 10)) == []
