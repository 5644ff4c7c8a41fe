"""From the elements of an HTML page, entered and left one after the other, to blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from selectolax.lexbor import LexborNode

from mm_assets.documents.blocks import Block, BlockType, Link, Picture
from mm_assets.documents.html_boilerplate import is_navigation_line, names_of
from mm_assets.documents.html_lists import ListText
from mm_assets.documents.html_pictures import locate_picture
from mm_assets.documents.html_tables import Cells, holds_data, read_cells
from mm_assets.documents.html_text import InlinePicture, RunningText, Span
from mm_assets.documents.labels import label_of_caption, label_of_heading
from mm_assets.errors import DecodeError, InputError
from mm_assets.policy import DocumentReadingPolicy

_words: Final = str.split
_BLOCKS: Final = frozenset(
    _words(
        "body p div section article main header footer aside figure figcaption blockquote address center details "
        "summary ul ol dl li dt dd menu dir h1 h2 h3 h4 h5 h6 table caption tbody thead tfoot tr td th pre hr form "
        "fieldset legend hgroup search"
    )
)
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_LISTS: Final = frozenset({"ul", "ol", "dl", "menu", "dir"})
_FIGURES: Final = frozenset(
    _words(
        "figure informalfigure figure-wrapper mediaobject screenshot image thumb thumbinner wp-caption float-figure "
        "figure-contents gallerybox img-container"
    )
)
_TABLES: Final = frozenset({"table-wrap", "table", "informaltable", "table-wrapper", "wy-table-responsive"})
_CAPTIONS: Final = frozenset(
    _words(
        "caption wp-caption-text thumbcaption figcaption figure-caption table-caption ltx_caption img-caption "
        "gallerytext float-caption legend-figure imgcaption"
    )
)
_NOTES: Final = frozenset(
    _words("note tip warning important caution admonition hint attention danger seealso sidebar-note")
)
_FOOTNOTES: Final = frozenset({"footnote", "footnotes", "endnote", "endnotes", "ltx_note_content", "footnote-text"})
_FOOTNOTE_ROLES: Final = frozenset({"doc-footnote", "doc-endnote", "doc-endnotes"})
_FORMULAS: Final = frozenset(_words("displaymath formuladsp math-display ltx_equation mathjax_display katex-display"))
_EQUATIONS: Final = frozenset({"equation", "informalequation"})
_CODE: Final = frozenset({"fragment", "programlisting", "verbatim", "literallayout", "synopsis"})
_ICON_PX: Final = 64  # declared sides up to which a picture between words is an icon
_MAX_ANCHORS: Final = 1_000  # names waiting for a block
_MAX_FAULTS: Final = 1_000


@dataclass(slots=True)
class _Draft:
    """A block that has no position yet; ``owner`` is what holds the figure or table it is the caption of."""

    type: BlockType
    text: str
    links: tuple[Link, ...] = ()
    anchors: tuple[str, ...] = ()
    level: int | None = None
    cells: Cells | None = None
    picture: Picture | None = None
    owner: "_Holder | None" = None


@dataclass(slots=True)
class _Holder:
    """An element that joins figures or a table with their captions; its blocks wait until it ends."""

    depth: int
    drafts: list[_Draft] = field(default_factory=list[_Draft])
    shown: _Draft | None = None


@dataclass(slots=True)
class _Kind:
    """The element opened at ``depth`` makes blocks of this type."""

    depth: int
    type: BlockType
    level: int | None = None
    owner: _Holder | None = None


class HtmlFlow:
    """Takes elements and texts in the order of the page and gives blocks."""

    def __init__(self, name: str, policy: DocumentReadingPolicy, faults: list[InputError]) -> None:
        self._name = name
        self._file = name.rsplit("/", 1)[-1]
        self._policy = policy
        self._faults = faults
        self._text = RunningText()
        self._depth = 0
        self._kinds: list[_Kind] = []
        self._holders: list[_Holder] = []
        self._lists = ListText()
        self._verbatim = 0
        self._notes: list[int] = []
        self._links: list[int] = []
        self._anchors: list[str] = []
        self._seen: set[str] = set()
        self._drafts: list[_Draft] = []
        self._done: list[Block] = []
        self._position = 0
        self._picture = 0

    def ready(self) -> Iterator[Block]:
        """Blocks that are complete."""
        if self._done:
            done, self._done = self._done, []
            yield from done

    def end(self) -> Iterator[Block]:
        """What is left at the end of the page."""
        self._flush()
        self._end_list()
        while self._holders:
            self._end_holder()
        yield from self.ready()

    def text(self, text: str) -> None:
        """A text between tags."""
        self._text.add(text, keep_space=self._verbatim > 0)

    def skip(self, node: LexborNode, tag: str) -> None:
        """An element that is left out with all in it; what it names stays where links can reach it."""
        if tag in _BLOCKS:
            self._flush()
        self._picture += len(node.css("img")) if tag != "img" else 1

    def enter(self, node: LexborNode, tag: str) -> bool:
        """An element opens; returns whether what is in it comes next."""
        attributes = node.attributes
        if tag == "img":
            self._add_anchors(attributes)
            self._add_picture(attributes)
            return False
        if tag == "br":
            self._text.break_line()
            return False
        if tag == "math":
            self._add_formula(node, attributes)
            return False
        if tag == "svg":
            return False
        names = names_of(node) if "class" in attributes else []
        block = tag in _BLOCKS or (tag == "span" and not _FORMULAS.isdisjoint(names))
        if block and not self._verbatim:
            self._flush()
        self._add_anchors(attributes, named=tag == "a")
        if tag == "table" and self._enter_table(node, names):
            self._picture += len(node.css("img"))
            return False
        self._depth += 1
        if tag == "a":
            self._enter_link(attributes)
        elif block and not self._verbatim:
            self._enter_block(node, tag, names, attributes)
        return True

    def leave(self, node: LexborNode) -> None:
        """The element opened last ends."""
        tag = node.tag or ""
        ended = bool(self._kinds) and self._kinds[-1].depth == self._depth
        if ended or (tag in _BLOCKS and not self._verbatim):
            self._flush()
        elif tag in _BLOCKS:
            self._text.break_line()  # lines of code may be elements of their own
        if self._links and self._links[-1] == self._depth:
            self._links.pop()
            self._text.close_link()
        if ended:
            self._verbatim -= self._kinds[-1].type == "code"
            self._kinds.pop()
        if self._notes and self._notes[-1] == self._depth:
            self._notes.pop()
        if self._lists.leave(self._depth):
            self._end_list()
        while self._holders and self._holders[-1].depth == self._depth:
            self._end_list()
            self._end_holder()
        self._depth -= 1

    def _enter_link(self, attributes: dict[str, str | None]) -> None:
        target = (attributes.get("href") or "").strip()
        place, mark, anchor = target.partition("#")
        if mark and anchor and unquote(place) in {"", self._file}:
            self._links.append(self._depth)
            self._text.open_link(unquote(anchor))

    def _enter_block(self, node: LexborNode, tag: str, names: list[str], attributes: dict[str, str | None]) -> None:
        role = (attributes.get("role") or "").lower()
        if tag in _LISTS:
            if not self._kinds:
                self._lists.enter(self._depth, ordered=tag == "ol", start=attributes.get("start"))
        elif tag in {"li", "dt", "dd"}:
            self._lists.item(tag)
        if tag in _HEADINGS or role == "heading":
            if not self._notes:
                self._open(_Kind(self._depth, "heading", _level(tag, attributes)))
        elif self._enter_kind(tag, names, role):
            pass
        elif (
            tag == "figure"
            or not _FIGURES.isdisjoint(names)
            or (tag == "div" and not _TABLES.isdisjoint(names))
            or (tag == "table" and node.css_first("caption") is not None)
        ):
            self._end_list_line()
            self._holders.append(_Holder(self._depth))
        elif not _NOTES.isdisjoint(names):
            self._notes.append(self._depth)

    def _enter_kind(self, tag: str, names: list[str], role: str) -> bool:
        """Whether all text of the element makes blocks of one type."""
        if tag == "pre" or (tag == "div" and not _CODE.isdisjoint(names)):
            self._open(_Kind(self._depth, "code"))
        elif tag in {"figcaption", "caption"} or not _CAPTIONS.isdisjoint(names) or self._is_title(tag, names):
            self._open(_Kind(self._depth, "caption", owner=self._holders[-1] if self._holders else None))
        elif not _FOOTNOTES.isdisjoint(names) or role in _FOOTNOTE_ROLES:
            self._open(_Kind(self._depth, "footnote"))
        elif not _EQUATIONS.isdisjoint(names):
            self._end_list_line()
            self._holders.append(_Holder(self._depth))
            self._open(_Kind(self._depth, "formula"))
        elif not _FORMULAS.isdisjoint(names):
            self._open(_Kind(self._depth, "formula"))
        else:
            return False
        return True

    def _is_title(self, tag: str, names: list[str]) -> bool:
        """DocBook writes the caption of a figure or table as a title."""
        if not self._holders or tag not in {"p", "div"} or "title" not in names:
            return False
        return not self._kinds or self._kinds[-1].type == "formula"

    def _open(self, kind: _Kind) -> None:
        self._kinds.append(kind)
        self._verbatim += kind.type == "code"

    def _enter_table(self, node: LexborNode, names: list[str]) -> bool:
        """Read a table of data at once; False for one that only arranges what stands in it."""
        if not holds_data(node):
            return False
        if "footnote" in names:
            return False
        cells = read_cells(node, self._policy, self._name)
        self._end_list_line()
        holder = _Holder(self._depth + 1)
        self._holders.append(holder)
        caption = node.css_first("caption")
        if caption is not None:
            text = " ".join(caption.text(deep=True).split())
            if text:
                self._put(_Draft("caption", text, anchors=self._take_anchors(), owner=holder))
        text = "\n".join("\t".join(row) for row in cells)
        for inner in node.css("[id], a[name]"):
            self._add_anchors(inner.attributes, named=inner.tag == "a")
        self._put(_Draft("table", text, anchors=self._take_anchors(), cells=cells))
        self._end_holder()
        return True

    def _add_anchors(self, attributes: dict[str, str | None], *, named: bool = False) -> None:
        for anchor in (attributes.get("id"), attributes.get("name") if named else None):
            if anchor and anchor not in self._seen and len(self._anchors) < _MAX_ANCHORS:
                self._seen.add(anchor)
                self._anchors.append(anchor)

    def _take_anchors(self) -> tuple[str, ...]:
        anchors, self._anchors = tuple(self._anchors), []
        return anchors

    def _add_picture(self, attributes: dict[str, str | None]) -> None:
        alt = " ".join((attributes.get("alt") or "").split()) or None
        index, self._picture = self._picture, self._picture + 1
        source = attributes.get("src") or attributes.get("data-src") or ""
        sides = (_pixels(attributes.get("width")), _pixels(attributes.get("height")))
        if max(sides) == 1 or (self._notes and alt and alt.strip("[]").lower() in _NOTES):
            return  # a spacer, or the sign of a note
        self._text.pictures.append(InlinePicture(f"{index} {source}", alt, self._text.length, sides))

    def _add_formula(self, node: LexborNode, attributes: dict[str, str | None]) -> None:
        note = node.css_first('annotation[encoding*="tex"]')
        text = attributes.get("alttext") or (note.text(deep=True) if note is not None else node.text(deep=True))
        text = " ".join(text.split())
        if (attributes.get("display") or "").lower() == "block" and not self._kinds:
            self._flush()
            self._end_list_line()
            self._add_anchors(attributes)
            self._put(_Draft("formula", text, anchors=self._take_anchors()))
        else:
            self._text.add(f" {text} ")

    def _flush(self) -> None:
        """The running text ends: it becomes a block, or a line of a list; pictures among it become figures."""
        if not (self._text.length or self._text.pictures):
            return
        verbatim = self._verbatim > 0
        text, spans, pictures = self._text.take()
        alone = not text or bool(self._holders)
        kind = self._kinds[-1] if self._kinds else None
        figures = [one for one in pictures if alone or max(one.sides) > _ICON_PX]
        text, spans = _with_icons(text, spans, [one for one in pictures if one not in figures])
        if kind is not None and kind.type in {"caption", "formula"} and text and not self._holders:
            figures = []
        before = [one for one in figures if one.at == 0] if kind is None else []
        for one in before:
            self._add_figure(one)
        if text:
            self._add_text(text if not verbatim else text.strip("\n"), spans, kind)
        for one in figures:
            if one not in before:
                self._add_figure(one)

    def _add_text(self, text: str, spans: list[Span], kind: _Kind | None) -> None:
        links = tuple(Link(span.start, span.end, span.anchor) for span in spans)
        if kind is None and is_navigation_line(text, len(links) + text.count("\n")):
            return
        if kind is None and self._lists.open:
            self._lists.add(text, links, self._take_anchors())
            return
        self._end_list_line()
        if kind is None:
            self._put(_Draft("paragraph", text, links, self._take_anchors()))
        else:
            self._put(_Draft(kind.type, text, links, self._take_anchors(), kind.level, owner=kind.owner))

    def _add_figure(self, found: InlinePicture) -> None:
        index, _, source = found.source.partition(" ")
        try:
            file = locate_picture(source, self._name, int(index), self._policy)
            picture = Picture("file", file, None, None, found.alt)
        except InputError as error:
            picture = Picture("file", None, None, None, found.alt)
            if len(self._faults) < _MAX_FAULTS:
                self._faults.append(error)
        self._end_list_line()
        self._put(_Draft("figure", found.alt or "", (), self._take_anchors(), picture=picture))

    def _end_list_line(self) -> None:
        if self._lists.open:
            self._end_list()

    def _end_list(self) -> None:
        found = self._lists.take()
        if found is not None:
            text, links, anchors = found
            self._put(_Draft("list", text, links, anchors))

    def _put(self, draft: _Draft) -> None:
        if self._holders:
            holder = self._holders[-1]
            holder.drafts.append(draft)
            if holder.shown is None and draft.type in {"figure", "table", "formula"}:
                holder.shown = draft
        else:
            self._finish([draft])

    def _end_holder(self) -> None:
        """The captions of a figure go with the innermost element that holds one."""
        holder = self._holders.pop()
        outer = self._holders[-1] if self._holders else None
        if holder.shown is None and outer is not None:
            for draft in holder.drafts:
                draft.owner = outer if draft.owner is holder else draft.owner
        if outer is None:
            self._finish(holder.drafts)
            return
        outer.drafts += holder.drafts
        outer.shown = outer.shown or holder.shown

    def _finish(self, drafts: list[_Draft]) -> None:
        if self._position + len(drafts) > self._policy.max_blocks:
            raise DecodeError(
                "HTML_TOO_COMPLEX",
                f"{self._name}: more than {self._policy.max_blocks} blocks; divide it or raise "
                "[document_reading] max_blocks",
            )
        places = {id(draft): self._position + index for index, draft in enumerate(drafts)}
        labels = {id(d.owner.shown): label_of_caption(d.text) for d in reversed(drafts) if d.owner and d.owner.shown}
        for draft in drafts:
            shown = draft.owner.shown if draft.owner is not None else None
            label = labels.get(id(draft)) or (label_of_heading(draft.text) if draft.type == "heading" else None)
            self._done.append(
                Block(
                    position=self._position,
                    page=1,
                    type=draft.type,
                    text=draft.text,
                    level=draft.level,
                    cells=draft.cells,
                    picture=draft.picture,
                    label=label or (label_of_caption(draft.text) if draft.type == "caption" else None),
                    anchors=draft.anchors,
                    links=draft.links,
                    of=None if shown is None else places.get(id(shown)),
                    last_page=1,
                )
            )
            self._position += 1


def _with_icons(text: str, spans: list[Span], icons: list[InlinePicture]) -> tuple[str, list[Span]]:
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


def _level(tag: str, attributes: dict[str, str | None]) -> int:
    stated = attributes.get("aria-level") or ""
    return _HEADINGS.get(tag) or (int(stated) if re.fullmatch(r"[1-9]", stated) else 2)


def _pixels(stated: str | None) -> int:
    found = re.match(r"\s*(\d{1,6})(?:\.\d+)?\s*(?:px)?\s*$", stated or "")
    return int(found[1]) if found else 0
