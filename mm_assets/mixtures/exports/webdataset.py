"""WebDataset: tar shards with one group of files per sample.

Source: https://webdataset.github.io/webdataset/ (files of a sample share the name up to its first dot).
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm_assets.mixtures.exports.reading import ExportSample
from mm_assets.mixtures.exports.tar_shards import Shard, TarShards


def write_webdataset(samples: Iterable[ExportSample], folder: Path) -> list[Shard]:
    """Write ``<split>-NNNNNN.tar``.

    Each sample is ``KEY.json``, its whole line; ``KEY.txt``, its content; and ``KEY.<tensor>.npy`` for each of its
    features (float16) and codes (int32).

    Args:
        samples: what to write, in order.
        folder: where to.

    Returns:
        The shards in the order of their first samples.
    """
    with TarShards(folder) as shards:
        for sample in samples:
            shards.add(sample.line.split, sample.key, _members(sample))
    return shards.shards


def _members(sample: ExportSample) -> Iterator[tuple[str, bytes]]:
    yield "json", sample.raw
    yield "txt", sample.line.content.encode()
    for name, array in sample.arrays.items():
        yield f"{name}.npy", encode_npy(array)


def encode_npy(array: NDArray[Any]) -> bytes:
    """The bytes of ``.npy``."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
