"""Decode media in a process of its own: requests and open files on a socket, messages back.

A media file is a program for some of the largest decoders there are, written by a stranger. It may crash them, hang
them or make them ask for memory without end; none of that may take a run with it. The process serves one file after
the other, because starting one takes longer than decoding a short clip. Run by `mm_assets.media.decoder`; imports
nothing that takes long.
"""

import os
import resource
import socket
import sys
from typing import Final

import msgspec

from mm_assets.media.messages import Request
from mm_assets.media.reading import read_media

PREFIX_BYTES: Final = 8
REQUEST_BYTES: Final = 65_536
DONE: Final = b""
"""An empty message: nothing more follows of this file."""


def main() -> None:
    """Serve requests on the inherited socket, the first argument, under the address space of the second."""
    descriptor, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    encoder = msgspec.msgpack.Encoder()
    decoder = msgspec.json.Decoder(Request)
    with socket.socket(fileno=descriptor) as channel:
        while True:
            content, files, _, _ = socket.recv_fds(channel, REQUEST_BYTES, 1)
            if not content:
                return
            with os.fdopen(files[0], "rb") as file:
                file.seek(0)
                for message in read_media(file, decoder.decode(content)):
                    _send(channel, encoder.encode(message))
            _send(channel, DONE)


def _send(channel: socket.socket, content: bytes) -> None:
    channel.sendall(len(content).to_bytes(PREFIX_BYTES, "big"))
    channel.sendall(content)


if __name__ == "__main__":
    main()
