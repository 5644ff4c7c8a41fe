# pyright: strict
"""What a hard negative is: a false text or picture made from a true pair, with every change it takes to make it."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from mm_assets.identifiers import make_id

_WORD: Final = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*|[^\w\s]")  # noqa: RUF001 - the apostrophe of typesetting


class Strategy(StrEnum):
    """How a negative came about."""

    SUBTLE_REPLACEMENT = "subtle_replacement"
    ATTRIBUTE_SWAP = "attribute_swap"
    IN_BATCH = "in_batch"
    TEMPORAL_SHIFT = "temporal_shift"
    LLM_SYNTHETIC = "llm_synthetic"


class EditKind(StrEnum):
    """What an edit changes."""

    OBJECT = "object"
    ATTRIBUTE = "attribute"
    COLOR = "colour"
    NUMBER = "number"
    RELATION = "relation"
    ACTION = "action"
    ORDER = "order"
    NEGATION = "negation"


class Outcome(StrEnum):
    """What became of a negative."""

    KEPT = "kept"
    FALSE_NEGATIVE = "false_negative"
    TOO_EASY = "too_easy"
    SHORTCUT = "shortcut"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a text.

    Attributes:
        start: first character in the positive text.
        end: character after the last.
        before: what stands there.
        after: what the negative has instead.
        kind: what the change is about.
    """

    start: int
    end: int
    before: str
    after: str
    kind: EditKind


@dataclass(frozen=True, slots=True)
class Region:
    """A labelled box of a picture: left, upper, right and lower edge in pixels."""

    label: str
    box: tuple[float, float, float, float]

    def shares(self, other: "Region", axis: int) -> float:
        """How much of the shorter of two extents the other covers, 0 to 1, along x (axis 0) or y (axis 1).

        >>> Region("a", (0, 0, 10, 9)).shares(Region("b", (6, 0, 20, 9)), 0)
        0.4
        """
        low, high = max(self.box[axis], other.box[axis]), min(self.box[axis + 2], other.box[axis + 2])
        shorter = min(one.box[axis + 2] - one.box[axis] for one in (self, other))
        return max(0.0, high - low) / shorter if shorter > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Positive:
    """A true pair that negatives are made from.

    Attributes:
        positive_id: caption or segment.
        image_id: picture or clip it is true of.
        text: what is true of it.
        siblings: everything else said of the same picture.
        labels: objects known to be there: annotated, detected.
        position: place of the picture in its delivery.
        similarity: image-text similarity of the pair; NaN if it was not measured.
        regions: its boxes with labels.
    """

    positive_id: str
    image_id: str
    text: str
    siblings: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    position: int = 0
    similarity: float = float("nan")
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class Negative:
    """A text, a picture or a window that does not go with its positive.

    Attributes:
        positive_id: what it was made from.
        image_id: picture or clip of the positive.
        strategy: how it was made.
        positive_text: text of the positive.
        text: the false text; the positive's own where a picture or a window is false.
        edits: every change of the text, in order; empty where the text is kept.
        donor_id: positive that lent a word, a caption or a window; None if none did.
        mirror_id: the same for both halves of an exchange, so that both stay or both go; None if it is no half.
        media: a false picture or window as JSON-able parts; None where the text is false.
        provenance: what made it, JSON-able.
    """

    positive_id: str
    image_id: str
    strategy: Strategy
    positive_text: str
    text: str
    edits: tuple[Edit, ...] = ()
    donor_id: str | None = None
    mirror_id: str | None = None
    media: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def negative_id(self) -> str:
        """Hash of positive, strategy and content; the same on every run."""
        media = "" if self.media is None else json.dumps(dict(self.media), sort_keys=True)
        return make_id("neg", self.positive_id, self.strategy.value, self.text, media)

    @property
    def kind(self) -> EditKind | None:
        """What its first edit is about."""
        return self.edits[0].kind if self.edits else None


def edited(
    positive: Positive,
    strategy: Strategy,
    edits: Sequence[Edit],
    provenance: Mapping[str, Any],
    *,
    donor_id: str | None = None,
    mirror_id: str | None = None,
) -> Negative:
    """The negative whose text is the positive's after the edits."""
    return Negative(
        positive_id=positive.positive_id,
        image_id=positive.image_id,
        strategy=strategy,
        positive_text=positive.text,
        text=apply_edits(positive.text, edits),
        edits=tuple(edits),
        donor_id=donor_id,
        mirror_id=mirror_id,
        provenance=provenance,
    )


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text after all edits, which must not overlap.

    Raises:
        ValueError: two edits overlap, or one does not fit the text.

    >>> apply_edits("A red car and a blue van", [Edit(2, 5, "red", "blue", EditKind.COLOR)])
    'A blue car and a blue van'
    """
    parts, place = list[str](), 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        if edit.start < place or text[edit.start : edit.end] != edit.before:
            raise ValueError(f"edit {edit} does not fit {text!r}; make edits on the text they were found in")
        parts += [text[place : edit.start], edit.after]
        place = edit.end
    return "".join([*parts, text[place:]])


def find_edits(before: str, after: str, kind: EditKind) -> tuple[Edit, ...]:
    """The changes that lead from one text to another, in whole words.

    >>> find_edits("a red car", "a blue car", EditKind.COLOR)
    (Edit(start=2, end=5, before='red', after='blue', kind=<EditKind.COLOR: 'colour'>),)
    """
    old, new = list(_WORD.finditer(before)), list(_WORD.finditer(after))
    matcher = difflib.SequenceMatcher(a=[m[0] for m in old], b=[m[0] for m in new], autojunk=False)
    found: list[Edit] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            start, end = _span(old, a, b, len(before))
            first, last = _span(new, c, d, len(after))
            found.append(_whole(before, after, (start, end), (first, last), kind))
    rebuilt = tuple(found)
    if apply_edits(before, rebuilt) == after:
        return rebuilt
    return () if before == after else (Edit(0, len(before), before, after, kind),)


def _span(words: Sequence[re.Match[str]], first: int, last: int, length: int) -> tuple[int, int]:
    """Characters of words [first, last); where there are none, the gap before the next word."""
    if first < last:
        return words[first].start(), words[last - 1].end()
    gap = words[first - 1].end() if first else 0
    return (gap, gap) if words else (length, length)


def _whole(before: str, after: str, old: tuple[int, int], new: tuple[int, int], kind: EditKind) -> Edit:
    """One edit; an insertion or deletion takes the blank beside it along."""
    start, end = old
    first, last = new
    if start == end and start < len(before) and first and after[first - 1] == " ":
        first -= 1
    elif first == last and start and before[start - 1] == " ":
        start -= 1
    return Edit(start, end, before[start:end], after[first:last], kind)


def edited_spans(edits: Sequence[Edit]) -> list[tuple[int, int]]:
    """Where the edits lie in the negative text, in order.

    >>> edited_spans([Edit(2, 5, "red", "blue", EditKind.COLOR), Edit(12, 15, "cat", "dog", EditKind.OBJECT)])
    [(2, 6), (13, 16)]
    """
    shift, spans = 0, list[tuple[int, int]]()
    for edit in sorted(edits, key=lambda edit: edit.start):
        spans.append((edit.start + shift, edit.start + shift + len(edit.after)))
        shift += len(edit.after) - (edit.end - edit.start)
    return spans
