"""Injected faults that the order gate must find, and sound documents that it must let pass.

    python benchmarks/document_order.py --html DIR … --pdf FILE …

Documents are HTML pages as they are, and parts of ``--pages`` pages of each PDF, numbered anew. Half of them, by a
hash of the name, may be looked at when thresholds are set; the figures that count are those of the other half, and of
files that were never looked at (another run). Faults are made in what the readers found: pages of a PDF in another
order, the targets of links following their pages; captions of HTML one figure on or back (the numbered ones where a
page has any). Pictures are taken out of the HTML itself, which is then read again. Two-column pages are constructed
from paragraphs of HTML. A page whose captions all read alike is the same with its captions shifted: such pages are
counted (``captions_alike``), and no fault is made in them.
"""

import argparse
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from selectolax.lexbor import LexborHTMLParser

from mm_assets.aligned.documents.order_gate.document_check import BoundCaption, ObservedDocument, check_document
from mm_assets.aligned.documents.order_gate.order_gate import judge_order
from mm_assets.aligned.documents.order_gate.page_marks import PageMarks, mark_page
from mm_assets.documents.blocks import Block
from mm_assets.documents.html import HtmlReader
from mm_assets.documents.pdf import PdfProcess
from mm_assets.errors import InputError
from mm_assets.policy import DocumentReadingPolicy, OrderGatePolicy

POLICY = OrderGatePolicy()
LOST_SHARE = 0.1
COLUMN_PAGES = 4
PARAGRAPHS_IN_COLUMN = 5
WORDS_IN_LINE = 9
Fault = Callable[["Document", random.Random], "Document | None"]


@dataclass(frozen=True)
class Document:
    """One document: its blocks, figures with their captions, and pages."""

    name: str
    blocks: tuple[Block, ...] = ()
    captions: tuple[tuple[int, int], ...] = ()
    pages: tuple[PageMarks, ...] = ()
    folder: Path | None = None

    def observed(self) -> ObservedDocument:
        """What the gate is told of it."""
        caption_of = dict(self.captions)
        bound = [BoundCaption(b.position, caption_of.get(b.position)) for b in self.blocks if b.type == "figure"]
        return ObservedDocument(self.name, self.name, self.blocks, bound, pages=self.pages)

    @property
    def is_held_out(self) -> bool:
        """Whether it belongs to the half that no threshold was set by."""
        return hashlib.sha256(self.name.encode()).digest()[0] % 2 == 1


def read_pages_of_html(folder: Path) -> Iterator[Document]:
    """Every HTML page below a folder that has blocks."""
    for path in sorted(folder.rglob("*.html")):
        try:
            document = read_html(path.read_bytes(), str(path.relative_to(folder)), folder)
        except InputError:
            continue
        if document.blocks:
            yield document


def read_html(content: bytes, name: str, folder: Path) -> Document:
    """One HTML page and the captions that its markup gives to figures."""
    blocks = tuple(HtmlReader(content, name, DocumentReadingPolicy()).blocks())
    kinds = {block.position: block.type for block in blocks}
    caption_of: dict[int, Block] = {}
    for block in blocks:  # of two captions of a figure the numbered one
        if block.type == "caption" and block.of is not None and kinds[block.of] == "figure":
            other = caption_of.get(block.of)
            if other is None or (block.label and not other.label):
                caption_of[block.of] = block
    numbered = {figure: caption for figure, caption in caption_of.items() if caption.label}
    captions = sorted((figure, caption.position) for figure, caption in (numbered or caption_of).items())
    return Document(name, blocks, tuple(captions), folder=folder)


def read_parts_of_pdf(path: Path, pages: int) -> Iterator[Document]:
    """Parts of a PDF, each of so many pages."""
    with (
        PdfProcess(DocumentReadingPolicy()) as process,
        path.open("rb") as stream,
        process.open(stream, path.name) as pdf,
    ):
        marks = [mark_page(page) for page in pdf.pages()]
    for start in range(0, len(marks) - pages + 1, pages):
        yield Document(f"{path.name}@{start + 1}", pages=in_order(marks[start : start + pages]))


def in_order(marks: Sequence[PageMarks]) -> tuple[PageMarks, ...]:
    """Number pages as they stand; links follow the pages they lead to."""
    place = {id(mark): at + 1 for at, mark in enumerate(marks)}
    first = {mark.number: place[id(mark)] for mark in reversed(marks)}
    return tuple(
        replace(mark, number=at + 1, links=tuple(first[link] for link in mark.links if link in first))
        for at, mark in enumerate(marks)
    )


def swap_pages(document: Document, rng: random.Random) -> Document | None:
    """Exchange two pages."""
    if len(document.pages) < 4:
        return None
    marks = list(document.pages)
    one, other = rng.sample(range(len(marks)), 2)
    marks[one], marks[other] = marks[other], marks[one]
    return replace(document, pages=in_order(marks))


def reverse_pages(document: Document, _rng: random.Random) -> Document | None:
    """Turn the pages round."""
    return replace(document, pages=in_order(document.pages[::-1])) if len(document.pages) > 2 else None


def repeat_page(document: Document, rng: random.Random) -> Document | None:
    """Put one page in twice; pages of few words are left out, they are alike."""
    full = [at for at, mark in enumerate(document.pages) if mark.words >= POLICY.min_page_words]
    if not full:
        return None
    at = rng.choice(full)
    marks = [*document.pages[: at + 1], replace(document.pages[at]), *document.pages[at + 1 :]]
    return replace(document, pages=in_order(marks))


def shift_captions(step: int) -> Fault:
    """Give every figure the caption of the next one, round the end."""

    def shifted(document: Document, _rng: random.Random) -> Document | None:
        count = len(document.captions)
        texts = {block.position: block.text for block in document.blocks}
        if len({texts[caption] for _, caption in document.captions}) < 2:
            return None  # one caption, or all alike: nothing changes
        at = {caption: place for place, (_, caption) in enumerate(document.captions)}
        source = {block.position: block for block in document.blocks}
        blocks = tuple(
            replace(
                source[document.captions[(at[b.position] + step) % count][1]],
                position=b.position,
                of=b.of,
                figure_missing=b.figure_missing,
            )
            if b.position in at
            else b
            for b in document.blocks
        )
        return replace(document, blocks=blocks)

    return shifted


def without_alt(document: Document) -> Document:
    """The document as if nobody had written alternative texts."""
    return replace(document, blocks=tuple(replace(b, text="") if b.type == "figure" else b for b in document.blocks))


def choose_lost(document: Document, rng: random.Random) -> list[tuple[int, int]]:
    """A tenth of the captioned figures, at least one, with their captions."""
    return rng.sample(document.captions, max(1, round(LOST_SHARE * len(document.captions))))


def lose_pictures(document: Document, rng: random.Random) -> Document | None:
    """Take a tenth of the captioned pictures out of the page, and read it again."""
    if not document.captions or document.folder is None:
        return None
    gone = {figure for figure, _ in choose_lost(document, rng)}
    tree = LexborHTMLParser((document.folder / document.name).read_bytes())
    images = iter(tree.css("img"))
    for block in document.blocks:
        if block.picture is not None and block.picture.file is not None:
            name = block.picture.file.rpartition("/")[2]
            image = next(i for i in images if unquote(i.attributes.get("src") or "").rpartition("/")[2] == name)
            if block.position in gone:
                image.decompose()
    read = read_html((tree.html or "").encode(), document.name, document.folder)
    figures = [sum(block.type == "figure" for block in blocks) for blocks in (document.blocks, read.blocks)]
    if figures[1] != figures[0] - len(gone):
        raise RuntimeError(f"{document.name}: {figures[0]} figures, {len(gone)} taken out, {figures[1]} left")
    return read


def lose_figures(document: Document, rng: random.Random) -> Document | None:
    """Take out a tenth of the figures with their captions; a document of one or two would hardly be one."""
    if len(document.captions) <= 2:
        return None
    gone = {position for pair in choose_lost(document, rng) for position in pair}
    kept = [block for block in document.blocks if block.position not in gone]
    place = {block.position: at for at, block in enumerate(kept)}
    captions = tuple((place[f], place[c]) for f, c in document.captions if f in place and c in place)
    blocks = tuple(
        replace(b, position=place[b.position], of=place.get(b.of) if b.of is not None else None) for b in kept
    )
    return replace(document, blocks=blocks, captions=captions)


def in_columns(documents: Sequence[Document]) -> Iterator[Document]:
    """Two-column documents constructed from the paragraphs of others."""
    texts = [b.text for d in documents for b in d.blocks if b.type == "paragraph" and len(b.text.split()) > 12]
    size = 2 * PARAGRAPHS_IN_COLUMN * COLUMN_PAGES
    for start in range(0, len(texts) - size + 1, size):
        blocks: list[Block] = []
        for at, text in enumerate(texts[start : start + size]):
            page, place = divmod(at, 2 * PARAGRAPHS_IN_COLUMN)
            column, row = divmod(place, PARAGRAPHS_IN_COLUMN)
            box = (50.0 + 260 * column, 60.0 + 140 * row, 280.0 + 260 * column, 190.0 + 140 * row)
            blocks.append(Block(at, page + 1, "paragraph", text, box=box, last_page=page + 1))
        yield Document(f"columns@{start}", tuple(blocks))


def interleave_columns(document: Document, _rng: random.Random) -> Document | None:
    """Read two columns paragraph by paragraph across."""
    ordered = sorted(document.blocks, key=lambda b: (b.page, b.box[1], b.box[0]) if b.box else (b.page, 0.0, 0.0))
    return replace(document, blocks=tuple(replace(block, position=at) for at, block in enumerate(ordered)))


def interleave_lines(document: Document, _rng: random.Random) -> Document | None:
    """Read two columns line by line across, with no boxes left to tell."""
    blocks: list[Block] = []
    for page in sorted({block.page for block in document.blocks}):
        words = [b.text.split() for b in document.blocks if b.page == page]
        half = len(words) // 2
        one, other = ([word for text in part for word in text] for part in (words[:half], words[half:]))
        lines = [
            " ".join(side[at : at + WORDS_IN_LINE])
            for at in range(0, max(len(one), len(other)), WORDS_IN_LINE)
            for side in (one, other)
        ]
        blocks.append(Block(len(blocks), page, "paragraph", " ".join(lines)))
    return replace(document, blocks=tuple(blocks))


def examine(documents: Sequence[Document], fault: Fault | None, expected: str | None, seed: int) -> dict[str, object]:
    """Share of documents with a proven fault, and with the right one."""
    rng = random.Random(seed)  # noqa: S311 - faults, not secrets
    found = Counter[str]()
    count = named = any_fault = 0
    missed: list[str] = []
    for document in documents:
        spoilt = document if fault is None else fault(document, rng)
        if spoilt is None:
            continue
        count += 1
        kinds = [f.kind for f in check_document(spoilt.observed(), POLICY).proven(POLICY)]
        found.update(kinds)
        any_fault += bool(kinds)
        named += expected in kinds
        if bool(kinds) == (fault is None):
            missed.append(document.name)
    told: dict[str, object] = {
        "documents": count,
        "found": any_fault,
        "share": round(any_fault / count, 4) if count else None,
    }
    if fault is not None:
        told["named_rightly"] = round(named / max(any_fault, 1), 4)
    return told | {"kinds": dict(found), "examples": missed[:5]}


def main() -> None:
    """Run and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--html", type=Path, nargs="*", default=[])
    parser.add_argument("--pdf", type=Path, nargs="*", default=[])
    parser.add_argument("--pages", type=int, default=20, help="pages of a part of a PDF")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    started = time.process_time()
    html = [document for folder in options.html for document in read_pages_of_html(folder)]
    pdf = [document for path in options.pdf for document in read_parts_of_pdf(path, options.pages)]
    columns = list(in_columns(html))
    read = time.process_time() - started
    bare = [without_alt(document) for document in html]
    rows: list[tuple[str, Sequence[Document], Fault | None, str | None]] = [
        ("sound HTML", html, None, None),
        ("sound HTML without alternative texts", bare, None, None),
        ("sound PDF", pdf, None, None),
        ("sound columns", columns, None, None),
        ("captions shifted +1", html, shift_captions(1), "captions_shifted"),
        ("captions shifted -1", html, shift_captions(-1), "captions_shifted"),
        ("captions shifted +1, without alternative texts", bare, shift_captions(1), "captions_shifted"),
        ("10 % of figures lost, captions left", html, lose_pictures, "figures_lost"),
        ("10 % of figures lost with their captions", html, lose_figures, "figures_lost"),
        ("two pages swapped", pdf, swap_pages, "pages_swapped"),
        ("pages reversed", pdf, reverse_pages, "pages_reversed"),
        ("a page repeated", pdf, repeat_page, "pages_duplicated"),
        ("columns interleaved", columns, interleave_columns, "columns_interleaved"),
        ("columns interleaved line by line, no boxes", columns, interleave_lines, "columns_interleaved"),
    ]
    checked = time.process_time()
    report: dict[str, object] = {
        half: {
            name: examine(
                [d for d in documents if d.is_held_out == (half == "held_out")], fault, expected, options.seed
            )
            for name, documents, fault, expected in rows
            if documents
        }
        for half in ("tuning", "held_out")
    }
    report["captions_alike"] = {
        half: sum(
            len(d.captions) > 1
            and d.is_held_out == (half == "held_out")
            and shift_captions(1)(d, random.Random(0)) is None  # noqa: S311
            for d in html
        )
        for half in ("tuning", "held_out")
    }
    report["documents"] = {"html": len(html), "pdf_parts": len(pdf), "columns": len(columns)}
    report["cpu_seconds"] = {"reading": round(read, 1), "checking": round(time.process_time() - checked, 1)}
    verdict = judge_order((document.observed() for document in [*html, *pdf]), POLICY)
    report["batch"] = {"passed": verdict.passed, "reason": verdict.reason}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
