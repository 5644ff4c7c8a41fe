# pyright: strict
"""Running headers and footers, and page numbers: lines at the edges of pages that recur on those around."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from mm_assets.aligned.documents.structure.lines import Line, read_lines, share_inside
from mm_assets.documents.pages import Page
from mm_assets.policy.document_structure import DocumentStructurePolicy

_NUMBERS: Final = re.compile(r"\d+|\b[ivxlc]{1,7}\b", re.IGNORECASE)
_ONLY_NUMBER: Final = re.compile(
    r"^\W*(?:page\s+)?(?:\d{1,5}|[ivxlc]{1,7})(?:\s*(?:/|of)\s*\d{1,5})?\W*$", re.IGNORECASE
)
_NEAR: Final = 0.4
_SEEN: Final = frozenset({"header", "footer"})

PageLines = tuple[Page, list[Line]]


def without_running_lines(pages: Iterable[Page], policy: DocumentStructurePolicy) -> Iterator[PageLines]:
    """Pages with their lines, running ones left out; a few pages before and behind are held.

    A line is running if it stands in the outer part of its page and its text, numbers aside, recurs there on other
    pages, or another line of its size does at the same height, apart from the page's text; on a page that was read from
    pixels, also if the layout model sees a header or footer there.
    """
    around = policy.pages_around
    held: deque[PageLines] = deque(maxlen=2 * around + 1)
    waiting: deque[PageLines] = deque()
    for page in pages:
        known = (page, read_lines(page, policy))
        held.append(known)
        waiting.append(known)
        if len(waiting) > around:
            yield _without(waiting.popleft(), held, policy)
    while waiting:
        yield _without(waiting.popleft(), held, policy)


def _without(known: PageLines, around: Iterable[PageLines], policy: DocumentStructurePolicy) -> PageLines:
    page, lines = known
    others = [(other, theirs) for other, theirs in around if other.number != page.number]
    kept = [line for line in lines if not _is_running(line, page, lines, others, policy)]
    return page, kept


def _is_running(
    line: Line, page: Page, lines: list[Line], others: list[PageLines], policy: DocumentStructurePolicy
) -> bool:
    end = _end(line, page, policy)
    if end is None:
        return False
    if page.text_from == "ocr" and any(
        region.type in _SEEN and share_inside(line.box, region.box) >= policy.min_region_share
        for region in page.regions
    ):
        return True
    if _ONLY_NUMBER.match(line.text) and _is_outermost(line, lines, end):
        return True
    name = _name(line.text)
    by_text = by_place = 0
    apart = _gap(line, lines, end) >= line.size
    for other, theirs in others:
        edge = [one for one in theirs if _end(one, other, policy) == end]
        by_text += any(_name(one.text) == name and _is_level(one, line) for one in edge)
        by_place += any(_is_level(one, line) and abs(one.size - line.size) < _NEAR for one in edge)
    if name and by_text >= min(policy.min_repeats, max(len(others), 1)) and others:
        return True
    return apart and by_place >= max(policy.min_repeats, (2 * len(others)) // 3) and _is_outermost(line, lines, end)


def _end(line: Line, page: Page, policy: DocumentStructurePolicy) -> str | None:
    share = line.middle / page.height if page.height else 0.5
    if share <= policy.margin_share:
        return "top"
    return "bottom" if share >= 1.0 - policy.margin_share else None


def _name(text: str) -> str:
    return " ".join(_NUMBERS.sub("#", text).split()).casefold()


def _is_level(one: Line, other: Line) -> bool:
    return abs(one.middle - other.middle) <= max(one.size, other.size) * _NEAR


def _is_outermost(line: Line, lines: list[Line], end: str) -> bool:
    """Whether no line stands between it and the edge of the page, save on its own baseline."""
    if end == "top":
        return all(other.middle >= line.box[1] for other in lines)
    return all(other.middle <= line.box[3] for other in lines)


def _gap(line: Line, lines: list[Line], end: str) -> float:
    """White space between a line and the text of its page."""
    if end == "top":
        return min((o.box[1] - line.box[3] for o in lines if o.middle > line.box[3]), default=line.size)
    return min((line.box[1] - o.box[3] for o in lines if o.middle < line.box[1]), default=line.size)
