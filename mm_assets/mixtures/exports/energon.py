"""Megatron-Energon: WebDataset shards and the index that ``energon prepare`` would make of them.

The index is written here, not by ``energon prepare``: that draws a random UUID and reads every shard again.

Source: https://nvidia.github.io/Megatron-Energon/advanced/data_format (folder ``.nv-meta``, energon 7).
"""

import shutil
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from mm_assets.mixtures.exports.reading import ExportSample
from mm_assets.mixtures.exports.tar_shards import Shard
from mm_assets.mixtures.exports.webdataset import write_webdataset

ENERGON_SPLITS: Final[Mapping[str, str]] = {"train": "train", "validation": "val", "test": "test"}
_META: Final = ".nv-meta"
_LOADER: Final = "sample_loader.py"
_DATASETS: Final = {
    "dataset.yaml": f"""\
sample_type:
  __module__: megatron.energon
  __class__: InterleavedSample
part_filter: {_LOADER}:part_filter
sample_loader: {_LOADER}:sample_loader
""",
    "crude.yaml": """\
__module__: megatron.energon
__class__: CrudeWebdataset
""",
}
_TABLES: Final = """
CREATE TABLE samples (
    tar_file_id INTEGER NOT NULL, sample_key TEXT NOT NULL UNIQUE, sample_index INTEGER NOT NULL,
    byte_offset INTEGER, byte_size INTEGER);
CREATE TABLE sample_parts (
    tar_file_id INTEGER, sample_index INTEGER, part_name TEXT, content_byte_offset INTEGER, content_byte_size INTEGER);
"""
_INDEXES: Final = """
CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index);
CREATE INDEX idx_sample_parts_seq ON sample_parts(tar_file_id, sample_index, content_byte_offset);
CREATE INDEX idx_sample_parts_full
    ON sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);
"""


def write_energon(samples: Iterable[ExportSample], folder: Path, digest: str) -> list[Shard]:
    """Write shards, an index of each, and ``.nv-meta``.

    Samples load as ``InterleavedSample``, text and features in their order; with ``dataset_config="crude.yaml"`` as
    ``CrudeWebdataset``, all their parts, to be cooked.

    Args:
        samples: what to write, in order.
        folder: where to.
        digest: names the data; equal data keep their UUID.

    Returns:
        The shards.
    """
    shards = write_webdataset(samples, folder)
    for shard in shards:
        last = shard.samples[-1]
        offsets = [*(sample.offset for sample in shard.samples), last.offset + last.size_bytes]
        np.array(offsets, dtype="<u8").tofile((folder / shard.path).with_suffix(".tar.idx"))
    meta = folder / _META
    meta.mkdir()
    counts = {shard.path: len(shard.samples) for shard in shards}
    (meta / ".info.json").write_bytes(msgspec.json.format(msgspec.json.encode({"shard_counts": counts})) + b"\n")
    parts = {name: [shard.path for shard in shards if shard.split == split] for split, name in ENERGON_SPLITS.items()}
    (meta / "split.yaml").write_bytes(
        msgspec.json.encode({"split_parts": parts, "exclude": []}) + b"\n"
    )  # JSON is YAML
    for name, config in _DATASETS.items():
        (meta / name).write_text(config, encoding="utf-8")
    shutil.copyfile(Path(__file__).with_name("energon_sample_loader.py"), meta / _LOADER)
    (meta / "index.uuid").write_text(str(uuid.uuid5(uuid.NAMESPACE_OID, digest)), encoding="utf-8")
    _write_index(meta / "index.sqlite", shards)
    return shards


def _write_index(path: Path, shards: Iterable[Shard]) -> None:
    with closing(sqlite3.connect(path)) as index:
        index.executescript(_TABLES)
        for number, shard in enumerate(shards):
            index.executemany(
                "INSERT INTO samples VALUES (?, ?, ?, ?, ?)",
                ((number, one.key, place, one.offset, one.size_bytes) for place, one in enumerate(shard.samples)),
            )
            index.executemany(
                "INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)",
                (
                    (number, place, member.name, member.offset, member.size_bytes)
                    for place, one in enumerate(shard.samples)
                    for member in one.members
                ),
            )
        index.executescript(_INDEXES)
        index.commit()
