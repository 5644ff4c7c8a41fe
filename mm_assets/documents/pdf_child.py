"""Run PDFium in a process of its own: requests and open files on a socket, one answer to each.

A PDF is a program for a large parser of several languages, fonts and picture formats, written by a stranger. It may
crash it, hang it or make it ask for memory without end; none of that may take a run with it. Run by
`mm_assets.documents.pdf`; imports nothing that takes long.
"""

import os
import resource
import socket
import sys
from typing import Final

import msgspec

from mm_assets.documents.messages import Answer, Fault, OpenDocument, Request
from mm_assets.documents.pdf_document import OpenPdf, PdfFaultError

PREFIX_BYTES: Final = 8
REQUEST_BYTES: Final = 65_536


def main() -> None:
    """Serve requests on the inherited socket, the first argument, under the address space of the second."""
    descriptor, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    encoder = msgspec.msgpack.Encoder()
    decoder = msgspec.json.Decoder(Request)
    document: OpenPdf | None = None
    with socket.socket(fileno=descriptor) as channel:
        while True:
            content, files, _, _ = socket.recv_fds(channel, REQUEST_BYTES, 1)
            if not content:
                return
            request = decoder.decode(content)
            if isinstance(request, OpenDocument):
                if document is not None:
                    document.close()
                document = OpenPdf(os.fdopen(files[0], "rb"), request.limits)
            _send(channel, encoder.encode(_answer(document, request)))


def _answer(document: OpenPdf | None, request: Request) -> Answer:
    if document is None:
        raise ValueError("asked about a page before any document was opened")
    try:
        return document.answer(request)
    except PdfFaultError as error:
        return Fault(error.code, error.reason)


def _send(channel: socket.socket, content: bytes) -> None:
    channel.sendall(len(content).to_bytes(PREFIX_BYTES, "big"))
    channel.sendall(content)


if __name__ == "__main__":
    main()
