"""How exactly the offset gate measures time, how often it finds a fault, and how often it holds a sound batch.

Clips are constructed (see ``offset_clips.py``): every offset, rate and pointer is known. Batches of 20 clips of 20 to
60 s are judged with what was measured of them: cues and speech alone, recognised words as well, or sound and pictures.
Drift is put on clips of 30 to 60 s. Seeds below 20,000 and from 1,000,000 on were looked at while the gate was tuned.
With ``--prompts FOLDER`` (see ``speech.py``) the speech is real, and so are the steps that hear it: see
``spoken_clips.py``. They are kept in ``--work``.

Usage: python benchmarks/offset_gate.py [--clean 400] [--seeds 20] [--first-seed 20000] [--tracks NAME …] [--json]
       python benchmarks/offset_gate.py --prompts FOLDER --work FOLDER
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.offset_clips import (
    USUAL,
    draw_clip,
    move_cues,
    move_sound,
    overlap_cues,
    reverse_cues,
    reverse_media,
    take_attachments,
)
from benchmarks.spoken_clips import SpokenClip, draw_spoken, make_pool, real_clips, word_errors_ms
from mm_assets.aligned.segments.offsets.offset_gate import evaluate_offsets
from mm_assets.aligned.segments.offsets.offset_verdict import OffsetVerdict
from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks
from mm_assets.policy import OffsetGatePolicy, WarpingPolicy

POLICY, WARPING = OffsetGatePolicy(), WarpingPolicy()
CLIPS = 20
DRIFT = 25.0 / 23.976


@dataclass
class Truth:
    """What was done to a batch."""

    kinds: tuple[str, ...]
    rows: np.ndarray
    offset_us: float = 0.0
    rate: float = 1.0
    k: int | None = None


Fault = Callable[[list[ClipTracks], np.random.Generator, np.ndarray], Truth]


# -- what goes wrong, in place


def clean(_: list[ClipTracks], __: np.random.Generator, rows: np.ndarray) -> Truth:
    """Nothing."""
    return Truth(("in_place",), rows[:0])


def offset(clips: list[ClipTracks], generator: np.random.Generator, rows: np.ndarray) -> Truth:
    """One offset of 0.3 to 3 s, early or late."""
    late = float(generator.uniform(0.3e6, 3e6) * generator.choice([-1, 1]))
    for row in rows:
        clips[row] = move_sound(clips[row], late) if clips[row].cues is None else move_cues(clips[row], late)
    return Truth(("offset",), rows, offset_us=late)


def drift(clips: list[ClipTracks], _: np.random.Generator, rows: np.ndarray) -> Truth:
    """Cues made for 25 frames a second under a film of 23.976."""
    for row in rows:
        clips[row] = move_cues(clips[row], rate=DRIFT)
    return Truth(("drift",), rows, rate=DRIFT)


def reversal(clips: list[ClipTracks], _: np.random.Generator, rows: np.ndarray) -> Truth:
    """Clips played backwards."""
    for row in rows:
        clips[row] = reverse_media(clips[row])
    return Truth(("reversed",), rows)


def cue_reversal(clips: list[ClipTracks], _: np.random.Generator, rows: np.ndarray) -> Truth:
    """Texts of cues in reversed order."""
    for row in rows:
        clips[row] = reverse_cues(clips[row])
    return Truth(("reversed_cues",), rows)


def overlapping(clips: list[ClipTracks], generator: np.random.Generator, rows: np.ndarray) -> Truth:
    """Cues that run into the next."""
    for row in rows:
        clips[row] = overlap_cues(clips[row], generator)
    return Truth(("overlapping_cues",), rows)


def pointer_shift(clips: list[ClipTracks], _: np.random.Generator, rows: np.ndarray) -> Truth:
    """Attachments of row i belong to clip i + 1."""
    sources = np.arange(len(clips))
    sources[rows] = (rows + 1) % len(clips)
    clips[:] = take_attachments(clips, sources)
    return Truth(("pointer_shift",), rows, k=1)


def pointer_reversal(clips: list[ClipTracks], _: np.random.Generator, rows: np.ndarray) -> Truth:
    """Attachments of a stretch of rows in reversed order."""
    sources = np.arange(len(clips))
    sources[rows] = rows[::-1]
    clips[:] = take_attachments(clips, sources)
    return Truth(("pointer_reversal",), rows[sources[rows] != rows])


TRACKS: dict[str, dict[str, Any]] = {
    "cues": {"words": False},
    "cues and words": {"words": True},
    "sound and pictures": {"envelopes": True, "cues": False},
    "sound of 30 s": {"envelopes": True, "cues": False, "duration_us": 30_000_000},
}
SPOKEN = {"spoken": False, "spoken and recognised": True}
"""Tracks of real speech, and whether its words are known."""
POOL: list[SpokenClip] = []
FAULTS: dict[str, tuple[Fault, bool]] = {
    "clean": (clean, False),
    "offset": (offset, False),
    "drift": (drift, False),
    "reversed": (reversal, False),
    "reversed cues": (cue_reversal, False),
    "overlapping cues": (overlapping, False),
    "pointer shift": (pointer_shift, True),
    "pointer shift, scattered": (pointer_shift, False),
    "pointer reversal": (pointer_reversal, True),
}
"""Each fault, and whether it strikes neighbouring rows."""
SOUND_FAULTS = {"clean", "offset", "reversed", "pointer shift", "pointer shift, scattered", "pointer reversal"}


# -- the trials


def draw_batch(tracks: str, fault: str, generator: np.random.Generator) -> list[ClipTracks]:
    """Twenty sound clips."""
    if tracks in SPOKEN:
        return draw_spoken(POOL, generator, CLIPS, USUAL, words=SPOKEN[tracks])
    options = dict(TRACKS[tracks])
    with_cues = options.pop("cues", True)
    if fault == "drift":
        options["duration_us"] = None
    clips: list[ClipTracks] = []
    for number in range(CLIPS):
        duration = options.get("duration_us") or int(generator.uniform(30e6 if fault == "drift" else 20e6, 60e6))
        clip = draw_clip(generator, f"clip_{number:02}", **(options | {"duration_us": duration}))
        clips.append(clip if with_cues else replace(clip, cues=None, speech=None))
    return clips


def choose_rows(share: float, neighbouring: bool, generator: np.random.Generator) -> np.ndarray:
    """Rows that a fault strikes."""
    count = round(share * CLIPS)
    if count == CLIPS:
        return np.arange(CLIPS)
    if neighbouring:
        first = int(generator.integers(0, CLIPS - count))
        return np.arange(first, first + count)
    return np.sort(generator.choice(CLIPS - 1, count, replace=False))


def is_found(verdict: OffsetVerdict, truth: Truth) -> bool:
    """Whether the verdict names the fault and, of pointers, their k."""
    found = verdict.diagnosis
    if truth.kinds == ("in_place",):
        return verdict.passed
    return found.kind in truth.kinds and (truth.k is None or found.value == truth.k)


def run_trials(tracks: str, fault: str, share: float, seeds: range) -> dict[str, Any]:
    """Counts and medians of one row of the table."""
    spoil, neighbouring = FAULTS[fault]
    held = found = 0
    errors: list[float] = []
    batch_errors: list[float] = []
    rates: list[float] = []
    named: list[float] = []
    wrong: list[float] = []
    covered: list[bool] = []
    milliseconds: list[float] = []
    abstained = judged = 0
    for seed in seeds:
        generator = np.random.default_rng(
            [seed, [*TRACKS, *SPOKEN].index(tracks), list(FAULTS).index(fault), int(100 * share)]
        )
        clips = draw_batch(tracks, fault, generator)
        rows = choose_rows(share, neighbouring, generator)
        truth = spoil(clips, generator, rows)
        started = time.process_time()
        verdict = evaluate_offsets(clips, POLICY, WARPING)
        milliseconds.append(1e3 * (time.process_time() - started))
        held += not verdict.passed
        found += is_found(verdict, truth)
        timings = verdict.sound if "sound" in tracks else verdict.cues
        abstained += sum(timing is None or not timing.is_judged for timing in timings)
        judged += sum(timing is not None and timing.is_judged for timing in timings)
        struck = {clips[row].clip_id for row in truth.rows}
        if struck and not verdict.passed:
            hit = set(verdict.diagnosis.affected)
            named.append(len(hit & struck) / len(struck))
            wrong.append(len(hit - struck) / max(len(hit), 1))
        if fault in {"offset", "drift"}:
            chosen = [timings[row] for row in truth.rows]
            told = [timing for timing in chosen if timing is not None and np.isfinite(timing.offset_us)]
            errors += [abs(timing.offset_us - truth.offset_us) / 1e3 for timing in told]
            covered += [
                timing.offset_interval_us[0] <= truth.offset_us <= timing.offset_interval_us[1] for timing in told
            ]
            rates += [abs(timing.rate - truth.rate) * 1e6 for timing in told]
            if fault == "offset" and verdict.diagnosis.kind == "offset" and verdict.diagnosis.value is not None:
                batch_errors.append(abs(verdict.diagnosis.value - truth.offset_us / 1e3))

    def median(values: list[float]) -> float | None:
        return round(float(np.median(values)), 1) if values else None

    return {
        "tracks": tracks,
        "fault": fault,
        "share": share,
        "batches": len(seeds),
        "held": held,
        "found": found,
        "rows_named": None if not named else round(float(np.mean(named)), 3),
        "named_wrongly": None if not wrong else round(float(np.mean(wrong)), 3),
        "clip_error_ms": median(errors),
        "clip_error_p95_ms": None if not errors else round(float(np.quantile(errors, 0.95)), 1),
        "interval_covers": None if not covered else round(float(np.mean(covered)), 3),
        "batch_error_ms": median(batch_errors),
        "rate_error_ppm": median(rates) if fault == "drift" else None,
        "abstained": round(abstained / max(abstained + judged, 1), 3),
        "cpu_ms": median(milliseconds),
    }


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All rows of the table."""
    for tracks in arguments.tracks:
        for fault in arguments.faults:
            is_sound = "sound" in tracks
            if (is_sound and fault not in SOUND_FAULTS) or (fault == "reversed cues" and "and" not in tracks):
                continue
            shares = [0.0] if fault == "clean" else [1.0] if "scattered" in fault else [0.3, 1.0]
            shares = [0.3] if "scattered" in fault else shares
            count = arguments.clean if fault == "clean" else arguments.seeds
            for share in shares:
                seeds = range(arguments.first_seed, arguments.first_seed + count)
                yield run_trials(tracks, fault, share, seeds)


def report_real(clips: list[ClipTracks]) -> None:
    """How exactly a constant offset is recovered on real recordings, against the same clip as it is."""
    errors: list[float] = []
    asis: list[float] = []
    asked = 0
    for clip in clips:
        still = evaluate_offsets([clip], POLICY, WARPING).cues[0]
        if still is not None and still.is_judged:
            asis.append(still.offset_us / 1e3)
        for late_us in (-3_000_000, -800_000, -300_000, 300_000, 800_000, 3_000_000):
            asked += 1
            timing = evaluate_offsets([move_cues(clip, late_us)], POLICY, WARPING).cues[0]
            if still is not None and timing is not None and still.is_judged and timing.is_judged:
                errors.append(abs(timing.offset_us - still.offset_us - late_us) / 1e3)
    error = f"{np.median(errors):.0f} ms off at the median, {max(errors):.0f} at most" if errors else "not told"
    untouched = ", ".join(f"{offset:+.0f} ms" for offset in asis) or "untold"
    print(
        f"{len(clips)} real recordings: as they are cues that start with their word are {untouched} late "
        f"({POLICY.cue_lead_us / 1e3:.0f} ms of it because cues are expected that early); {len(errors)} of {asked} "
        f"planted offsets of 0.3 to 3 s are told, {error}"
    )


def main() -> None:
    """Print one row per tracks, fault and share."""
    parser = argparse.ArgumentParser(description="Exactness, power and false holds of the offset gate")
    parser.add_argument("--clean", type=int, default=400, help="sound batches, over all tracks at least this many each")
    parser.add_argument("--seeds", type=int, default=20, help="batches of each fault")
    parser.add_argument("--first-seed", type=int, default=20_000)
    parser.add_argument("--tracks", nargs="+", choices=[*TRACKS, *SPOKEN])
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--prompts", type=Path, help="unpacked Asterisk prompts: clips of real speech")
    parser.add_argument("--work", type=Path, help="where what was heard of them is kept")
    arguments = parser.parse_args()
    if arguments.prompts is not None:
        if arguments.work is None:
            parser.error("--prompts needs --work FOLDER, where what was heard of them is kept")
        POOL.extend(make_pool(arguments.prompts, arguments.work))
        errors = word_errors_ms(POOL)
        print(
            f"{len(POOL)} constructed clips of real speech; {len(errors)} first words start within "
            f"{np.median(errors):.0f} ms of where they do (median; 90 % within {np.quantile(errors, 0.9):.0f} ms)"
        )
        report_real(real_clips(arguments.work))
    arguments.tracks = arguments.tracks or list(SPOKEN if POOL else TRACKS)
    rows: list[dict[str, Any]] = []
    if not arguments.json:
        print(
            f"{'tracks':19} {'fault':24} {'share':>5} {'held':>8} {'found':>8} {'named':>6} {'wrong':>6} "
            f"{'error ms (p95)':>15} {'batch':>6} {'cover':>6} {'ppm':>6} {'untold':>6} {'CPU ms':>7}"
        )
    for row in measure(arguments):
        rows.append(row)
        if not arguments.json:
            counts = f"{row['held']}/{row['batches']}", f"{row['found']}/{row['batches']}"
            error = "" if row["clip_error_ms"] is None else f"{row['clip_error_ms']} ({row['clip_error_p95_ms']})"
            told = [
                "" if row[key] is None else str(row[key])
                for key in ("rows_named", "named_wrongly", "batch_error_ms", "interval_covers", "rate_error_ppm")
            ]
            print(
                f"{row['tracks']:19} {row['fault']:24} {row['share']:5.2f} {counts[0]:>8} {counts[1]:>8} {told[0]:>6} "
                f"{told[1]:>6} {error:>15} {told[2]:>6} {told[3]:>6} {told[4]:>6} {row['abstained']:6.3f} "
                f"{row['cpu_ms']:7.0f}",
                flush=True,
            )
    sound = [row for row in rows if row["fault"] == "clean"]
    held, trials = sum(row["held"] for row in sound), sum(row["batches"] for row in sound)
    if arguments.json:
        print(json.dumps({"rows": rows, "false_holds": held, "sound_batches": trials}))
    else:
        print(f"false holds: {held} of {trials} sound batches")


if __name__ == "__main__":
    main()
