"""The confined side: requests and open files come on a socket, messages go back.

A file of media or a document is a program for large parsers, written by a stranger. It may crash them, hang them or
make them ask for memory without end; none of that may take a run with it. Imports nothing that takes long.
"""

import resource
import socket
import sys
from collections.abc import Iterator
from typing import Final

PREFIX_BYTES: Final = 8
_REQUEST_BYTES: Final = 65_536


def confined_channel() -> socket.socket:
    """The inherited socket, the first argument of this process; its address space is limited to the second."""
    descriptor, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return socket.socket(fileno=descriptor)


def requests(channel: socket.socket) -> Iterator[tuple[bytes, list[int]]]:
    """Requests with the descriptors of their open files, until the other side closes."""
    while True:
        content, files, _, _ = socket.recv_fds(channel, _REQUEST_BYTES, 1)
        if not content:
            return
        yield content, files


def send(channel: socket.socket, content: bytes) -> None:
    """Send one message."""
    channel.sendall(len(content).to_bytes(PREFIX_BYTES, "big"))
    channel.sendall(content)
