# pyright: strict
"""What speaks for and against a caption being that of a figure: place, number, words, embeddings; in log-odds."""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mm_assets.documents.blocks import Block
from mm_assets.documents.labels import label_of_caption
from mm_assets.policy.document_captions import DocumentCaptionPolicy

Similarity = Callable[[Block, Block], float | None]
Pair = tuple[int, int]
_SHOWN: Final = frozenset({"figure", "table"})
_STARTS: Final = re.compile(r"[^\d]{1,20}[\dA-Z.\-]+?\s*(?:[:.\u2013\u2014|)\-]\s|$)")
_FILE_NUMBER: Final = re.compile(r"(?:^|[^a-z])fig(?:ure)?s?[-_. ]?(\d{1,4}(?:[-_.]\d{1,4}){0,3})(?!\d)", re.IGNORECASE)
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD: Final = re.compile(r"[^\W_]{2,}")
_FLOOR: Final = -3.0  # log-odds of place for a pair that an equal number brings together from afar
_MAX_BETWEEN: Final = 512  # blocks between a caption and its figure that are looked at
_MAX_WALK: Final = 128  # blocks on either side of a caption among which its figure is looked for
_MAX_SHOWN: Final = 24  # figures and tables looked at on either side of a caption
_HABIT_LIMIT: Final = 2.5  # log-odds; some captions of every document stand on the other side


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log-odds that a caption belongs to a figure, by where they come from."""

    place: float
    number: float
    words: float
    embeddings: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.place + self.number + self.words + self.embeddings


def logit(probability: float) -> float:
    """Log-odds of a probability."""
    return math.log(probability / (1.0 - probability))


def kind_of(caption: Block) -> str:
    """The kind of thing a caption names by number: ``Figure``, ``Table`` and so on; empty without a number."""
    label = caption.label or label_of_caption(caption.text)
    return label.partition(" ")[0] if label else ""


def starts_as_caption(text: str, policy: DocumentCaptionPolicy) -> bool:
    """Whether a paragraph starts with a number of a figure or table as a caption does, not as a sentence does.

    >>> starts_as_caption("Figure 3: A cat", DocumentCaptionPolicy())
    True
    >>> starts_as_caption("Figure 3 shows a cat.", DocumentCaptionPolicy())
    False
    """
    return 0 < len(text) <= policy.max_caption_characters and bool(_STARTS.match(text) and label_of_caption(text))


class Layout:
    """The blocks of a document with what stands between them.

    Attributes:
        shown: figures and tables, in reading order.
        captions: captions, and paragraphs beside a figure that start with its number as captions do.
    """

    def __init__(self, blocks: Sequence[Block], policy: DocumentCaptionPolicy) -> None:
        self._blocks = sorted(blocks, key=lambda one: one.position)
        self._places = [block.position for block in self._blocks]
        self._policy = policy
        self.shown = [block for block in self._blocks if block.type in _SHOWN]
        self._of = {block.position: block for block in self.shown}
        self.captions = [
            block
            for index, block in enumerate(self._blocks)
            if block.type == "caption" or (block.type == "paragraph" and self._is_caption(index))
        ]
        self._captions = {block.position: block for block in self.captions}
        heights = sorted(b.box[3] - b.box[1] for b in self.captions if b.box is not None and b.box[3] > b.box[1])
        self._line = heights[len(heights) // 10] if heights else 1.0

    def block(self, position: int) -> Block:
        """A figure, table or caption."""
        return self._captions.get(position) or self._of[position]

    def is_shown(self, position: int) -> bool:
        """Whether a figure or table stands there."""
        return position in self._of

    def candidates(self, caption: Block) -> Iterator[Block]:
        """Figures and tables near a caption, either way; on its own page, however much text stands between."""
        start = bisect_left(self._places, caption.position)
        for step in (-1, 1):
            texts = seen = 0
            for index in range(start + step, start + step * (_MAX_WALK + 1), step):
                if not 0 <= index < len(self._blocks) or texts > self._policy.reach_blocks or seen >= _MAX_SHOWN:
                    break
                block = self._blocks[index]
                if block.type in _SHOWN:
                    seen += 1
                    yield block
                elif block.position not in self._captions:
                    texts += block.box is None or block.page != caption.page

    def neighbours(self, caption: Block) -> tuple[Block | None, Block | None]:
        """The blocks directly before and behind it, if they are figures or tables."""
        return self._of.get(caption.position - 1), self._of.get(caption.position + 1)

    def cost_between(self, one: Block, other: Block) -> float:
        """Log-odds that what stands between two blocks takes away."""
        first, last = sorted((one, other), key=lambda block: block.position)
        policy = self._policy
        cost = policy.page_between * abs(last.page - (first.last_page or first.page)) if last.page != first.page else 0
        apart = last.page == first.page and one.box is not None and other.box is not None
        gap = None
        if apart and one.box is not None and other.box is not None:
            gap = _corridor(one.box, other.box)
            across, down = gap[2] - gap[0], gap[3] - gap[1]
            distance = across if _overlap(one.box, other.box, 1) > 0 else down
            cost += policy.gap_line * max(distance / self._line - 1.0, 0.0)
            if _overlap(one.box, other.box, 0) <= 0 and _overlap(one.box, other.box, 1) <= 0:
                cost += policy.aside
        low, high = bisect_left(self._places, first.position) + 1, bisect_left(self._places, last.position)
        if high - low > _MAX_BETWEEN:
            return math.inf
        missing = last.position - first.position - 1 - (high - low)
        cost += policy.block_between * (missing if gap is None else 0)
        for block in self._blocks[low:high]:
            if gap is not None and block.box is not None and not _meets(block.box, gap):
                continue
            if block.type in _SHOWN or block.position in self._captions:
                cost += policy.shown_between
            else:
                cost += policy.heading_between if block.type == "heading" else policy.block_between
        return cost

    def in_one_row(self, one: Block, other: Block) -> bool:
        """Two pictures with nothing between, side by side or with the same alt text."""
        if one.page != other.page or one.type != "figure" or other.type != "figure":
            return False
        low, high = sorted((one.position, other.position))
        if any(place not in self._captions and place not in self._of for place in range(low + 1, high)):
            return False
        if one.box is not None and other.box is not None:
            shorter = min(one.box[3] - one.box[1], other.box[3] - other.box[1])
            return _overlap(one.box, other.box, 1) > shorter / 2
        return bool(one.text) and one.text == other.text

    def _is_caption(self, index: int) -> bool:
        block = self._blocks[index]
        beside = (block.position - 1, block.position + 1)
        return any(place in self._of for place in beside) and starts_as_caption(block.text, self._policy)


def weigh_pairs(layout: Layout, similarity: Similarity | None, policy: DocumentCaptionPolicy) -> dict[Pair, Evidence]:
    """Evidence for every caption, other than those the markup places, and every figure or table near it.

    Returns:
        By position of the caption and position of the figure or table.
    """
    habits = _habits(layout, policy)
    numbered = _by_number(layout)
    weighed: dict[Pair, Evidence] = {}
    for caption in layout.captions:
        if caption.figure_missing is not None or (caption.of is not None and layout.is_shown(caption.of)):
            continue
        near = {block.position: block for block in layout.candidates(caption)}
        number = _number(caption.label or label_of_caption(caption.text))
        named = numbered.get((kind_of(caption), number or ""))
        if named is not None:
            near[named.position] = named
        cosines = {
            place: cosine
            for place, block in near.items()
            if similarity is not None and (cosine := similarity(block, caption)) is not None
        }
        mean = sum(cosines.values()) / len(cosines) if cosines else 0.0
        limit = policy.similarity_limit
        for place, block in near.items():
            gain = (cosines[place] - mean) / policy.similarity_temperature if place in cosines else 0.0
            by_number = _number_evidence(number, block, policy)
            by_place = _place(layout, caption, block, habits, policy)
            weighed[caption.position, place] = Evidence(
                place=max(by_place, _FLOOR) if by_number > 0.0 else by_place,
                number=by_number,
                words=policy.words_weight * _shared_words(caption.text, block),
                embeddings=min(max(gain, -limit), limit),
            )
    return weighed


def _place(
    layout: Layout,
    caption: Block,
    block: Block,
    habits: dict[tuple[bool, str], float],
    policy: DocumentCaptionPolicy,
) -> float:
    kind = kind_of(caption)
    above = caption.position < block.position
    habit = habits.get((kind != "", block.type), 0.0)
    odds = logit(policy.adjacent) - layout.cost_between(caption, block) + (habit if above else -habit)
    other = kind != "" and (kind == "Table") != (block.type == "table")
    return odds - policy.other_kind * other


def _habits(layout: Layout, policy: DocumentCaptionPolicy) -> dict[tuple[bool, str], float]:
    """Log-odds of captions above against below, for captions with and without number, of figures and of tables."""
    counts: dict[tuple[bool, str], list[float]] = {}
    for caption in layout.captions:
        before, behind = layout.neighbours(caption)
        if caption.of is not None and layout.is_shown(caption.of):
            shown, above = layout.block(caption.of), caption.position < caption.of
        elif before is None and behind is not None:
            shown, above = behind, True
        elif behind is None and before is not None:
            shown, above = before, False
        else:
            continue
        key = (kind_of(caption) != "", shown.type)
        counts.setdefault(key, [policy.side_prior, policy.side_prior])[0 if above else 1] += 1.0
    return {
        key: min(max(policy.side_weight * math.log(above / below), -_HABIT_LIMIT), _HABIT_LIMIT)
        for key, (above, below) in counts.items()
    }


def _by_number(layout: Layout) -> dict[tuple[str, str], Block]:
    """Figures and tables whose own number no other of their kind has."""
    found: dict[tuple[str, str], Block | None] = {}
    for block in layout.shown:
        number = _own_number(block)
        if number is not None:
            key = ("Table" if block.type == "table" else "Figure", number)
            found[key] = None if key in found else block
    return {key: block for key, block in found.items() if block is not None}


def _own_number(block: Block) -> str | None:
    own = _number(block.label or label_of_caption(block.text[:200]))
    if own is None and block.picture is not None and block.picture.file is not None:
        found = _FILE_NUMBER.search(block.picture.file.rpartition("/")[2].rpartition(".")[0])
        own = re.sub(r"[-_]", ".", found[1]).lstrip("0") if found else None
    return own


def _number_evidence(number: str | None, block: Block, policy: DocumentCaptionPolicy) -> float:
    own = _own_number(block)
    if number is None or own is None:
        return 0.0
    return policy.equal_number if own == number else -policy.other_number


def _number(label: str | None) -> str | None:
    return label.rpartition(" ")[2] if label else None


def _shared_words(text: str, block: Block) -> float:
    """Dice coefficient of the words of a caption and those of a figure's alt text, else of its file name."""
    own = _words(block.text if block.type == "figure" else "")
    if not own and block.picture is not None and block.picture.file is not None:
        own = _words(_CAMEL.sub(" ", block.picture.file.rpartition("/")[2].rpartition(".")[0]))
    theirs = _words(text)
    if not own or not theirs:
        return 0.0
    return 2.0 * len(own & theirs) / (len(own) + len(theirs))


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text) if not word.isdigit()} - {"figure", "fig", "table", "the"}


def _overlap(one: tuple[float, ...], other: tuple[float, ...], axis: int) -> float:
    return min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis])


def _corridor(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, float, float, float]:
    """The part of the page between two boxes; thin where they touch or overlap."""
    sides: list[tuple[float, float]] = []
    for axis in (0, 1):
        inner, outer = max(one[axis], other[axis]), min(one[axis + 2], other[axis + 2])
        sides.append((min(inner, outer), max(inner, outer)))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def _meets(box: tuple[float, ...], gap: tuple[float, float, float, float]) -> bool:
    return _overlap(box, gap, 0) > 0 and _overlap(box, gap, 1) > 0


def without_text(block: Block) -> Block:
    """The block as it is enough to bind captions beside it."""
    return replace(block, text="", cells=None, links=(), anchors=())
