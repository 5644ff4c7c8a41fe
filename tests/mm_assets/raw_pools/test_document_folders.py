"""Which files of a delivery's document folder are documents, and which are turned away."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mm_assets.landing import Landing
from mm_assets.policy import DocumentReadingPolicy, IngestPolicy
from mm_assets.raw_pools.contract import read_contract
from mm_assets.raw_pools.document_folders import list_pages, read_document_batch

PDF, HTML, PNG = b"%PDF-1.7", b"<p>x", b"\x89PNG"
CONTRACT = {"contract": "mm-batch/1", "source": "vendor-a", "license": "CC-BY-4.0", "language": "en"}


@pytest.fixture
def read_documents(land: Callable[..., Landing]) -> Callable[..., tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Land files below ``documents/`` and read them; every record is kept or rejected."""

    def read(
        files: dict[str, bytes], ingest: IngestPolicy | None = None, reading: DocumentReadingPolicy | None = None
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        landing = land(
            {
                "b1/batch.json": json.dumps(CONTRACT).encode(),
                "b1/_SUCCESS": b"",
                **{f"b1/documents/{name}": content for name, content in files.items()},
            }
        )
        used = ingest or IngestPolicy()
        kept: list[dict[str, Any]] = []
        rejected: list[dict[str, Any]] = []
        chunks = read_document_batch(
            landing, read_contract(landing, "b1", used), used, reading or DocumentReadingPolicy()
        )
        for chunk in chunks:
            assert chunk.records == {"document": chunk.tables["raw_documents"].height + chunk.rejected.height}
            kept += chunk.tables["raw_documents"].to_dicts()
            rejected += chunk.rejected.to_dicts()
        assert all(";" in row["reason"] and row["stage"] == "raw_documents" for row in rejected)
        return kept, rejected

    return read


def test_files_are_documents_and_pictures_belong_to_their_pages(read_documents: Callable, jsonl: Callable) -> None:
    kept, rejected = read_documents(
        {
            "metadata.jsonl": jsonl({"file_name": "book.pdf", "title": "A book", "license": "CC0", "source_id": 9}),
            "book.pdf": PDF,
            "site/page.html": HTML,
            "site/style.css": b"x",
            "site/images/a.png": PNG,
            "scans/10.png": PNG + b"10",
            "scans/9.png": PNG + b"9",
            "scans/index.dat": b"x",
            "other.htm": HTML + b"2",
        }
    )
    assert [(row["file_name"], row["form"], row["position"]) for row in kept] == [
        ("book.pdf", "pdf", 0),
        ("other.htm", "html", 1),
        ("site/page.html", "html", 2),
    ]
    assert [(row["record_ref"], row["code"]) for row in rejected] == [("b1/documents/scans/index.dat", "UNKNOWN_FORM")]
    book, other, _ = kept
    assert (book["title"], book["license"], book["source_id"], book["language"]) == ("A book", "CC0", "9", "en")
    assert book["sha256"] == hashlib.sha256(PDF).hexdigest()
    assert book["record_ref"] == "b1/documents/metadata.jsonl:1"
    assert book["source_ref"]["uri"].endswith("/b1/documents/book.pdf")
    assert (other["source"], other["title"]) == ("vendor-a", None)


def test_pictures_of_a_folder_are_the_pages_of_one_document(
    read_documents: Callable, land: Callable[..., Landing]
) -> None:
    files = {"scans/a/10.png": PNG + b"10", "scans/a/9.jpg": PNG + b"9", "single.tif": PNG, "scans/b/1.webp": PNG}
    kept, rejected = read_documents(files)
    assert rejected == []
    assert [(row["file_name"], row["form"], row["size_bytes"]) for row in kept] == [
        ("single.tif", "page_image", 4),
        ("scans/a", "page_image", 11),
        ("scans/b", "page_image", 4),
    ]
    lines = "".join(
        f"{hashlib.sha256(content).hexdigest()} {name}\n"
        for name, content in (("9.jpg", PNG + b"9"), ("10.png", PNG + b"10"))
    )
    assert kept[1]["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    landing = land({"b2/documents/a/10.png": PNG, "b2/documents/a/9.png": PNG, "b2/documents/a/b/1.png": PNG})
    names = [page.key for page in list_pages(landing, "b2/documents/a")]
    assert names == ["b2/documents/a/9.png", "b2/documents/a/10.png"]
    assert [page.key for page in list_pages(landing, "b2/documents/a/9.png")] == ["b2/documents/a/9.png"]


@pytest.mark.parametrize("land", ["local"], indirect=True)
def test_a_declared_folder_is_a_document_beside_html(read_documents: Callable, jsonl: Callable) -> None:
    kept, rejected = read_documents(
        {
            "metadata.jsonl": jsonl({"file_name": "scan/"}, {"file_name": "one.png", "language": "fr"}),
            "index.html": HTML,
            "scan/1.png": PNG,
            "one.png": PNG,
            "figure.png": PNG,
        }
    )
    assert rejected == []
    assert [(row["file_name"], row["form"], row["language"]) for row in kept] == [
        ("scan/", "page_image", "en"),
        ("one.png", "page_image", "fr"),
        ("index.html", "html", "en"),
    ]


@pytest.mark.parametrize("land", ["local"], indirect=True)
@pytest.mark.parametrize(
    ("row", "files", "code"),
    [
        ({"file_name": "none.pdf"}, {}, "MISSING_FILE"),
        ({"file_name": "../a.pdf"}, {}, "UNSAFE_PATH"),
        ({"file_name": "/etc/passwd"}, {}, "UNSAFE_PATH"),
        ({"file_name": "a.docx"}, {"a.docx": b"x"}, "UNKNOWN_FORM"),
        ({"file_name": "a.pdf"}, {"a.pdf": b""}, "EMPTY_FILE"),
        ({"file_name": "a.pdf"}, {"a.pdf": b"x" * 101}, "FILE_TOO_LARGE"),
        ({"file_name": "a.html"}, {"a.html": b"x" * 51}, "FILE_TOO_LARGE"),
        ({"file_name": "a"}, {"a/1.png": PNG, "a/2.png": PNG, "a/3.png": PNG}, "TOO_MANY_PAGES"),
        ({"title": "x"}, {}, "MISSING_FIELD"),
        ({"file_name": "a.pdf", "title": "a\0b"}, {"a.pdf": PDF}, "NUL_BYTE"),
        (b"{not json}", {}, "INVALID_JSON"),
    ],
)
def test_a_bad_row_is_one_rejected_record(
    read_documents: Callable, jsonl: Callable, row: object, files: dict[str, bytes], code: str
) -> None:
    kept, rejected = read_documents(
        {"metadata.jsonl": jsonl(row, {"file_name": "good.pdf"}), "good.pdf": PDF, **files},
        reading=DocumentReadingPolicy(max_file_bytes=100, max_html_bytes=50, max_pages=2),
    )
    (of_row,) = [item for item in rejected if item["record_ref"] == "b1/documents/metadata.jsonl:1"]
    assert (of_row["code"], of_row["record_kind"]) == (code, "document")
    assert ("good.pdf", 1) in [(item["file_name"], item["position"]) for item in kept]


@pytest.mark.parametrize("land", ["local"], indirect=True)
def test_links_out_of_the_batch_are_never_opened(read_documents: Callable, tmp_path: Path) -> None:
    secret = tmp_path / "secret.pdf"
    secret.write_bytes(PDF)
    folder = tmp_path / "landing" / "b1" / "documents"
    folder.mkdir(parents=True)
    (folder / "link.pdf").symlink_to(secret)
    kept, rejected = read_documents({"a.pdf": PDF})
    assert [row["file_name"] for row in kept] == ["a.pdf"]
    assert [(row["record_ref"], row["code"]) for row in rejected] == [("b1/documents/link.pdf", "LINK_OUTSIDE")]


@pytest.mark.parametrize("land", ["local"], indirect=True)
def test_chunks_are_bounded_and_a_rerun_gives_the_same_rows(read_documents: Callable) -> None:
    files = {f"{index}.pdf": PDF + bytes([index]) for index in range(7)}
    small, _ = read_documents(files, ingest=IngestPolicy(chunk_rows=2))
    whole, _ = read_documents(files)
    assert small == whole
    assert [row["position"] for row in whole] == list(range(7))
    assert len({row["document_id"] for row in whole}) == 7
