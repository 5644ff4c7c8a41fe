# pyright: strict
"""Texts paired with another window of the same clip, and orders of events told the wrong way round.

The false window is shifted by a measured gap beyond the tolerance of alignment and near enough to be hard; both
windows of a pair take each other's text, so that neither texts nor times tell.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from mm_assets.hard_negatives.known_things import known_things
from mm_assets.hard_negatives.negatives import (
    Edit,
    EditKind,
    Negative,
    Positive,
    Strategy,
    edited,
    find_edits,
)
from mm_assets.hard_negatives.terms import Kinship, TermRelations
from mm_assets.identifiers import make_id
from mm_assets.policy import HardNegativePolicy

THEN = ", then "


@dataclass(frozen=True, slots=True)
class Window:
    """A text and when it holds.

    Attributes:
        positive: the text; its ``image_id`` is the clip.
        start_us: start on the clip's clock, microseconds.
        end_us: its end.
        events: what the text tells one after the other, if it tells more than one thing: spans of characters in it.
    """

    positive: Positive
    start_us: int
    end_us: int
    events: tuple[tuple[int, int], ...] = ()


class TemporalShift:
    """Makes negatives of windows of one clip.

    Args:
        relations: compares names.
        policy: the policy.
    """

    strategy = Strategy.TEMPORAL_SHIFT

    def __init__(self, relations: TermRelations, policy: HardNegativePolicy) -> None:
        self._relations = relations
        self._policy = policy

    def make(self, windows: Sequence[Window]) -> Iterator[Negative]:
        """Shifts and reversals among the windows of each clip, the nearest first.

        Args:
            windows: of any clips.
        """
        ordered = sorted(windows, key=lambda window: (window.positive.image_id, window.start_us, window.end_us))
        for _, members in groupby(ordered, key=lambda window: window.positive.image_id):
            clip = list(members)
            for window in clip:
                yield from self._reordered(window)
            yield from self._shifts(clip)
            yield from self._reversals([window for window in clip if not window.events])

    def _shifts(self, clip: Sequence[Window]) -> Iterator[Negative]:
        used = [0] * len(clip)
        for distance in range(1, len(clip)):
            for place in range(len(clip) - distance):
                one, other = clip[place], clip[place + distance]
                gap_us = other.start_us - one.end_us
                free = max(used[place], used[place + distance]) < self._policy.max_per_positive
                near = self._policy.min_gap_us <= gap_us <= self._policy.max_gap_us
                if free and near and self._differ(one, other) and not _repeated(clip, one, other):
                    used[place] += 1
                    used[place + distance] += 1
                    mirror = make_id("mir", one.positive.positive_id, other.positive.positive_id)
                    yield self._shifted(one, other, gap_us, mirror)
                    yield self._shifted(other, one, gap_us, mirror)

    def _shifted(self, own: Window, false: Window, gap_us: int, mirror: str) -> Negative:
        positive = own.positive
        return Negative(
            positive_id=positive.positive_id,
            image_id=positive.image_id,
            strategy=self.strategy,
            positive_text=positive.text,
            text=positive.text,
            donor_id=false.positive.positive_id,
            mirror_id=mirror,
            media={
                "form": "window",
                "clip_id": positive.image_id,
                "start_us": false.start_us,
                "end_us": false.end_us,
                "gap_us": gap_us,
            },
            provenance={"source": "shifted window"},
        )

    def _reversals(self, clip: Sequence[Window]) -> Iterator[Negative]:
        """Two events in a row, told in the wrong order: every other pair, so that no event is told twice."""
        for place, (one, other) in enumerate(pairwise(clip)):
            if place % 2 or other.start_us < one.end_us or not self._differ(one, other) or _repeated(clip, one, other):
                continue
            true, false = _tell(one, other), _tell(other, one)
            yield Negative(
                positive_id=one.positive.positive_id,
                image_id=one.positive.image_id,
                strategy=self.strategy,
                positive_text=true,
                text=false,
                edits=find_edits(true, false, EditKind.ORDER),
                donor_id=other.positive.positive_id,
                media={
                    "form": "told_order",
                    "clip_id": one.positive.image_id,
                    "start_us": one.start_us,
                    "end_us": other.end_us,
                },
                provenance={"source": "reversed order", "composed_of": [one.positive.text, other.positive.text]},
            )

    def _reordered(self, window: Window) -> Iterator[Negative]:
        """A text that tells several events, two neighbours in each other's place; which two follows from its id."""
        positive = window.positive
        spans = list(pairwise(window.events))
        first = zlib.crc32(positive.positive_id.encode()) % len(spans) if spans else 0
        texts = [positive.text[start:end].lower() for start, end in window.events]
        for one, other in spans[first:] + spans[:first]:
            told, after = positive.text[slice(*one)], positive.text[slice(*other)]
            events = [Window(Positive(positive.positive_id, positive.image_id, text), 0, 0) for text in (told, after)]
            if texts.count(told.lower()) > 1 or texts.count(after.lower()) > 1 or not self._differ(*events):
                continue
            edits = (Edit(*one, told, after, EditKind.ORDER), Edit(*other, after, told, EditKind.ORDER))
            yield edited(positive, self.strategy, edits, {"source": "reversed events"})
            return

    def _differ(self, one: Window, other: Window) -> bool:
        """Whether two texts are about different things, as far as the words tell."""
        mine, theirs = known_things(one.positive), known_things(other.positive)
        if one.positive.text.lower() == other.positive.text.lower():
            return False
        kin = [self._relations.compare(name, true) for name in mine.names for true in theirs.names]
        return bool(kin) and all(found in {Kinship.APART, Kinship.UNKNOWN} for found in kin)


def _repeated(clip: Sequence[Window], one: Window, other: Window) -> bool:
    """Whether either text is also said of the other's window, or of one that overlaps it."""
    for own, false in ((one, other), (other, one)):
        text = own.positive.text.lower()
        for window in clip:
            overlaps = window.start_us < false.end_us and false.start_us < window.end_us
            if overlaps and window.positive.text.lower() == text:
                return True
    return False


def _tell(first: Window, second: Window) -> str:
    """Two texts as one: first the one, then the other."""
    opening = first.positive.text.rstrip(" .!")
    closing = second.positive.text.strip()
    follows = (
        closing[:1].lower() + closing[1:] if closing[1:2] != closing[1:2].upper() or closing[1:2] == " " else closing
    )
    return f"{opening[:1].upper()}{opening[1:]}{THEN}{follows.rstrip(' .!')}."
