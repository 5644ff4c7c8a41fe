"""Structure of documents against what their authors' own markup says: captions, order, references.

    python benchmarks/document_structure.py --gimp DIR [--half report] [--tell]

``--gimp``: pages of the GIMP manual (Debian's gimp-help-en, /usr/share/gimp/2.0/help/en), made from DocBook. The truth
is read from DocBook's own classes here, apart from the reader: a ``div.figure`` has the title ``p.title`` and the
pictures of its ``div.mediaobject``; a ``div.caption`` belongs to the picture of its ``div.mediaobject``. A binding is
right if a picture is given its title (the first picture of a figure), else its own caption, else the title of the
figure it stands in; a picture without any of these must stay without. Each page is bound four times: as read; with
what the markup says of captions hidden; with alt texts and file names hidden as well, so that place and number alone
can tell; and with captions taken for paragraphs on top of that, so that those with a number have to be recognised.

A third of the pages, by a hash of the name, may be looked at when weights are set; ``--half report`` (the default) are
the others.

Order: titles, paragraphs and pictures of the page whose first words occur once, in the order of its bytes, against
where they stand in the blocks; Kendall's tau, 1 for the same order.
"""

import argparse
import hashlib
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from selectolax.lexbor import LexborHTMLParser, LexborNode

from mm_assets.aligned.documents.structure.captions import bind_captions
from mm_assets.aligned.documents.structure.references import Reference, ReferenceFinder
from mm_assets.documents.blocks import Block
from mm_assets.documents.html import HtmlReader
from mm_assets.policy import DocumentCaptionPolicy, DocumentReadingPolicy

MIN_CAPTIONS = 0.98
MIN_ORDER = 0.98
KEY_CHARACTERS = 60
MIN_KEY_CHARACTERS = 12
MODES = ("as read", "hints hidden", "place and number only", "captions as paragraphs")
POLICY = DocumentCaptionPolicy()


@dataclass(frozen=True)
class TruePicture:
    """A picture as the markup has it; its caption is None where it has none."""

    file: str
    caption: str | None
    in_figure: bool
    first: bool


def is_tuning(name: str) -> bool:
    """Whether weights may be set by a page."""
    return hashlib.sha256(name.encode()).digest()[0] % 3 == 0


def has_class(node: LexborNode, name: str) -> bool:
    """Whether a class is among those of an element."""
    return name in (node.attributes.get("class") or "").split()


def above(node: LexborNode, name: str) -> LexborNode | None:
    """The nearest element of a class that holds a node."""
    outer = node.parent
    while outer is not None and not has_class(outer, name):
        outer = outer.parent
    return outer


def plain(text: str) -> str:
    """Letters and digits alone."""
    return re.sub(r"[\W_]+", "", text).lower()


def read_truth(tree: LexborHTMLParser) -> list[TruePicture]:
    """The pictures of a page's ``div.mediaobject``, with what DocBook gives them as captions."""
    titled: set[int] = set()
    pictures: list[TruePicture] = []
    for media in tree.css("div.mediaobject"):
        figure = above(media, "figure")
        title = None if figure is None else figure.css_first("p.title")
        own = media.css_first("div.caption")
        for image in media.css("img"):
            first = figure is not None and figure.mem_id not in titled
            caption = title if title is not None and (first or own is None) else own
            if figure is not None:
                titled.add(figure.mem_id)
            pictures.append(
                TruePicture(
                    image.attributes.get("src") or "",
                    None if caption is None else plain(caption.text(deep=True)),
                    figure is not None,
                    first,
                )
            )
    return pictures


def hidden(blocks: Sequence[Block], mode: str) -> list[Block]:
    """The blocks as a reader without such hints would give them."""
    if mode == "as read":
        return list(blocks)
    shown = [
        replace(block, of=None, label=None if block.type in ("figure", "table") else block.label) for block in blocks
    ]
    if mode == "hints hidden":
        return shown
    bare = [
        replace(block, text="", picture=replace(block.picture, alt=None, file=None))
        if block.type == "figure" and block.picture is not None
        else block
        for block in shown
    ]
    if mode == "place and number only":
        return bare
    return [replace(block, type="paragraph", label=None) if block.type == "caption" else block for block in bare]


def judge(truth: Sequence[TruePicture], blocks: Sequence[Block], mode: str, counts: Counter[str]) -> list[str]:
    """Count what is bound rightly; lines that tell of the rest."""
    bindings = {one.position: one for one in bind_captions(hidden(blocks, mode), None, POLICY)}
    texts = {block.position: plain(block.text) for block in blocks}
    found: dict[str, list[Block]] = {}
    for block in blocks:
        if block.type == "figure" and block.picture is not None and block.picture.file is not None:
            found.setdefault(block.picture.file, []).append(block)
    wrong: list[str] = []
    for picture in truth:
        same = found.get(picture.file)
        block = same.pop(0) if same else None
        bound = None if block is None else bindings.get(block.position)
        place = None if bound is None else bound.caption_position
        caption = None if place is None else texts[place]
        right = block is not None and caption == picture.caption
        group = "titled" if picture.first and picture.in_figure else "captioned" if picture.caption else "bare"
        counts[f"{group} pictures"] += 1
        counts[f"{group} right"] += right
        if bound is not None and caption is not None:
            counts[f"by {bound.bound_by}"] += 1
        if not right:
            wrong.append(
                f"{group}: {picture.file}: {picture.caption} != {caption}" + (" LOST" if block is None else "")
            )
    return wrong


def keys_of_page(tree: LexborHTMLParser) -> Iterator[str]:
    """First words of titles and paragraphs, and pictures, in the order of the page."""
    for node in tree.css("h1, h2, h3, h4, h5, h6, p, div.mediaobject img"):
        if node.tag == "img":
            yield f"\x01{node.attributes.get('src')}\x01"
        elif above(node, "navheader") is None and above(node, "navfooter") is None:
            key = plain(node.text(deep=True))[:KEY_CHARACTERS]
            if len(key) >= MIN_KEY_CHARACTERS:
                yield key


def order_of(keys: Sequence[str], blocks: Sequence[Block]) -> tuple[int, int, float]:
    """Keys that occur once in both, keys that occur once in the page, and Kendall's tau of the former."""
    whole = "\n".join(
        f"\x01{block.picture.file}\x01" if block.picture is not None else plain(block.text) for block in blocks
    )
    once = [key for key, times in Counter(keys).items() if times == 1]
    places = [whole.find(key) for key in once if whole.count(key) == 1]
    if len(places) < 2:
        return len(places), len(once), 1.0
    return len(places), len(once), tau_of(places)


def tau_of(places: Sequence[int]) -> float:
    """Kendall's tau of places against ascending order: 1 for the same order, -1 for the reverse."""
    order = np.asarray(places)
    later = sum(int((order[index + 1 :] > place).sum()) for index, place in enumerate(order))
    return 4.0 * later / (len(order) * (len(order) - 1)) - 1.0


def judge_references(blocks: Sequence[Block], counts: Counter[str]) -> list[Reference]:
    """Count references by kind and by how they end."""
    finder = ReferenceFinder(POLICY)
    for block in blocks:
        finder.add(block)
    found = finder.resolve()
    for one in found:
        counts[f"{one.kind} {one.reason or 'resolved'}"] += 1
    return found


def run_gimp(folder: Path, half: str, *, tell: bool) -> dict[str, Any]:
    """Captions, order and references of the manual's pages."""
    counts = {mode: Counter[str]() for mode in MODES}
    references: Counter[str] = Counter()
    taus: list[float] = []
    placed = keyed = pages = 0
    seconds = dict.fromkeys(("reading", "binding", "references"), 0.0)
    for path in sorted(folder.glob("*.html")):
        if half != "all" and is_tuning(path.name) != (half == "tuning"):
            continue
        pages += 1
        content = path.read_bytes()
        tree = LexborHTMLParser(content.decode("utf-8"))
        truth, keys = read_truth(tree), list(keys_of_page(tree))
        start = time.process_time()
        blocks = list(HtmlReader(content, path.name, DocumentReadingPolicy()).blocks())
        seconds["reading"] += time.process_time() - start
        start = time.process_time()
        for mode in MODES:
            wrong = judge(truth, blocks, mode, counts[mode])
            if tell:
                for line in wrong:
                    sys.stderr.write(f"{path.name}: {mode}: {line}\n")
        seconds["binding"] += (time.process_time() - start) / len(MODES)
        start = time.process_time()
        judge_references(blocks, references)
        seconds["references"] += time.process_time() - start
        there, all_keys, tau = order_of(keys, blocks)
        placed, keyed = placed + there, keyed + all_keys
        taus.append(tau)
    return {
        "pages": pages,
        "captions right": min(captions_right(found) for found in counts.values()),
        "captions": {mode: dict(sorted(found.items())) | shares(found) for mode, found in counts.items()},
        "pages in order": sum(tau > 1.0 - 1e-9 for tau in taus) / max(len(taus), 1),
        "worst tau": min(taus, default=1.0),
        "texts and pictures": keyed,
        "of them found": placed / max(keyed, 1),
        "references": dict(sorted(references.items())),
        "ms per page": {name: round(1e3 * spent / max(pages, 1), 2) for name, spent in seconds.items()},
    }


def captions_right(counts: Counter[str]) -> float:
    """Share of the titled figures that have their title."""
    return counts["titled right"] / max(counts["titled pictures"], 1)


def shares(counts: Counter[str]) -> dict[str, float]:
    """Right ones of each group."""
    return {
        f"{group} share": round(counts[f"{group} right"] / max(counts[f"{group} pictures"], 1), 4)
        for group in ("titled", "captioned", "bare")
    }


def main() -> int:
    """Measure, print, and fail if a floor is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gimp", type=Path, required=True)
    parser.add_argument("--half", choices=("tuning", "report", "all"), default="report")
    parser.add_argument("--tell", action="store_true", help="every wrong binding, to standard error")
    options = parser.parse_args()
    measured = run_gimp(options.gimp, options.half, tell=options.tell)
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")
    return int(measured["captions right"] < MIN_CAPTIONS or measured["pages in order"] < MIN_ORDER)


if __name__ == "__main__":
    sys.exit(main())
