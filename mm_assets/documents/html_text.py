"""Running text of an HTML element: white space collapsed, links with their characters, pictures with their places."""

import re
from dataclasses import dataclass, field
from typing import Final

_SPACE: Final = re.compile(r"[ \t\n\r\f\u00a0]+")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``start`` to ``end`` of a text lead to an anchor."""

    start: int
    end: int
    anchor: str


@dataclass(frozen=True, slots=True)
class InlinePicture:
    """A picture in running text.

    Attributes:
        source: as the element names it.
        alt: text that stands for it.
        at: characters before it.
        sides: width and height in CSS pixels as declared; 0 where not.
    """

    source: str
    alt: str | None
    at: int
    sides: tuple[int, int]


@dataclass(slots=True)
class RunningText:
    """Text as it grows; `take` hands it over and starts anew."""

    parts: list[str] = field(default_factory=list[str])
    length: int = 0
    spans: list[Span] = field(default_factory=list[Span])
    pictures: list[InlinePicture] = field(default_factory=list[InlinePicture])
    _open: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    _ends_with_space: bool = True

    def add(self, text: str, *, keep_space: bool = False) -> None:
        """Add text; runs of white space become one space, none at the start of a line."""
        if not keep_space:
            text = _SPACE.sub(" ", text)
            if self._ends_with_space:
                text = text.lstrip(" ")
        if text:
            self.parts.append(text)
            self.length += len(text)
            self._ends_with_space = text[-1] in " \n"

    def break_line(self) -> None:
        """A line ends here."""
        if self.length:
            self.parts.append("\n")
            self.length += 1
        self._ends_with_space = True

    def open_link(self, anchor: str) -> None:
        """What follows leads to the anchor."""
        self._open.append((self.length, anchor))

    def close_link(self) -> None:
        """The last link ends here; one that was opened before the text was taken leads from its start."""
        if not self._open:
            return
        start, anchor = self._open.pop()
        if self.length > start:
            self.spans.append(Span(start, self.length, anchor))

    def take(self) -> tuple[str, list[Span], list[InlinePicture]]:
        """The text without white space around it, its links and its pictures."""
        whole = "".join(self.parts)
        left = len(whole) - len(whole.lstrip())
        text = whole.strip()
        spans = self.spans + [Span(start, self.length, anchor) for start, anchor in self._open if self.length > start]
        placed = [_moved(span, left, len(text)) for span in spans]
        pictures = self.pictures
        self.parts, self.length, self.spans, self.pictures = [], 0, [], []
        self._open = [(0, anchor) for _, anchor in self._open]
        self._ends_with_space = True
        return text, [span for span in placed if span.start < span.end], pictures


def _moved(span: Span, left: int, length: int) -> Span:
    return Span(max(span.start - left, 0), min(max(span.end - left, 0), length), span.anchor)


def with_icons(text: str, spans: list[Span], icons: list[InlinePicture]) -> tuple[str, list[Span]]:
    """The text with the ``alt`` texts of the pictures between its words, and its links moved along."""
    for icon in sorted(icons, key=lambda one: one.at, reverse=True):
        if not icon.alt or icon.alt in text[max(icon.at - 1, 0) : icon.at + len(icon.alt) + 1]:
            continue
        at = min(icon.at, len(text))
        added = f"{icon.alt} "
        text = text[:at] + added + text[at:]
        spans = [
            Span(s.start + len(added) * (s.start >= at), s.end + len(added) * (s.end > at), s.anchor) for s in spans
        ]
    return text.rstrip() if icons else text, spans
