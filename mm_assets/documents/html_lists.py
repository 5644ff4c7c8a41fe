"""A list as it grows: one line per item, nested lists indented, numbers counted."""

from dataclasses import dataclass, field
from typing import Final

from mm_assets.documents.blocks import Link

_INDENT: Final = "  "
_MAX_DIGITS: Final = 6


@dataclass(slots=True)
class _Level:
    depth: int
    ordered: bool
    number: int
    marker: str | None = None


@dataclass(slots=True)
class ListText:
    """Open lists and the lines of the block they make; `take` hands it over, the lists stay open."""

    levels: list[_Level] = field(default_factory=list[_Level])
    lines: list[str] = field(default_factory=list[str])
    links: list[Link] = field(default_factory=list[Link])
    anchors: list[str] = field(default_factory=list[str])
    length: int = 0

    @property
    def open(self) -> bool:
        """Whether text stands in a list now."""
        return bool(self.levels)

    def enter(self, depth: int, *, ordered: bool, start: str | None) -> None:
        """A list opens in the element of this depth."""
        first = int(start) if start and start.isascii() and start.isdigit() and len(start) <= _MAX_DIGITS else 1
        self.levels.append(_Level(depth, ordered, first))

    def item(self, tag: str) -> None:
        """An item opens: ``li``, or the term or description of a definition list."""
        if not self.levels:
            return
        level = self.levels[-1]
        if tag == "li" and level.ordered:
            level.marker = f"{level.number}. "
            level.number += 1
        else:
            level.marker = "- " if tag == "li" else "" if tag == "dt" else _INDENT

    def leave(self, depth: int) -> bool:
        """The element of this depth ends; True if that ends the outermost list."""
        if not self.levels or self.levels[-1].depth != depth:
            return False
        self.levels.pop()
        return not self.levels

    def add(self, text: str, links: tuple[Link, ...], anchors: tuple[str, ...]) -> None:
        """A paragraph of an item; the first one carries the item's marker."""
        level = self.levels[-1]
        start = _INDENT * (len(self.levels) - 1) + (_INDENT if level.marker is None else level.marker)
        level.marker = None
        line = start + text.replace("\n", " ")
        at = self.length + len(start)
        self.links += [Link(link.start + at, link.end + at, link.anchor, link.page) for link in links]
        self.anchors += anchors
        self.lines.append(line)
        self.length += len(line) + 1

    def take(self) -> tuple[str, tuple[Link, ...], tuple[str, ...]] | None:
        """The lines so far as one text with its links and anchors; None without lines."""
        if not self.lines:
            return None
        found = "\n".join(self.lines), tuple(self.links), tuple(self.anchors)
        self.lines, self.links, self.anchors, self.length = [], [], [], 0
        return found
