# pyright: strict
"""What every caption of a batch claims, chunk by chunk of its pictures.

A chunk holds whole pictures: all captions of each, its boxes, and what a detector saw. Reading a caption costs a
quarter of a millisecond, comparing two a fortieth; a detector looks only at pictures whose captions name something that
it can see and that annotations leave open.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.aligned.objects.claims.caption_reading import read_caption
from mm_assets.aligned.objects.claims.chair import (
    INVENTED,
    SUPPORTED,
    UNVERIFIED,
    DetectorKnowledge,
    JudgedMention,
    Mention,
    PictureKnowledge,
    find_mentions,
    is_closed,
    judge_mention,
)
from mm_assets.aligned.objects.claims.conflicts import Conflict
from mm_assets.aligned.objects.claims.interfaces import Entailment, ObjectDetector
from mm_assets.aligned.objects.claims.object_classes import ObjectWords
from mm_assets.aligned.objects.claims.pair_conflicts import ENTAILMENT, PairJudge
from mm_assets.policy import FaithfulnessPolicy
from mm_assets.schemas import TABLES

KEEP: Final = "keep"
REVIEW: Final = "review"
REJECT: Final = "reject"
CONTRADICTED: Final = "contradicted"
DETECTION_SCHEMA: Final = pl.Schema(
    {"image_id": pl.String, "seen": pl.List(pl.String), "certain": pl.List(pl.String), "clarity": pl.Float64}
)
_READ_LANGUAGES: Final = frozenset({"en", "und", ""})
_PICTURES_PER_CALL: Final = 16
_FEWEST_TO_OUTVOTE: Final = 3
_Row = Mapping[str, Any]


@dataclass
class CaptionChecker:
    """Holds captions against pictures and against one another.

    Attributes:
        labels: every label of the batch; they say what its annotators look for.
        policy: weights and thresholds.
        vocabulary: what the detector can see; empty without one.
        entailment: asked about pairs the rules leave open; None for rules only.
    """

    labels: Iterable[str]
    policy: FaithfulnessPolicy
    vocabulary: Iterable[str] = ()
    entailment: Entailment | None = None

    def __post_init__(self) -> None:
        labels, vocabulary = sorted(set(self.labels)), sorted(set(self.vocabulary))
        self.words = ObjectWords(labels, vocabulary)
        self.pairs = PairJudge(self.words, self.policy, self.entailment)
        self._detector = DetectorKnowledge.of(vocabulary, self.words) if vocabulary else None

    def wanted(self, captions: pl.DataFrame, boxes: pl.DataFrame) -> dict[str, frozenset[str]]:
        """Which objects a detector should look for in which pictures.

        Args:
            captions: as for `claim`.
            boxes: as for `claim`.

        Returns:
            The detector's names by image, only images where it can tell something.
        """
        if self._detector is None:
            return {}
        annotated = set(boxes["image_id"].unique().to_list())
        asked: dict[str, set[str]] = {}
        for row in captions.iter_rows(named=True):
            for mention in self._mentions(row):
                name = self._detector.visible(mention.term)
                closed = row["image_id"] in annotated and is_closed(mention.term, self.words)
                if name is not None and not closed and not mention.term.homonym:
                    asked.setdefault(row["image_id"], set()).add(name)
        return {image_id: frozenset(names) for image_id, names in sorted(asked.items())}

    def claim(self, captions: pl.DataFrame, boxes: pl.DataFrame, detections: pl.DataFrame | None) -> pl.DataFrame:
        """Check the captions of some pictures.

        Args:
            captions: batch, caption_id, image_id, position, caption_index, text, language, source and annotator; all
                captions of each picture.
            boxes: image_id and label of the boxes of these pictures.
            detections: rows of `DETECTION_SCHEMA`, from `detect_objects`; None if no detector looked.

        Returns:
            Rows of ``caption_claims``, one per caption.
        """
        known = self.know(boxes, detections)
        ordered = captions.sort("position", "caption_index")
        pictures = [
            (str(image_id), list(group.iter_rows(named=True)))
            for (image_id,), group in ordered.group_by("image_id", maintain_order=True)
        ]
        conflicts = self.pairs.find(
            [[(place, row["text"]) for place, row in enumerate(group) if _is_read(row)] for _, group in pictures]
        )
        rows: list[dict[str, Any]] = []
        for (image_id, group), found in zip(pictures, conflicts, strict=True):
            rows += self._check_picture(group, known.get(image_id, PictureKnowledge()), found)
        return TABLES["caption_claims"].conform(pl.DataFrame(rows, schema=TABLES["caption_claims"].schema))

    def judge_text(self, text: str, known: PictureKnowledge) -> list[JudgedMention]:
        """Hold the objects one caption names against what is known of its picture."""
        return [
            judge_mention(mention, known, self.words, self._detector, self.policy)
            for mention in find_mentions(read_caption(text), self.words)
        ]

    def know(self, boxes: pl.DataFrame, detections: pl.DataFrame | None) -> dict[str, PictureKnowledge]:
        """What is known of each picture that has boxes or was looked at; arguments as of `claim`."""
        labelled = boxes.filter(pl.col("label").is_not_null()).group_by("image_id").agg(pl.col("label").unique().sort())
        labels = dict(labelled.iter_rows())
        seen = {} if detections is None else {row["image_id"]: row for row in detections.iter_rows(named=True)}
        found: dict[str, PictureKnowledge] = {}
        for image_id in labels.keys() | seen.keys():
            terms = [self.words.labels[label] for label in labels.get(image_id, ()) if label in self.words.labels]
            sight = seen.get(image_id)
            found[image_id] = PictureKnowledge(
                labels=tuple(terms) if image_id in labels else None,
                seen=None if sight is None else frozenset(sight["seen"]),
                certain=frozenset() if sight is None else frozenset(sight["certain"]),
                clear=sight is not None and sight["clarity"] >= self.policy.clear_probability,
            )
        return found

    def _mentions(self, row: _Row) -> list[Mention]:
        return find_mentions(read_caption(row["text"]), self.words) if _is_read(row) else []

    def _check_picture(
        self, captions: Sequence[_Row], known: PictureKnowledge, conflicts: Mapping[tuple[int, int], Conflict]
    ) -> Iterator[dict[str, Any]]:
        judged = [self.judge_text(row["text"], known) if _is_read(row) else [] for row in captions]
        inventive = [max((item.weight for item in items), default=0.0) for items in judged]
        actions = decide_actions(inventive, conflicts, self.policy)
        labels = {term.name for term in known.labels or ()}
        for place, (row, items) in enumerate(zip(captions, judged, strict=True)):
            mine = [(other, conflict) for pair, conflict in conflicts.items() for other in _other(pair, place)]
            inventions = [item for item in items if item.outcome == INVENTED]
            checked = [item for item in items if item.outcome != UNVERIFIED]
            sources = frozenset[str]().union(*(item.sources for item in checked))
            supported = [item for item in items if item.outcome == SUPPORTED]
            seen = {item.mention.term.name for item in supported if "detected" in item.sources}
            yield {
                **{name: row[name] for name in ("batch", "caption_id", "image_id", "position", "caption_index")},
                "source": row["source"],
                "annotator": row["annotator"],
                "read": _is_read(row),
                "mentioned": sorted(item.mention.term.name for item in items),
                "checked": sorted(item.mention.term.name for item in checked),
                "known": sorted(labels | seen),
                "knowledge": _tell_sources(sources),
                "invented": [item.mention.term.name for item in inventions],
                "weights": [item.weight for item in inventions],
                "evidence_weight": inventive[place],
                "blindness": 1.0 - float(np.prod([1.0 - item.blindness for item in checked])),
                "conflicts_with": [captions[other]["caption_id"] for other, _ in mine],
                "conflicts": [conflict.tell() for _, conflict in mine],
                "conflict_confidence": max((conflict.confidence for _, conflict in mine), default=0.0),
                "verdict": _tell_verdict(bool(inventions), bool(mine), bool(checked)),
                "action": actions[place],
            }


def claim_captions(
    captions: pl.DataFrame,
    boxes: pl.DataFrame,
    detections: pl.DataFrame | None,
    policy: FaithfulnessPolicy,
    *,
    vocabulary: Iterable[str] = (),
    entailment: Entailment | None = None,
) -> pl.DataFrame:
    """Check the captions of a whole batch at once; see `CaptionChecker.claim`, which takes it in chunks.

    Args:
        captions: captions of the batch.
        boxes: its boxes.
        detections: what a detector saw, or None.
        policy: weights and thresholds.
        vocabulary: what the detector can see.
        entailment: asked about pairs the rules leave open.
    """
    labels = boxes["label"].drop_nulls().unique().to_list()
    return CaptionChecker(labels, policy, vocabulary, entailment).claim(captions, boxes, detections)


def detect_objects(
    pictures: Iterable[tuple[str, NDArray[np.uint8]]],
    wanted: Mapping[str, frozenset[str]],
    detector: ObjectDetector,
) -> pl.DataFrame:
    """Let a detector look at pictures, a few at a time.

    Args:
        pictures: image ids and decoded pixels, uint8 RGB (H, W, 3), of the images in ``wanted``.
        wanted: from `CaptionChecker.wanted`.
        detector: the detector.

    Returns:
        Rows of `DETECTION_SCHEMA`, one per picture.
    """
    rows: list[dict[str, Any]] = []
    waiting: list[tuple[str, NDArray[np.uint8]]] = []

    def look() -> None:
        ids = [image_id for image_id, _ in waiting]
        seen = detector.detect([pixels for _, pixels in waiting], [wanted[image_id] for image_id in ids])
        for image_id, objects in zip(ids, seen, strict=True):
            rows.append(
                {
                    "image_id": image_id,
                    "seen": sorted(objects.seen),
                    "certain": sorted(objects.certain),
                    "clarity": objects.clarity,
                }
            )
        waiting.clear()

    for image_id, pixels in pictures:
        waiting.append((image_id, detector.prepare(pixels)))
        if len(waiting) == _PICTURES_PER_CALL:
            look()
    if waiting:
        look()
    return pl.DataFrame(rows, schema=DETECTION_SCHEMA)


def decide_actions(
    inventive: Sequence[float], conflicts: Mapping[tuple[int, int], Conflict], policy: FaithfulnessPolicy
) -> list[str]:
    """What is to become of the captions of one picture.

    An invention that annotations prove is rejected, one that a detector suggests is reviewed. A caption that
    contradicts most of its siblings, while these agree with each other, is rejected; of two that contradict each other
    both are reviewed, since nothing tells which is wrong, unless one is rejected already. What an NLI model alone calls
    a contradiction is reviewed, never rejected.

    Args:
        inventive: per caption, the weight of its surest invention.
        conflicts: by pair of captions.
        policy: thresholds.
    """
    actions = [REJECT if weight >= policy.reject_evidence else REVIEW if weight else KEEP for weight in inventive]
    sure = {
        pair
        for pair, conflict in conflicts.items()
        if conflict.confidence >= policy.reject_conflict_confidence and conflict.rule != ENTAILMENT
    }
    for place in range(len(actions)):
        against = {other for pair in sure for other in _other(pair, place)}
        rest = [pair for pair in conflicts if place not in pair]
        if len(actions) >= _FEWEST_TO_OUTVOTE and len(against) > (len(actions) - 1) / 2 and not rest:
            actions[place] = REJECT
    for first, second in conflicts:
        if REJECT not in {actions[first], actions[second]}:
            actions[first] = actions[second] = REVIEW
    return actions


def _is_read(row: _Row) -> bool:
    return (row["language"] or "") in _READ_LANGUAGES


def _other(pair: tuple[int, int], place: int) -> Iterator[int]:
    if place in pair:
        yield pair[1] if pair[0] == place else pair[0]


def _tell_sources(sources: frozenset[str]) -> str:
    if len(sources) > 1:
        return "both"
    return next(iter(sources), "none")


def _tell_verdict(invents: bool, contradicts: bool, checked: bool) -> str:
    if invents:
        return INVENTED
    if contradicts:
        return CONTRADICTED
    return SUPPORTED if checked else UNVERIFIED
