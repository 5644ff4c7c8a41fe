# pyright: strict
"""Blank rows of feature shards, so that what is left keeps its place."""

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from mm_assets.features.shards import ShardStore, store_shard

_BOUNDS: Final = "bounds"


def blank_rows(store: ShardStore, path: str, keep: Collection[int]) -> str | None:
    """Write a shard again with zeros in the rows that are not kept.

    Args:
        store: where it lies.
        path: ``<folder>/<batch>/<digest>-<name>.safetensors``; a tensor of N rows, or one and the bounds of N records.
        keep: rows, or records, that stay.

    Returns:
        Its new path, which carries the hash of its new bytes; None if the others were zeros already.
    """
    tensors: dict[str, NDArray[Any]] = dict(safetensors.numpy.load(store.get_bytes(path)))
    bounds = tensors.get(_BOUNDS)
    (name,) = (name for name in tensors if name != _BOUNDS)
    rows = tensors[name].copy()
    count = len(rows) if bounds is None else len(bounds) - 1
    changed = False
    for row in sorted(set(range(count)) - set(keep)):
        part = rows[row : row + 1] if bounds is None else rows[int(bounds[row]) : int(bounds[row + 1])]
        changed = changed or bool(np.any(part))
        part[:] = 0
    if not changed:
        return None
    folder, _, file_name = path.rpartition("/")
    number = file_name.partition("-")[2].removesuffix(".safetensors")
    return store_shard(store, folder, number, safetensors.numpy.save({**tensors, name: rows}))
