# pyright: strict
"""CHAIR: which objects a caption names that are not in its picture.

What is in a picture is known from annotations, or else from a detector. Both miss things, so that an object nobody
knows of counts with a weight, 0 to 1:

- *Annotations* are a closed world only for the labels a batch uses: a picture without a "dog" box has no dog if dogs
  are annotated elsewhere in the batch. Of anything else they say nothing, nor of a word that only covers labels
  ("guitar" where "electric guitar" is one).
- A *detector's* silence weighs 1 - miss rate / (1 - false alarm rate), what is left of a miss once its own blindness is
  taken off: 1 for a perfect detector, 0 for one that guesses. It is silent for no reason about what is not in its
  vocabulary: people are never invented to a detector that knows none.

Denied objects ("no dog") are no claims; likened, depicted and alternative ones, and words with another common meaning,
can be borne out but never count as invented.

Source: Rohrbach et al. 2018, "Object Hallucination in Image Captioning" (CHAIR-i over mentions, CHAIR-s over captions).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mm_assets.aligned.objects.claims.caption_reading import NounPhrase, Reading
from mm_assets.aligned.objects.claims.object_classes import (
    ObjectWords,
    Term,
    color_nouns,
    is_animate,
    likeness_words,
    material_words,
)
from mm_assets.policy import FaithfulnessPolicy

Outcome = Literal["supported", "invented", "unverified"]
SUPPORTED: Final = "supported"
INVENTED: Final = "invented"
UNVERIFIED: Final = "unverified"


@dataclass(frozen=True, slots=True)
class Mention:
    """An object a caption names.

    Attributes:
        term: what it names.
        start: first character in the caption.
        end: character after the last.
        doubtful: whether it is less than a plain claim.
    """

    term: Term
    start: int
    end: int
    doubtful: bool


@dataclass(frozen=True, slots=True)
class JudgedMention:
    """A mention held against what is known of the picture.

    Attributes:
        mention: the mention.
        outcome: supported, invented or unverified.
        weight: how much an invention counts, 0 to 1; 0 otherwise.
        blindness: chance that an object that is there is taken for invented; 0 if it could not be verified.
        sources: annotated, detected or both: what could tell.
    """

    mention: Mention
    outcome: Outcome
    weight: float
    blindness: float
    sources: frozenset[str]


@dataclass(frozen=True)
class DetectorKnowledge:
    """What a detector can see, in the vocabulary's own names."""

    by_name: dict[str, str]

    @classmethod
    def of(cls, vocabulary: Iterable[str], words: ObjectWords) -> "DetectorKnowledge":
        """Match a detector's names with those of the vocabulary."""
        found: dict[str, str] = {}
        for name in sorted(vocabulary):
            term = words.label(name)
            if term is not None:
                found.setdefault(term.name, name)
        return cls(found)

    def visible(self, term: Term) -> str | None:
        """The detector's own name for a term: of its COCO class, else of itself; None if it cannot see it."""
        for name in (term.coarse, term.name):
            if name is not None and name in self.by_name:
                return self.by_name[name]
        return None


@dataclass(frozen=True)
class PictureKnowledge:
    """What is known of one picture.

    Attributes:
        labels: its annotated labels; None if it has no annotations.
        seen: the detector's names of what it may hold; None if no detector looked.
        certain: those the detector is certain of.
        clear: whether the picture is clear to the detector.
    """

    labels: tuple[Term, ...] | None = None
    seen: frozenset[str] | None = None
    certain: frozenset[str] = frozenset()
    clear: bool = False


def find_mentions(reading: Reading, words: ObjectWords) -> list[Mention]:
    """The objects a caption claims, one per name, in order.

    Args:
        reading: the caption.
        words: the vocabulary.
    """
    found: dict[str, Mention] = {}
    for phrase in reading.phrases:
        if phrase.denied:
            continue
        term = words.resolve(phrase.words)
        if not words.knows(term):
            continue
        mention = Mention(term, phrase.start, phrase.end, _is_doubtful(phrase, term))
        known = found.get(term.name)
        if known is None or (known.doubtful and not mention.doubtful):
            found[term.name] = mention
    return list(found.values())


def _is_doubtful(phrase: NounPhrase, term: Term) -> bool:
    before = phrase.words[: len(phrase.words) - term.length]
    made = not likeness_words().isdisjoint(before)
    made |= is_animate(term) and not material_words().isdisjoint(before)
    colored = len(phrase.words) == 1 and phrase.head in color_nouns() and not phrase.count
    return phrase.doubtful or made or colored


def judge_mention(
    mention: Mention,
    known: PictureKnowledge,
    words: ObjectWords,
    detector: DetectorKnowledge | None,
    policy: FaithfulnessPolicy,
) -> JudgedMention:
    """Hold one mention against what is known of its picture."""
    term = mention.term
    sources: set[str] = set()
    weight = blindness = 0.0
    if known.labels is not None:
        if any(supports(label, term, words) for label in known.labels):
            return JudgedMention(mention, SUPPORTED, 0.0, policy.annotation_miss_rate, frozenset({"annotated"}))
        if is_closed(term, words):
            sources.add("annotated")
            weight, blindness = 1.0, policy.annotation_miss_rate
    sight = detector.visible(term) if detector is not None and known.seen is not None else None
    if sight is not None and known.seen is not None:
        miss_rate = policy.miss_rate_clear if known.clear else policy.miss_rate_unclear
        if sight in known.seen:
            if "annotated" not in sources:
                return JudgedMention(mention, SUPPORTED, 0.0, miss_rate, frozenset({"detected"}))
            if sight in known.certain:
                weight *= policy.disputed_evidence
                sources.add("detected")
        elif not term.homonym:
            sources.add("detected")
            weight = max(weight, detector_weight(policy, clear=known.clear))
            blindness = blindness * miss_rate if "annotated" in sources else miss_rate
    if weight >= policy.min_evidence and not mention.doubtful:
        return JudgedMention(mention, INVENTED, weight, blindness, frozenset(sources))
    return JudgedMention(mention, UNVERIFIED, 0.0, 0.0, frozenset())


def detector_weight(policy: FaithfulnessPolicy, *, clear: bool) -> float:
    """How much a detector's silence counts.

    >>> round(detector_weight(FaithfulnessPolicy(miss_rate_clear=0.1, false_alarm_rate=0.2), clear=True), 3)
    0.875
    """
    seldom = 1.0 - policy.false_alarm_rate
    missed = policy.miss_rate_clear if clear else policy.miss_rate_unclear
    return max(0.0, 1.0 - missed / seldom) if seldom > 0.0 else 0.0


def supports(label: Term, term: Term, words: ObjectWords) -> bool:
    """Whether an object annotated so bears out a mention.

    The same name, either as a kind of the other, or the same COCO class, as in CHAIR; but an owl is no pelican where
    both are labels.
    """
    if label.name == term.name or term.name in label.broader or label.name in term.broader:
        return True
    if term.name in {label.coarse, *label.kinds} or label.name in {term.coarse, *term.kinds}:
        return True
    same_class = term.coarse is not None and term.coarse == label.coarse
    return same_class and not words.is_label(term.name)


def is_closed(term: Term, words: ObjectWords) -> bool:
    """Whether the batch's annotators would have drawn a box: the thing, or its class, is one of their labels."""
    if term.homonym:
        return words.is_label_word(term.word)
    return words.is_label(term.name) or (term.coarse is not None and words.is_label(term.coarse))


def chair_instance(judged: Sequence[JudgedMention]) -> tuple[float, int]:
    """Weighted inventions and mentions that could be verified: numerator and denominator of CHAIR-i."""
    return sum(item.weight for item in judged), sum(item.outcome != UNVERIFIED for item in judged)
