# pyright: strict
"""The lines of a column as blocks: headings, paragraphs, lists, captions, code and footnotes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from mm_assets.aligned.documents.structure.columns import Leaf
from mm_assets.aligned.documents.structure.lines import MARKER, Line, share_inside, union
from mm_assets.documents.blocks import BlockType
from mm_assets.documents.labels import label_of_caption, label_of_heading
from mm_assets.documents.pages import Box, Page
from mm_assets.policy.document_structure import DocumentStructurePolicy

_ENDS: Final = re.compile(r"[.!?:;…。！？]['\"”’)\]]*$")  # noqa: RUF001 - marks of other scripts
_HYPHEN: Final = re.compile(r"(\w)[-\u00ad\u2010]$")
_NOTE: Final = re.compile(r"^(?:\d{1,3}|[*†‡§])\s*[^\W\d_]")
_LOWER_PART: Final = 0.6
_SEEN: Final[dict[str, BlockType]] = {"title": "heading", "caption": "caption", "formula": "formula"}
_UNSPACED: Final = re.compile(r"[\u2e80-\ua4cf\uf900-\ufaff\uff00-\uffef]")  # Han, kana and their marks
_OPEN: Final = frozenset[BlockType]({"paragraph", "list"})
_NUMBERED: Final = re.compile(r"\s(\([A-Z]?\.?\d{1,3}(?:\.\d{1,3})*[a-z]?\))$")  # as formulas are
_RELATION: Final = re.compile(r"[=<>≤≥≈≡≠≃→↦∈⊂⊆∝∑∫∏]")
_PROSE: Final = re.compile(r"[^\W\d_]{4,}")
_ENOUGH: Final = 400  # characters that tell what size text has
ASIDE: Final = frozenset[BlockType]({"caption", "footnote"})
"""Blocks that text passes by where it goes on."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Lines that belong together.

    Attributes:
        type: what they are.
        text: their text.
        box: around them.
        page: page they start on.
        level: depth of a heading.
        label: number it is known by.
        starts_column: whether nothing stands before it in its column.
        ends_column: whether nothing stands behind it.
        last_page: page it ends on.
    """

    type: BlockType
    text: str
    box: Box
    page: int
    level: int | None = None
    label: str | None = None
    starts_column: bool = False
    ends_column: bool = False
    last_page: int | None = None


@dataclass
class Typography:
    """What a document's text looks like, learnt as its pages pass.

    Attributes:
        sizes: characters by font size.
        steps: pairs of lines by distance, rounded to half a unit.
        headings: font sizes of headings, largest first.
    """

    sizes: dict[float, int] = field(default_factory=dict[float, int])
    steps: dict[float, int] = field(default_factory=dict[float, int])
    headings: list[float] = field(default_factory=list[float])

    def learn(self, lines: Sequence[Line]) -> None:
        """Count the characters of a page by size, and how far its lines are apart."""
        for line in lines:
            self.sizes[line.size] = self.sizes.get(line.size, 0) + len(line.text)
        for one, other in pairwise(lines):
            step = round(2 * (other.box[1] - one.box[1])) / 2
            if abs(one.size - other.size) < 0.1 * one.size and 0.8 * one.size < step < 3.0 * one.size:
                self.steps[step] = self.steps.get(step, 0) + 1

    @property
    def pitch(self) -> float:
        """Usual distance from one line of a paragraph to the next, so far."""
        return max(self.steps, key=lambda step: (self.steps[step], -step), default=1.25 * self.body)

    @property
    def body(self) -> float:
        """The size of most of the text so far."""
        return max(self.sizes, key=lambda size: self.sizes[size], default=10.0)

    def on(self, page: Page, lines: Sequence[Line]) -> "Typography":
        """What a page is measured by: pages that were read from pixels by their own text, if they have enough of it.

        Each is a picture of its own scale, and its boxes are higher or lower as a whole.
        """
        own = Typography(headings=self.headings)
        own.learn(lines)
        return own if page.text_from == "ocr" and sum(own.sizes.values()) >= _ENOUGH else self

    def level(self, line: Line, label: str | None) -> int:
        """Depth of a heading: by its number, else by its size among those seen so far."""
        if label is not None:
            return label.count(".") + 1
        size = round(line.size, 0)
        if size not in self.headings:
            self.headings.append(size)
            self.headings.sort(reverse=True)
        return min(self.headings.index(size) + 1, 6)


def read_paragraphs(leaf: Leaf, page: Page, looks: Typography, policy: DocumentStructurePolicy) -> list[TextBlock]:
    """Blocks of a run of lines of one column."""
    lines = [part.line for part in leaf if part.line is not None]
    if not lines:
        return []
    left, right = min(line.box[0] for line in lines), max(line.box[2] for line in lines)
    groups: list[list[Line]] = []
    for line in lines:
        if groups and _goes_on(groups[-1], line, left, right, _pitch(line, looks), policy):
            groups[-1].append(line)
        else:
            groups.append([line])
    blocks = [_as_seen(_block(group, page, looks, policy), group[0], page, looks, policy) for group in groups]
    for place in range(len(blocks) - 1, 0, -1):
        if blocks[place].type != "footnote" and not _is_note(place, groups, blocks, page, looks, policy):
            break
        blocks[place] = replace(blocks[place], type="footnote")
    for place, (group, block) in enumerate(zip(groups, blocks, strict=True)):
        if block.type == "paragraph" and _is_formula(group, block.text, left, policy):
            number = _NUMBERED.search(block.text)
            blocks[place] = replace(block, type="formula", label=None if number is None else number[1])
    return _with_ends(_lists(blocks))


def _as_seen(
    block: TextBlock, first: Line, page: Page, looks: Typography, policy: DocumentStructurePolicy
) -> TextBlock:
    """A paragraph of a page that was read from pixels as what the layout model sees there; type and style are lost."""
    if page.text_from != "ocr" or block.type not in _OPEN:
        return block
    for region in page.regions:
        if region.type in _SEEN and share_inside(block.box, region.box) >= policy.min_region_share:
            kind = _SEEN[region.type]
            if kind == "heading" and len(block.text.split()) > policy.max_heading_words:
                continue
            label = label_of_caption(block.text) if kind == "caption" else None
            if kind == "heading":
                number = label_of_heading(block.text)
                return replace(block, type=kind, label=number, level=looks.level(first, number))
            return replace(block, type=kind, label=label)
    return block


def _is_note(
    place: int,
    groups: Sequence[Sequence[Line]],
    blocks: Sequence[TextBlock],
    page: Page,
    looks: Typography,
    policy: DocumentStructurePolicy,
) -> bool:
    """Whether small text that ends a column of larger text stands apart at the foot of the page."""
    first = groups[place][0]
    is_small = first.size <= policy.footnote_size * min(looks.body, max(line.size for line in groups[0]))
    return is_small and blocks[place].type == "paragraph" and first.middle > _LOWER_PART * page.height


def _is_formula(group: Sequence[Line], text: str, left: float, policy: DocumentStructurePolicy) -> bool:
    """Whether indented lines state a relation, with hardly a word of prose in them."""
    is_indented = min(line.box[0] for line in group) - left > policy.min_indent * group[0].size
    words = text.split()
    prose = sum(_PROSE.fullmatch(word.strip(".,;:()")) is not None for word in words)
    return is_indented and _RELATION.search(text) is not None and prose <= policy.max_formula_prose * len(words)


def _goes_on(
    group: Sequence[Line], line: Line, left: float, right: float, pitch: float, policy: DocumentStructurePolicy
) -> bool:
    before = group[-1]
    size = max(before.size, line.size, 1.0)
    if abs(before.size - line.size) > policy.size_change * size or before.is_code != line.is_code:
        return False
    if before.is_bold != line.is_bold or _mark(line) is not None or _are_numbered(before, line):
        return False
    if line.box[1] - before.box[1] > policy.max_line_pitch * max(pitch, before.box[3] - before.box[1]):
        return False
    if line.is_code:
        return True
    hangs = _mark(group[0]) is not None
    indent = line.box[0] - before.box[0]
    divided = _HYPHEN.search(before.text) or (not _ENDS.search(before.text) and line.text[:1].islower())
    if not hangs and indent > policy.min_indent * size and not divided:
        return False
    is_short = before.box[2] < right - 0.25 * (right - left)
    return not (is_short and _ENDS.search(before.text))


def _are_numbered(*lines: Line) -> bool:
    """Whether each line ends with a number in brackets, as formulas do."""
    return all(_NUMBERED.search(line.text) for line in lines)


def _pitch(line: Line, looks: Typography) -> float:
    """Distance of lines of this size: that of the body, larger for larger text."""
    return looks.pitch * max(1.0, line.size / max(looks.body, 1.0))


def _mark(line: Line) -> str | None:
    first, _, rest = line.text.partition(" ")
    return first if rest and MARKER.match(first) else None


def _block(group: Sequence[Line], page: Page, looks: Typography, policy: DocumentStructurePolicy) -> TextBlock:
    first = group[0]
    box = first.box
    for line in group[1:]:
        box = union(box, line.box)
    text = "\n".join(_indented(line, box) for line in group) if first.is_code else join_lines([x.text for x in group])
    caption = label_of_caption(text)
    kind: BlockType = "paragraph"
    level: int | None = None
    label: str | None = None
    if first.is_code:
        kind = "code"
    elif caption is not None and (
        first.is_bold or _has_bold_number(first) or re.match(r"^\W*\w+\.?\s*[\w.\-]+\s*[.:–—|]", text)  # noqa: RUF001 - marks
    ):
        kind, label = "caption", caption
    elif _is_heading(group, text, page, looks, policy):
        kind, label = "heading", label_of_heading(text)
        level = looks.level(first, label)
    elif _mark(first) is not None:
        kind = "list"
    elif (
        first.size <= policy.footnote_size * looks.body
        and _NOTE.match(text)
        and first.middle > _LOWER_PART * page.height
    ):
        kind = "footnote"
    return TextBlock(kind, text, box, page.number, level, label)


def _has_bold_number(line: Line) -> bool:
    """Whether a line starts with a number in bold and goes on as a title does, not as a sentence does."""
    words = line.text.split()
    bold = " ".join(words[: line.bold_words])
    return label_of_caption(bold) is not None and not "".join(words[line.bold_words :])[:1].islower()


def _is_heading(
    group: Sequence[Line], text: str, page: Page, looks: Typography, policy: DocumentStructurePolicy
) -> bool:
    first = group[0]
    words = text.split()
    if len(words) > policy.max_heading_words or not any(character.isalpha() for character in text):
        return False
    if any(_plain(title) == _plain(text) for title in page.outline):
        return True
    stands_out = first.size >= policy.min_heading_size * looks.body or first.is_bold
    return stands_out and not (text.rstrip().endswith((".", ",", ";")) and label_of_heading(text) is None)


def _plain(text: str) -> str:
    return re.sub(r"[\W\d_]+", " ", text).strip().casefold()


def _indented(line: Line, box: Box) -> str:
    return " " * max(0, round((line.box[0] - box[0]) / max(0.6 * line.size, 1.0))) + line.text


def join_lines(texts: Sequence[str]) -> str:
    """Lines of a paragraph as one; a word that is divided at the end of a line is made whole.

    >>> join_lines(["The hyphen-", "ated word of a self-", "Test"])
    'The hyphenated word of a self-Test'
    >>> join_lines(["一行目と", "二行目"])
    '一行目と二行目'
    """
    joined = ""
    for text in texts:
        if not joined:
            joined = text
        elif _HYPHEN.search(joined):
            joined = (joined[:-1] if text[:1].islower() else joined) + text
        elif _UNSPACED.match(joined[-1:]) and _UNSPACED.match(text[:1]):
            joined += text
        else:
            joined = f"{joined} {text}"
    return joined


def goes_on(before: TextBlock, after: TextBlock) -> bool:
    """Whether a paragraph or list that ends a column continues in the next."""
    if before.type not in _OPEN or after.type not in _OPEN or not (before.ends_column and after.starts_column):
        return False
    if after.type == "list":
        return before.type == "list" and _kind(before.text.rpartition("\n")[2]) == _kind(after.text)
    if _HYPHEN.search(before.text):
        return after.text[:1].islower()
    return not _ENDS.search(before.text) and (after.text[:1].islower() or before.text.endswith(","))


def join_blocks(before: TextBlock, after: TextBlock) -> TextBlock:
    """A block and what `goes_on` says continues it."""
    text = f"{before.text}\n{after.text}" if after.type == "list" else join_lines([before.text, after.text])
    last_page = after.page if after.last_page is None else after.last_page
    return replace(before, text=text, last_page=last_page, ends_column=after.ends_column)


def _kind(item: str) -> str:
    """The mark of a list's item without its number or letter."""
    return re.sub(r"[^\W_]+", "1", item.split(" ", 1)[0])


def _lists(blocks: Sequence[TextBlock]) -> list[TextBlock]:
    """Items that follow each other as one list."""
    found: list[TextBlock] = []
    for block in blocks:
        before = found[-1] if found else None
        if before is not None and before.type == "list" and block.type == "list":
            found[-1] = TextBlock("list", f"{before.text}\n{block.text}", union(before.box, block.box), before.page)
        else:
            found.append(block)
    return found


def _with_ends(blocks: Sequence[TextBlock]) -> list[TextBlock]:
    """Which blocks begin and end the run; captions and footnotes at its ends do not count."""
    texts = [place for place, block in enumerate(blocks) if block.type not in ASIDE]
    first, last = (texts[0], texts[-1]) if texts else (-1, -1)
    return [
        replace(block, starts_column=place == first, ends_column=place == last) for place, block in enumerate(blocks)
    ]
