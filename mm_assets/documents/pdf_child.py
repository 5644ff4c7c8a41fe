"""Run PDFium in a confined process: one answer to each request.

Run by `mm_assets.documents.pdf`; imports nothing that takes long.
"""

import os

import msgspec

from mm_assets.confinement.serving import confined_channel, requests, send
from mm_assets.documents.messages import Answer, Fault, OpenDocument, Request
from mm_assets.documents.pdf_document import OpenPdf, PdfFaultError


def main() -> None:
    """Serve requests until the other side closes."""
    encoder = msgspec.msgpack.Encoder()
    decoder = msgspec.json.Decoder(Request)
    document: OpenPdf | None = None
    with confined_channel() as channel:
        for content, files in requests(channel):
            request = decoder.decode(content)
            if isinstance(request, OpenDocument):
                if document is not None:
                    document.close()
                document = OpenPdf(os.fdopen(files[0], "rb"), request.limits)
            send(channel, encoder.encode(_answer(document, request)))


def _answer(document: OpenPdf | None, request: Request) -> Answer:
    if document is None:
        raise ValueError("asked about a page before any document was opened")
    try:
        return document.answer(request)
    except PdfFaultError as error:
        return Fault(error.code, error.reason)


if __name__ == "__main__":
    main()
