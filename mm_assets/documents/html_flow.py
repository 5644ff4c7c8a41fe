"""From the elements of an HTML page, entered and left one after the other, to blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from selectolax.lexbor import LexborNode

from mm_assets.documents.blocks import Block, BlockType, Link, Picture
from mm_assets.documents.html_boilerplate import Boilerplate, is_navigation_line, names_of
from mm_assets.documents.html_drafts import Assembly, Draft, Holder
from mm_assets.documents.html_lists import ListText
from mm_assets.documents.html_pictures import locate_picture, pixels
from mm_assets.documents.html_tables import caption_of, holds_data, read_cells
from mm_assets.documents.html_text import InlinePicture, RunningText, Span, with_icons
from mm_assets.errors import InputError
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
_CONTENT: Final = frozenset({"article", "main", "section"})
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
_EMBEDDED: Final = frozenset({"svg", "object", "embed", "iframe", "canvas", "video", "audio"})
_ICON_PX: Final = 64  # declared sides up to which a picture between words is an icon
_MAX_ANCHORS: Final = 1_000  # names waiting for a block
_MAX_FAULTS: Final = 1_000


@dataclass(slots=True)
class _Kind:
    """The element opened at ``depth`` makes blocks of this type."""

    depth: int
    type: BlockType
    level: int | None = None
    owner: Holder | None = None


class HtmlFlow:
    """Takes elements and texts in the order of the page and gives blocks."""

    def __init__(self, name: str, size: int, policy: DocumentReadingPolicy, faults: list[InputError]) -> None:
        self._name = name
        self._file = name.rsplit("/", 1)[-1]
        self._policy = policy
        self._faults = faults
        self._text = RunningText()
        self._depth = 0
        self._content = 0
        self._kinds: list[_Kind] = []
        self._assembly = Assembly(name, policy)
        self._lists = ListText()
        self._boilerplate = Boilerplate(size)
        self._verbatim = 0
        self._notes: list[int] = []
        self._links: list[int] = []
        self._anchors: list[str] = []
        self._seen: set[str] = set()
        self._picture = 0

    def ready(self) -> Iterator[Block]:
        """Blocks that are complete."""
        yield from self._assembly.ready()

    def end(self) -> Iterator[Block]:
        """What is left at the end of the page."""
        self._flush()
        self._end_list()
        while self._assembly.holder is not None:
            self._assembly.end_holder()
        yield from self.ready()

    def visit(self, node: LexborNode) -> bool:
        """Take an element or a text; returns whether what is in it comes next and `leave` after that."""
        tag = node.tag or ""
        if tag.startswith("-"):
            if tag == "-text":
                self._text.add(node.text_content or "", keep_space=self._verbatim > 0)
            return False
        if tag in _EMBEDDED and self._assembly.holder is not None:
            self._assembly.holder.has_other = True
        if self._depth and self._boilerplate.holds(node, tag, self._content):
            if tag in _BLOCKS:
                self._flush()
            self._picture += len(node.css("img"))
            return False
        inside = self._enter(node, tag)
        self._content += inside and tag in _CONTENT
        return inside

    def _enter(self, node: LexborNode, tag: str) -> bool:
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
        self._content -= tag in _CONTENT
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
        while self._assembly.holder is not None and self._assembly.holder.depth == self._depth:
            self._end_list()
            self._assembly.end_holder()
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
        elif tag == "figure" or not _FIGURES.isdisjoint(names):
            self._end_list_line()
            self._assembly.open_holder(self._depth, for_figure=_TABLES.isdisjoint(names))
        elif (tag == "div" and not _TABLES.isdisjoint(names)) or (tag == "table" and caption_of(node) is not None):
            self._end_list_line()
            self._assembly.open_holder(self._depth)
        elif not _NOTES.isdisjoint(names):
            self._notes.append(self._depth)

    def _enter_kind(self, tag: str, names: list[str], role: str) -> bool:
        """Whether all text of the element makes blocks of one type."""
        if tag == "pre" or (tag == "div" and not _CODE.isdisjoint(names)):
            self._open(_Kind(self._depth, "code"))
        elif tag in {"figcaption", "caption"} or not _CAPTIONS.isdisjoint(names) or self._is_title(tag, names):
            self._open(_Kind(self._depth, "caption", owner=self._assembly.holder))
        elif not _FOOTNOTES.isdisjoint(names) or role in _FOOTNOTE_ROLES:
            self._open(_Kind(self._depth, "footnote"))
        elif not _EQUATIONS.isdisjoint(names):
            self._end_list_line()
            self._assembly.open_holder(self._depth)
            self._open(_Kind(self._depth, "formula"))
        elif not _FORMULAS.isdisjoint(names):
            self._open(_Kind(self._depth, "formula"))
        else:
            return False
        return True

    def _is_title(self, tag: str, names: list[str]) -> bool:
        """DocBook writes the caption of a figure or table as a title."""
        if self._assembly.holder is None or tag not in {"p", "div"} or "title" not in names:
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
        holder = self._assembly.open_holder(self._depth + 1)
        caption = caption_of(node)
        if caption is not None:
            text = " ".join(caption.text(deep=True).split())
            if text:
                self._assembly.put(Draft("caption", text, anchors=self._take_anchors(), owner=holder))
        text = "\n".join("\t".join(row) for row in cells)
        for inner in node.css("[id], a[name]"):
            self._add_anchors(inner.attributes, named=inner.tag == "a")
        self._assembly.put(Draft("table", text, anchors=self._take_anchors(), cells=cells))
        self._assembly.end_holder()
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
        sides = (pixels(attributes.get("width")), pixels(attributes.get("height")))
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
            self._assembly.put(Draft("formula", text, anchors=self._take_anchors()))
        else:
            self._text.add(f" {text} ")

    def _flush(self) -> None:
        """The running text ends: it becomes a block, or a line of a list; pictures among it become figures."""
        if not (self._text.length or self._text.pictures):
            return
        verbatim = self._verbatim > 0
        text, spans, pictures = self._text.take()
        alone = not text or self._assembly.holder is not None
        kind = self._kinds[-1] if self._kinds else None
        figures = [one for one in pictures if alone or max(one.sides) > _ICON_PX]
        text, spans = with_icons(text, spans, [one for one in pictures if one not in figures])
        if kind is not None and kind.type in {"caption", "formula"} and text and self._assembly.holder is None:
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
            self._assembly.put(Draft("paragraph", text, links, self._take_anchors()))
        else:
            self._assembly.put(Draft(kind.type, text, links, self._take_anchors(), kind.level, owner=kind.owner))

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
        self._assembly.put(Draft("figure", found.alt or "", (), self._take_anchors(), picture=picture))

    def _end_list_line(self) -> None:
        if self._lists.open:
            self._end_list()

    def _end_list(self) -> None:
        found = self._lists.take()
        if found is not None:
            text, links, anchors = found
            self._assembly.put(Draft("list", text, links, anchors))


def _level(tag: str, attributes: dict[str, str | None]) -> int:
    stated = attributes.get("aria-level") or ""
    return _HEADINGS.get(tag) or (int(stated) if re.fullmatch(r"[1-9]", stated) else 2)
