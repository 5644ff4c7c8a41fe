# pyright: strict
"""Claims of captions about left and right, checked against where the boxes lie.

Four ways of saying it are resolved: of the picture ("a duck on the left"), of another thing ("a cat to the left of the
dog"), of one among several ("the left cat") and of a list ("from left to right a cat, a dog"). Whatever cannot be
resolved to anchored boxes is undecided, as are a body's own sides: "the left hand" may lie anywhere.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mm_assets.aligned.objects.orientation.findings import Finding, Subject, Verdict
from mm_assets.aligned.objects.transforms.side_rules import Sense
from mm_assets.aligned.objects.transforms.sides import SideWord, find_sides

_LEAD: Final = re.compile(
    r"(?P<preposition>\b(?:on|to|at|in|from|towards?|off|along)\s+)?(?:(?:the|its|their)\s+)?"
    r"(?:(?:far|extreme|very|immediate|upper|lower|top|bottom|back|front|near)[\s-]+)*$",
    re.IGNORECASE,
)
_PICTURE: Final = r"(?:image|picture|photo|photograph|frame|scene|screen|shot|view|painting|drawing)"
_PART: Final = r"(?:\s+(?:hand\s+)?(?:side|half|part|edge|corner|portion|third|end|foreground|background))?"
_TAIL: Final = re.compile(rf"(?:[\s-]hand)?{_PART}(?:\s+of\s+(?:the\s+|this\s+)?{_PICTURE}\b)?", re.IGNORECASE)
_OF: Final = re.compile(rf"(?:[\s-]hand)?{_PART}\s+of\s+", re.IGNORECASE)
_WORD: Final = re.compile(r"[\w'-]+")
# Words that start another phrase or clause: between a phrase and what is said of it there may be none.
_BREAK: Final = re.compile(
    r"\b(?:a|an|the|this|that|these|those|his|her|its|their|another|some|two|three|several|many|and|or|but|while|with|as|"
    r"who|which|where|when|of|on|in|at|to|from|under|over|near|behind|beside|next|by|for)\b",
    re.IGNORECASE,
)
_NEW_CLAUSE: Final = re.compile(r",|\b(?:and|or|but|while|as|where)\b", re.IGNORECASE)
_ORDER: Final = re.compile(r"\b(left|right)[\s-]+to[\s-]+(?:the\s+)?(?!\1)(?:left|right)\b", re.IGNORECASE)
# Words that do no more than open a phrase: "on the left, there is a".
_OPENING: Final = re.compile(
    r"(?:\b(?:a|an|the|another|some|two|three|several|many|one|his|her|its|their|there|is|are|was|were|sits?|stands?|lies?|"
    r"stood|sat|appears?|we|you|can|see|objects?|things?|items?|big|small|large|little|young|old)\b|\s)*",
    re.IGNORECASE,
)
_STOP: Final = re.compile(r"[.;:!?()]")
_FARTHEST: Final = 4
_LEAST: Final = 0.6
_MOST: Final = 0.95


@dataclass(frozen=True)
class Anchor:
    """A phrase of a caption and the boxes that hold what it names.

    Attributes:
        start: first character of the phrase in the caption.
        end: character after it.
        middles: middle of each box, as a share of the picture's width.
        label: declared category of the boxes, if they have one.
    """

    start: int
    end: int
    middles: tuple[float, ...]
    label: str | None = None


@dataclass(frozen=True)
class _Claim:
    """What a side word is said of: the nearest phrase first, then those it may be said of just as well."""

    word: SideWord
    start: int
    end: int
    subjects: tuple[Anchor, ...]
    other: Anchor | None = None
    is_attribute: bool = False


def check_claims(caption: str, caption_id: str, anchors: Sequence[Anchor], side_margin: float) -> list[Finding]:
    """Check every claim about sides that a caption makes.

    Args:
        caption: the caption.
        caption_id: its id.
        anchors: its phrases that have boxes.
        side_margin: share of the picture's width within which neither side can be told.

    Returns:
        One finding per resolved claim; a single undecided one if sides are named and none is resolved; none if the
        caption names no side.

    >>> duck, cat = Anchor(0, 6, (0.8,)), Anchor(23, 28, (0.3,))
    >>> [finding.verdict.value for finding in check_claims("A duck on the left and a cat.", "c", [duck, cat], 0.1)]
    ['contradicted']
    """
    words = [word for word in find_sides(caption) if word.side is not None and word.sense is not Sense.IDIOM]
    ordered = sorted(anchors, key=lambda anchor: anchor.start)
    orders = list(_ORDER.finditer(caption))
    placed = [
        word
        for word in words
        if word.sense is Sense.SCENE and not any(order.start() <= word.start < order.end() for order in orders)
    ]
    claims = [claim for word in placed if (claim := _resolve(caption, word, ordered)) is not None]
    found = [_judge(caption, caption_id, claim, ordered, side_margin) for claim in claims]
    for order in orders:
        listed = _listed(caption, order.end(), ordered)
        if len(listed) > 1:
            found.append(_judge_order(caption, caption_id, order, listed, side_margin))
    if found:
        return found
    if not words:
        return []
    told = ", ".join(f"{word.text!r} ({word.sense.value})" for word in words)
    return [Finding(Subject.CAPTION, Verdict.UNDECIDED, 0.0, f"No box shows what {told} is said of.", caption_id)]


def _resolve(caption: str, word: SideWord, anchors: Sequence[Anchor]) -> _Claim | None:
    lead = _LEAD.search(caption, 0, word.start)
    start = word.start if lead is None else lead.start()
    has_preposition = lead is not None and lead["preposition"] is not None
    if word.relative:
        return _resolve_relative(caption, word, start, anchors)
    attribute = None if has_preposition else _attribute_of(caption, word, anchors)
    if attribute is not None:
        return _Claim(word, min(start, attribute.start), attribute.end, (attribute,), is_attribute=True)
    tail = _TAIL.match(caption, word.end)
    end = word.end if tail is None else tail.end()
    before = _before(caption, start, anchors)
    after = _after(caption, end, anchors)
    if before and after and _NEW_CLAUSE.search(caption, before[0].end, start):
        return None
    if before:
        return _Claim(word, before[0].start, end, before)
    return _Claim(word, start, after.end, (after,)) if after else None


def _resolve_relative(caption: str, word: SideWord, start: int, anchors: Sequence[Anchor]) -> _Claim | None:
    """Of "X to the left of Y" X and Y; of "to the left of Y is X" the same."""
    of = _OF.match(caption, word.end)
    if of is None:
        return None
    others = [anchor for anchor in anchors if anchor.start >= of.end() - 1]
    if not others or not _opens(caption[of.end() : others[0].start]):
        return None
    other = others[0]
    before = _before(caption, start, anchors)
    if before:
        return _Claim(word, before[0].start, other.end, before, other)
    after = _after(caption, other.end, anchors)
    return _Claim(word, start, after.end, (after,), other) if after else None


def _attribute_of(caption: str, word: SideWord, anchors: Sequence[Anchor]) -> Anchor | None:
    """The phrase that the word is an adjective of, in it or in front of it: the left cat, the left big cat."""
    for anchor in anchors:
        if anchor.start <= word.start < anchor.end:
            return anchor if word.end < anchor.end else None
        if anchor.start >= word.end:
            gap = caption[word.end : anchor.start]
            return anchor if re.fullmatch(r"\s+(?:[\w-]+\s+)?", gap) and not _BREAK.search(gap) else None
    return None


def _before(caption: str, start: int, anchors: Sequence[Anchor]) -> tuple[Anchor, ...]:
    """Phrases in front that the words at ``start`` may be said of, the nearest first."""
    earlier = [anchor for anchor in anchors if anchor.end <= start]
    if not earlier:
        return ()
    between = caption[earlier[-1].end : start]
    if _STOP.search(between) or re.search(r",.*\w", between) or _BREAK.search(between) or _is_far(between):
        return ()
    chain = [earlier[-1]]
    for anchor in reversed(earlier[:-1]):
        link = caption[anchor.end : chain[-1].start]
        if _STOP.search(link) or _NEW_CLAUSE.search(link) or _is_far(link):
            break
        chain.append(anchor)
    return tuple(chain)


def _after(caption: str, end: int, anchors: Sequence[Anchor]) -> Anchor | None:
    """The phrase behind, if nothing but a comma, a verb and an article lies between: "on the left, a cat"."""
    later = [anchor for anchor in anchors if anchor.start >= end]
    if not later:
        return None
    between = caption[end : later[0].start].lstrip()
    return later[0] if _opens(between.removeprefix(",").removeprefix(":")) else None


def _opens(between: str) -> bool:
    return not _is_far(between) and _OPENING.fullmatch(between) is not None


def _is_far(between: str) -> bool:
    return len(_WORD.findall(between)) > _FARTHEST


def _judge(caption: str, caption_id: str, claim: _Claim, anchors: Sequence[Anchor], side_margin: float) -> Finding:
    judged = [_place(claim, subject, anchors, side_margin) for subject in claim.subjects]
    verdict, distance = judged[0]
    if any({verdict, another} == {Verdict.CONSISTENT, Verdict.CONTRADICTED} for another, _ in judged[1:]):
        verdict = Verdict.UNDECIDED
    said = " ".join(caption[claim.start : claim.end].split())
    subject = claim.subjects[0]
    evidence = f"{said!r}: {caption[subject.start : subject.end]!r} is at {_shown(subject)} of the width"
    if claim.other is not None:
        evidence += f", {caption[claim.other.start : claim.other.end]!r} at {_shown(claim.other)}"
    confidence = 0.0 if verdict is Verdict.UNDECIDED else round(min(_MOST, _LEAST + distance), 4)
    return Finding(Subject.CAPTION, verdict, confidence, f"{evidence}.", caption_id)


def _listed(caption: str, end: int, anchors: Sequence[Anchor]) -> list[Anchor]:
    """Phrases of the list that follows: nothing between them but commas, articles and "and"."""
    listed: list[Anchor] = []
    for anchor in anchors:
        if anchor.start < end:
            continue
        between = caption[listed[-1].end if listed else end : anchor.start]
        if not _opens(re.sub(r"[,:]|\band\b|\bthen\b", " ", between)):
            break
        listed.append(anchor)
    return listed


def _judge_order(
    caption: str, caption_id: str, order: re.Match[str], listed: Sequence[Anchor], side_margin: float
) -> Finding:
    towards = 1.0 if order[1].lower() == "left" else -1.0
    steps = [
        towards * (there - own)
        for first, second in itertools.pairwise(listed)
        for own in first.middles
        for there in second.middles
    ]
    # Neighbours beside neither say nothing of the order; the others must all say the same.
    clear = [step for step in steps if abs(step) > side_margin]
    verdict, distance = _verdict(clear or steps, side_margin)
    said = " ".join(caption[order.start() : listed[-1].end].split())
    places = ", ".join(f"{caption[anchor.start : anchor.end]!r} is at {_shown(anchor)}" for anchor in listed)
    confidence = 0.0 if verdict is Verdict.UNDECIDED else round(min(_MOST, _LEAST + distance), 4)
    return Finding(Subject.CAPTION, verdict, confidence, f"{said!r}: {places} of the width.", caption_id)


def _place(claim: _Claim, subject: Anchor, anchors: Sequence[Anchor], side_margin: float) -> tuple[Verdict, float]:
    """Where the subject lies as against the claim, and how far beyond the margin."""
    towards = -1.0 if claim.word.side == "left" else 1.0
    if claim.other is not None:
        steps = [towards * (own - there) for own in subject.middles for there in claim.other.middles]
        return _verdict(steps, side_margin)
    apart = [anchor for anchor in anchors if (anchor.start, anchor.end) != (subject.start, subject.end)]
    peers = [anchor for anchor in apart if claim.is_attribute and subject.label and anchor.label == subject.label]
    if peers:
        steps = [towards * (own - there) for own in subject.middles for peer in peers for there in peer.middles]
        return _verdict(steps, side_margin)
    verdict, distance = _verdict([towards * (own - 0.5) for own in subject.middles], side_margin)
    if verdict is not Verdict.CONTRADICTED:
        return verdict, distance
    # "On the left" may be said against the other things in the picture rather than its middle.
    among = [towards * (own - there) for own in subject.middles for anchor in apart for there in anchor.middles]
    leads = bool(among) and min(among) > 0.0
    return (Verdict.UNDECIDED, 0.0) if leads or claim.is_attribute else (verdict, distance)


def _verdict(steps: Sequence[float], side_margin: float) -> tuple[Verdict, float]:
    """Of how far boxes lie to the claimed side; boxes that disagree decide nothing."""
    if min(steps) > side_margin:
        return Verdict.CONSISTENT, min(steps) - side_margin
    if max(steps) < -side_margin:
        return Verdict.CONTRADICTED, -max(steps) - side_margin
    return Verdict.UNDECIDED, 0.0


def _shown(anchor: Anchor) -> str:
    return ", ".join(f"{middle:.0%}" for middle in anchor.middles)
