# pyright: strict
"""The raw bytes behind a record: where they lie, and whether they are still those that were read."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mm_assets.errors import InputError
from mm_assets.landing import Landing
from mm_assets.raw_pools.document_folders import join_pages, list_pages
from mm_assets.raw_pools.records import Bytes

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class RawBytes:
    """A range of bytes of the landing area, read just now.

    Attributes:
        record_id: the record they are of.
        role: record, sound track, subtitles or figure.
        uri: object they lie in; a folder of pictures of pages stands for all of them.
        member: member of an archive.
        byte_offset: where they begin in the object, bytes.
        byte_size: how many were read.
        sha256: of what was read; None if nothing could be read.
        state: ``verified`` against the recorded hash or text, ``read`` where none was recorded, ``changed``, or
            ``missing``.
        told: what is wrong, or what they were compared with.
    """

    record_id: str
    role: str
    uri: str
    member: str | None
    byte_offset: int
    byte_size: int
    sha256: str | None
    state: str
    told: str


def read_bytes(
    landing: Landing, record_id: str, role: str, reference: dict[str, Any], expected: str | None
) -> RawBytes:
    """Read the bytes of a reference and compare their SHA-256 with the recorded one, as a stream.

    Args:
        landing: where deliveries lie.
        record_id: the record.
        role: what the bytes are to it.
        reference: a ``source_ref``.
        expected: recorded SHA-256, hexadecimal; None if none was.
    """
    uri, member = str(reference["uri"]), reference["member"]
    offset, size = int(reference["byte_offset"] or 0), int(reference["byte_size"] or 0)
    try:
        key = landing.key(uri)
        if landing.find(key) is None:
            pages = [Bytes(page.key, None, 0, page.size_bytes, _hash(landing, page.key, 0, page.size_bytes))
                     for page in list_pages(landing, key)]  # fmt: skip
            if not pages:
                return RawBytes(record_id, role, uri, member, offset, 0, None, "missing", "no such file or folder")
            digest = join_pages(key, pages).sha256
        else:
            digest = _hash(landing, key, offset, size)
    except InputError as error:
        return RawBytes(record_id, role, uri, member, offset, 0, None, "missing", error.reason)
    if expected is None:
        return RawBytes(record_id, role, uri, member, offset, size, digest, "read", "no hash was recorded")
    state = "verified" if digest == expected else "changed"
    told = "equals the recorded hash" if digest == expected else f"recorded was {expected}"
    return RawBytes(record_id, role, uri, member, offset, size, digest, state, told)


def read_text(landing: Landing, record_id: str, record_ref: str, reference: dict[str, Any], text: str) -> RawBytes:
    """Read the bytes of a text record and look for the text in them.

    A line of JSON is decoded and its text compared; of a plain file the whole is. A row of parquet is not searched.
    """
    found = read_bytes(landing, record_id, "record", reference, None)
    if found.sha256 is None or record_ref.rpartition("#row/")[1]:
        return found
    data = landing.read(landing.key(found.uri), found.byte_offset, found.byte_size)
    try:
        lies = text if found.uri.endswith(".txt") else msgspec.json.decode(data)["text"]
        same = lies == text and (lies is not text or data.decode("utf-8").removeprefix("\ufeff") == text)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        same = False
    state, told = ("verified", "holds the recorded text") if same else ("changed", "holds another text than recorded")
    return RawBytes(record_id, "record", found.uri, None, found.byte_offset, found.byte_size, found.sha256, state, told)


def _hash(landing: Landing, key: str, offset: int, size: int) -> str:
    digest = hashlib.sha256()
    with landing.open(key) as stream:
        stream.seek(offset)
        left = size
        while left > 0 and (data := stream.read(min(left, _CHUNK_BYTES))):
            digest.update(data)
            left -= len(data)
    return digest.hexdigest()
