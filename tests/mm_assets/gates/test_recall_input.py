from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mm_assets.errors import EmbeddingShapeError
from mm_assets.gates.recall_input import (
    WINDOW_POSITIONS,
    caption_key,
    read_recall_input,
    sample_pairs,
    select_pairs,
)


def test_one_pair_per_image_with_its_first_surviving_caption(make_batch):
    batch = make_batch(4, positions=np.array([5, 0, 9, 2]))
    several = replace(
        batch,
        captions=np.concatenate([batch.captions, batch.captions[:3]]),
        caption_images=np.array([0, 1, 2, 2, 1, 0, 0]),
        caption_index=np.array([2, 0, 1, 3, 4, 1, 7]),
        texts=tuple("abcdefg"),
        caption_ids=tuple("abcdefg"),
    )
    pairs = select_pairs(several, max_pairs=10, seed=0)
    assert pairs.image_rows.tolist() == [1, 0, 2]  # by position; image 3 has no caption
    assert pairs.caption_rows.tolist() == [1, 5, 2]
    assert pairs.positions.tolist() == [0, 5, 9]


def test_same_sentence_same_key(make_batch):
    pairs = select_pairs(make_batch(4, texts=["A cat.", "a  cat. ", "A dog.", "A CAT."]), max_pairs=9, seed=0)
    assert pairs.keys.tolist() == [0, 0, 1, 0]
    assert caption_key("STRASSE") == caption_key("straße")


def test_sample_keeps_neighbours_and_mirror_images(make_batch):
    positions = np.setdiff1d(np.arange(2_000), np.random.default_rng(0).choice(2_000, 100, replace=False))
    batch = make_batch(len(positions), positions=positions, dimension=4)
    pairs = select_pairs(batch, max_pairs=500, seed=1)
    assert 300 <= len(pairs) <= 500
    assert pairs.available == len(positions)
    kept = set(pairs.positions.tolist())
    low, high = int(positions[0]), int(positions[-1])
    windows = {min(place - low, high - place) // WINDOW_POSITIONS for place in kept}
    assert kept == {
        place for place in positions.tolist() if min(place - low, high - place) // WINDOW_POSITIONS in windows
    }
    again = select_pairs(batch, max_pairs=500, seed=1)
    np.testing.assert_array_equal(pairs.image_rows, again.image_rows)
    other = select_pairs(batch, max_pairs=500, seed=2)
    assert set(other.positions.tolist()) != kept
    assert len(select_pairs(batch, max_pairs=50, seed=1)) == 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"captions": np.ones((3, 5), dtype=np.float32)}, "same encoder"),
        ({"positions": np.array([0, 1])}, "attributes"),
        ({"positions": np.array([0, 1, 1])}, "share a delivery position"),
        ({"caption_images": np.array([0, 1, 3])}, "does not exist"),
        ({"images": np.full((3, 64), np.nan, dtype=np.float32)}, "unit"),
        ({"captions": np.ones((3, 64), dtype=np.float32)}, "unit"),
    ],
)
def test_broken_embeddings_are_refused(make_batch, change, message):
    with pytest.raises(EmbeddingShapeError, match=message):
        replace(make_batch(3), **change)


def frames(batch):
    images = pl.DataFrame(
        {"image_id": batch.image_ids, "position": batch.positions, "embedding": batch.images.tolist()},
        schema_overrides={"embedding": pl.List(pl.Float32)},
    )
    captions = pl.DataFrame(
        {
            "caption_id": batch.caption_ids,
            "image_id": [batch.image_ids[row] for row in batch.caption_images],
            "caption_index": batch.caption_index,
            "text": batch.texts,
            "embedding": batch.captions.tolist(),
        },
        schema_overrides={"embedding": pl.List(pl.Float32)},
    )
    return images, captions


def test_tables_become_the_same_input(make_batch):
    batch = make_batch(12)
    images, captions = frames(batch)
    read = read_recall_input(images, captions.sample(fraction=1.0, shuffle=True, seed=0))
    assert sorted(read.caption_ids) == sorted(batch.caption_ids)
    first, second = (select_pairs(item, max_pairs=99, seed=0) for item in (batch, read))
    np.testing.assert_array_equal(batch.captions[first.caption_rows], read.captions[second.caption_rows])
    np.testing.assert_array_equal(batch.images[first.image_rows], read.images[second.image_rows])


def test_captions_of_missing_images_are_left_out_and_empty_tables_are_fine(make_batch):
    images, captions = frames(make_batch(6))
    assert read_recall_input(images.head(4), captions).caption_ids == ("cap_0", "cap_1", "cap_2", "cap_3")
    for few in (read_recall_input(images.clear(), captions), read_recall_input(images, captions.clear())):
        assert len(select_pairs(few, max_pairs=9, seed=0)) == 0


def test_uneven_embeddings_are_refused(make_batch):
    images, captions = frames(make_batch(3))
    uneven = images.with_columns(embedding=pl.Series([[1.0], [1.0, 0.0], [1.0]], dtype=pl.List(pl.Float32)))
    with pytest.raises(EmbeddingShapeError, match="differ in length"):
        read_recall_input(uneven, captions)


@pytest.mark.parametrize("max_pairs", [50, 500, 5_000])
def test_a_sample_drawn_from_ids_alone_is_the_one_the_gate_would_take(make_batch, max_pairs):
    positions = np.setdiff1d(np.arange(2_000), np.random.default_rng(0).choice(2_000, 100, replace=False))
    whole = make_batch(len(positions), positions=positions, dimension=4)
    images, captions = frames(whole)
    captions = captions.tail(-3)  # three pictures without a caption
    further = captions.with_columns(
        pl.format("{}b", "caption_id").alias("caption_id"), caption_index=pl.lit(1, pl.Int64)
    )
    captions = pl.concat([further, captions])
    ids = captions.select("caption_id", "image_id", "caption_index").sample(fraction=1.0, shuffle=True, seed=0)
    chosen, available = sample_pairs(images.select("image_id", "position"), ids, max_pairs=max_pairs, seed=1)
    assert available == len(positions) - 3

    read = read_recall_input(
        images.join(chosen, on="image_id", how="semi"), captions.join(chosen, on="caption_id", how="semi"), available
    )
    wanted = select_pairs(read_recall_input(images, captions), max_pairs=max_pairs, seed=1)
    found = select_pairs(read, max_pairs=max_pairs, seed=1)
    assert len(read.image_ids) == len(read.caption_ids) == len(wanted) <= max_pairs
    assert found.available == wanted.available == available
    np.testing.assert_array_equal(found.positions, wanted.positions)
    np.testing.assert_array_equal(found.keys, wanted.keys)
    np.testing.assert_array_equal(read.images[found.image_rows], whole.images[wanted.image_rows])
    taken = {caption for caption in read.caption_ids if not caption.endswith("b")}
    assert taken == set(read.caption_ids)  # the main caption of each, not a further one


def test_nothing_is_sampled_from_empty_tables():
    images = pl.DataFrame(schema={"image_id": pl.String, "position": pl.Int64})
    captions = pl.DataFrame(schema={"caption_id": pl.String, "image_id": pl.String, "caption_index": pl.Int32})
    chosen, available = sample_pairs(images, captions, max_pairs=5, seed=0)
    assert (chosen.height, available) == (0, 0)
