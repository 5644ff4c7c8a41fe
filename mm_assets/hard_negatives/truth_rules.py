# pyright: strict
"""Rules that find a negative true after all, or cannot tell that it is false; each names what it saw.

==========================  ==========================================================================
``same_text``               a caption of the picture says just this
``shared_label``            the word put in names, more broadly or otherwise, what is known to be there
``may_hold``                the colour or number put in does not exclude what is known
``entailed_by_sibling``     everything it names is known to be there, and nothing contradicts
``near_duplicate_picture``  the caption of a picture that looks the same
``lexical_cooccurrence``    a mined caption that mostly uses the words of the picture's own
``same_region_content``     an edit that does not change what is seen
``unproven``                nothing it names is known to be absent
==========================  ==========================================================================
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.claims.caption_reading import read_caption
from mm_assets.aligned.objects.claims.conflicts import ReadCaption, find_conflicts
from mm_assets.aligned.objects.claims.object_classes import singular
from mm_assets.aligned.objects.claims.phrase_drafts import NounPhrase
from mm_assets.hard_negatives.known_things import KnownThings, false_color, false_name, known_things
from mm_assets.hard_negatives.negatives import EditKind, Negative, Positive, Strategy, edited_spans
from mm_assets.hard_negatives.terms import Kinship, TermRelations
from mm_assets.policy import HardNegativePolicy

_WORD: Final = re.compile(r"[^\W_]+")
_FUNCTION_WORDS: Final = frozenset(
    {"a", "an", "the", "some", "this", "that", "it", "its", "one", "is", "are", "and", "or", "left", "right"}
    | {"of", "in", "on", "at", "to", "with", "by", "for", "from"}
)
_CLEAR_CONFLICT: Final = 0.9
_REARRANGED: Final = frozenset({EditKind.ORDER, EditKind.RELATION})
_FORM_WINDOW: Final = ("window", "told_order")
_THERE: Final = frozenset({Kinship.SAME, Kinship.BROADER, Kinship.NARROWER, Kinship.POSSIBLY_SAME})
_SCENERY: Final = frozenset({"object", "substance", ""})
"""Categories of which a picture shows more than its caption says: sky, water, rock."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: its name and what it saw."""

    rule: str
    seen: str

    def tell(self) -> str:
        """Both, as a verdict's reason."""
        return f"{self.rule}: {self.seen}"


class TruthRules:
    """Looks for reasons to believe a negative.

    Args:
        relations: compares names.
        policy: the policy.
    """

    def __init__(self, relations: TermRelations, policy: HardNegativePolicy) -> None:
        self._relations = relations
        self._policy = policy

    def find(self, negative: Negative, positive: Positive, picture_similarity: float) -> Finding | None:
        """The first reason found; None if the negative is false as far as anyone can tell.

        Args:
            negative: the negative.
            positive: what it was made from.
            picture_similarity: similarity of its picture and the donor's; NaN if there is none.
        """
        if negative.media is not None:
            return self._same_region(negative)
        known = known_things(positive)
        if _plain(negative.text) in {_plain(text) for text in known.texts}:
            return Finding("same_text", "a caption of the picture says just this")
        if picture_similarity >= self._policy.duplicate_similarity:
            return Finding("near_duplicate_picture", f"the donor's picture is {picture_similarity:.2f} similar")
        if negative.strategy is Strategy.IN_BATCH:
            return self._mined(negative, positive, known)
        return self._edited(negative, positive, known)

    def _same_region(self, negative: Negative) -> Finding | None:
        media = dict(negative.media or {})
        if media.get("form") in _FORM_WINDOW:
            return None
        if media.get("before") == media.get("after"):
            return Finding("same_region_content", f"both are {media.get('before')!r}")
        change = float(media.get("change", 0.0))
        if media.get("form") == "recolored" and change < self._policy.min_color_shift:
            return Finding("same_region_content", f"chroma changes by {change:.0f} only")
        return None

    def _mined(self, negative: Negative, positive: Positive, known: KnownThings) -> Finding | None:
        own = {word for text in known.texts for word in _content(text)}
        words = _content(negative.text)
        shared = sum(word in own for word in words) / len(words) if words else 1.0
        if shared >= self._policy.max_shared_words and self._conflict(negative, positive) is None:
            return Finding("lexical_cooccurrence", f"{shared:.0%} of its words are the picture's own")
        return self._whole(negative, positive, known)

    def _edited(self, negative: Negative, positive: Positive, known: KnownThings) -> Finding | None:
        kinds = {edit.kind for edit in negative.edits}
        if kinds and kinds <= _REARRANGED:
            return None
        if kinds == {EditKind.OBJECT}:
            found = self._shared_label(negative, known)
            if found is not None:
                return found
        if negative.strategy is Strategy.LLM_SYNTHETIC and negative.mirror_id is None:  # written freely
            return self._whole(negative, positive, known)
        if EditKind.COLOR in kinds or EditKind.NUMBER in kinds:
            return self._may_hold(negative, known)
        return None

    def _shared_label(self, negative: Negative, known: KnownThings) -> Finding | None:
        """Whether a name that was put in is known to be there under some word."""
        for phrase in _new_phrases(negative):
            name = _name(phrase)
            kin = false_name(name, known, self._relations)
            if kin is not Kinship.APART:
                rule = "unproven" if kin is Kinship.UNKNOWN else "shared_label"
                return Finding(rule, f"{' '.join(name)!r} is {kin.value.replace('_', ' ')} to what is there")
        return None

    def _may_hold(self, negative: Negative, known: KnownThings) -> Finding | None:
        """Whether every colour of a changed phrase goes with what is known of its thing."""
        palette = set(read_lexicon().colors)
        for phrase in _new_phrases(negative):
            colors = phrase.qualities & palette
            if colors and not any(false_color(color, phrase.head, known) for color in colors):
                return Finding("may_hold", f"{' '.join(phrase.words)!r} does not exclude what is known")
        return None

    def _whole(self, negative: Negative, positive: Positive, known: KnownThings) -> Finding | None:
        """Whether all that a text names is there; a clear contradiction proves it false."""
        if self._conflict(negative, positive) is not None:
            return None
        phrases = [
            phrase for phrase in read_caption(negative.text).phrases if not phrase.denied and not phrase.doubtful
        ]
        kin = [(phrase, false_name(_name(phrase), known, self._relations)) for phrase in phrases]
        if kin and all(found in _THERE for _, found in kin):
            return Finding("entailed_by_sibling", f"all it names is there: {_names(phrase for phrase, _ in kin)}")
        absent = [phrase for phrase, found in kin[:1] if found is Kinship.APART and not self._is_scenery(phrase)]
        if not absent:
            return Finding("unproven", f"nothing of {_names(phrase for phrase, _ in kin)} is known to be absent")
        return None

    def _is_scenery(self, phrase: NounPhrase) -> bool:
        return self._relations.name(_name(phrase)).category in _SCENERY

    def _conflict(self, negative: Negative, positive: Positive) -> str | None:
        """A clear contradiction between the negative and any caption of the picture."""
        false = ReadCaption(negative.text, read_caption(negative.text), self._relations.words)
        for text in (positive.text, *positive.siblings):
            for conflict in find_conflicts(ReadCaption(text, read_caption(text), self._relations.words), false):
                if conflict.confidence >= _CLEAR_CONFLICT:
                    return conflict.tell()
        return None


def _name(phrase: NounPhrase) -> tuple[str, ...]:
    return (*(word for word in phrase.words[:-1] if word not in phrase.qualities), phrase.words[-1])


def _names(phrases: Iterable[NounPhrase]) -> str:
    return ", ".join(" ".join(phrase.words) for phrase in phrases) or "nothing"


def _new_phrases(negative: Negative) -> Iterator[NounPhrase]:
    """Phrases of the negative that an edit touches."""
    spans = edited_spans(negative.edits)
    for phrase in read_caption(negative.text).phrases:
        if any(phrase.start < end and start < phrase.end for start, end in spans):
            yield phrase


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def _content(text: str) -> list[str]:
    return [singular(word) for word in _WORD.findall(text.lower()) if word not in _FUNCTION_WORDS]
