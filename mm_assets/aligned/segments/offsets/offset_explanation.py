# pyright: strict
"""Proven faults of a batch: their names, sizes, rows, and what would undo them."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import betainc  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - it has none

from mm_assets.aligned.segments.offsets.alignment_profile import Profile
from mm_assets.aligned.segments.offsets.batch_timing import BatchTiming
from mm_assets.aligned.segments.offsets.clip_offset import ClipTiming, Timing, rejudge_clip, tell_offset
from mm_assets.aligned.segments.offsets.cue_order import CueOrder, Disorder
from mm_assets.aligned.segments.offsets.pointer_channels import AUDIO, SUBTITLES
from mm_assets.aligned.segments.offsets.pointers import PointerFinding
from mm_assets.aligned.segments.offsets.time_corrections import CUE_ORDER, TIME_RATE, TIME_SHIFT, ProposedCorrection
from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks, Floats
from mm_assets.policy import OffsetGatePolicy

_SHOWN: Final = 8
_WHOLE: Final = 0.95
"""Share of judged clips from which a fault is that of the whole batch, clips that cannot tell among them."""


@dataclass(frozen=True)
class Fault:
    """One proven fault.

    Attributes:
        hypothesis: its name with its value.
        kind: as in a diagnosis.
        precedence: which fault explains which: pointers explain all else, texts told backwards explain times.
        value: measured value.
        interval: its interval.
        log_ratio: log-evidence.
        p_value: its bound.
        affected: ids of the clips that have it.
        lost: ids of clips whose own attachment is nowhere.
        confidence: posterior of each affected clip.
        corrections: what would undo it.
        told: the fault in words.
        clips: clips to look at.
    """

    hypothesis: str
    kind: str
    precedence: int
    value: float | None
    interval: tuple[float, float] | None
    log_ratio: float | None
    p_value: float
    affected: tuple[str, ...]
    lost: tuple[str, ...]
    confidence: tuple[float, ...]
    corrections: tuple[ProposedCorrection, ...]
    told: str
    clips: tuple[Mapping[str, Any], ...]


def explain_pointer(finding: PointerFinding, clips: Sequence[ClipTracks]) -> Fault:
    """Pointers that lead to other clips."""
    rows = np.flatnonzero(finding.named).tolist()
    ids = tuple(clips[row].clip_id for row in rows)
    lost = tuple(clips[row].clip_id for row in rows if finding.sources[row] < 0)
    parameters = dict(finding.parameters)
    gain = finding.restored - finding.own
    shown = sorted(rows, key=lambda row: -float(gain[row]))[:_SHOWN]
    value = parameters.get("k")
    return Fault(
        hypothesis=f"{finding.side} {finding.hypothesis}",
        kind=finding.kind,
        precedence=3,
        value=None if value is None else float(value),
        interval=None if value is None else (float(value), float(value)),
        log_ratio=finding.log_ratio,
        p_value=finding.p_value,
        affected=ids,
        lost=lost,
        confidence=tuple(float(finding.confidence[row]) for row in rows),
        corrections=(ProposedCorrection(finding.kind, parameters, ids),),
        told=(
            f"{finding.side} pointers lead to other clips: {finding.hypothesis} on {len(ids)} of {len(clips)} rows "
            f"(log likelihood ratio {finding.log_ratio:.1f}, by {', '.join(finding.channels)})"
        ),
        clips=tuple(
            {
                "clip_id": clips[row].clip_id,
                "position": row,
                "restored_clip_id": clips[int(finding.sources[row])].clip_id if finding.sources[row] >= 0 else None,
                "match": round(float(finding.own[row]), 3),
                "restored_match": round(float(finding.restored[row]), 3),
            }
            for row in shown
        ),
    )


def name_affected(
    timing: BatchTiming,
    timings: Sequence[ClipTiming | None],
    profile_of: Callable[[int, str], Profile | None],
    policy: OffsetGatePolicy,
) -> Floats:
    """Posterior of every clip having the fault of its batch, shape (n,).

    Where the batch has one offset or rate, clips that cannot tell by themselves are asked about just that.

    Args:
        timing: the batch.
        timings: its clips.
        profile_of: evidence of a clip, by row and tracks.
        policy: tolerance.
    """
    found = np.zeros(len(timings))
    share = float(np.clip(timing.beyond.sum() / max(timing.judged, 1), 0.02, 0.98))
    for row, clip in enumerate(timings):
        if clip is None:
            continue
        if clip.is_judged:
            found[row] = max(clip.beyond, policy.min_row_confidence if timing.beyond[row] else 0.0)
        elif timing.is_constant or timing.fault is Timing.REVERSED:
            for tracks in ("audio_video",) if timing.tracks == "audio_video" else ("cues_words", "cues_speech"):
                profile = profile_of(row, tracks)
                if profile is not None:
                    again = rejudge_clip(profile, timing.fault, timing.offset_us, timing.rate, share, policy, tracks)
                    found[row] = max(found[row], again)
    return found


def explain_timing(
    timing: BatchTiming,
    timings: Sequence[ClipTiming | None],
    confidence: Floats,
    clips: Sequence[ClipTracks],
    policy: OffsetGatePolicy,
) -> Fault:
    """Clips whose tracks are displaced in time."""
    rows = np.flatnonzero(confidence >= policy.min_row_confidence).tolist()
    ids = tuple(clips[row].clip_id for row in rows)
    side = SUBTITLES if timing.tracks == "cues" else AUDIO
    value = interval = None
    if timing.fault is Timing.OFFSET:
        value, interval = timing.offset_us / 1e3, _scaled(timing.offset_interval_us, 1e-3)
    elif timing.fault is Timing.DRIFT:
        value, interval = timing.rate, timing.rate_interval
    name = timing.name(policy)
    shown = sorted((row for row in rows if timings[row] is not None), key=lambda row: -_displacement(timings[row]))[
        :_SHOWN
    ]
    tracks = "cues against speech" if timing.tracks == "cues" else "sound against pictures"
    return Fault(
        hypothesis=name,
        kind=timing.fault.value,
        precedence=1,
        value=value,
        interval=interval,
        log_ratio=timing.log_ratio,
        p_value=timing.p_value,
        affected=ids,
        lost=(),
        confidence=tuple(float(confidence[row]) for row in rows),
        corrections=_propose(timing, timings, rows, side, clips),
        told=(
            f"{tracks}: {name} on {len(ids)} of {len(clips)} clips, {int(timing.beyond.sum())} of {timing.judged} "
            f"judged ones beyond {policy.tolerance_us(timing.tracks) / 1e3:.0f} ms (log likelihood ratio "
            f"{timing.log_ratio:.1f})"
        ),
        clips=tuple(
            {"position": row} | clip.to_json() | {"told": tell_offset(clip)}
            for row in shown
            if (clip := timings[row]) is not None
        ),
    )


def explain_order(orders: Sequence[CueOrder], clips: Sequence[ClipTracks], policy: OffsetGatePolicy) -> Fault | None:
    """Clips whose cues overlap or stand in another order, where there are significantly more than allowed."""
    counts = Counter(order.disorder for order in orders if order.disorder is not Disorder.NONE)
    with_cues = sum(clip.cues is not None or clip.sentence_distances is not None for clip in clips)
    if not counts:
        return None
    total = sum(counts.values())
    # chance of so many among so many when each has the allowed share
    p_value = float(betainc(total, with_cues - total + 1, policy.max_beyond_share))  # pyright: ignore[reportUnknownArgumentType] - no stubs
    if with_cues < policy.min_clips or p_value > policy.false_hold_rate:
        return None
    disorder = counts.most_common(1)[0][0]
    rows = [row for row, order in enumerate(orders) if order.disorder is disorder]
    ids = tuple(clips[row].clip_id for row in rows)
    by_words = all(math.isfinite(orders[row].order) for row in rows)
    undone = disorder is Disorder.REVERSED and by_words
    return Fault(
        hypothesis=disorder.value,
        kind=disorder.value,
        precedence=2 if disorder is Disorder.REVERSED else 0,
        value=None,
        interval=None,
        log_ratio=None,
        p_value=p_value,
        affected=ids,
        lost=(),
        confidence=(1.0,) * len(ids),
        corrections=(ProposedCorrection(CUE_ORDER, {"side": SUBTITLES}, ids),) if undone else (),
        told=f"{disorder.value.replace('_', ' ')} in {len(ids)} of {with_cues} clips with cues (p {p_value:.2g})",
        clips=tuple({"position": row} | orders[row].to_json() for row in rows[:_SHOWN]),
    )


def _propose(
    timing: BatchTiming,
    timings: Sequence[ClipTiming | None],
    rows: Sequence[int],
    side: str,
    clips: Sequence[ClipTracks],
) -> tuple[ProposedCorrection, ...]:
    """One correction where the batch has one offset or rate, one a clip where each has its own; none for reversal."""
    if timing.fault not in {Timing.OFFSET, Timing.DRIFT}:
        return ()
    chosen = list(rows)
    judged = [row for row, clip in enumerate(timings) if clip is not None and clip.is_judged]
    if timing.is_constant:
        if len(set(judged) & set(rows)) >= _WHOLE * len(judged):
            chosen = [row for row, clip in enumerate(timings) if clip is not None]
        told_otherwise = {Timing.OFFSET, Timing.DRIFT, Timing.REVERSED} - {timing.fault}
        alike = [row for row in chosen if (clip := timings[row]) is not None and clip.timing not in told_otherwise]
        ids = tuple(clips[row].clip_id for row in alike)
        return (_undo(timing.fault, timing.offset_us, timing.rate, side, ids),)
    return tuple(
        _undo(clip.timing, clip.offset_us, clip.rate, side, (clip.clip_id,))
        for row in chosen
        if (clip := timings[row]) is not None and clip.timing in {Timing.OFFSET, Timing.DRIFT}
    )


def _undo(fault: Timing, offset_us: float, rate: float, side: str, rows: tuple[str, ...]) -> ProposedCorrection:
    if fault is Timing.OFFSET:
        return ProposedCorrection(TIME_SHIFT, {"side": side, "offset_us": round(offset_us)}, rows)
    return ProposedCorrection(TIME_RATE, {"side": side, "rate": rate, "offset_us": round(offset_us)}, rows)


def _displacement(clip: ClipTiming | None) -> float:
    if clip is None or not clip.is_judged:
        return -1.0
    return math.inf if math.isnan(clip.displacement_us) else clip.displacement_us


def _scaled(interval: tuple[float, float], factor: float) -> tuple[float, float]:
    return interval[0] * factor, interval[1] * factor
