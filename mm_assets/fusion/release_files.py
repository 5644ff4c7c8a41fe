"""Files of a release as readers take them: each compared with its checksum once, then only the bytes asked for."""

import hashlib
import math
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import ReleaseError
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.release_format import FileRecord, ReleaseFormat
from mm_assets.fusion.shard_index import UnresolvedReferenceError, read_tensor_header

_OPEN_FILES: Final = 4_096
"""Files mapped at once: a mapping takes addresses and no memory of its own."""
_DTYPES: Final = {"F16": "<f2", "F32": "<f4", "I32": "<i4", "I64": "<i8"}


class OpenFiles:
    """Open files of one process; a forked or unpickled copy opens its own.

    Args:
        folder: release folder.
        unverified: files to compare with their SHA-256 before the first byte of them is used, by path.
        sound: uint8, shape (files,), one flag per path in order: 1 once the file was found sound. Processes that share
            it share the work.
    """

    def __init__(
        self,
        folder: Path,
        unverified: Sequence[FileRecord] = (),
        sound: NDArray[np.uint8] | None = None,
    ) -> None:
        self._folder = folder.resolve()
        self._process = os.getpid()
        self._records = {record.path: (number, record) for number, record in enumerate(unverified)}
        self._sound = np.zeros(len(unverified), np.uint8) if sound is None else sound
        self._maps = dict[str, mmap.mmap]()
        self._tensors = dict[tuple[str, str], NDArray[Any]]()

    def text(self, path: str) -> mmap.mmap:
        """The bytes of a file that is not empty, mapped; `tensor` reads from the same mapping.

        Raises:
            ReleaseError: they are not those that were released.
        """
        self._own()
        found = self._maps.get(path)
        if found is None:
            if len(self._maps) >= _OPEN_FILES:
                self._maps.pop(next(iter(self._maps)))  # what was read from it keeps it open
            with (self._folder / path).open("rb") as file:
                found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._verify(path, found)
            self._maps[path] = found
        return found

    def tensor(self, path: str, name: str) -> NDArray[Any]:
        """A tensor of a shard, mapped; read-only.

        Raises:
            UnresolvedReferenceError: the path leads out of the release, or there is no such tensor.
            ReleaseError: the bytes of the shard are not those that were released.
        """
        self._own()
        found = self._tensors.get((path, name))
        if found is None:
            found = self._map(path, name)
            if len(self._tensors) >= _OPEN_FILES:
                self._tensors.pop(next(iter(self._tensors)))
            self._tensors[path, name] = found
        return found

    def row(self, path: str, name: str, row: int) -> NDArray[Any]:
        """One row of a tensor, as a view.

        Raises:
            UnresolvedReferenceError: as `tensor`, or there is no such row.
            ReleaseError: as `tensor`.
        """
        rows = self.tensor(path, name)
        if row >= len(rows):
            raise UnresolvedReferenceError(LintCode.BAD_REFERENCE, f"{path} has no row {row}; rebuild the release")
        return rows[row]

    def verify_all(self) -> None:
        """Compare every file that was not yet, now.

        Raises:
            ReleaseError: the bytes of one are not those that were released.
        """
        for path, (_, record) in self._records.items():
            if record.size_bytes:
                self.text(path)

    def _map(self, path: str, name: str) -> NDArray[Any]:
        file = (self._folder / path).resolve()
        if not file.is_relative_to(self._folder):
            raise UnresolvedReferenceError(LintCode.BAD_REFERENCE, f"{path!r} leads out of the release")
        header = read_tensor_header(file, name)
        dtype = _DTYPES.get(header.dtype)
        if dtype is None or not header.shape:
            message = f"{path}: {name} is {header.dtype} of shape {header.shape}; rebuild the release"
            raise UnresolvedReferenceError(LintCode.MISSING_FEATURES, message)
        count = math.prod(header.shape)
        return np.frombuffer(self.text(path), dtype, count, header.offset).reshape(header.shape)

    def _verify(self, path: str, data: mmap.mmap) -> None:
        number, record = self._records.get(path, (None, None))
        if number is not None and record is not None and not self._sound[number]:
            _compare(self._folder / path, record, len(data), hashlib.sha256(data).hexdigest())
            self._sound[number] = 1

    def _own(self) -> None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._maps.clear()
            self._tensors.clear()


def check_files(folder: Path, declared: ReleaseFormat, *, verify: bool) -> None:
    """Compare every file with its size, and if asked with its SHA-256, in the manifest.

    Raises:
        ReleaseError: one is missing, or its bytes are not those that were released.
    """
    for record in declared.files:
        check_file(folder, record, verify=verify)


def check_file(folder: Path, record: FileRecord, *, verify: bool) -> None:
    """Compare one file with its size, and if asked with its SHA-256.

    Raises:
        ReleaseError: it is missing, or its bytes are not those that were released.
    """
    path = folder / record.path
    try:
        size = path.stat().st_size
        digest = record.sha256
        if verify:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ReleaseError(f"{path}: {error.strerror}; copy the release again") from error
    _compare(path, record, size, digest)


def _compare(path: Path, record: FileRecord, size: int, digest: str) -> None:
    if size != record.size_bytes or digest != record.sha256:
        raise ReleaseError(
            f"{path}: {size} bytes, SHA-256 {digest[:12]}…, but {record.size_bytes} bytes, "
            f"{record.sha256[:12]}… were released; copy the release again"
        )


def find_lines(data: mmap.mmap | bytes) -> NDArray[np.int64]:
    """Start of every line and the end of the last: int64, shape (lines + 1,)."""
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")).astype(np.int64) + 1
    closed = bool(len(ends)) and ends[-1] == len(data)
    return np.concatenate([np.zeros(1, np.int64), ends, np.empty(0, np.int64) if closed else np.array([len(data)])])
