# pyright: strict
"""References of a document: what its text names and links to, resolved to positions of blocks."""

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Final, NamedTuple

from mm_assets.aligned.documents.structure.caption_evidence import starts_as_caption, without_text
from mm_assets.aligned.documents.structure.captions import bind_captions
from mm_assets.aligned.documents.structure.reference_phrases import (
    Direction,
    Kind,
    Named,
    Relative,
    find_named,
    find_relative,
    number_of_equation,
)
from mm_assets.documents.blocks import Block
from mm_assets.documents.labels import label_of_caption, label_of_heading
from mm_assets.policy.document_captions import DocumentCaptionPolicy

_READ: Final = frozenset({"paragraph", "list", "table", "caption", "footnote", "heading"})
_CONTENTS: Final = re.compile(r"[\s.](\d{1,4})$")  # a heading in a table of contents ends with its page
_TITLES: Final = frozenset({"paragraph", "caption"})
_FLOATS: Final = frozenset({"figure", "table", "caption"})
_RELATIVE: Final = frozenset({"figure", "table", "formula", "code"})
_LABELS: Final[dict[str, Kind]] = {"Figure": "figure", "Plate": "figure", "Chart": "figure", "Table": "table"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference in the text of a block.

    Attributes:
        position: of the block that refers.
        start: first character of the reference in the block's text.
        end: character behind it.
        kind: what it names; ``relative`` for above and below, ``anchor`` for a link without a number.
        text: as written.
        refers_to: position of the block it leads to; None if it leads nowhere.
        reason: why it leads nowhere: ``NO_SUCH_NUMBER``, ``NO_SUCH_ANCHOR``, ``NO_SUCH_PAGE``, ``NO_PAGES`` or
            ``NOTHING_THERE``; None if resolved.
    """

    position: int
    start: int
    end: int
    kind: Kind
    text: str
    refers_to: int | None
    reason: str | None


class _Waiting(NamedTuple):
    """A reference until all blocks are known; one of number, anchor, page and direction says where it leads."""

    position: int
    start: int
    end: int
    kind: Kind
    text: str
    number: str | None = None
    anchor: str | None = None
    page: int | None = None
    direction: Direction | None = None
    types: frozenset[str] = frozenset()
    bare: bool = False
    sure: bool = True


class ReferenceFinder:
    """Collects the references of a document block by block; memory is that of labels, anchors and references.

    Args:
        policy: reach of relative references, lengths of ranges, and how captions are bound.
    """

    def __init__(self, policy: DocumentCaptionPolicy) -> None:
        self._policy = policy
        self._waiting: list[_Waiting] = []
        self._anchors: dict[str, int] = {}
        self._numbers: dict[tuple[Kind, str], list[int]] = {}
        self._pages: dict[int, int] = {}
        self._labels: dict[str, int] = {}
        self._floats: list[Block] = []
        self._shown: dict[str, list[int]] = {}
        self._contents: dict[tuple[Kind, str], list[int]] = {}
        self._equations: dict[str, int] = {}
        self._of_caption: dict[int, int] = {}
        self._paged = False

    def add(self, block: Block) -> None:
        """Take the next block."""
        self._pages.setdefault(block.page, block.position)
        self._paged = self._paged or block.box is not None
        for anchor in block.anchors:
            self._anchors.setdefault(anchor, block.position)
        if block.type in _RELATIVE:
            self._shown.setdefault(block.type, []).append(block.position)
        own = self._define(block)
        if block.type in _FLOATS:
            label = block.label or label_of_caption(block.text) if block.type == "caption" else block.label
            self._floats.append(replace(without_text(block), label=label))
        elif own and block.type == "paragraph":
            self._floats.append(replace(block, label=label_of_caption(block.text), links=(), anchors=()))
        self._read(block, own)

    def add_page_label(self, page: int, label: str | None) -> None:
        """The number printed on a page; without any, pages are counted from 1."""
        if label:
            self._labels.setdefault(label.lower(), page)

    def resolve(self) -> list[Reference]:
        """All references, by position and place in the text; call it once, behind the last block."""
        self._name_figures()
        self._name_equations()
        for key, places in self._contents.items():
            self._numbers.setdefault(key, places)
        found = [self._resolved(one) for one in self._waiting]
        return sorted((one for one in found if one is not None), key=lambda one: (one.position, one.start, one.end))

    def _define(self, block: Block) -> int:
        """Keep the number a block is known by; the characters of its text that state it."""
        if block.type == "heading":
            number = block.label or label_of_heading(block.text)
            if number:
                page = _CONTENTS.search(block.text)
                kept = self._contents if page is not None and page[1] != number else self._numbers
                kept.setdefault(("section", number.lower()), []).append(block.position)
                return block.text.find(number) + len(number)
        elif block.type in _TITLES and (number := number_of_equation(block.text)) is not None:
            self._equations[number] = block.position if block.of is None else block.of
            return block.text.find(number) + len(number)
        elif block.type == "caption" or (block.type == "paragraph" and starts_as_caption(block.text, self._policy)):
            label = label_of_caption(block.text)
            number = label.rpartition(" ")[2] if label else ""
            return block.text.find(number) + len(number)
        elif block.type == "formula":
            number = _number_of_formula(block)
            if number:
                self._numbers.setdefault(("equation", number), []).append(block.position)
        return 0

    def _read(self, block: Block, own: int) -> None:
        text, place = block.text, block.position
        links = sorted(block.links, key=lambda link: link.start)
        starts = [link.start for link in links]
        used: set[int] = set()
        if block.type in _READ:
            for named in find_named(text, self._policy.max_range):
                if named.end <= own:
                    continue
                index = bisect_right(starts, named.end - 1) - 1
                inside = index >= 0 and links[index].end > named.start
                if inside:
                    used.add(index)
                self._waiting.append(
                    _named(
                        place,
                        text,
                        named,
                        links[index].anchor if inside else None,
                        links[index].page if inside else None,
                    )
                )
            self._waiting += [_relative(place, text, found) for found in find_relative(text)]
        for index, link in enumerate(links):
            shown = any(map(str.isalnum, text[link.start : link.end]))  # a mark is a link to where it stands
            if shown and index not in used and (link.anchor is not None or link.page is not None):
                self._waiting.append(
                    _Waiting(
                        place,
                        link.start,
                        link.end,
                        "anchor",
                        text[link.start : link.end],
                        anchor=link.anchor,
                        page=link.page,
                    )
                )

    def _name_figures(self) -> None:
        """Numbers of captions lead to their figures and tables, or to the captions where those are not there."""
        of_caption = {block.position: block.of for block in self._floats if block.of is not None}
        for bound in bind_captions(self._floats, None, self._policy):
            if bound.caption_position is not None:
                of_caption.setdefault(bound.caption_position, bound.position)
        self._of_caption = of_caption
        named: dict[tuple[Kind, str], dict[int, None]] = {}
        for block in self._floats:
            kind, _, number = (block.label or "").rpartition(" ")
            if kind in _LABELS and number:
                named.setdefault((_LABELS[kind], number.lower()), {})[
                    of_caption.get(block.position, block.position)
                ] = None
        kinds = {block.position: block.type for block in self._floats}
        for key, places in named.items():
            sure = [place for place in places if kinds.get(place) != "paragraph"]
            self._numbers[key] = sorted(sure or places)

    def _name_equations(self) -> None:
        """Titles of equations lead to the formula behind or before them, or to themselves."""
        formulas = frozenset(self._shown.get("formula", []))
        for number, place in self._equations.items():
            beside = next((near for near in (place, place + 1, place - 1) if near in formulas), place)
            self._numbers.setdefault(("equation", number), [beside])

    def _resolved(self, one: _Waiting) -> Reference | None:
        target, reason = self._target(one)
        target = None if target is None else self._of_caption.get(target, target)
        if (target is None and not one.sure) or (one.kind == "anchor" and target == one.position):
            return None
        return Reference(
            one.position, one.start, one.end, one.kind, one.text, target, None if target is not None else reason
        )

    def _target(self, one: _Waiting) -> tuple[int | None, str]:
        if one.anchor is not None and one.anchor in self._anchors:
            return self._anchors[one.anchor], ""
        if one.direction is not None:
            return self._beside(one), "NOTHING_THERE"
        if one.number is None:
            return self._on_page(one.page), "NO_SUCH_ANCHOR" if one.page is None else "NO_SUCH_PAGE"
        if one.kind == "page":
            return self._on_page(self._page_known_by(one.number)), "NO_SUCH_PAGE" if self._paged else "NO_PAGES"
        found = self._numbered(one.kind, one.number.lower(), one.position)
        return self._on_page(one.page) if found is None else found, "NO_SUCH_NUMBER"

    def _page_known_by(self, number: str) -> int | None:
        """The page on which a number is printed; counted from 1 where no numbers are known."""
        if not self._paged:
            return None
        return self._labels.get(number.lower()) if self._labels else _whole(number)

    def _on_page(self, page: int | None) -> int | None:
        """The first block that starts on a page."""
        return None if page is None else self._pages.get(page)

    def _numbered(self, kind: Kind, number: str, position: int) -> int | None:
        """The nearest block known by a number; a part, such as 3a or 3(a), is in its whole."""
        whole = number.partition("(")[0].rstrip(ascii_lowercase)
        for spelt in (number, number.replace("(", "").replace(")", ""), whole):
            places = self._numbers.get((kind, spelt))
            if places:
                return min(places, key=lambda place: abs(place - position))
        return None

    def _beside(self, one: _Waiting) -> int | None:
        reach = self._policy.bare_blocks if one.bare else self._policy.relative_blocks
        found: list[int] = []
        for kind in one.types:
            places = self._shown.get(kind, [])
            if one.direction == "below":
                found += places[(at := bisect_right(places, one.position)) : at + 1]
            else:
                found += places[max((at := bisect_left(places, one.position)) - 1, 0) : at]
        near = [place for place in found if abs(place - one.position) <= reach]
        return min(near, key=lambda place: abs(place - one.position), default=None)


def _named(place: int, text: str, named: Named, anchor: str | None, page: int | None) -> _Waiting:
    return _Waiting(
        place,
        named.start,
        named.end,
        named.kind,
        text[named.start : named.end],
        number=named.number,
        anchor=anchor,
        page=page,
        sure=named.sure,
    )


def _relative(place: int, text: str, found: Relative) -> _Waiting:
    return _Waiting(
        place,
        found.start,
        found.end,
        "relative",
        text[found.start : found.end],
        direction=found.direction,
        types=found.types,
        bare=found.bare,
    )


def _number_of_formula(block: Block) -> str | None:
    """The number in brackets at the end of a formula, or its label.

    >>> _number_of_formula(Block(0, 1, "formula", "E = mc^2    (3.1)"))
    '3.1'
    """
    stated = (block.label or block.text[-16:]).rstrip()
    if block.label is None and not stated.endswith(")"):
        return None
    number = stated.rpartition("(")[2].rstrip(")").rpartition(" ")[2]
    return number if number[:1].isdigit() or number[1:2] == "." else None


def _whole(number: str) -> int | None:
    return int(number) if number.isdigit() else None
