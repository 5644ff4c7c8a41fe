# pyright: strict
"""The offset gate: are a batch's cues, speech, sound and pictures on one clock, and do they belong together?

A batch fails when

- significantly more of its clips than a sound batch may have are displaced beyond the task's tolerance, drift, or run
  backwards, of cues against speech or of sound against pictures, or
- pointers to subtitles or sound provably lead to those of other clips, or
- the cues of significantly more of its clips overlap, or tell them in another order.

The verdict names the fault, its size, how likely it is, which clips have it and what would undo it. A clip that cannot
tell is not counted. Nothing here knows Dagster or a model.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from mm_assets.aligned.segments.offsets.alignment_profile import Profile
from mm_assets.aligned.segments.offsets.batch_timing import BatchTiming, combine_timings
from mm_assets.aligned.segments.offsets.clip_offset import ClipTiming, judge_clip
from mm_assets.aligned.segments.offsets.cue_order import CueOrder, judge_order
from mm_assets.aligned.segments.offsets.cue_profile import fit_cues
from mm_assets.aligned.segments.offsets.envelope_profile import fit_envelopes
from mm_assets.aligned.segments.offsets.offset_explanation import (
    Fault,
    explain_order,
    explain_pointer,
    explain_timing,
    name_affected,
)
from mm_assets.aligned.segments.offsets.offset_verdict import IN_PLACE, Diagnosis, OffsetVerdict
from mm_assets.aligned.segments.offsets.pointer_channels import (
    SUBTITLES,
    PointerChannel,
    compare_cues,
    compare_durations,
    compare_envelopes,
    compare_texts,
)
from mm_assets.aligned.segments.offsets.pointers import SIDES, PointerFinding, blame_pointer, find_pointers
from mm_assets.aligned.segments.offsets.speech_edges import SpeechEdges, find_edges
from mm_assets.aligned.segments.offsets.timed_tracks import Booleans, ClipTracks, Envelope, SpeechActivity, TimedTexts
from mm_assets.aligned.segments.offsets.word_matches import WordMatches, fit_words, match_words
from mm_assets.display.counts import tell_count
from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.policy import OffsetGatePolicy, WarpingPolicy

GATE_VERSION: Final = "2"
"""Raised when the statistics change: a verdict's id depends on it."""
CUES: Final = "cues"
AUDIO_VIDEO: Final = "audio_video"


@dataclass(frozen=True, eq=False)
class _Evidence:
    """What one clip shows of its own."""

    edges: SpeechEdges | None
    matches: WordMatches | None
    cues: ClipTiming | None
    sound: ClipTiming | None
    order: CueOrder


def evaluate_offsets(
    clips: Sequence[ClipTracks],
    policy: OffsetGatePolicy,
    warping: WarpingPolicy,
    channels: Sequence[PointerChannel] = (),
) -> OffsetVerdict:
    """Measure every clip, weigh the batch and explain it.

    Args:
        clips: every clip of the batch in delivery order. A clip that was rejected keeps its place without tracks, as
            ``ClipTracks(clip_id, duration_us)``: pointers count delivery rows.
        policy: tolerances, search ranges, significance.
        warping: of the paths that tell directions.
        channels: further evidence of pointers that models gave, such as
            `compare_embeddings` of transcripts and captions; matrices over all clips.
    """
    shown = [_look(clip, policy, warping) for clip in clips]
    findings = _find_in_windows(clips, shown, channels, policy)
    blamed = blame_pointer(*(findings.get(side) for side in SIDES))
    explained: Booleans = np.zeros(len(clips), dtype=np.bool_)
    for finding in blamed:
        explained |= finding.named
    faults = [explain_pointer(finding, clips) for finding in blamed]
    timings: list[BatchTiming] = []
    for tracks, own in ((CUES, [item.cues for item in shown]), (AUDIO_VIDEO, [item.sound for item in shown])):
        free = [None if is_explained else timing for timing, is_explained in zip(own, explained, strict=True)]
        timing = combine_timings(tracks, free, policy)
        if timing is None:
            continue
        timings.append(timing)
        if timing.proven:
            confidence = name_affected(timing, free, _profiles(clips, shown, tracks, policy), policy)
            faults.append(explain_timing(timing, free, confidence, clips, policy))
    ordered = explain_order([item.order for item in shown], clips, policy)
    if ordered is not None:
        faults.append(ordered)
    # cues told backwards are late, early and in no order at once: what explains most clips comes first
    faults.sort(key=lambda fault: (-fault.precedence, -len(fault.affected)))
    judged = any(timing.judged >= policy.min_clips for timing in timings) or bool(findings)
    digest = _digest(clips, channels, policy)
    return _conclude(clips, shown, timings, list(findings.values()), faults, digest, judged=judged, policy=policy)


def _look(clip: ClipTracks, policy: OffsetGatePolicy, warping: WarpingPolicy) -> _Evidence:
    edges = find_edges(clip.speech) if clip.speech is not None else None
    matches = match_words(clip.cues, clip.words, policy) if clip.cues is not None and clip.words is not None else None
    cues = sound = None
    if clip.cues is not None and (edges is not None or matches is not None):
        cues = _choose(
            judge_clip(clip.clip_id, "cues_speech", _fit_speech(clip, edges, policy), policy),
            judge_clip(clip.clip_id, "cues_words", _fit_words(clip, matches, policy), policy),
            policy,
        )
    if clip.onsets is not None and clip.motion is not None:
        profile = fit_envelopes(clip.onsets, clip.motion, clip.start_us, clip.duration_us, policy)
        sound = judge_clip(clip.clip_id, AUDIO_VIDEO, profile, policy)
    return _Evidence(edges, matches, cues, sound, judge_order(clip, matches, policy, warping))


def _choose(speech: ClipTiming, words: ClipTiming, policy: OffsetGatePolicy) -> ClipTiming:
    """Which of the two tells when cues are shown.

    Words tell which of several alignments is the right one, edges of speech tell its time more exactly: where they
    agree within the tolerance the edges are asked. Where they do not, what has more evidence.
    """
    if speech.is_judged and words.is_judged and speech.timing is words.timing:
        apart_us = abs(speech.offset_us - words.offset_us)
        if apart_us <= policy.tolerance_us(CUES):
            return speech
    return max((speech, words), key=lambda timing: timing.evidence)


def _fit_speech(clip: ClipTracks, edges: SpeechEdges | None, policy: OffsetGatePolicy) -> Profile | None:
    if edges is None or clip.cues is None or clip.speech is None:
        return None
    return fit_cues(edges, clip.cues, clip.speech.start_us, clip.duration_us, policy)


def _fit_words(clip: ClipTracks, matches: WordMatches | None, policy: OffsetGatePolicy) -> Profile | None:
    return None if matches is None else fit_words(matches, clip.start_us, clip.duration_us, policy)


def _profiles(
    clips: Sequence[ClipTracks], shown: Sequence[_Evidence], tracks: str, policy: OffsetGatePolicy
) -> Callable[[int, str], Profile | None]:
    """The evidence of a clip again, made when it is asked for: that of a whole batch would not fit into memory."""

    def make(row: int, compared: str) -> Profile | None:
        clip, evidence = clips[row], shown[row]
        if tracks == CUES:
            if compared == "cues_words":
                return _fit_words(clip, evidence.matches, policy)
            return _fit_speech(clip, evidence.edges, policy)
        if clip.onsets is None or clip.motion is None:
            return None
        return fit_envelopes(clip.onsets, clip.motion, clip.start_us, clip.duration_us, policy)

    return make


def _find_in_windows(
    clips: Sequence[ClipTracks],
    shown: Sequence[_Evidence],
    channels: Sequence[PointerChannel],
    policy: OffsetGatePolicy,
) -> dict[str, PointerFinding]:
    """The best finding about each pointer, looked for in stretches of the batch that can be compared at once."""
    windows = range(0, len(clips), policy.max_clips)
    level = policy.model_copy(update={"false_hold_rate": policy.false_hold_rate / max(len(windows), 1)})
    found: dict[str, PointerFinding] = {}
    for first in windows:
        span = slice(first, first + policy.max_clips)
        own = _compare(clips[span], shown[span], policy)
        own += [PointerChannel(item.name, item.side, item.match[span, span]) for item in channels]
        for side in SIDES:
            finding = find_pointers(own, side, level)
            if finding is None:
                continue
            placed = finding.at(first, len(clips))
            found[side] = placed if side not in found else found[side].joined(placed)
    return found


def _compare(clips: Sequence[ClipTracks], shown: Sequence[_Evidence], policy: OffsetGatePolicy) -> list[PointerChannel]:
    found = [
        compare_cues(clips, [item.edges for item in shown], policy),
        compare_texts([clip.words for clip in clips], [clip.cues for clip in clips], "words and cues", SUBTITLES),
        compare_durations(clips),
        compare_envelopes(clips),
    ]
    return [channel for channel in found if channel is not None]


def _conclude(
    clips: Sequence[ClipTracks],
    shown: Sequence[_Evidence],
    timings: Sequence[BatchTiming],
    findings: Sequence[PointerFinding],
    faults: Sequence[Fault],
    digest: str,
    *,
    judged: bool,
    policy: OffsetGatePolicy,
) -> OffsetVerdict:
    affected = {clip_id for fault in faults for clip_id in fault.affected}
    share = len(affected) / max(len(clips), 1)
    code = CrossModalCode.TEMPORAL if faults else None
    told = _tell_median(timings, len(clips))
    if faults:
        problems = "; ".join(fault.told for fault in faults)
        reason = f"{told}: {problems}. {REMEDIES[CrossModalCode.TEMPORAL].fix}"
    elif judged:
        reason = f"{told}; no offset, drift, reversal or displaced pointer is proven."
    else:
        reason = f"Not judged, passed: fewer than {policy.min_clips} clips can tell; {told}."
    first = faults[0] if faults else None
    diagnosis = Diagnosis(
        hypothesis=IN_PLACE if first is None else first.hypothesis,
        kind=IN_PLACE if first is None else first.kind,
        code=code,
        value=None if first is None else first.value,
        interval=None if first is None else first.interval,
        log_ratio=None if first is None else first.log_ratio,
        p_value=None if first is None else first.p_value,
        affected=() if first is None else first.affected,
        lost=() if first is None else first.lost,
        confidence=() if first is None else first.confidence,
        corrections=() if first is None else first.corrections,
        findings=tuple(fault.told for fault in faults),
        clips=() if first is None else first.clips,
    )
    return OffsetVerdict(
        digest=digest,
        clips=len(clips),
        cues=tuple(item.cues for item in shown),
        sound=tuple(item.sound for item in shown),
        orders=tuple(item.order for item in shown),
        timings=tuple(timings),
        pointers=tuple(findings),
        affected_share=share,
        allowed_share=policy.max_beyond_share,
        judged=judged,
        passed=not faults,
        code=code,
        reason=reason,
        diagnosis=diagnosis,
    )


def _tell_median(timings: Sequence[BatchTiming], clips: int) -> str:
    told = [
        f"{'cues' if timing.tracks == CUES else 'sound'} {timing.median_offset_us / 1e3:+.0f} ms late at the median "
        f"({timing.median_interval_us[0] / 1e3:+.0f} to {timing.median_interval_us[1] / 1e3:+.0f}) "
        f"of {tell_count(timing.judged, 'judged clip')}"
        for timing in timings
        if np.isfinite(timing.median_offset_us)
    ]
    return tell_count(clips, "clip") + (", " + ", ".join(told) if told else "")


def _digest(clips: Sequence[ClipTracks], channels: Sequence[PointerChannel], policy: OffsetGatePolicy) -> str:
    """Hash of everything the verdict depends on."""
    digest = hashlib.sha256(GATE_VERSION.encode())
    digest.update(policy.model_dump_json().encode())
    for clip in clips:
        digest.update(f"{clip.clip_id}\0{clip.duration_us}\0{clip.start_us}\0{clip.audio_duration_us}\0".encode())
        for track in (clip.speech, clip.cues, clip.words, clip.onsets, clip.motion):
            digest.update(b"-" if track is None else _bytes_of(track))
        if clip.sentence_distances is not None:
            digest.update(np.ascontiguousarray(clip.sentence_distances).tobytes())
    for channel in channels:
        digest.update(f"{channel.name}\0{channel.side}\0".encode())
        digest.update(np.ascontiguousarray(channel.match).tobytes())
    return digest.hexdigest()


def _bytes_of(track: SpeechActivity | TimedTexts | Envelope) -> bytes:
    digest = hashlib.sha256()
    for field in fields(track):
        value = getattr(track, field.name)
        if isinstance(value, np.ndarray):
            digest.update(f"{value.shape}{value.dtype}".encode())  # pyright: ignore[reportUnknownMemberType] - any array
            digest.update(np.ascontiguousarray(value).tobytes())  # pyright: ignore[reportUnknownArgumentType]
        else:
            digest.update(repr(value).encode("utf-8", "surrogatepass"))
    return digest.digest()
