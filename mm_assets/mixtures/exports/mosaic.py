"""MosaicML streaming: MDS shards, one folder per split, each with its ``index.json``.

Source: https://docs.mosaicml.com/projects/streaming/en/stable/preparing_datasets/dataset_format.html (MDS, version 2).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import ExportError
from mm_assets.fusion.samples import AUDIO_CODES, AUDIO_FEATURES, VISUAL_CODES, VISUAL_FEATURES
from mm_assets.mixtures.exports.reading import ExportSample

SHARD_BYTES: Final = 64 << 20
"""The writer of MosaicML's own default; offsets inside a shard are uint32."""
_HASH: Final = "sha1"
_COLUMNS: Final = {
    AUDIO_CODES: "ndarray:int32",
    AUDIO_FEATURES: "ndarray:float16",
    "content": "str",
    "id": "str",
    "kind": "str",
    "line": "str",
    "pool": "str",
    VISUAL_CODES: "ndarray:int32",
    VISUAL_FEATURES: "ndarray:float16",
}
_CONFIG: Final[dict[str, Any]] = {
    "version": 2,
    "format": "mds",
    "compression": None,
    "hashes": [_HASH],
    "size_limit": SHARD_BYTES,
    "column_names": list(_COLUMNS),
    "column_encodings": list(_COLUMNS.values()),
    "column_sizes": [None] * len(_COLUMNS),
}
_HEADER: Final = json.dumps(_CONFIG, sort_keys=True).encode()
_NOTHING: Final = {
    VISUAL_FEATURES: np.empty((0, 0), np.float16),
    AUDIO_FEATURES: np.empty((0, 0), np.float16),
    VISUAL_CODES: np.empty(0, np.int32),
    AUDIO_CODES: np.empty(0, np.int32),
}


@dataclass
class _Split:
    folder: Path
    shards: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    samples: list[bytes] = field(default_factory=list[bytes])
    size_bytes: int = 0

    def add(self, encoded: bytes) -> None:
        overhead = 8 + len(_HEADER) + 4 * (len(self.samples) + 1)
        if self.samples and self.size_bytes + len(encoded) + overhead > SHARD_BYTES:
            self.flush()
        self.samples.append(encoded)
        self.size_bytes += len(encoded)

    def flush(self) -> None:
        count = len(self.samples)
        ends = np.cumsum([0, *map(len, self.samples)]) + 4 + 4 * (count + 1) + len(_HEADER)
        if ends[-1] >= 1 << 32:
            raise ExportError("a sample of more than 4 GiB does not fit an MDS shard; cut its document into windows")
        data = np.uint32(count).tobytes() + ends.astype("<u4").tobytes() + _HEADER + b"".join(self.samples)
        name = f"shard.{len(self.shards):05d}.mds"
        (self.folder / name).write_bytes(data)
        digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        raw = {"basename": name, "bytes": len(data), "hashes": {_HASH: digest}}
        self.shards.append(_CONFIG | {"samples": count, "raw_data": raw, "zip_data": None})
        self.samples.clear()
        self.size_bytes = 0


def write_mosaic(samples: Iterable[ExportSample], folder: Path) -> None:
    """Write ``<split>/shard.NNNNN.mds`` and ``<split>/index.json``.

    Columns: id, kind, pool, content, the whole line as JSON, and features (float16) and codes (int32), which have no
    rows where a sample has none. Memory is one shard of each split.

    Args:
        samples: what to write, in order.
        folder: where to.

    Raises:
        ExportError: a sample is too large for the format.
    """
    splits: dict[str, _Split] = {}
    for sample in samples:
        name = sample.line.split
        if name not in splits:
            splits[name] = _Split(folder / name)
            splits[name].folder.mkdir()
        splits[name].add(_encode(sample))
    for split in splits.values():
        split.flush()
        index = {"version": 2, "shards": split.shards}
        (split.folder / "index.json").write_bytes(msgspec.json.encode(index, order="sorted") + b"\n")


def _encode(sample: ExportSample) -> bytes:
    line = sample.line
    texts = {"id": line.id, "kind": line.kind, "pool": line.pool, "content": line.content}
    values = {name: text.encode() for name, text in texts.items()} | {"line": sample.raw}
    values |= {name: _encode_array(sample.arrays.get(name, nothing)) for name, nothing in _NOTHING.items()}
    data = [values[name] for name in _COLUMNS]
    return np.array([len(part) for part in data], "<u4").tobytes() + b"".join(data)


def _encode_array(array: NDArray[Any]) -> bytes:
    """Number of axes and width of their sizes in one byte, the sizes as uint32, the values."""
    return bytes([array.ndim << 2 | 2]) + np.array(array.shape, "<u4").tobytes() + array.tobytes()
