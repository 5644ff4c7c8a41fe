import io
import zlib
from collections.abc import Callable, Iterator, Mapping

import pytest

from mm_assets.documents.pdf import PdfProcess
from mm_assets.policy import DocumentReadingPolicy

FONTS = {
    "F1": "/BaseFont /Helvetica",
    "F2": "/BaseFont /Helvetica-Bold",
    "F3": "/BaseFont /Courier",
    "F4": "/BaseFont /Helvetica-Oblique",
    "F5": "/BaseFont /Helvetica /Encoding << /Differences [1 /fi] >>",
}


def write_pdf(
    *contents: str | bytes,
    size: tuple[float, float] = (300, 200),
    page: str = "",
    catalog: str = "",
    trailer: str = "",
    resources: str = "",
    objects: Mapping[int, bytes] | None = None,
) -> bytes:
    """A PDF with one page per content stream; further objects are numbered from 100, page N is object 10 + 2 N."""
    fonts = " ".join(f"/{name} << /Type /Font /Subtype /Type1 {told} >>" for name, told in FONTS.items())
    kids = " ".join(f"{10 + 2 * index} 0 R" for index in range(len(contents)))
    all_objects: dict[int, bytes] = {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>".encode(),
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>".encode(),
    }
    for index, content in enumerate(contents):
        number = 10 + 2 * index
        all_objects[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size[0]} {size[1]}] /Contents {number + 1} 0 R {page} "
            f"/Resources << /Font << {fonts} >> {resources} >> >>"
        ).encode()
        all_objects[number + 1] = stream(content.encode("latin-1") if isinstance(content, str) else content)
    all_objects |= objects or {}
    out = bytearray(b"%PDF-1.7\n")
    places: dict[int, int] = {}
    for number, body in sorted(all_objects.items()):
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, place in places.items():
        out += b"%d 1\n%010d 00000 n \n" % (number, place)
    out += f"trailer\n<< /Size {max(places) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def stream(content: bytes, told: str = "", *, packed: bool = False) -> bytes:
    data = zlib.compress(content) if packed else content
    told += " /Filter /FlateDecode" if packed else ""
    return f"<< /Length {len(data)} {told} >>\nstream\n".encode() + data + b"\nendstream"


@pytest.fixture(scope="session")
def make_pdf() -> Callable[..., bytes]:
    """Write a PDF by hand."""
    return write_pdf


@pytest.fixture(scope="session")
def make_stream() -> Callable[..., bytes]:
    """The body of a stream object."""
    return stream


@pytest.fixture(scope="session")
def pdfium() -> Iterator[PdfProcess]:
    with PdfProcess(DocumentReadingPolicy()) as running:
        yield running


@pytest.fixture(scope="session")
def first_page(pdfium: PdfProcess) -> Callable[..., object]:
    """Read the first page of a PDF."""

    def read(content: bytes, number: int = 1) -> object:
        with pdfium.open(io.BytesIO(content), "a.pdf") as reader:
            return reader.page(number)

    return read
