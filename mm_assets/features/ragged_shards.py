# pyright: strict
"""Features of unequal length in sharded safetensors: all rows one behind the other, and where each record's begin.

A shard of N records holds ``features``, float16, shape (V, C), and ``bounds``, int64, shape (N + 1,): record i owns
rows ``bounds[i]`` to ``bounds[i + 1]``. Names carry the hash of the bytes, as those of the other shards do.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from mm_assets.errors import ContractError
from mm_assets.features.shards import CLIP_FEATURES, ShardStore, open_tensors, split_reference, store_shard

_FEATURES: Final = "features"
_BOUNDS: Final = "bounds"
_MATRIX: Final = 2

Rows = NDArray[np.float16]


def write_ragged_shard(store: ShardStore, batch: str, number: int, records: Sequence[Rows]) -> list[str]:
    """Write one shard and return the reference of each of its records.

    Args:
        store: where it goes.
        batch: ingest batch, a valid batch id.
        number: place of the shard in the batch, from 0.
        records: float16, shape (T, C) each, T at least 1 and one C throughout; at least one record.

    Returns:
        References ``clip_features/<batch>/<digest>-<number>.safetensors#<record>``.

    Raises:
        ContractError: an array has another type or shape.
    """
    shapes = {(record.dtype, record.ndim, record.shape[-1]) for record in records if len(record)}
    if (
        len(shapes) != 1
        or shapes != {(np.dtype(np.float16), _MATRIX, records[0].shape[-1])}
        or not all(map(len, records))
    ):
        raise ContractError(f"features {shapes} do not fit a shard of float16 (T, C), T at least 1, one C throughout")
    bounds = np.concatenate(([0], np.cumsum([len(record) for record in records]))).astype(np.int64)
    data = safetensors.numpy.save({_FEATURES: np.concatenate(records), _BOUNDS: bounds})
    path = store_shard(store, f"{CLIP_FEATURES}/{batch}", f"sound-{number:04d}", data)
    return [f"{path}#{record}" for record in range(len(records))]


class RaggedReader:
    """Reads records of ragged shards, only their rows where the store has files.

    Args:
        store: where the shards lie.
        open_shards: shards kept open; references are best read in the order they were written.
    """

    def __init__(self, store: ShardStore, *, open_shards: int = 2) -> None:
        self._store = store
        self._capacity = open_shards
        self._open: OrderedDict[str, tuple[Any, NDArray[np.int64]]] = OrderedDict()

    def read(self, references: Sequence[str]) -> list[Rows]:
        """The features of each reference, float16, shape (T, C), T its own.

        Raises:
            ContractError: a reference is malformed or out of bounds, or its shard is gone or damaged.
        """
        return [self._record(*split_reference(reference)) for reference in references]

    def _record(self, path: str, record: int) -> Rows:
        tensor, bounds = self._shard(path)
        if record >= len(bounds) - 1:
            raise ContractError(f"feature reference {path}#{record} is beyond the shard's {len(bounds) - 1} records")
        return np.array(tensor[int(bounds[record]) : int(bounds[record + 1])])

    def _shard(self, path: str) -> tuple[Any, NDArray[np.int64]]:
        shard = self._open.get(path)
        if shard is None:
            tensors = open_tensors(self._store, path, (_FEATURES, _BOUNDS), verify=True)
            shard = tensors[_FEATURES], np.asarray(tensors[_BOUNDS][:], np.int64)
            while len(self._open) >= self._capacity:
                self._open.popitem(last=False)
            self._open[path] = shard
        self._open.move_to_end(path)
        return shard
