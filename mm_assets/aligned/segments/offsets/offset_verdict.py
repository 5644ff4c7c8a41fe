# pyright: strict
"""What the offset gate found, and the forms in which it is stored."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mm_assets.aligned.segments.offsets.batch_timing import BatchTiming
from mm_assets.aligned.segments.offsets.clip_offset import ClipTiming
from mm_assets.aligned.segments.offsets.cue_order import CueOrder
from mm_assets.aligned.segments.offsets.pointers import PointerFinding
from mm_assets.aligned.segments.offsets.time_corrections import ProposedCorrection
from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.gates.verdicts import GateVerdict, finite, stored_verdict
from mm_assets.identifiers import make_id
from mm_assets.schemas import TABLES

GATE: Final = "offset"
IN_PLACE: Final = "in_place"


@dataclass(frozen=True)
class Diagnosis:
    """The best explanation of a batch.

    Attributes:
        hypothesis: its name with its value, such as ``offset(+0.800 s)``, ``drift(25/23.976)`` or ``shift(+1)``.
        kind: offset, drift, reversed, pointer_shift, pointer_reversal, overlapping_cues, unordered_cues, reversed_cues,
            order_lost or in_place.
        code: cross-modal code, None for in_place.
        value: the measured value: milliseconds of an offset, rate of a drift, k of a shift, else None.
        interval: its interval.
        log_ratio: natural logarithm of its likelihood over that of a sound batch; None without one.
        p_value: bound on the probability of such evidence, or more, in a sound batch.
        affected: ids of the clips that have it, in delivery order.
        lost: ids of displaced clips whose own attachment is nowhere in the batch.
        confidence: posterior of each affected clip.
        corrections: what would undo it; empty where only the source can be mended.
        findings: every problem that was proven, the gravest first.
        clips: clips to look at, the most telling first.
    """

    hypothesis: str
    kind: str
    code: CrossModalCode | None
    value: float | None
    interval: tuple[float, float] | None
    log_ratio: float | None
    p_value: float | None
    affected: tuple[str, ...]
    lost: tuple[str, ...]
    confidence: tuple[float, ...]
    corrections: tuple[ProposedCorrection, ...]
    findings: tuple[str, ...]
    clips: tuple[Mapping[str, Any], ...]

    @property
    def is_repairable(self) -> bool:
        """Whether corrections can undo it."""
        return bool(self.corrections)

    def to_json(self) -> dict[str, Any]:
        """JSON-able form for the ledger and the UI."""
        first = self.corrections[0] if self.corrections else None
        return {
            "hypothesis": self.hypothesis,
            "kind": self.kind,
            "parameters": {} if first is None else dict(first.parameters),
            "code": None if self.code is None else self.code.value,
            "fix": None if self.code is None else REMEDIES[self.code].fix,
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "likelihood_ratio": None if self.log_ratio is None else round(self.log_ratio, 3),
            "p_value": None if self.p_value is None else float(f"{self.p_value:.3g}"),
            "repairable": self.is_repairable,
            "affected_clips": list(self.affected),
            "affected_confidence": [round(value, 4) for value in self.confidence],
            "clips_without_attachment": list(self.lost),
            "corrections": [item.to_json() for item in self.corrections],
            "findings": list(self.findings),
            "clip_examples": [dict(item) for item in self.clips],
        }


@dataclass(frozen=True, eq=False)
class OffsetVerdict:
    """What the gate found.

    Attributes:
        digest: hash of everything the verdict depends on.
        clips: clips looked at.
        cues: times of cues against speech or words, one entry a clip; None where there is none.
        sound: times of sound against pictures, likewise.
        orders: order of cues, one entry a clip.
        timings: what the batch's clips come to together, by tracks.
        pointers: what was found about each pointer.
        affected_share: share of clips that have a proven fault: the gated value.
        allowed_share: share a sound batch may have.
        judged: whether anything could be told.
        passed: whether the batch meets the gate; True if it was not judged.
        code: cross-modal code of a failure.
        reason: the verdict in one sentence or two.
        diagnosis: explanation and evidence.
    """

    digest: str
    clips: int
    cues: tuple[ClipTiming | None, ...]
    sound: tuple[ClipTiming | None, ...]
    orders: tuple[CueOrder, ...]
    timings: tuple[BatchTiming, ...]
    pointers: tuple[PointerFinding, ...]
    affected_share: float
    allowed_share: float
    judged: bool
    passed: bool
    code: CrossModalCode | None
    reason: str
    diagnosis: Diagnosis

    def evaluation_id(self, batch: str) -> str:
        """Id of this verdict on this batch."""
        return make_id("eval", GATE, batch, self.digest)

    def to_json(self) -> dict[str, Any]:
        """Diagnosis and figures, JSON-able."""
        return self.diagnosis.to_json() | {
            "judged": self.judged,
            "clips": self.clips,
            "timings": [timing.to_json() for timing in self.timings],
            "pointers": [finding.to_json() for finding in self.pointers],
        }

    def to_row(self, batch: str, source: str) -> dict[str, Any]:
        """The batch's row of ``segment_offsets``."""
        medians = {timing.tracks: timing for timing in self.timings}
        row: dict[str, Any] = {
            "batch": batch,
            "evaluation_id": self.evaluation_id(batch),
            "source": source,
            "clips": self.clips,
            "affected_share": self.affected_share if self.judged else math.nan,
            "allowed_share": self.allowed_share if self.judged else math.nan,
            "judged": self.judged,
            "passed": self.passed,
            "code": None if self.code is None else self.code.value,
            "reason": self.reason,
            "hypothesis": None if self.passed else self.diagnosis.hypothesis,
            "likelihood_ratio": self.diagnosis.log_ratio,
            "affected_clips": list(self.diagnosis.affected),
            "affected_confidence": list(self.diagnosis.confidence),
            "diagnosis_json": json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True),
        }
        for name, tracks in (("cue", "cues"), ("sound", "audio_video")):
            timing = medians.get(tracks)
            told = timing is not None and math.isfinite(timing.median_offset_us)
            low, high = timing.median_interval_us if timing is not None and told else (math.nan, math.nan)
            row[f"{name}_clips"] = 0 if timing is None else timing.judged
            row[f"{name}_offset_us"] = timing.median_offset_us if timing is not None and told else math.nan
            row[f"{name}_offset_low_us"], row[f"{name}_offset_high_us"] = low, high
        return row

    def to_frame(self, batch: str) -> pl.DataFrame:
        """Rows of ``clip_offsets``: one per clip and pair of tracks."""
        found = [timing for timing in (*self.cues, *self.sound) if timing is not None]
        told = [(t, math.isfinite(t.offset_us)) for t in found]
        return pl.DataFrame(
            {
                "batch": [batch] * len(found),
                "clip_id": [t.clip_id for t in found],
                "tracks": [t.tracks for t in found],
                "timing": [t.timing.value for t in found],
                "offset_us": [round(t.offset_us) if has else None for t, has in told],
                "offset_low_us": [round(t.offset_interval_us[0]) if has else None for t, has in told],
                "offset_high_us": [round(t.offset_interval_us[1]) if has else None for t, has in told],
                "drift_ppm": [t.drift_ppm if has else None for t, has in told],
                "beyond": [t.beyond if t.is_judged else None for t in found],
                "evidence": [finite(t.evidence) for t in found],
                "affected": [t.clip_id in self.diagnosis.affected for t in found],
            },
            schema=TABLES["clip_offsets"].schema,
        )


def verdict_of_row(row: Mapping[str, Any]) -> GateVerdict:
    """The verdict that a row of ``segment_offsets`` states."""
    return stored_verdict(row, GATE, measured=row["affected_share"], threshold=row["allowed_share"])
