"""The overlap changes nothing but the time: same rows, same order, bounded look-ahead, faults named."""

import random
import threading
import time

import numpy as np
import polars as pl
import pytest

from mm_assets.errors import ContractError, EmbeddingShapeError
from mm_assets.features.embeddings import embed_captions, embed_images
from mm_assets.features.interfaces import ImageFeatures
from mm_assets.policy import FeaturePolicy
from mm_assets.schemas import TABLES


def embed(delivery, encoder, rows=None, **policy):
    chunks = (delivery.rows if rows is None else rows).iter_slices(5)
    return list(embed_images(chunks, delivery.landing, encoder, FeaturePolicy(**policy)))


def fill(delivery, count):
    for number in range(count):
        delivery.add_colour(number, 255 - number, 40)


def test_rows_keep_their_order_when_reads_finish_out_of_order(delivery, colour_encoder):
    fill(delivery, 50)
    shuffled = random.Random(7)  # noqa: S311

    class Slow:
        key = staticmethod(delivery.landing.key)

        @staticmethod
        def read(key, offset, size):
            time.sleep(shuffled.random() * 0.004)
            return delivery.landing.read(key, offset, size)

    policy = FeaturePolicy(batch_size=4, decode_threads=6, shard_rows=16)
    chunks = list(embed_images(delivery.rows.iter_slices(7), Slow(), colour_encoder, policy))
    frame = pl.concat(chunk.frame for chunk in chunks)
    assert frame["image_id"].to_list() == delivery.rows["image_id"].to_list()
    expected = np.array([[n, 255 - n, 40] for n in range(50)]) / 255 + 1e-3
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.stack(frame["embedding"].to_list()), expected, atol=1e-5)
    spatial = np.concatenate([chunk.spatial for chunk in chunks])
    np.testing.assert_allclose(spatial[:, 0] * 255, [[n, 255 - n, 40] for n in range(50)], atol=0.2)


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (3, 2), (64, 4)])
def test_result_is_independent_of_batch_size_and_threads(delivery, colour_encoder, batch_size, threads):
    fill(delivery, 20)
    whole = embed(delivery, colour_encoder, batch_size=20)[0]
    (split,) = embed(delivery, colour_encoder, batch_size=batch_size, decode_threads=threads)
    assert split.frame.equals(whole.frame)
    assert (split.spatial == whole.spatial).all()


def test_chunks_are_shards(delivery, colour_encoder):
    fill(delivery, 23)
    chunks = embed(delivery, colour_encoder, batch_size=4, shard_rows=10)
    assert [chunk.frame.height for chunk in chunks] == [10, 10, 3]
    assert [chunk.spatial.shape for chunk in chunks] == [(10, 4, 3), (10, 4, 3), (3, 4, 3)]
    assert colour_encoder.calls == [4, 4, 2, 4, 4, 2, 3]


def test_frame_fits_its_table(delivery, colour_encoder):
    fill(delivery, 3)
    (chunk,) = embed(delivery, colour_encoder)
    table = TABLES["image_embeddings"]
    conformed = table.conform(chunk.frame.with_columns(spatial_features=pl.lit("x#0")))
    assert set(table.columns) - set(chunk.frame.columns) == {"spatial_features"}
    assert conformed["model"].unique().to_list() == ["mean-colour@1#000000000000"]
    assert chunk.model_seconds > 0


def test_nothing_in_nothing_out(delivery, colour_encoder):
    delivery.add_colour(1)
    assert embed(delivery, colour_encoder, rows=delivery.rows.clear()) == []
    assert colour_encoder.calls == []


def test_progress_counts_every_picture(delivery, colour_encoder):
    fill(delivery, 11)
    done = []
    policy = FeaturePolicy(batch_size=4)
    list(embed_images([delivery.rows], delivery.landing, colour_encoder, policy, done.append))
    assert done == [4, 4, 3]


def test_member_of_an_archive_is_read_by_its_byte_range(delivery, colour_encoder):
    inner = delivery.add_colour(200).read_bytes()
    delivery.add(b"\0" * 512 + inner + b"\0" * 100, offset=512, size=len(inner), name="shard.tar")
    (chunk,) = embed(delivery, colour_encoder)
    assert chunk.frame["embedding"][0].to_list() == chunk.frame["embedding"][1].to_list()


def test_look_ahead_is_bounded(delivery, colour_encoder):
    fill(delivery, 40)
    taken, reads = 0, []

    class Counting:
        key = staticmethod(delivery.landing.key)

        @staticmethod
        def read(key, offset, size):
            reads.append(key)
            return delivery.landing.read(key, offset, size)

    class Watching(type(colour_encoder)):
        def encode_images(self, pixels):
            nonlocal taken
            taken += len(pixels)
            time.sleep(0.01)
            ahead.append(len(reads) - taken)
            return super().encode_images(pixels)

    ahead = []
    list(embed_images([delivery.rows], Counting(), Watching(), FeaturePolicy(batch_size=4, decode_threads=3)))
    assert max(ahead) <= 8
    assert max(ahead) >= 1


def test_abandoned_stage_leaves_no_thread(delivery, colour_encoder):
    fill(delivery, 40)
    chunks = embed_images([delivery.rows], delivery.landing, colour_encoder, FeaturePolicy(batch_size=2, shard_rows=2))
    next(chunks)
    assert any(thread.name.startswith("decode") for thread in threading.enumerate())
    chunks.close()
    assert not any(thread.name.startswith("decode") for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("spoil", "symptom"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "CHANGED_FILE"),
        (lambda path: path.unlink(), "MISSING_FILE"),
    ],
)
def test_a_delivery_that_changed_after_cleaning_fails_the_run(delivery, colour_encoder, spoil, symptom):
    fill(delivery, 9)
    spoil(delivery.folder / "0006.png")
    with pytest.raises(ContractError, match=symptom) as caught:
        embed(delivery, colour_encoder, batch_size=2)
    assert "img_0006" in str(caught.value)
    assert "materialize" in str(caught.value)


def test_a_picture_that_does_not_decode_fails_the_run(delivery, colour_encoder):
    delivery.add_colour(1)
    delivery.add(b"not a picture")
    with pytest.raises(ContractError, match=r"img_0001.*IMAGE_UNREADABLE"):
        embed(delivery, colour_encoder)


def test_an_encoder_that_breaks_its_promise_is_refused(delivery, colour_encoder):
    delivery.add_colour(1)

    class Lying(type(colour_encoder)):
        def encode_images(self, pixels):
            return ImageFeatures(np.ones((len(pixels), 4), np.float32), np.ones((len(pixels), 4, 3), np.float16))

    with pytest.raises(EmbeddingShapeError, match=r"\(1, 4\)"):
        embed(delivery, Lying())


def captions(count):
    rows = {
        "batch": ["batch-1"] * count,
        "caption_id": [f"cap_{n}" for n in range(count)],
        "image_id": [f"img_{n}" for n in range(count)],
        "position": list(range(count)),
        "caption_index": [0] * count,
        "text": ["x" * (n + 1) for n in range(count)],
        "language": ["en"] * count,
    }
    return pl.DataFrame(rows)


def test_captions_keep_their_order_and_fit_their_table(colour_encoder):
    done = []
    policy = FeaturePolicy(captions_per_call=4)
    blocks = list(embed_captions(captions(10).iter_slices(6), colour_encoder, policy, done.append))
    frame = TABLES["caption_embeddings"].conform(pl.concat(block.frame for block in blocks))
    assert colour_encoder.calls == done == [4, 2, 4]
    assert frame["caption_id"].to_list() == [f"cap_{n}" for n in range(10)]
    lengths = np.stack(frame["embedding"].to_list())
    np.testing.assert_allclose(lengths[:, 0] / lengths[:, 1], np.arange(1, 11), rtol=1e-5)


def test_no_captions_no_call(colour_encoder):
    assert list(embed_captions([captions(0)], colour_encoder, FeaturePolicy())) == []
    assert colour_encoder.calls == []
