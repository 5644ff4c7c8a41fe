"""Members of a tar as a stream, however hostile the tar is; nothing is extracted.

`tarfile` parses the headers. What it lets a hostile archive do is closed here: headers of any size, long digit runs
(quadratic time, CVE-2024-6232), negative sizes (endless loops, CVE-2025-8194), sparse members that expand without
bound, a memory of every member seen, and silence about a damaged header, after which it just stops.
"""

import re
import tarfile
from collections.abc import Iterator
from typing import IO, BinaryIO, Final, cast

from mm_assets.errors import RecordError

_HEADER_BYTES: Final = 131_072  # a path of 4,096 bytes twice over and every attribute a real archive carries
_LONG_NUMBER: Final = re.compile(rb"\d{256}")
_SCAN_BYTES: Final = 1_048_576
_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"(\xb5": "zstd"}
# Everything tarfile raises on bytes it cannot make sense of, besides its own errors.
_UNREADABLE: Final = (tarfile.TarError, ValueError, IndexError, KeyError, EOFError, OverflowError, RecursionError)


class _Headers:
    """The file as tarfile sees it: it reads headers only, of bounded size, and never leaves the file."""

    def __init__(self, stream: BinaryIO, size_bytes: int) -> None:
        self._stream = stream
        self._size_bytes = size_bytes
        self.allowance = _HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.allowance:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        self.allowance -= size
        block = self._stream.read(size)
        if size > tarfile.BLOCKSIZE and _LONG_NUMBER.search(block):
            raise tarfile.ReadError("a header holds a number of hundreds of digits")
        return block

    def seek(self, offset: int) -> int:
        if not 0 <= offset <= self._size_bytes:
            raise tarfile.ReadError("a member ends beyond the archive")
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        """The owner of the stream closes it."""


def read_members(stream: BinaryIO, size_bytes: int, max_members: int, where: str) -> Iterator[tarfile.TarInfo]:
    """Yield each member while the stream can be read from ``member.offset_data``.

    Args:
        stream: the archive, seekable.
        size_bytes: its size.
        max_members: most members.
        where: key of the archive; opens every message.

    Raises:
        RecordError: code ``TAR_CORRUPT`` or ``TAR_TOO_MANY``, after the good members before the damage.
    """
    headers = _Headers(stream, size_bytes)
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", headers), mode="r:") as archive:
            previous, count = -1, 0
            while (member := archive.next()) is not None:
                if member.size < 0 or member.offset <= previous:
                    raise tarfile.ReadError(f"the header at byte {member.offset} has an impossible size")
                if count == max_members:
                    raise RecordError("TAR_TOO_MANY", f"{where}: more than {max_members} members; split the archive")
                yield member
                previous, count = member.offset, count + 1
                archive.members = []  # pyright: ignore[reportAttributeAccessIssue] - else it remembers every member
                headers.allowance = _HEADER_BYTES
            end = archive.offset
    except _UNREADABLE as error:
        raise RecordError("TAR_CORRUPT", f"{where}: {_cause(stream, error)}; pack it again as a plain tar") from None
    _check_end(stream, end, where)


def _cause(stream: BinaryIO, error: Exception) -> str:
    stream.seek(0)
    compression = _COMPRESSED.get(stream.read(2))
    if compression is not None:
        return f"the archive is compressed ({compression}), so that no byte range leads into it"
    return f"the rest cannot be read ({type(error).__name__}: {str(error)[:200]})"


def _check_end(stream: BinaryIO, end: int, where: str) -> None:
    """What tarfile took for the end must be one: a block of zeros, and nothing but zeros behind it."""
    stream.seek(end)
    block = stream.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise RecordError(
            "TAR_CORRUPT",
            f"{where}: the archive stops at byte {end} without an end mark, so members may be lost; deliver it again",
        )
    if block.strip(b"\0"):
        raise RecordError("TAR_CORRUPT", f"{where}: the header at byte {end} is damaged; pack the archive again")
    while block := stream.read(_SCAN_BYTES):
        if block.count(0) != len(block):
            raise RecordError(
                "TAR_CORRUPT",
                f"{where}: more content follows the end mark at byte {end}, as in joined archives; "
                "deliver each archive as a file of its own",
            )
