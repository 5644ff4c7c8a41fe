"""Pages of a handbook with their pictures, a book as PDF, and a page of it as a scan; whole or with pages reversed."""

import hashlib
import io
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pypdfium2

_HANDBOOK: Final = "usr/share/gimp/2.0/help/en"
_BOOK: Final = "usr/share/doc/debian-history/docs/project-history.{}.pdf"
_PICTURE: Final = re.compile(r'<img[^>]*\bsrc="([^"]+)"')
_WRITTEN_AT: Final = re.compile(rb"CreationDate\(D:\d{14}")
_FILE_ID: Final = re.compile(rb"/ID\[<[0-9A-F]{32}>\s*<[0-9A-F]{32}>\]")
_SCAN_DPI: Final = 150


def write_documents(packages: Path, folder: Path, choice: Mapping[str, Any]) -> dict[str, int]:
    """Write what a batch of documents chooses, and count it.

    Raises:
        SystemExit: a page names a picture that its package does not have.
    """
    documents = folder / "documents"
    documents.mkdir(parents=True)
    for page in choice.get("handbook", []):
        _copy_page(packages / "gimp-help-en" / _HANDBOOK, page, documents)
    for language in choice.get("books", []):
        book = (packages / "debian-history" / _BOOK.format(language)).read_bytes()
        written = _reversed(book) if choice.get("reverse_pages") else book
        (documents / f"project-history.{language}.pdf").write_bytes(written)
    for scan in choice.get("scans", []):
        book = (packages / "debian-history" / _BOOK.format(scan["language"])).read_bytes()
        (documents / scan["file"]).write_bytes(_scan(book, scan["page"]))
    return {"documents": sum(len(choice.get(kind, [])) for kind in ("handbook", "books", "scans"))}


def _copy_page(root: Path, page: str, documents: Path) -> None:
    shutil.copyfile(root / page, documents / page)
    for name in sorted(set(_PICTURE.findall((root / page).read_text(encoding="utf-8")))):
        if not (root / name).is_file():
            raise SystemExit(f"{page} shows {name}, which the package does not have; fix demo/selection.toml")
        (documents / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, documents / name)


def _reversed(book: bytes) -> bytes:
    """The book with its last page first; of PDFium's the time is replaced by a fixed one, the random id by a hash."""
    with pypdfium2.PdfDocument(book) as source, pypdfium2.PdfDocument.new() as turned:
        turned.import_pages(source, list(range(len(source)))[::-1])
        buffer = io.BytesIO()
        turned.save(buffer)
    written = buffer.getvalue()
    name = hashlib.sha256(book).hexdigest().upper()[:32].encode()
    written = _WRITTEN_AT.sub(b"CreationDate(D:20000101000000", written)
    return _FILE_ID.sub(b"/ID[<" + name + b"><" + name + b">]", written)


def _scan(book: bytes, number: int) -> bytes:
    """A page, from 1, as a grey picture."""
    with pypdfium2.PdfDocument(book) as source:
        picture = source[number - 1].render(scale=_SCAN_DPI / 72, grayscale=True).to_pil()
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
