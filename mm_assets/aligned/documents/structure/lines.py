# pyright: strict
"""The words of a page as lines: what stands on one baseline without a gap."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from mm_assets.documents.pages import BOLD, MONOSPACE, Box, Page
from mm_assets.policy.document_structure import DocumentStructurePolicy

MARKER: Final = re.compile(r"^(?:[•◦▪■‣●○∙·*–—-]|\(?(?:\d{1,3}[.)]|[a-z][.)]|[A-Z]\)|[ivx]{1,4}[.)]))$")  # noqa: RUF001 - marks
_CODE: Final = 0.8  # comments may be set otherwise
_LEADERS: Final = re.compile(r"(?:\s*\.){4,}\s*")


@dataclass(frozen=True, slots=True)
class Line:
    """Words on one baseline.

    Attributes:
        page: from 1.
        text: its words with single blanks between.
        box: around them.
        size: commonest font size.
        is_bold: whether all its words are bold.
        bold_words: how many of its first words are bold.
        is_code: whether nearly all its words are set in a monospaced font.
        words: texts and boxes, from left to right.
    """

    page: int
    text: str
    box: Box
    size: float
    is_bold: bool
    bold_words: int
    is_code: bool
    words: tuple[tuple[str, Box], ...]

    @property
    def middle(self) -> float:
        """Height of its middle."""
        return (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    box: Box
    size: float
    style: int


def read_lines(page: Page, policy: DocumentStructurePolicy) -> list[Line]:
    """Lines of a page, in the order of the file; columns are apart, a list's mark stands with its text."""
    words = [
        _Word(text, (float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(size), int(style))
        for text, box, size, style in zip(
            page.words.texts, page.words.boxes, page.words.sizes, page.words.styles, strict=True
        )
    ]
    runs: list[list[_Word]] = []
    for word in words:
        if runs and _goes_on(runs[-1][-1], word, policy.max_word_gap):
            runs[-1].append(word)
        else:
            runs.append([word])
    return [_line(page.number, run) for run in _joined(runs, policy)]


def merge_lines(one: Line, other: Line) -> Line:
    """Two parts of one baseline as one line, from left to right."""
    left, right = sorted((one, other), key=lambda line: line.box[0])
    text = _LEADERS.sub(" ", f"{left.text} {right.text}")
    return replace(left, text=text, box=union(one.box, other.box), words=left.words + right.words)


def union(one: Box, other: Box) -> Box:
    """The box around both."""
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def share_inside(box: Box, around: Box) -> float:
    """Share of a box's area that lies in another.

    >>> share_inside((0, 0, 2, 1), (1, 0, 9, 9))
    0.5
    """
    wide = min(box[2], around[2]) - max(box[0], around[0])
    high = min(box[3], around[3]) - max(box[1], around[1])
    area = max((box[2] - box[0]) * (box[3] - box[1]), 1e-6)
    return max(0.0, wide) * max(0.0, high) / area


def on_one_baseline(one: Box, other: Box) -> bool:
    """Whether two boxes overlap in height by more than half of the lower one."""
    overlap = min(one[3], other[3]) - max(one[1], other[1])
    return overlap > 0.5 * min(one[3] - one[1], other[3] - other[1])


def _goes_on(before: _Word, word: _Word, gap: float) -> bool:
    size = max(before.size, word.size, 1.0)
    near = -0.6 * size <= word.box[0] - before.box[2] <= gap * size
    return near and on_one_baseline(before.box, word.box)


def _joined(runs: list[list[_Word]], policy: DocumentStructurePolicy) -> list[list[_Word]]:
    """Runs of one baseline that lie close together, and marks of lists with what they mark."""
    joined: list[list[_Word]] = []
    for run in runs:
        before = joined[-1] if joined else None
        if before is not None and on_one_baseline(before[-1].box, run[0].box):
            gap = run[0].box[0] - before[-1].box[2]
            size = max(before[-1].size, run[0].size, 1.0)
            is_mark = len(before) == 1 and MARKER.match(before[0].text) is not None
            if -0.6 * size <= gap <= (policy.max_marker_gap if is_mark else policy.max_word_gap) * size:
                before.extend(run)
                continue
        joined.append(run)
    return joined


def _line(page: int, run: list[_Word]) -> Line:
    ordered = sorted(run, key=lambda word: word.box[0])
    box = ordered[0].box
    for word in ordered[1:]:
        box = union(box, word.box)
    sizes = Counter[float]()
    for word in ordered:
        sizes[round(word.size, 1)] += len(word.text)
    text = _LEADERS.sub(" ", " ".join(word.text for word in ordered))
    letters = [word for word in ordered if any(character.isalnum() for character in word.text)] or ordered
    return Line(
        page=page,
        text=text,
        box=box,
        size=sizes.most_common(1)[0][0],
        is_bold=all(word.style & BOLD for word in letters),
        bold_words=sum(1 for _ in takewhile(lambda word: word.style & BOLD, ordered)),
        is_code=sum(bool(word.style & MONOSPACE) for word in letters) > _CODE * len(letters),
        words=tuple((word.text, word.box) for word in ordered),
    )
