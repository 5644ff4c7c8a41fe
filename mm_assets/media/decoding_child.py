"""Decode media in a confined process: one file after the other, because starting takes longer than a short clip.

Run by `mm_assets.media.decoder`; imports nothing that takes long.
"""

import os
from typing import Final

import msgspec

from mm_assets.confinement.serving import confined_channel, requests, send
from mm_assets.media.messages import Request
from mm_assets.media.reading import read_media

DONE: Final = b""
"""An empty message: nothing more follows of this file."""


def main() -> None:
    """Serve requests until the other side closes."""
    encoder = msgspec.msgpack.Encoder()
    decoder = msgspec.json.Decoder(Request)
    with confined_channel() as channel:
        for content, files in requests(channel):
            with os.fdopen(files[0], "rb") as file:
                file.seek(0)
                for message in read_media(file, decoder.decode(content)):
                    send(channel, encoder.encode(message))
            send(channel, DONE)


if __name__ == "__main__":
    main()
