# pyright: strict
"""Where speech starts and stops, and how much a cue's start or end there speaks for being in its place.

Evidence of one edge of a cue at time t is the logarithm of ``(1 - u) d(t) + u``: d is the density of the cue's edge
around the speech edges, relative to that of an edge at a random time of the clip, and u the share of cue edges that
follow no speech edge. Its exponential has mean 1 over the clip, so that summed evidence is that of a likelihood ratio
against cues which have nothing to do with the speech, whatever the detector.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from mm_assets.aligned.segments.offsets.timed_tracks import FRAME_US, Floats, Integers, SpeechActivity
from mm_assets.policy import OffsetGatePolicy

_SMOOTHING_FRAMES: Final = 7
_ENTER: Final = 0.55
_LEAVE: Final = 0.45
_SHORTEST_SPEECH: Final = 8
_SHORTEST_PAUSE: Final = 12
_FULL_PAUSE: Final = 40
"""Frames of 10 ms: shorter speech is noise, shorter pauses are closures of consonants, longer ones end an utterance."""
_TAILS: Final = 4.0
_TAIL_SHARE: Final = 0.15


@dataclass(frozen=True, eq=False)
class SpeechEdges:
    """Speech of a clip as intervals.

    Attributes:
        starts: shape (n,), frame in which each interval starts.
        stops: shape (n,), frame after its last.
        frames: length of the clip, frames.
    """

    starts: Integers
    stops: Integers
    frames: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def share(self) -> float:
        """Share of the clip that is speech."""
        return float((self.stops - self.starts).sum()) / max(self.frames, 1)

    def mirrored(self) -> "SpeechEdges":
        """The same clip played backwards."""
        return SpeechEdges(self.frames - self.stops[::-1], self.frames - self.starts[::-1], self.frames)


@dataclass(frozen=True, eq=False)
class EdgeEvidence:
    """Log-evidence of a cue edge at every frame, each of shape (T,).

    Attributes:
        start: of a cue's start.
        end: of a cue's end.
    """

    start: Floats
    end: Floats


def find_edges(activity: SpeechActivity) -> SpeechEdges:
    """Intervals of speech: smoothed, with hysteresis, short gaps closed and blips dropped."""
    values = activity.probability.astype(np.float64)
    frames = len(values)
    if not frames:
        return SpeechEdges(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), 0)
    half = _SMOOTHING_FRAMES // 2
    padded = np.pad(values, half, mode="edge")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, _SMOOTHING_FRAMES), axis=1)
    # hysteresis: between the thresholds the last clear value holds on
    clear = np.where(smooth >= _ENTER, 1, np.where(smooth < _LEAVE, 0, -1))
    clear[0] = max(int(clear[0]), 0)
    last = np.maximum.accumulate(np.where(clear >= 0, np.arange(frames), 0))
    changes = np.diff(clear[last], prepend=0, append=0)
    starts, stops = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    if len(starts) > 1:
        wide = starts[1:] - stops[:-1] >= _SHORTEST_PAUSE
        starts, stops = starts[np.append(True, wide)], stops[np.append(wide, True)]
    long = stops - starts >= _SHORTEST_SPEECH
    return SpeechEdges(starts[long].astype(np.int64), stops[long].astype(np.int64), frames)


def weigh_edges(edges: SpeechEdges, policy: OffsetGatePolicy) -> EdgeEvidence:
    """Log-evidence of cue edges along the clip.

    Args:
        edges: at least one interval.
        policy: how cues lie about their speech.
    """
    pauses = np.concatenate([[_FULL_PAUSE], edges.starts[1:] - edges.stops[:-1], [_FULL_PAUSE]])
    weights = np.minimum(pauses / _FULL_PAUSE, 1.0)
    return EdgeEvidence(
        _evidence(edges.starts, weights[:-1], edges.frames, -policy.cue_lead_us, policy.cue_lead_spread_us, policy),
        _evidence(edges.stops, weights[1:], edges.frames, policy.cue_tail_us, policy.cue_tail_spread_us, policy),
    )


def edge_density(distance: Floats, spread: float) -> Floats:
    """Density of a cue edge at this distance from where it is expected: a Gaussian with a broad foot."""
    near = np.exp(-0.5 * (distance / spread) ** 2) / spread
    far = np.exp(-0.5 * (distance / (_TAILS * spread)) ** 2) / (_TAILS * spread)
    return ((1.0 - _TAIL_SHARE) * near + _TAIL_SHARE * far) / np.sqrt(2.0 * np.pi)


def _evidence(
    places: Integers, weights: Floats, frames: int, mean_us: float, spread_us: float, policy: OffsetGatePolicy
) -> Floats:
    spread = spread_us / FRAME_US
    reach = round(3 * _TAILS * spread + abs(mean_us) / FRAME_US)
    distances = np.arange(-reach, reach + 1).astype(np.float64) - mean_us / FRAME_US
    kernel = edge_density(distances, spread)
    impulses = np.bincount(np.clip(places, 0, frames - 1), weights=weights, minlength=frames)
    density = np.convolve(impulses, kernel)[reach : reach + frames]
    density *= frames / max(float(density.sum()), 1e-12)
    return np.log((1.0 - policy.stray_edge_share) * density + policy.stray_edge_share)
