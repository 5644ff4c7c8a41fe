"""Whether the contradictions of a batch are more than slips, by what was checked: the verdict of the gate."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl
from scipy.special import betainc

from mm_assets.aligned.objects.orientation.findings import Subject, Verdict
from mm_assets.display.counts import tell_count
from mm_assets.errors import CrossModalCode
from mm_assets.gates.binomial_interval import clopper_pearson
from mm_assets.gates.verdicts import GateVerdict, stored_verdict
from mm_assets.identifiers import make_id
from mm_assets.policy import OrientationPolicy
from mm_assets.schemas import TABLES

GATE: Final = "orientation"
_TABLE: Final = TABLES["orientation_checks"]
_NAMED: Final = 3
_ASKS: Final = {
    Subject.DECLARED: (
        "declared orientations of medical pictures",
        "what is declared cannot all be true; correct the orientation metadata at its source",
    ),
    Subject.MARKER: (
        "medical pictures with a side marker",
        "the pictures were mirrored, or another side is declared than the marker says; deliver them as they were taken",
    ),
    Subject.CAPTION: (
        "captions about sides",
        "pictures, boxes or captions were mirrored; compare the listed examples with the source and undo the flip",
    ),
}
_HYPOTHESES: Final = {
    Subject.DECLARED: "wrong orientation metadata",
    Subject.MARKER: "mirrored pictures",
    Subject.CAPTION: "mirrored pictures, boxes or captions",
}


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


def orientation_verdict(
    batch: str, rows: pl.DataFrame, policy: OrientationPolicy, names: Mapping[str, str] | None = None
) -> GateVerdict:
    """Judge a batch by its findings.

    What is declared of medical pictures is judged strictly, markers are allowed the errors of their reader, and
    captions the confusion of people. Every contradiction is in the table even if the batch passes.

    Args:
        batch: the batch.
        rows: its rows of ``orientation_checks``.
        policy: rates and significances.
        names: file names of contradicted pictures by image id, for the reason; an id stands for itself otherwise.

    Returns:
        The verdict; its measured value is the contradicted share of the kind that fails most surely, or of the one
        that was decided most often.
    """
    names = names or {}
    rows = rows.sort(_TABLE.order_by)
    counted = {subject: _count(rows, subject, policy) for subject in Subject}
    failed = sorted((subject for subject in counted if counted[subject].fails), key=lambda kind: counted[kind].p_value)
    subject = failed[0] if failed else max(Subject, key=lambda kind: counted[kind].decided)
    contradictions = rows.filter(pl.col("verdict") == Verdict.CONTRADICTED.value)
    listed = contradictions.sort(
        pl.col("subject") != subject.value, -pl.col("confidence"), "position", "evidence", maintain_order=True
    )
    affected = contradictions["image_id"].unique(maintain_order=True).to_list()
    judged = listed.filter(pl.col("subject") == subject.value)["image_id"].unique(maintain_order=True).to_list()
    return GateVerdict(
        evaluation_id=make_id("eval", GATE, batch, policy.model_dump_json(), rows.write_ndjson()),
        batch=batch,
        gate=GATE,
        passed=not failed,
        code=CrossModalCode.MIRROR.value if failed else None,
        reason=_reason(
            counted,
            subject,
            [str(names.get(image_id, image_id)) for image_id in judged],
            policy.interval_confidence,
            others=len(affected),
        ),
        measured=counted[subject].share,
        threshold=counted[subject].null_rate if counted[subject].decided else None,
        diagnosis={
            "failed": [kind.value for kind in failed],
            "hypothesis": _HYPOTHESES[failed[0]] if failed else None,
            "rows_explained": counted[subject].share if failed else None,
            **{kind.value: _told(counted[kind]) for kind in Subject},
            "by_subject": _by_subject(rows),
            "affected_images": affected,
            "examples": [
                {
                    "image_id": row["image_id"],
                    "file_name": names.get(row["image_id"], row["image_id"]),
                    "caption_id": row["caption_id"],
                    "subject": row["subject"],
                    "text": row["evidence"],
                    "confidence": row["confidence"],
                }
                for row in listed.head(policy.listed_findings).iter_rows(named=True)
            ],
        },
    )


def agreement_row(verdict: GateVerdict, source: str, pictures_read: int) -> dict[str, Any]:
    """One row of ``orientation_agreement``; NaN where nothing could be decided."""
    figures: dict[str, Any] = {}
    for kind in Subject:
        told = verdict.diagnosis[kind.value]
        figures |= {
            f"{kind.value}_decided": told["decided"],
            f"{kind.value}_contradicted": told["contradicted"],
            f"{kind.value}_low": _or_nan(told["low"]),
            f"{kind.value}_high": _or_nan(told["high"]),
            f"{kind.value}_null_rate": told["null_rate"],
            f"{kind.value}_p_value": told["p_value"],
        }
    return {
        "batch": verdict.batch,
        "evaluation_id": verdict.evaluation_id,
        "source": source,
        "pictures_read": pictures_read,
        **figures,
        "measured": _or_nan(verdict.measured),
        "threshold": _or_nan(verdict.threshold),
        "passed": verdict.passed,
        "code": verdict.code,
        "reason": verdict.reason,
        "diagnosis_json": json.dumps(dict(verdict.diagnosis), ensure_ascii=False, sort_keys=True),
    }


def verdict_of_row(row: Mapping[str, Any]) -> GateVerdict:
    """The verdict that a row of ``orientation_agreement`` states."""
    return stored_verdict(row, GATE, measured=row["measured"], threshold=row["threshold"])


def waive_captions(verdict: GateVerdict, waived: str) -> GateVerdict:
    """The verdict where a person let go what makes captions contradict their boxes.

    Captions of other pictures, or mirrored boxes, were accepted under another gate; that the captions' sides do not
    fit is no second finding. Medical pictures are judged all the same.

    Args:
        verdict: of this gate.
        waived: the other gate.
    """
    if verdict.diagnosis["failed"] != [Subject.CAPTION.value]:
        return verdict
    return replace(verdict, passed=True, code=None, reason=f"Not judged, {waived} was waived. {verdict.reason}")


def count_contradictions(
    contradicted: int, decided: int, null_rate: float, significance: float, confidence: float
) -> Contradictions:
    """Test a count against the rate that slips explain, one-sided and exact.

    >>> count_contradictions(1, 500, 0.001, 0.05, 0.95).fails, count_contradictions(3, 500, 0.001, 0.05, 0.95).fails
    (False, True)
    """
    if decided == 0:
        return Contradictions(0, 0, None, None, null_rate, 1.0, fails=False)
    low, high = clopper_pearson(contradicted, decided, confidence)
    p_value = float(betainc(contradicted, decided - contradicted + 1, null_rate)) if contradicted else 1.0
    return Contradictions(contradicted, decided, low, high, null_rate, p_value, p_value < significance)


def _count(rows: pl.DataFrame, subject: Subject, policy: OrientationPolicy) -> Contradictions:
    own = rows.filter(pl.col("subject") == subject.value)
    is_caption = subject is Subject.CAPTION
    counts = pl.lit(value=True) if is_caption else pl.col("confidence") >= policy.min_finding_confidence
    verdict = pl.col("verdict")
    per_unit = own.group_by("caption_id" if is_caption else "image_id").agg(
        ((verdict == Verdict.CONTRADICTED.value) & counts).any().alias("contradicted"),
        (verdict != Verdict.UNDECIDED.value).any().alias("decided"),
    )
    contradicted, decided = int(per_unit["contradicted"].sum()), int(per_unit["decided"].sum())
    slips, significance = {
        Subject.DECLARED: (policy.medical_null_rate, policy.medical_significance),
        Subject.MARKER: (policy.medical_null_rate + policy.marker_error_rate, policy.marker_significance),
        Subject.CAPTION: (policy.caption_null_rate, policy.caption_significance),
    }[subject]
    found = count_contradictions(contradicted, decided, slips, significance, policy.interval_confidence)
    too_few = is_caption and contradicted < policy.min_contradicted_captions
    return replace(found, fails=False) if too_few else found


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


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _reason(
    counted: Mapping[Subject, Contradictions],
    subject: Subject,
    names: Sequence[str],
    confidence: float,
    *,
    others: int,
) -> str:
    judged = counted[subject]
    for_review = f"on {tell_count(others, 'picture')} are listed for review"
    if judged.decided == 0:
        listed = f"; weak findings {for_review}" if others else ""
        return (
            "Nothing about sides could be decided: no orientation is declared and no caption's claim has its boxes"
            f"{listed}."
        )
    noun, advice = _ASKS[subject]
    is_or_are = "is" if judged.contradicted == 1 else "are"
    measured = (
        f"{judged.contradicted} of {judged.decided} {noun} {is_or_are} contradicted "
        f"({judged.contradicted / judged.decided:.1%}, {confidence:.0%} interval {judged.low:.1%} to {judged.high:.1%})"
    )
    if not judged.fails:
        listed = f"; contradictions {for_review}" if others else ""
        return f"{measured}, which slips explain{listed}."
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    shown = f"{', '.join(names[:_NAMED])}{more}"
    return f"{measured}, and slips explain {judged.null_rate:.1%}: {advice}. Contradicted: {shown}."
