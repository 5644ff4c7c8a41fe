"""Files of a release as the training reader reads them: checked once, then only the bytes that are asked for."""

import hashlib
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from mm_assets.errors import ReleaseError
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.release_format import ReleaseFormat
from mm_assets.fusion.shard_index import UnresolvedReferenceError

_SCAN_BYTES: Final = 1 << 20
_OPEN_SHARDS: Final = 256


class OpenFiles:
    """Open files of one process; a forked or unpickled copy opens its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._process = os.getpid()
        self._files = dict[Path, int]()
        self._tensors = dict[tuple[str, str], Any]()

    def read(self, file: Path, offset: int, size: int) -> bytes:
        """Bytes of a file."""
        self._own()
        if file not in self._files:
            self._files[file] = os.open(file, os.O_RDONLY)
        return os.pread(self._files[file], size, offset)

    def row(self, path: str, tensor: str, row: int) -> NDArray[Any]:
        """One row of a tensor.

        Raises:
            UnresolvedReferenceError: the path leads out of the release, or there is no such row.
        """
        self._own()
        key = (path, tensor)
        if key not in self._tensors:
            file = (self._folder / path).resolve()
            if not file.is_relative_to(self._folder):
                raise UnresolvedReferenceError(LintCode.BAD_REFERENCE, f"{path!r} leads out of the release")
            if len(self._tensors) >= _OPEN_SHARDS:
                self._tensors.pop(next(iter(self._tensors)))
            try:
                self._tensors[key] = safe_open(file, framework="np").get_slice(tensor)
            except (OSError, SafetensorError) as error:
                message = f"{path} cannot be read ({error}); restore the shard"
                raise UnresolvedReferenceError(LintCode.MISSING_FEATURES, message) from error
        rows = self._tensors[key]
        if row >= rows.get_shape()[0]:
            raise UnresolvedReferenceError(LintCode.BAD_REFERENCE, f"{path} has no row {row}; rebuild the release")
        return np.asarray(rows[row])

    def _own(self) -> None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._files.clear()
            self._tensors.clear()

    def __del__(self) -> None:
        if self._process == os.getpid():
            for descriptor in self._files.values():
                os.close(descriptor)


def check_files(folder: Path, declared: ReleaseFormat, *, verify: bool) -> None:
    """Compare every file with its size, and if asked with its SHA-256, in the manifest.

    Raises:
        ReleaseError: one is missing, or its bytes are not those that were released.
    """
    for record in declared.files:
        path = folder / record.path
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest() if verify else record.sha256
        except OSError as error:
            raise ReleaseError(f"{path}: {error.strerror}; copy the release again") from error
        if size != record.size_bytes or digest != record.sha256:
            raise ReleaseError(
                f"{path}: {size} bytes, SHA-256 {digest[:12]}…, but {record.size_bytes} bytes, "
                f"{record.sha256[:12]}… were released; copy the release again"
            )


def find_lines(file: Path) -> NDArray[np.int64]:
    """Start of every line and the end of the last: int64, shape (lines + 1,)."""
    ends: list[NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
    position = 0
    with file.open("rb") as stream:
        while data := stream.read(_SCAN_BYTES):
            ends.append(np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")) + (position + 1))
            position += len(data)
    offsets = np.concatenate(ends)
    return offsets if offsets[-1] == position else np.append(offsets, position)
