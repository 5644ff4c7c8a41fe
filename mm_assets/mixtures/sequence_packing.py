# pyright: strict
"""Fit whole samples into windows of N tokens: best fit, longest first, over a bounded buffer.

Best fit decreasing needs at most 11/9 of the fewest windows (Johnson 1974); short samples fill what long ones leave, so
that in practice little is lost. A buffer of the stream is fitted at a time, and the emptiest windows wait for the next
one, so that memory is bounded and a window holds samples of at most two buffers.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from mm_assets.errors import ContractError
from mm_assets.policy import PackingPolicy

_ANY: Final = -1


class Piece(NamedTuple):
    """A sample to be fitted.

    Attributes:
        position: its place in the release, from 0.
        id: the sample.
        tokens: its tokens, what separates it from the next included.
    """

    position: int
    id: str
    tokens: int


def pack_sequences(pieces: Iterable[Piece], policy: PackingPolicy) -> Iterator[list[Piece]]:
    """Fit samples into windows; the same samples in the same order make the same windows.

    Args:
        pieces: samples in release order.
        policy: size of a window, and of what is held.

    Yields:
        Windows of at least one sample, each in release order. One that is longer than a window comes alone.

    Raises:
        ContractError: windows are off, or a sample has no token.

    >>> sizes = [5, 4, 6, 3, 1, 11]
    >>> pieces = [Piece(place, f"mm_{place}", size) for place, size in enumerate(sizes)]
    >>> [[piece.tokens for piece in window] for window in pack_sequences(pieces, PackingPolicy(window_tokens=10))]
    [[11], [5, 3, 1], [4, 6]]
    """
    if not policy.window_tokens:
        raise ContractError("packing.window_tokens is 0; ask for no sequences, or set it")
    stream = iter(pieces)
    open_windows = _OpenWindows(policy.window_tokens)
    while buffer := list(islice(stream, policy.buffer_samples)):
        buffer.sort(key=_longest_first)
        if buffer[-1].tokens < 1:
            raise ContractError(f"sample {buffer[-1].id} has no token; count what separates it from the next")
        for piece in buffer:
            if piece.tokens > policy.window_tokens:
                yield [piece]
            else:
                open_windows.put(piece)
        is_last = len(buffer) < policy.buffer_samples
        yield from open_windows.take_all_but(0 if is_last else policy.open_windows)
    yield from open_windows.take_all_but(0)


def _longest_first(piece: Piece) -> tuple[int, int]:
    return -piece.tokens, piece.position


class _OpenWindows:
    """Windows in the making, found by the room they have."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._made = self._opened_since = 0
        self._windows = dict[int, list[Piece]]()
        self._room: list[tuple[int, int]] = []  # tokens free and number of each window, ascending

    def put(self, piece: Piece) -> None:
        """Put a sample where it leaves the least room; the older of two windows wins."""
        place = bisect_left(self._room, (piece.tokens, _ANY))
        if place < len(self._room):
            room, number = self._room.pop(place)
        else:
            room, number = self._size, self._made
            self._made += 1
            self._windows[number] = []
        self._windows[number].append(piece)
        insort(self._room, (room - piece.tokens, number))

    def take_all_but(self, kept: int) -> Iterator[list[Piece]]:
        """Take windows in the order of their first samples; the emptiest stay once, if they were opened since."""
        staying = [entry for entry in self._room if entry[0] and entry[1] >= self._opened_since]
        staying = staying[max(0, len(staying) - kept) :]
        numbers = {number for _, number in staying}
        taken = [self._windows.pop(number) for _, number in self._room if number not in numbers]
        self._room, self._opened_since = staying, self._made
        yield from sorted(sorted(window) for window in taken)
