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
_RATES_AT_ONCE: Final = 16


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
    best = np.full(len(firsts), -np.inf)
    for lag in lags.tolist():
        total = _look_up(evidence.start, starts - lag) + END_WEIGHT * _look_up(evidence.end, ends - lag)
        np.maximum(best, np.add.reduceat(total, firsts), out=best)
    return best


def _look_up(evidence: Floats, places: Floats) -> Floats:
    """Evidence at these frames; outside the clip what a random frame has."""
    rows = np.rint(places).astype(np.int64)
    inside = (rows >= 0) & (rows < len(evidence))
    return np.where(inside, evidence[np.clip(rows, 0, len(evidence) - 1)], evidence.mean())


def _correlate(evidence: EdgeEvidence, starts: Floats, ends: Floats, rates: Floats, reach: int) -> Floats:
    """Sum of evidence at the cues' edges, shape (R, 2 reach + 1); edges outside the clip count nothing."""
    frames = len(evidence.start)
    size = 1 << (2 * frames + 2 * reach - 1).bit_length()
    spectra = [np.fft.rfft(values[::-1], size) for values in (evidence.start, evidence.end)]
    found = np.empty((len(rates), 2 * reach + 1))
    centre = frames / 2.0
    for first in range(0, len(rates), _RATES_AT_ONCE):
        chosen = rates[first : first + _RATES_AT_ONCE]
        total = np.zeros((len(chosen), size // 2 + 1), dtype=np.complex128)
        for places, spectrum, weight in ((starts, spectra[0], 1.0), (ends, spectra[1], END_WEIGHT)):
            scaled = centre + (places[None, :] - centre) / chosen[:, None]
            total += np.fft.rfft(_spread(scaled, frames, reach) * weight, size, axis=1) * spectrum
        curves = np.fft.irfft(total, size, axis=1)
        found[first : first + len(chosen)] = curves[:, frames - 1 : frames + 2 * reach]
    return found


def _spread(places: Floats, frames: int, reach: int) -> Floats:
    """Impulses at fractional frames, split over the two neighbours, shape (R, frames + 2 reach)."""
    width = frames + 2 * reach
    shifted = places + reach
    low = np.floor(shifted).astype(np.int64)
    inside = (low >= 0) & (low < width - 1)
    impulses = np.zeros((len(places), width))
    row = np.broadcast_to(np.arange(len(places))[:, None], low.shape)[inside]
    share = (shifted - low)[inside]
    np.add.at(impulses, (row, low[inside]), 1.0 - share)
    np.add.at(impulses, (row, low[inside] + 1), share)
    return impulses
