"""Read PDFs, however hostile, page by page: words of the text layer, figures, rules, links, and renderings."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, BinaryIO, Final, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_assets.confinement.confined_process import ConfinedProcess, ProcessCrashedError, ProcessStalledError
from mm_assets.documents import pdf_child
from mm_assets.documents.messages import (
    Answer,
    DocumentInfo,
    Fault,
    Limits,
    OpenDocument,
    PageFound,
    Pixels,
    ReadPage,
    Render,
    Request,
)
from mm_assets.documents.pages import Box, Page, PageFigure, PageLink, Words
from mm_assets.errors import ContractError, DecodeError
from mm_assets.landing import on_disk
from mm_assets.policy import DocumentReadingPolicy

_DECODER: Final = msgspec.msgpack.Decoder(Answer)
AnswerT = TypeVar("AnswerT", DocumentInfo, PageFound, Pixels)


class PdfProcess:
    """A process that reads one PDF after the other; started on first use, anew when a file has killed it.

    Use it in a ``with`` statement, from one thread.
    """

    def __init__(self, policy: DocumentReadingPolicy) -> None:
        self._limits = limits_of(policy)
        self._process = ConfinedProcess(pdf_child.__name__, policy.memory_bytes, policy.stall_seconds)
        self._reader: PdfReader | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    @contextmanager
    def open(self, stream: BinaryIO, name: str) -> Generator["PdfReader"]:
        """Open a document; the reader lives until the context ends or another document is opened.

        Args:
            stream: the file, seekable; remote bytes pass through an unnamed temporary file.
            name: the document, for messages.

        Raises:
            DecodeError: code ``ENCRYPTED_PDF``, ``BROKEN_PDF``, ``TOO_MANY_PAGES``, ``PDF_CRASHED`` or ``PDF_STALLED``.
            ContractError: the process could not work at all.
        """
        with on_disk(stream) as file:
            info = self.ask(OpenDocument(self._limits), DocumentInfo, name, file)
            self._reader = reader = PdfReader(self, info, name)
            yield reader

    def ask_of(self, reader: "PdfReader", request: Request, kind: type[AnswerT]) -> AnswerT:
        """As `ask`, of the document opened last.

        Raises:
            ContractError: another document was opened since.
        """
        if self._reader is not reader:
            raise ContractError(f"{reader.name}: another document was opened since; open one at a time")
        return self.ask(request, kind, reader.name)

    def ask(self, request: Request, kind: type[AnswerT], name: str, file: IO[bytes] | None = None) -> AnswerT:
        """One request and its answer. Raises as `open` and `PdfReader.page`."""
        if not self._process.is_running and file is None:
            raise DecodeError("PDF_CRASHED", f"{name}: reading it has crashed before; write the file again")
        try:
            self._process.send(msgspec.json.encode(request), file)
            answer = _DECODER.decode(self._process.receive())
        except ProcessStalledError as error:
            raise DecodeError(
                "PDF_STALLED",
                f"{name}: reading {error}; write the file again or raise [document_reading] stall_seconds",
            ) from error
        except ProcessCrashedError as error:
            raise DecodeError("PDF_CRASHED", f"{name}: reading it crashed ({error}); write the file again") from error
        if isinstance(answer, Fault):
            raise DecodeError(answer.code, f"{name}: {answer.reason}")
        if not isinstance(answer, kind):
            raise ContractError(f"{name}: the reading process answered {type(answer).__name__}; repair it")
        return answer


class PdfReader:
    """One document; made by `PdfProcess.open`."""

    def __init__(self, process: PdfProcess, info: DocumentInfo, name: str) -> None:
        self._process = process
        self.info = info
        self.name = name
        self.image_share = 0.0
        """Share of the last page read that lies under its largest picture, 0 to 1."""

    def pages(self) -> Iterator[Page]:
        """Every page, one by one. Raises as `page`."""
        for number in range(1, self.info.pages + 1):
            yield self.page(number)

    def page(self, number: int) -> Page:
        """Read a page, numbered from 1.

        A page without words has ``text_from`` none. A picture that covers a page with words is the scan of it and no
        figure.

        Raises:
            DecodeError: code ``BROKEN_PDF``, ``PAGE_TOO_LARGE``, ``PAGE_TOO_COMPLEX``, ``PDF_CRASHED`` or
                ``PDF_STALLED``.
        """
        found = self._process.ask_of(self, ReadPage(number), PageFound)
        self.image_share = found.image_share
        count = len(found.texts)
        words = Words(
            tuple(found.texts),
            np.frombuffer(found.boxes, "<f4").reshape(count, 4),
            np.frombuffer(found.sizes, "<f4"),
            np.frombuffer(found.styles, np.uint8),
            np.ones(count, np.float32),
        )
        return Page(
            number=number,
            width=found.width,
            height=found.height,
            unit="pt",
            words=words,
            figures=tuple(PageFigure(box, kind) for box, kind in found.figures),
            rules=np.frombuffer(found.rules, "<f4").reshape(-1, 4),
            links=tuple(PageLink(link.box, link.page, link.y, link.address) for link in found.links),
            text_from="layer" if count else "none",
            label=found.label,
            outline=tuple(found.outline),
        )

    def render_page(self, number: int, dpi: float) -> NDArray[np.uint8]:
        """A page as uint8 RGB (H, W, 3); at a lower resolution if it has too many pixels. Raises as `page`."""
        return self._render(Render(number, None, dpi))

    def render_region(self, number: int, box: Box, dpi: float) -> NDArray[np.uint8]:
        """A region, in points of the page as shown, cut to the page. Otherwise as `render_page`."""
        return self._render(Render(number, box, dpi))

    def _render(self, request: Render) -> NDArray[np.uint8]:
        pixels = self._process.ask_of(self, request, Pixels)
        return np.frombuffer(pixels.content, np.uint8).reshape(pixels.height, pixels.width, 3)


def limits_of(policy: DocumentReadingPolicy) -> Limits:
    """The limits the policy sets for the process."""
    return Limits(**{name: getattr(policy, name) for name in Limits.__struct_fields__})
