"""Lines of a manifest, one at a time, however long or broken they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"  # some editors write it before UTF-8; JSON does not allow it
_LINE_END_AND_BOM: Final = 5  # so that a piece without a line end is either the last one or too long
_BLOCK_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank.

    Attributes:
        number: from 1.
        offset: where it starts in the file, bytes.
        size_bytes: without its line end.
        content: without its line end; None if it is longer than allowed.
    """

    number: int
    offset: int
    size_bytes: int
    content: bytes | None


def read_lines(stream: BinaryIO, max_bytes: int) -> Iterator[Line]:
    r"""Yield every line that is not blank; a longer line than ``max_bytes`` is skipped over, never held.

    >>> import io
    >>> [(line.number, line.content) for line in read_lines(io.BytesIO(b"ab\r\n\nabcdef\n"), 4)]
    [(1, b'ab'), (3, None)]
    """
    number = offset = 0
    while piece := stream.readline(max_bytes + _LINE_END_AND_BOM):
        number += 1
        start, offset = offset, offset + len(piece)
        if number == 1 and piece.startswith(BYTE_ORDER_MARK):
            piece, start = piece[len(BYTE_ORDER_MARK) :], start + len(BYTE_ORDER_MARK)
        ended = piece.endswith(b"\n")
        content = piece.rstrip(b"\r\n")
        fits = len(content) <= max_bytes
        while not ended and (piece := stream.readline(_BLOCK_BYTES)):
            offset += len(piece)
            ended = piece.endswith(b"\n")
            fits = fits and not piece.strip(b"\r\n")
        if not fits:
            yield Line(number, start, offset - start - ended, None)
        elif content and not content.isspace():
            yield Line(number, start, len(content), content)
