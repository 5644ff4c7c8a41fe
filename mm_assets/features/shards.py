# pyright: strict
"""Spatial features in sharded safetensors: many pictures to a file, each found again by ``path#row``.

A shard's name carries the hash of its bytes. Writing the same features again gives the same file, a half-done batch
leaves nothing that a later one could mistake for its own, and a flipped bit is found when the shard is opened.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from mm_assets.errors import ContractError

IMAGE_FEATURES: Final = "features"
CLIP_FEATURES: Final = "clip_features"
FIGURE_FEATURES: Final = "figure_features"
"""Folders of the lake; a step clears what it left in its own."""
_TENSOR: Final = "spatial"
_DIGEST_CHARACTERS: Final = 24
_SUFFIX: Final = ".safetensors"
_AXES: Final = 3  # rows, patches, channels

Spatial = NDArray[np.float16]


class ShardStore(Protocol):
    """Where shards lie: files by path relative to the lake."""

    def put_bytes(self, path: str, data: bytes) -> None:
        """Write the file whole or not at all."""
        ...

    def get_bytes(self, path: str) -> bytes:
        """The whole file."""
        ...

    def local_path(self, path: str) -> Path | None:
        """The file on this machine, or None in an object store."""
        ...


def write_shard(
    store: ShardStore, batch: str, number: int, spatial: Spatial, folder: str = IMAGE_FEATURES
) -> list[str]:
    """Write one shard and return the reference of each of its rows.

    Args:
        store: where it goes.
        batch: ingest batch, a valid batch id.
        number: place of the shard in the batch, from 0.
        spatial: float16, shape (N, T, C), N at least 1.
        folder: of the features of its kind.

    Returns:
        N references, ``<folder>/<batch>/<digest>-<number>.safetensors#<row>``.

    Raises:
        ContractError: the array has another type or shape.
    """
    path = store_shard(store, f"{folder}/{batch}", f"{number:04d}", encode_shard(spatial))
    return [f"{path}#{row}" for row in range(len(spatial))]


def store_shard(store: ShardStore, folder: str, name: str, data: bytes) -> str:
    """Store the bytes of a shard under their hash; gives its path."""
    path = f"{folder}/{_digest(data)}-{name}{_SUFFIX}"
    store.put_bytes(path, data)
    return path


def encode_shard(spatial: Spatial) -> bytes:
    """The bytes of a shard; equal arrays give equal bytes.

    Raises:
        ContractError: the array is not float16 of shape (N, T, C) with N at least 1.
    """
    if spatial.dtype != np.float16 or spatial.ndim != _AXES or len(spatial) == 0:
        raise ContractError(f"spatial features are {spatial.dtype} {spatial.shape}; a shard takes float16 (N, T, C)")
    return safetensors.numpy.save({_TENSOR: np.ascontiguousarray(spatial)})


def split_reference(reference: str) -> tuple[str, int]:
    """Path and row of a reference.

    Raises:
        ContractError: it is not ``path#row``.

    >>> split_reference("features/b/0f-0000.safetensors#17")
    ('features/b/0f-0000.safetensors', 17)
    """
    path, mark, row = reference.rpartition("#")
    if not mark or not path.endswith(_SUFFIX) or not (row.isascii() and row.isdigit()):
        raise ContractError(f"spatial feature reference {reference[:160]!r} is not path{_SUFFIX}#row")
    return path, int(row)


class SpatialReader:
    """Reads rows of shards; only the rows asked for where the store has files, a shard at a time where it has not.

    Args:
        store: where the shards lie.
        verify: compare each shard with the hash in its name when it is opened.
        open_shards: shards kept open; references are best read in the order they were written.
    """

    def __init__(self, store: ShardStore, *, verify: bool = True, open_shards: int = 2) -> None:
        self._store = store
        self._verify = verify
        self._capacity = open_shards
        self._open: OrderedDict[str, _Shard] = OrderedDict()

    def read(self, references: Sequence[str]) -> Spatial:
        """Rows in the order of their references.

        Args:
            references: N references, at least one, all of one feature shape.

        Returns:
            float16, shape (N, T, C).

        Raises:
            ContractError: a reference is malformed or out of bounds, its shard is gone or damaged, or shapes differ.
        """
        if not references:
            raise ContractError("no spatial feature reference given; an empty read has no shape")
        blocks = [self._shard(path).rows(rows) for path, rows in _runs(references)]
        if len({block.shape[1:] for block in blocks}) != 1:
            raise ContractError(f"spatial features of {references[0]!r} and others differ in shape; read them apart")
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def blocks(self, references: Sequence[str], rows: int) -> Iterator[Spatial]:
        """The same, at most ``rows`` pictures at a time, so that memory stays flat."""
        for start in range(0, len(references), rows):
            yield self.read(references[start : start + rows])

    def _shard(self, path: str) -> "_Shard":
        shard = self._open.get(path)
        if shard is None:
            shard = _open_shard(self._store, path, verify=self._verify)
            while len(self._open) >= self._capacity:
                self._open.popitem(last=False)
            self._open[path] = shard
        self._open.move_to_end(path)
        return shard


class _Shard:
    """One open shard: a lazy slice of a file, or an array in memory."""

    def __init__(self, path: str, tensor: Any, count: int) -> None:  # noqa: ANN401 - a slice has no type
        self._path = path
        self._tensor = tensor
        self._count = count

    def rows(self, rows: NDArray[np.int64]) -> Spatial:
        """The rows asked for, copied; neighbours are read in one piece."""
        if rows.max() >= self._count:
            raise ContractError(f"spatial feature {self._path}#{rows.max()} is beyond the shard's {self._count} rows")
        first, last = int(rows.min()), int(rows.max())
        block = np.asarray(self._tensor[first : last + 1])
        return block if len(rows) == last - first + 1 and (np.diff(rows) == 1).all() else block[rows - first]


def _open_shard(store: ShardStore, path: str, *, verify: bool) -> _Shard:
    tensor = open_tensors(store, path, (_TENSOR,), verify=verify)[_TENSOR]
    dtype, shape = _type_of(tensor)
    if dtype != "F16" or len(shape) != _AXES:
        raise ContractError(f"spatial feature shard {path} holds {dtype} {shape}, not F16 (N, T, C)")
    return _Shard(path, tensor, shape[0])


def open_tensors(store: ShardStore, path: str, names: Sequence[str], *, verify: bool) -> dict[str, Any]:
    """Tensors of a shard by name: lazy slices of a file, or arrays in memory where the store has no files.

    Raises:
        ContractError: the shard is gone or damaged, or lacks a tensor.
    """
    try:
        local = store.local_path(path)
        if local is not None:
            if verify:
                with local.open("rb") as stream:
                    _refuse_if_damaged(path, hashlib.file_digest(stream, "sha256").hexdigest())
            opened: Any = safetensors.safe_open(local, framework="np")
            return {name: opened.get_slice(name) for name in names}
        data = store.get_bytes(path)
        if verify:
            _refuse_if_damaged(path, hashlib.sha256(data).hexdigest())
        loaded = safetensors.numpy.load(data)
        return {name: loaded[name] for name in names}
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise ContractError(f"spatial feature shard {path}: {error}; materialize its embeddings again") from error


def _type_of(tensor: Any) -> tuple[str, list[int]]:  # noqa: ANN401 - a slice has no type
    if isinstance(tensor, np.ndarray):
        array = cast("NDArray[Any]", tensor)
        return {"float16": "F16"}.get(str(array.dtype), str(array.dtype)), list(array.shape)
    return str(tensor.get_dtype()), cast("list[int]", tensor.get_shape())


def _refuse_if_damaged(path: str, digest: str) -> None:
    named = path.rsplit("/", 1)[-1].split("-", 1)[0]
    if named != digest[:_DIGEST_CHARACTERS]:
        raise ContractError(
            f"spatial feature shard {path} is damaged (its bytes hash to {digest[:_DIGEST_CHARACTERS]}); "
            "materialize image_embeddings of its batch again"
        )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGEST_CHARACTERS]


def _runs(references: Sequence[str]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Stretches of references into one shard, in order."""
    current, rows = "", list[int]()
    for reference in references:
        path, row = split_reference(reference)
        if path != current and rows:
            yield current, np.array(rows, np.int64)
            rows = []
        current = path
        rows.append(row)
    if rows:
        yield current, np.array(rows, np.int64)
