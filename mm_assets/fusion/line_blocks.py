"""Whole lines of a file in blocks of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file.

    Attributes:
        data: the lines; None for one line beyond the bound, which is skipped.
        offset: place of the first byte in the file.
    """

    data: bytes | None
    offset: int


def split_lines(data: bytes) -> list[bytes]:
    r"""Split at line feeds only; a final one ends the last line and starts none.

    >>> split_lines(b"a\r\nb\n"), split_lines(b"a\n\nb"), split_lines(b"")
    ([b'a\r', b'b'], [b'a', b'', b'b'], [])
    """
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def read_blocks(path: Path, block_bytes: int, max_line_bytes: int) -> Iterator[Block]:
    """Read a file as blocks of whole lines.

    Args:
        path: regular file.
        block_bytes: bytes read at once; a longer line makes a longer block.
        max_line_bytes: a line that is longer, and longer than a block, is skipped and said to be.

    Raises:
        OSError: the file cannot be read.
    """
    carry: list[bytes] = []
    carried = offset = 0
    ahead = b""
    with path.open("rb", buffering=0) as file:
        while data := ahead or file.read(block_bytes):
            ahead = b""
            end = data.rfind(b"\n") + 1
            if end:
                yield Block(b"".join([*carry, memoryview(data)[:end]]), offset)
                offset += carried + end
                carry, carried = [data[end:]], len(data) - end
            elif carried + len(data) <= max_line_bytes:
                carry.append(data)
                carried += len(data)
            else:
                yield Block(None, offset)
                skipped, ahead = _skip_line(file, block_bytes)
                offset += carried + len(data) + skipped
                carry, carried = [], 0
        if carried:
            yield Block(b"".join(carry), offset)


def _skip_line(file: RawIOBase, block_bytes: int) -> tuple[int, bytes]:
    """Read past the next line feed: the bytes skipped, and what was read behind them."""
    skipped = 0
    while data := file.read(block_bytes):
        end = data.find(b"\n") + 1
        if end:
            return skipped + end, data[end:]
        skipped += len(data)
    return skipped, b""
