# pyright: strict
"""Cues against speech: the evidence of every rate and lag, and of many cue tracks against one speech at once."""

from typing import Final

import numpy as np

from mm_assets.aligned.segments.offsets.alignment_profile import Profile, list_lags, list_rates
from mm_assets.aligned.segments.offsets.speech_edges import EdgeEvidence, SpeechEdges, weigh_edges
from mm_assets.aligned.segments.offsets.timed_tracks import FRAME_US, Floats, Integers, TimedTexts
from mm_assets.policy import OffsetGatePolicy

END_WEIGHT: Final = 0.5
"""Weight of a cue's end: it hangs together with the start of the next, and says less."""


def fit_cues(
    edges: SpeechEdges, cues: TimedTexts, start_us: int, duration_us: int, policy: OffsetGatePolicy
) -> Profile | None:
    """Evidence of cues at every rate and lag against speech; None where there is too little of either.

    Args:
        edges: speech of the clip.
        cues: its cues.
        start_us: when the clip starts.
        duration_us: how long it lasts.
        policy: search ranges, and how cues lie about their speech.
    """
    if len(cues) < policy.min_cues or len(edges) < policy.min_cues:
        return None
    evidence = weigh_edges(edges, policy)
    starts = (cues.start_us - start_us) / FRAME_US
    ends = (cues.end_us - start_us) / FRAME_US
    rates, lags = list_rates(duration_us, policy), list_lags(policy)
    mirrored = weigh_edges(edges.mirrored(), policy)
    return Profile(
        rates=rates,
        lags=lags,
        forward=_correlate(evidence, starts, ends, rates, int(lags[-1])),
        backward=_correlate(mirrored, starts, ends, np.ones(1), int(lags[-1]))[0],
        duration_us=duration_us,
    )


def score_tracks(evidence: EdgeEvidence, starts: Floats, ends: Floats, firsts: Integers, lags: Integers) -> Floats:
    """Evidence that each of many cue tracks belongs to one speech, at the best of a few lags.

    Args:
        evidence: of the speech, T frames.
        starts: shape (E,), cue starts of all tracks one after the other, frames from the start of their clip.
        ends: shape (E,), their ends.
        firsts: shape (n,), index of the first cue of each track; every track has one.
        lags: shape (K,), frames.

    Returns:
        Shape (n,).
    """
    total = _look_up(evidence.start, starts, lags) + END_WEIGHT * _look_up(evidence.end, ends, lags)
    return np.add.reduceat(total, firsts, axis=0).max(axis=1)


def sum_windows(values: Floats, places: Floats, reach: int, outside: float = 0.0) -> Floats:
    """Sum of values at frames ``places - lag`` for every lag within ``reach``, shape (2 reach + 1,).

    Args:
        values: shape (T,).
        places: shape (n,), frames.
        reach: largest lag, frames.
        outside: what a frame beyond the values counts.
    """
    # a place further than reach beyond an end meets nothing but the outside, wherever it lies
    width = 2 * reach + 1
    padded = np.pad(values, width, constant_values=outside)[::-1]
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    first = len(values) - 1 + width - reach - np.rint(places).astype(np.int64)
    return windows[np.clip(first, 0, len(windows) - 1)].sum(axis=0)


def _look_up(evidence: Floats, places: Floats, lags: Integers) -> Floats:
    """Evidence at these frames less each lag, shape (E, K); outside the clip what a random frame has."""
    rows = np.rint(places).astype(np.int64)[:, None] - lags[None, :]
    padded = np.append(evidence, evidence.mean())
    return padded[np.where((rows >= 0) & (rows < len(evidence)), rows, len(evidence))]


def _correlate(evidence: EdgeEvidence, starts: Floats, ends: Floats, rates: Floats, reach: int) -> Floats:
    """Sum of evidence at the cues' edges, shape (R, 2 reach + 1); edges outside the clip count nothing."""
    centre = len(evidence.start) / 2.0
    found = np.empty((len(rates), 2 * reach + 1))
    for row, rate in enumerate(rates):
        scaled = [centre + (places - centre) / rate for places in (starts, ends)]
        found[row] = sum_windows(evidence.start, scaled[0], reach)
        found[row] += END_WEIGHT * sum_windows(evidence.end, scaled[1], reach)
    return found
