"""Orientation of a batch: every finding as a row, and whether they hold the batch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl
from scipy.special import betainc, betaincinv

from mm_assets.aligned.objects.anchoring.lexical import NONE
from mm_assets.aligned.objects.anchoring.verdicts import ANCHORED, MISMATCHED
from mm_assets.aligned.objects.gate.findings import Finding, Subject, Verdict
from mm_assets.aligned.objects.orientation.orientation import Orientation, parse_orientation
from mm_assets.aligned.objects.orientation.orientation_rules import check_declared, check_markers
from mm_assets.aligned.objects.orientation.patient_orientation import is_medical
from mm_assets.aligned.objects.orientation.side_claims import Anchor, check_claims
from mm_assets.aligned.objects.orientation.side_markers import MARKER_SCHEMA, SideMarker
from mm_assets.errors import CrossModalCode
from mm_assets.gates.verdicts import GateVerdict
from mm_assets.identifiers import make_id
from mm_assets.policy import OrientationPolicy
from mm_assets.schemas import TABLES

GATE: Final = "orientation"
_TABLE: Final = TABLES["orientation_checks"]
_NAMES_A_SIDE: Final = r"(?i)\b(?:left|right)"


class _Annotations(msgspec.Struct):
    orientation: dict[str, Any] | None = None


_ANNOTATIONS: Final = msgspec.json.Decoder(_Annotations)


@dataclass(frozen=True)
class Contradictions:
    """How many of those that could be decided are contradicted, and whether chance explains it.

    Attributes:
        contradicted: pictures or captions with a contradiction that counts.
        decided: those with any decision.
        low: lower end of the share's Clopper-Pearson interval; None if nothing was decided.
        high: upper end.
        null_rate: share that slips explain.
        p_value: chance of as many or more at that share; 1 if nothing was decided.
        fails: whether that is too small a chance.
    """

    contradicted: int
    decided: int
    low: float | None
    high: float | None
    null_rate: float
    p_value: float
    fails: bool

    @property
    def share(self) -> float | None:
        """Contradicted over decided."""
        return self.contradicted / self.decided if self.decided else None


def list_medical(images: pl.DataFrame, policy: OrientationPolicy) -> pl.DataFrame:
    """Images whose side markers are worth reading: medical, and of a modality that carries markers if it is known.

    Args:
        images: rows of ``images``, or at least ``image_id`` and ``annotations_json``.
        policy: modalities; with ``ocr_enabled`` off, no image is listed.

    Returns:
        The rows of those images.
    """
    if not policy.ocr_enabled:
        return images.clear()
    wanted = [
        image_id
        for image_id, orientation in _declared(images)
        if orientation.modality is None or orientation.modality in policy.ocr_modalities
    ]
    return images.filter(pl.col("image_id").is_in(wanted))


def check_orientation(
    images: pl.DataFrame,
    captions: pl.DataFrame,
    alignments: pl.DataFrame,
    markers: pl.DataFrame,
    policy: OrientationPolicy,
) -> pl.DataFrame:
    """Check declared orientation, side markers and captions of the images given.

    Args:
        images: rows of ``images``: batch, image_id, position, width, annotations_json.
        captions: rows of ``captions``: caption_id, image_id, text.
        alignments: rows of ``object_alignments``: caption_id, image_id, phrase_start, phrase_end, x1, x2,
            lexical, verdict; and ``label`` of the box where it is known, which tells two cats apart.
        markers: rows of `MARKER_SCHEMA`.
        policy: margin and confidences.

    Returns:
        Rows of ``orientation_checks``, in the table's order.
    """
    places = images.select("batch", "image_id", "position", "width")
    found = [*_medical_findings(images, markers, policy), *_caption_findings(images, captions, alignments, policy)]
    rows = pl.DataFrame(
        [
            {
                "image_id": image_id,
                "caption_id": finding.caption_id,
                "subject": finding.subject.value,
                "evidence": finding.evidence,
                "confidence": finding.confidence,
                "verdict": finding.verdict.value,
                "code": CrossModalCode.MIRROR.value if finding.verdict is Verdict.CONTRADICTED else None,
            }
            for image_id, finding in found
        ],
        schema={name: dtype for name, dtype in _TABLE.schema.items() if name not in {"batch", "position"}},
    )
    joined = rows.join(places.drop("width"), on="image_id", how="inner")
    return _TABLE.conform(joined).sort(_TABLE.order_by, nulls_last=False)


def orientation_verdict(batch: str, rows: pl.DataFrame, policy: OrientationPolicy) -> GateVerdict:
    """Whether the contradictions of a batch are more than slips.

    Medical findings, declared or read from markers, are judged strictly; captions are allowed the confusion of people.
    Every medical contradiction that counts is listed in the diagnosis even if the batch passes.

    Args:
        batch: the batch.
        rows: its rows of ``orientation_checks``.
        policy: rates and significances.

    Returns:
        The verdict; its measured value is the contradicted share of the failing kind, or of the one that was decided
        most often.
    """
    rows = rows.sort(_TABLE.order_by)
    medical = _count_medical(rows, policy)
    captions = _count_captions(rows, policy)
    passed = not (medical.fails or captions.fails)
    judged, noun = (medical, "medical pictures") if medical.fails else (captions, "captions about sides")
    if passed and medical.decided > captions.decided:
        judged, noun = medical, "medical pictures"
    contradictions = rows.filter(pl.col("verdict") == Verdict.CONTRADICTED.value)
    listed = contradictions.sort("confidence", "position", "evidence", descending=[True, False, False])
    return GateVerdict(
        evaluation_id=make_id("eval", GATE, batch, policy.model_dump_json(), rows.write_ndjson()),
        batch=batch,
        gate=GATE,
        passed=passed,
        code=None if passed else CrossModalCode.MIRROR.value,
        reason=_reason(judged, noun, medical, policy.interval_confidence, passed=passed),
        measured=judged.share,
        threshold=judged.null_rate if judged.decided else None,
        diagnosis={
            "medical": _told(medical),
            "captions": _told(captions),
            "by_subject": _by_subject(rows),
            "affected_images": contradictions["image_id"].unique(maintain_order=True).to_list(),
            "examples": [
                {
                    "image_id": row["image_id"],
                    "caption_id": row["caption_id"],
                    "subject": row["subject"],
                    "text": row["evidence"],
                    "restored_text": None,
                    "confidence": row["confidence"],
                }
                for row in listed.head(policy.listed_findings).iter_rows(named=True)
            ],
        },
    )


def count_contradictions(
    contradicted: int, decided: int, null_rate: float, significance: float, confidence: float
) -> Contradictions:
    """Test a count against the rate that slips explain, one-sided and exact.

    Source: Clopper and Pearson 1934.

    >>> count_contradictions(1, 500, 0.001, 0.05, 0.95).fails, count_contradictions(3, 500, 0.001, 0.05, 0.95).fails
    (False, True)
    """
    if decided == 0:
        return Contradictions(0, 0, None, None, null_rate, 1.0, fails=False)
    tail = (1.0 - confidence) / 2.0
    others = decided - contradicted
    low = float(betaincinv(contradicted, others + 1, tail)) if contradicted else 0.0
    high = float(betaincinv(contradicted + 1, others, 1.0 - tail)) if others else 1.0
    p_value = float(betainc(contradicted, others + 1, null_rate)) if contradicted else 1.0
    return Contradictions(contradicted, decided, low, high, null_rate, p_value, p_value < significance)


def _declared(images: pl.DataFrame) -> Iterator[tuple[str, Orientation]]:
    """Images that declare an orientation."""
    mentions = pl.col("annotations_json").str.contains('"orientation"', literal=True).fill_null(value=False)
    for image_id, text in images.filter(mentions).select("image_id", "annotations_json").iter_rows():
        orientation = _ANNOTATIONS.decode(text).orientation
        if orientation is not None and is_medical(orientation):
            yield image_id, parse_orientation(orientation)


def _medical_findings(
    images: pl.DataFrame, markers: pl.DataFrame, policy: OrientationPolicy
) -> Iterator[tuple[str, Finding]]:
    widths: dict[str, int] = dict(images.select("image_id", "width").iter_rows())
    read: dict[str, list[SideMarker]] = {}
    for image_id, side, text, reads, confidence, *box in markers.select(MARKER_SCHEMA.names()).iter_rows():
        read.setdefault(image_id, []).append(
            SideMarker(side, text, reads, confidence, (box[0], box[1], box[2], box[3]))
        )
    declared = dict(_declared(images))
    for image_id, orientation in declared.items():
        for finding in check_declared(orientation):
            yield image_id, finding
    for image_id, found in read.items():
        if image_id in widths:
            orientation = declared.get(image_id, Orientation())
            for finding in check_markers(orientation, found, widths[image_id], policy.side_margin):
                yield image_id, finding


def _caption_findings(
    images: pl.DataFrame, captions: pl.DataFrame, alignments: pl.DataFrame, policy: OrientationPolicy
) -> Iterator[tuple[str, Finding]]:
    """Captions that name a side, each with its anchored phrases; nothing else is taken apart in Python."""
    named = captions.filter(pl.col("text").str.contains(_NAMES_A_SIDE)).select("caption_id", "image_id", "text")
    label = pl.col("label") if "label" in alignments.columns else pl.lit(None, pl.String).alias("label")
    anchored = (
        alignments.filter(_names_its_box() & pl.col("phrase_start").is_not_null() & pl.col("caption_id").is_not_null())
        .join(named.select("caption_id"), on="caption_id", how="semi")
        .join(images.select("image_id", "width"), on="image_id", how="inner")
        .select(
            "caption_id",
            "phrase_start",
            "phrase_end",
            ((pl.col("x1") + pl.col("x2")) / 2.0 / pl.col("width")).cast(pl.Float64).alias("middle"),
            label,
        )
        .group_by("caption_id", "phrase_start", "phrase_end", maintain_order=True)
        .agg(pl.col("middle").sort(), pl.col("label").drop_nulls().first())
    )
    phrases: dict[str, list[Anchor]] = {}
    for caption_id, start, end, middles, category in anchored.iter_rows():
        phrases.setdefault(caption_id, []).append(Anchor(start, end, tuple(middles), category))
    for caption_id, image_id, text in named.iter_rows():
        for finding in check_claims(text, caption_id, phrases.get(caption_id, []), policy.side_margin):
            yield image_id, finding


def _names_its_box() -> pl.Expr:
    """A box under a phrase of another place is mismatched, which is the very thing to find: its words still agree."""
    verdict = pl.col("verdict")
    return (verdict == ANCHORED) | ((verdict == MISMATCHED) & (pl.col("lexical") != NONE))


def _count_medical(rows: pl.DataFrame, policy: OrientationPolicy) -> Contradictions:
    counts = pl.col("confidence") >= policy.min_finding_confidence
    contradicted, decided = _count(rows.filter(pl.col("subject") != Subject.CAPTION.value), "image_id", counts)
    return count_contradictions(
        contradicted, decided, policy.medical_null_rate, policy.medical_significance, policy.interval_confidence
    )


def _count_captions(rows: pl.DataFrame, policy: OrientationPolicy) -> Contradictions:
    contradicted, decided = _count(
        rows.filter(pl.col("subject") == Subject.CAPTION.value), "caption_id", pl.lit(value=True)
    )
    found = count_contradictions(
        contradicted, decided, policy.caption_null_rate, policy.caption_significance, policy.interval_confidence
    )
    enough = contradicted >= policy.min_contradicted_captions
    return found if enough else Contradictions(**(vars(found) | {"fails": False}))


def _count(rows: pl.DataFrame, unit: str, counts: pl.Expr) -> tuple[int, int]:
    """Units with a contradiction that counts, and units with any decision."""
    verdict = pl.col("verdict")
    per_unit = rows.group_by(unit).agg(
        ((verdict == Verdict.CONTRADICTED.value) & counts).any().alias("contradicted"),
        (verdict != Verdict.UNDECIDED.value).any().alias("decided"),
    )
    return int(per_unit["contradicted"].sum()), int(per_unit["decided"].sum())


def _by_subject(rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    counted = rows.group_by("subject", "verdict").len().sort("subject", "verdict")
    found: dict[str, dict[str, int]] = {}
    for subject, verdict, count in counted.iter_rows():
        found.setdefault(subject, {})[verdict] = count
    return found


def _told(counted: Contradictions) -> Mapping[str, float | int | bool | None]:
    told = vars(counted) | {"share": counted.share}
    return {name: _rounded(value) if isinstance(value, float) else value for name, value in told.items()}


def _rounded(value: float) -> float:
    return value if value == 0.0 else round(value, 4 - math.floor(math.log10(abs(value))))


def _reason(judged: Contradictions, noun: str, medical: Contradictions, confidence: float, *, passed: bool) -> str:
    if judged.decided == 0:
        return "Nothing about sides could be decided: no orientation is declared and no caption's claim has its boxes."
    measured = (
        f"{judged.contradicted} of {judged.decided} {noun} are contradicted "
        f"({judged.contradicted / judged.decided:.1%}, {confidence:.0%} interval {judged.low:.1%} to {judged.high:.1%})"
    )
    if passed:
        listed = f"; {medical.contradicted} medical ones are listed for review" if medical.contradicted else ""
        return f"{measured}, which slips explain{listed}."
    return (
        f"{measured}, and slips explain {judged.null_rate:.1%}: pictures, boxes or captions were mirrored, or their "
        "orientation was left as it was; compare the listed examples with the source and undo the flip."
    )
