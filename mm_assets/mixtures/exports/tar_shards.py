"""WebDataset shards: tar files whose members ``KEY.NAME`` stand side by side, the same bytes on every machine."""

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

SHARD_SAMPLES: Final = 1_000
"""Samples in a shard at most: loaders hand out whole shards, so there have to be more of them than workers."""
SHARD_BYTES: Final = 256 << 20
"""Bytes after which a shard is closed; WebDataset's authors advise 100 MB to 1 GB."""
_MODE: Final = 0o644
_ZEROS: Final = 2 * tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a shard: name behind the sample's key, first byte and size of its content."""

    name: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PlacedSample:
    """Where a sample stands in its shard: from the header of its first member to the end of its last."""

    key: str
    offset: int
    size_bytes: int
    members: list[Member]


@dataclass
class Shard:
    """A shard as written.

    Attributes:
        path: path below the export's folder.
        split: the split its samples belong to.
        samples: its samples in order.
    """

    path: str
    split: str
    samples: list[PlacedSample] = field(default_factory=list[PlacedSample])


@dataclass
class _Open:
    shard: Shard
    file: IO[bytes]
    position: int = 0


class TarShards:
    """Writes samples into ``<split>-NNNNNN.tar``, one shard of each split open at a time.

    Args:
        folder: where to.
    """

    def __init__(self, folder: Path) -> None:
        self.shards: list[Shard] = []
        self._folder = folder
        self._open: dict[str, _Open] = {}
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for split in list(self._open):
            self._close(split)

    def add(self, split: str, key: str, members: Iterable[tuple[str, bytes]]) -> None:
        """Write the files of one sample."""
        opened = self._open.get(split)
        if opened and (len(opened.shard.samples) >= SHARD_SAMPLES or opened.position >= SHARD_BYTES):
            self._close(split)
            opened = None
        opened = opened or self._start(split)
        start, placed = opened.position, list[Member]()
        for name, content in members:
            info = tarfile.TarInfo(f"{key}.{name}")
            info.size, info.mode = len(content), _MODE
            header = info.tobuf(tarfile.USTAR_FORMAT)
            padding = bytes(-len(content) % tarfile.BLOCKSIZE)
            opened.file.write(header + content + padding)
            placed.append(Member(name, opened.position + len(header), len(content)))
            opened.position += len(header) + len(content) + len(padding)
        opened.shard.samples.append(PlacedSample(key, start, opened.position - start, placed))

    def _start(self, split: str) -> _Open:
        number = self._numbers.get(split, 0)
        self._numbers[split] = number + 1
        shard = Shard(f"{split}-{number:06d}.tar", split)
        self._open[split] = _Open(shard, io.BufferedWriter(io.FileIO(self._folder / shard.path, "w"), 1 << 20))
        self.shards.append(shard)
        return self._open[split]

    def _close(self, split: str) -> None:
        opened = self._open.pop(split)
        opened.file.write(bytes(_ZEROS))
        opened.file.close()
