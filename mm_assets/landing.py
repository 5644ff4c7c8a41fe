"""What readers and cleaners need from the place where deliveries land."""

import io
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO, Protocol


@dataclass(frozen=True)
class LandedObject:
    """One regular file of the landing area.

    Attributes:
        key: path relative to the landing root, ``/`` separated, such as ``batch-1/images/a.png``.
        size_bytes: size.
        version: changes whenever the content may have changed (mtime in ns, or the ETag).
    """

    key: str
    size_bytes: int
    version: str


class Landing(Protocol):
    """A folder or bucket prefix that holds one folder per batch. Keys never lead out of it."""

    def batches(self) -> list[str]:
        """Names of the folders that hold ``_SUCCESS``, sorted. Names are not validated."""
        ...

    def objects(self, prefix: str) -> Iterator[LandedObject]:
        """Regular files below ``prefix``, sorted by key. Symbolic links that lead out of the batch are left out."""
        ...

    def links(self, prefix: str) -> list[str]:
        """Keys below ``prefix`` that are symbolic links out of their batch (never listed, never opened)."""
        ...

    def find(self, key: str) -> LandedObject | None:
        """The object at exactly this key, or None.

        Raises:
            UnsafePathError: the key leads out of its batch.
        """
        ...

    def open(self, key: str) -> BinaryIO:
        """Open for streaming, buffered reads; seekable.

        Raises:
            UnsafePathError: the key leads out of its batch.
            RecordError: code ``MISSING_FILE``.
        """
        ...

    def read(self, key: str, offset: int = 0, size: int | None = None) -> bytes:
        """Read a byte range; the whole object when ``size`` is None. Raises as `open`."""
        ...

    def uri(self, key: str) -> str:
        """The object's URI: ``file:///…`` or ``s3://…``."""
        ...

    def key(self, uri: str) -> str:
        """The key of a URI that `uri` made.

        Raises:
            UnsafePathError: the URI lies outside this landing root.
        """
        ...


@contextmanager
def on_disk(stream: BinaryIO) -> Generator[IO[bytes]]:
    """The stream itself if it is a file of this machine, else a copy that goes with the context."""
    try:
        stream.fileno()
    except io.UnsupportedOperation:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy)
            copy.flush()
            yield copy
    else:
        yield stream
