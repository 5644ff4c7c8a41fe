"""Files made to break a reader cost their own document only."""

import contextlib
import io
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from mm_assets.documents.pdf import PdfProcess
from mm_assets.errors import DecodeError
from mm_assets.policy import DocumentReadingPolicy

TEXT = "BT /F1 12 Tf 60 120 Td (Hello) Tj ET"
CODES = {"BROKEN_PDF", "ENCRYPTED_PDF", "PAGE_TOO_LARGE", "PAGE_TOO_COMPLEX", "PDF_CRASHED", "PDF_STALLED"}


def read_all(process: PdfProcess, content: bytes) -> list[tuple[str, ...]]:
    with process.open(io.BytesIO(content), "a.pdf") as reader:
        pages = [page.words.texts for page in reader.pages()]
        reader.render_page(1, 50)
    return pages


def code_of(process: PdfProcess, content: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        read_all(process, content)
    assert caught.value.reason.startswith("a.pdf: ")
    assert ";" in caught.value.reason
    return caught.value.code


def test_what_is_no_document_is_refused(pdfium: PdfProcess, make_pdf: Callable) -> None:
    good = make_pdf(TEXT)
    secret = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'ab' * 32}> /U <{'cd' * 32}> >> /ID [<00> <00>]"
    assert code_of(pdfium, make_pdf(TEXT, trailer=secret)) == "ENCRYPTED_PDF"
    assert code_of(pdfium, b"GIF89a" + bytes(500)) == "BROKEN_PDF"
    assert code_of(pdfium, good[: len(good) // 3]) == "BROKEN_PDF"
    assert code_of(pdfium, b"") == "BROKEN_PDF"
    assert code_of(pdfium, make_pdf()) == "BROKEN_PDF"
    assert read_all(pdfium, good) == [("Hello",)]


def test_bounds_hold(make_pdf: Callable) -> None:
    policy = DocumentReadingPolicy(
        max_pages=2, max_characters=20, max_objects=50, max_segments=100, max_page_pt=1_000, max_image_pixels=100
    )
    bomb = "q 9 0 0 9 9 9 cm BI /W 20 /H 20 /CS /G /BPC 1 ID " + "x" * 60 + " EI Q"
    with PdfProcess(policy) as process:
        assert code_of(process, make_pdf(TEXT, TEXT, TEXT)) == "TOO_MANY_PAGES"
        assert code_of(process, make_pdf(TEXT, size=(2_000, 100))) == "PAGE_TOO_LARGE"
        assert code_of(process, make_pdf(f"BT /F1 12 Tf 60 120 Td ({'ab ' * 20}) Tj ET")) == "PAGE_TOO_COMPLEX"
        assert code_of(process, make_pdf("0 0 m 9 9 l S " * 60)) == "PAGE_TOO_COMPLEX"
        assert code_of(process, make_pdf("0 0 m " + "9 9 l " * 200 + "S")) == "PAGE_TOO_COMPLEX"
        assert code_of(process, make_pdf(bomb)) == "PAGE_TOO_COMPLEX"
        assert read_all(process, make_pdf(TEXT)) == [("Hello",)]


def test_forms_that_multiply_end_in_bounded_time(make_pdf: Callable, make_stream: Callable) -> None:
    depth, width = 20, 10  # 10 to the 20th objects
    forms = {
        100 + level: make_stream(
            ("/N Do " * width).encode() if level < depth - 1 else b"0 0 m 9 9 l S",
            "/Type /XObject /Subtype /Form /BBox [0 0 99 99] "
            + (f"/Resources << /XObject << /N {101 + level} 0 R >> >>" if level < depth - 1 else ""),
        )
        for level in range(depth)
    }
    content = make_pdf("/N Do", resources="/XObject << /N 100 0 R >>", objects=forms)
    with PdfProcess(DocumentReadingPolicy(stall_seconds=2.0, max_objects=1_000)) as process:
        started = time.monotonic()
        assert code_of(process, content) in {"PDF_STALLED", "PAGE_TOO_COMPLEX", "PDF_CRASHED"}
        assert time.monotonic() - started < 10
        assert read_all(process, make_pdf(TEXT)) == [("Hello",)]


def test_a_stream_that_unpacks_to_gigabytes_ends_in_its_bound(make_pdf: Callable, make_stream: Callable) -> None:
    content = make_pdf(TEXT, objects={11: make_stream(b"q " * 150_000_000, packed=True)})
    with PdfProcess(DocumentReadingPolicy(memory_bytes=500_000_000, stall_seconds=20)) as process:
        with contextlib.suppress(DecodeError):
            assert read_all(process, content) == [()]  # where PDFium gives up the content and not itself
        assert read_all(process, make_pdf(TEXT)) == [("Hello",)]


def test_a_process_that_dies_costs_its_document_only(make_pdf: Callable) -> None:
    with PdfProcess(DocumentReadingPolicy()) as process:
        with process.open(io.BytesIO(make_pdf(TEXT, TEXT)), "a.pdf") as reader:
            assert reader.page(1).words.texts == ("Hello",)
            os.kill(process._process._child.pid, signal.SIGKILL)
            with pytest.raises(DecodeError, match="PDF_CRASHED") as caught:
                reader.page(2)
            assert "SIGKILL" in caught.value.reason
            with pytest.raises(DecodeError, match="PDF_CRASHED"):
                reader.page(2)
        assert read_all(process, make_pdf(TEXT)) == [("Hello",)]


def test_a_process_that_hangs_is_ended(make_pdf: Callable) -> None:
    with PdfProcess(DocumentReadingPolicy(stall_seconds=2.0)) as process:
        read_all(process, make_pdf(TEXT))
        os.kill(process._process._child.pid, signal.SIGSTOP)
        assert code_of(process, make_pdf(TEXT)) == "PDF_STALLED"
        assert read_all(process, make_pdf(TEXT)) == [("Hello",)]


def test_damaged_files_end_in_pages_or_codes(pdfium: PdfProcess, make_pdf: Callable) -> None:
    good = make_pdf(TEXT, "0 0 m 50 60 70 80 90 10 c S " * 5 + TEXT, catalog="/Outlines 2 0 R")
    chance = random.Random(7)  # noqa: S311 - no secret
    codes = set()
    for _ in range(60):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 20)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            read_all(pdfium, bytes(damaged[: chance.randint(len(damaged) // 2, len(damaged))]))
        except DecodeError as error:
            codes.add(error.code)
    assert codes <= CODES
    assert codes
