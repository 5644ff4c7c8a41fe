"""A shard gives back the bits that went in, by any order of references, and a flipped one is found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mm_assets.errors import ContractError
from mm_assets.features.shards import SpatialReader, encode_shard, split_reference, write_shard
from resources.lake_files import LocalLakeFiles


class Bucket:
    """A store without local files."""

    def __init__(self):
        self.objects = {}
        self.gets = 0

    def put_bytes(self, path, data):
        self.objects[path] = data

    def get_bytes(self, path):
        self.gets += 1
        try:
            return self.objects[path]
        except KeyError as error:
            raise FileNotFoundError(path) from error

    def local_path(self, path):
        return None


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path):
    return LocalLakeFiles(tmp_path) if request.param == "folder" else Bucket()


def features(rows, seed=0, patches=4, channels=6):
    return np.random.default_rng(seed).standard_normal((rows, patches, channels)).astype(np.float16)


def test_round_trip(store):
    spatial = features(9)
    references = write_shard(store, "batch-1", 3, spatial)
    path, row = split_reference(references[7])
    assert row == 7
    assert path.startswith("features/batch-1/")
    assert path.endswith("-0003.safetensors")
    assert (SpatialReader(store).read(references) == spatial).all()


@settings(max_examples=30, deadline=None)
@given(
    spatial=hnp.arrays(np.float16, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)),
    picks=st.lists(st.integers(0, 5), min_size=1, max_size=12),
)
def test_any_bits_any_order(spatial, picks):
    bucket = Bucket()
    references = write_shard(bucket, "b", 0, spatial)
    picks = [pick % len(spatial) for pick in picks]
    read = SpatialReader(bucket).read([references[pick] for pick in picks])
    assert read.tobytes() == spatial[picks].tobytes()


def test_rows_of_several_shards_in_the_order_asked(store):
    blocks = [features(5, seed) for seed in range(4)]
    references = [write_shard(store, "b", number, block) for number, block in enumerate(blocks)]
    order = [(2, 4), (0, 0), (0, 1), (3, 2), (2, 4), (1, 3), (1, 1)]
    read = SpatialReader(store, open_shards=1).read([references[shard][row] for shard, row in order])
    assert (read == np.stack([blocks[shard][row] for shard, row in order])).all()


def test_blocks_are_bounded_and_shards_are_opened_once(tmp_path):
    bucket = Bucket()
    references = [r for number in range(3) for r in write_shard(bucket, "b", number, features(10, number))]
    blocks = list(SpatialReader(bucket).blocks(references, 4))
    assert [len(block) for block in blocks] == [4, 4, 4, 4, 4, 4, 4, 2]
    assert (np.concatenate(blocks) == np.concatenate([features(10, n) for n in range(3)])).all()
    assert bucket.gets == 3


def test_equal_features_equal_bytes_equal_path(store):
    first, second = write_shard(store, "b", 0, features(4)), write_shard(store, "b", 0, features(4))
    assert first == second
    assert encode_shard(features(4)) == encode_shard(features(4)[::1])
    assert write_shard(store, "b", 0, features(4, seed=1)) != first


@pytest.mark.parametrize("place", [0.0, 0.02, 0.5, 1.0])
def test_one_flipped_bit_is_found(store, place):
    references = write_shard(store, "b", 0, features(8))
    path, _ = split_reference(references[0])
    data = bytearray(store.get_bytes(path))
    data[int(place * (len(data) - 1))] ^= 0x10
    store.put_bytes(path, bytes(data))
    with pytest.raises(ContractError, match=r"damaged.*materialize"):
        SpatialReader(store).read(references[:1])


def test_truncated_and_missing_shards_are_named(store):
    references = write_shard(store, "b", 0, features(8))
    path, _ = split_reference(references[0])
    store.put_bytes(path, store.get_bytes(path)[:-3])
    with pytest.raises(ContractError, match=path):
        SpatialReader(store, verify=False).read(references)
    gone = path.replace("features/b/", "features/c/")
    with pytest.raises(ContractError, match=gone):
        SpatialReader(store).read([f"{gone}#0"])


def test_row_beyond_the_shard(store):
    references = write_shard(store, "b", 0, features(3))
    path, _ = split_reference(references[0])
    with pytest.raises(ContractError, match="beyond the shard's 3 rows"):
        SpatialReader(store).read([f"{path}#3"])


@pytest.mark.parametrize(
    "reference", ["", "x.safetensors", "x.safetensors#", "x.safetensors#-1", "x.bin#1", "x.safetensors#1²"]
)
def test_malformed_references(reference):
    with pytest.raises(ContractError, match="reference"):
        split_reference(reference)


@pytest.mark.parametrize("spatial", [features(0), features(2).astype(np.float32), features(2)[0]])
def test_only_half_precision_of_three_axes_is_written(spatial):
    with pytest.raises(ContractError, match="float16"):
        encode_shard(spatial)


def test_features_of_two_encoders_do_not_mix(store):
    one, other = write_shard(store, "b", 0, features(2)), write_shard(store, "b", 1, features(2, patches=5))
    with pytest.raises(ContractError, match="shape"):
        SpatialReader(store).read([one[0], other[0]])
    with pytest.raises(ContractError, match="no spatial feature"):
        SpatialReader(store).read([])
