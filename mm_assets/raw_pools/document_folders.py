"""Read the document folder of a delivery: PDF, HTML with its pictures, and pictures of pages.

Nothing has to be declared: every PDF and HTML file is a document. A picture is a page unless an HTML page stands in its
folder or in one above; then it belongs to that page. The pictures of one folder are the pages of one document, in the
order of the numbers in their names; at the top of ``documents/`` each is a document of its own. A line of
``documents/metadata.jsonl`` names a file or such a folder, to say more of it or to settle what it is.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from mm_assets.errors import InputError, RecordError
from mm_assets.landing import LandedObject, Landing
from mm_assets.lineage.takedowns import NOTHING_BLOCKED, Blocks
from mm_assets.policy import DocumentReadingPolicy, IngestPolicy
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.document_records import (
    KIND,
    DocumentChunk,
    DocumentRecord,
    DocumentRow,
    as_document_chunks,
    check_document_row,
)
from mm_assets.raw_pools.fingerprints import hash_content, run_ahead
from mm_assets.raw_pools.imagefolder import MANIFEST, line_content
from mm_assets.raw_pools.inventory import Inventory, take_inventory
from mm_assets.raw_pools.lines import read_lines
from mm_assets.raw_pools.names import check_name, suffix_of
from mm_assets.raw_pools.records import Bytes, Rejection
from mm_assets.raw_pools.rows import decode_json
from mm_assets.raw_pools.taken_down import refuse_documents_taken_down
from mm_assets.raw_pools.texts import unknown_form

FOLDER: Final = "documents"
HTML_SUFFIXES: Final = frozenset({".html", ".htm", ".xhtml"})
PAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
_BESIDE_HTML: Final = PAGE_SUFFIXES | frozenset(
    {".gif", ".bmp", ".svg", ".ico", ".css", ".js", ".map", ".woff", ".woff2", ".ttf", ".eot", ".otf", ".json", ".xml"}
)
_KNOWN: Final = "pdf, html, or png, jpg, webp or tif pictures of pages"
_DECODER: Final = msgspec.json.Decoder(DocumentRow)
_DIGITS: Final = re.compile(r"(\d{1,18})")


def read_document_batch(
    landing: Landing,
    contract: BatchContract,
    ingest: IngestPolicy,
    reading: DocumentReadingPolicy,
    blocks: Blocks = NOTHING_BLOCKED,
) -> Iterator[DocumentChunk]:
    """Yield every record of the document folder, kept or rejected.

    Order: lines of the manifest, PDF and HTML files nobody declared, pictures of pages nobody declared, files no reader
    knows. Positions count the records in this order, the rejected ones included. Nothing is decoded; files are hashed
    as streams. Records that were taken down are rejected.
    """
    records = refuse_documents_taken_down(_records(landing, contract, ingest, reading), contract, blocks)
    yield from as_document_chunks(records, landing, contract, ingest)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A document that keeps the contract so far; ``folder`` is set where its files are pages."""

    record_ref: str
    row: DocumentRow
    form: str
    files: list[LandedObject]
    folder: str | None


def page_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key of page names: numbers by value, the rest as text.

    >>> sorted(["p10.png", "p9.png", "p1.png"], key=page_order)
    ['p1.png', 'p9.png', 'p10.png']
    """
    parts = _DIGITS.split(name)
    return tuple((1, int(part), "") if at % 2 else (0, 0, part) for at, part in enumerate(parts))


def _records(
    landing: Landing, contract: BatchContract, ingest: IngestPolicy, reading: DocumentReadingPolicy
) -> Iterator[DocumentRecord | Rejection]:
    with take_inventory(landing, f"{contract.batch}/{FOLDER}") as inventory:
        found = _found(landing, ingest, reading, inventory)
        yield from run_ahead(found, lambda item: [_find_bytes(item, landing, ingest, reading)], landing, ingest)
        for key, error in inventory.faults():
            yield Rejection.of(KIND, key, error)


def _found(
    landing: Landing, ingest: IngestPolicy, reading: DocumentReadingPolicy, inventory: Inventory
) -> Iterator[_Declared | Rejection]:
    yield from _declared(landing, ingest, reading, inventory)
    for suffix in (".pdf", *sorted(HTML_SUFFIXES)):
        for landed in list(inventory.unclaimed(suffix)):
            yield _alone(inventory, landed, "pdf" if suffix == ".pdf" else "html")
    with_html = set(inventory.folders(HTML_SUFFIXES))
    for folder in list(inventory.folders(PAGE_SUFFIXES)):
        if not _stands_below(folder, with_html):
            yield from _pages(inventory, folder, reading)
    for landed in inventory.unclaimed():
        name = inventory.name(landed.key)
        folder = name.rpartition("/")[0]
        if suffix_of(name) not in _BESIDE_HTML or not _stands_below(folder, with_html):
            yield Rejection.of(KIND, landed.key, unknown_form(landed.key, _KNOWN))


def _declared(
    landing: Landing, ingest: IngestPolicy, reading: DocumentReadingPolicy, inventory: Inventory
) -> Iterator[_Declared | Rejection]:
    manifest = inventory.claim_if_present(MANIFEST)
    if manifest is None:
        return
    with landing.open(manifest.key) as stream:
        for line in read_lines(stream, ingest.max_line_bytes):
            where = f"{manifest.key}:{line.number}"
            try:
                row = decode_json(line_content(line, ingest, where), _DECODER, where)
                check_document_row(row, where)
                yield _declare(row, where, reading, inventory)
            except InputError as error:
                yield Rejection.of(KIND, where, error)


def _declare(row: DocumentRow, where: str, reading: DocumentReadingPolicy, inventory: Inventory) -> _Declared:
    name = check_name(row.file_name.rstrip("/"), where)
    suffix = suffix_of(name)
    form = "pdf" if suffix == ".pdf" else "html" if suffix in HTML_SUFFIXES else "page_image"
    pages = [] if suffix in PAGE_SUFFIXES or form != "page_image" else _page_files(inventory, name)
    if pages:
        _check_pages(len(pages), where, reading)
        claimed = [inventory.claim(inventory.name(page.key), where) for page in pages]
        return _Declared(where, row, form, claimed, inventory.key(name))
    if form == "page_image" and suffix and suffix not in PAGE_SUFFIXES:
        raise unknown_form(f"{where}: {name}", _KNOWN)
    return _Declared(where, row, form, [inventory.claim(name, where)], None)


def _alone(inventory: Inventory, landed: LandedObject, form: str) -> _Declared:
    name = inventory.name(landed.key)
    return _Declared(landed.key, DocumentRow(file_name=name), form, [inventory.claim(name, landed.key)], None)


def _pages(inventory: Inventory, folder: str, reading: DocumentReadingPolicy) -> Iterator[_Declared | Rejection]:
    pages = _page_files(inventory, folder)
    if not folder:
        for page in pages:
            yield _alone(inventory, page, "page_image")
        return
    if not pages:
        return
    where = inventory.key(folder)
    claimed = [inventory.claim(inventory.name(page.key), where) for page in pages]
    try:
        _check_pages(len(pages), where, reading)
        yield _Declared(where, DocumentRow(file_name=folder), "page_image", claimed, where)
    except InputError as error:
        yield Rejection.of(KIND, where, error)


def _page_files(inventory: Inventory, folder: str) -> list[LandedObject]:
    files = [landed for landed in inventory.inside(folder) if suffix_of(landed.key) in PAGE_SUFFIXES]
    return sorted(files, key=lambda landed: page_order(landed.key))


def list_pages(landing: Landing, key: str) -> list[LandedObject]:
    """The pictures of pages at a landing key, a folder's in the order of the document, or the one file."""
    landed = landing.find(key)
    if landed is not None:
        return [landed]
    start = len(key) + 1
    files = [
        landed
        for landed in landing.objects(f"{key}/")
        if "/" not in landed.key[start:] and suffix_of(landed.key) in PAGE_SUFFIXES
    ]
    return sorted(files, key=lambda landed: page_order(landed.key))


def _check_pages(count: int, where: str, reading: DocumentReadingPolicy) -> None:
    if count > reading.max_pages:
        raise RecordError(
            "TOO_MANY_PAGES",
            f"{where}: {count} pages, more than {reading.max_pages}; divide it or raise [document_reading] max_pages",
        )


def _stands_below(folder: str, folders: set[str]) -> bool:
    """Whether a folder is one of the others or lies in one."""
    while folder not in folders:
        if not folder:
            return False
        folder = folder.rpartition("/")[0]
    return True


def _find_bytes(
    found: _Declared | Rejection, landing: Landing, ingest: IngestPolicy, reading: DocumentReadingPolicy
) -> DocumentRecord | Rejection:
    if isinstance(found, Rejection):
        return found
    where = found.record_ref
    limit = {"pdf": reading.max_file_bytes, "html": reading.max_html_bytes}.get(found.form, ingest.max_image_bytes)
    try:
        hashed = [_hash(landing, landed, limit, where) for landed in found.files]
    except InputError as error:
        return Rejection.of(KIND, where, error)
    at = hashed[0] if found.folder is None else join_pages(found.folder, hashed)
    return DocumentRecord(where, found.row, found.form, at)


def join_pages(folder: str, pages: Iterable[Bytes]) -> Bytes:
    """The bytes of a folder of pages: their sum, and the SHA-256 of the lines ``sha256 name`` of its pages."""
    digest, size_bytes = hashlib.sha256(), 0
    for page in pages:
        digest.update(f"{page.sha256} {page.key.rpartition('/')[2]}\n".encode())
        size_bytes += page.size_bytes
    return Bytes(folder, None, 0, size_bytes, digest.hexdigest())


def _hash(landing: Landing, landed: LandedObject, limit: int, where: str) -> Bytes:
    if landed.size_bytes == 0:
        raise RecordError("EMPTY_FILE", f"{where}: {landed.key} has no bytes; deliver it again")
    if landed.size_bytes > limit:
        raise RecordError(
            "FILE_TOO_LARGE",
            f"{where}: {landed.key} has {landed.size_bytes} bytes, more than {limit}; deliver it in parts",
        )
    return hash_content(landing, landed, where)
