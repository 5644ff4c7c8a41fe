"""Read HTML as blocks in the order of the page: headings, paragraphs, lists, tables, figures, captions and more."""

from collections.abc import Iterator
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mm_assets.documents.blocks import Block
from mm_assets.documents.html_flow import HtmlFlow
from mm_assets.documents.html_markup import decode_html, prepare_html
from mm_assets.documents.html_pictures import decode_data_uri
from mm_assets.errors import DecodeError, InputError, RecordError
from mm_assets.policy import DocumentReadingPolicy

_MAX_TITLE: Final = 2_000


class HtmlReader:
    """One HTML document; memory is that of the file and its parsed tree.

    Attributes:
        name: of the document, relative to ``documents/``.
        title: as its head states it; None where it does not.
        language: as its root element states it; None where it does not.
        faults: pictures that cannot be had, each with its reason; complete once all blocks were taken.
    """

    def __init__(self, content: bytes, name: str, policy: DocumentReadingPolicy) -> None:
        """Parse a document.

        Raises:
            DecodeError: code ``HTML_TOO_LARGE``, ``INVALID_ENCODING``, ``HTML_TOO_DEEP`` or ``HTML_TOO_COMPLEX``.
        """
        if len(content) > policy.max_html_bytes:
            raise DecodeError(
                "HTML_TOO_LARGE",
                f"{name}: {len(content)} bytes, more than {policy.max_html_bytes}; divide it or raise "
                "[document_reading] max_html_bytes",
            )
        self._policy = policy
        text = prepare_html(decode_html(content, name), policy, name)
        self._size = len(text)
        self._tree = LexborHTMLParser(text)
        self.name = name
        head = self._tree.head
        title = None if head is None else head.css_first("title")
        self.title = None if title is None else " ".join(title.text(deep=True).split())[:_MAX_TITLE] or None
        root = self._tree.root
        self.language = None if root is None else root.attributes.get("lang") or root.attributes.get("xml:lang")
        self.faults: list[InputError] = []

    def blocks(self) -> Iterator[Block]:
        """Its blocks, each as soon as it is complete.

        Raises:
            DecodeError: code ``TABLE_TOO_LARGE`` or ``HTML_TOO_COMPLEX``.
        """
        flow = HtmlFlow(self.name, self._size, self._policy, self.faults)
        body = self._tree.body
        if body is None:
            return
        for _ in _walk(body, flow):
            yield from flow.ready()
        yield from flow.end()

    def picture(self, index: int) -> bytes:
        """The picture inside the page that a block names ``PAGE#picture/INDEX``.

        Raises:
            RecordError: code ``MISSING_FILE``, ``PICTURE_TOO_LARGE`` or ``BROKEN_PICTURE``.
        """
        for place, image in enumerate(self._tree.css("img")):
            if place == index:
                return decode_data_uri(image.attributes.get("src") or "", self.name, self._policy)
        raise RecordError("MISSING_FILE", f"{self.name}: it has no picture {index}; read the page again")


def _walk(body: LexborNode, flow: HtmlFlow) -> Iterator[None]:
    """Hand on elements and texts in the order of the page; nothing recurses, however deep the page."""
    above: list[LexborNode] = []
    node = body
    while True:
        inside = flow.visit(node)
        yield
        child = node.child if inside else None
        if child is not None:
            above.append(node)
            node = child
            continue
        if inside:
            flow.leave(node)
        while node.next is None and above:
            node = above.pop()
            flow.leave(node)
        if not above or node.next is None:
            return
        node = node.next
