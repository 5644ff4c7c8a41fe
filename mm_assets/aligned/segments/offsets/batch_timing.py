# pyright: strict
"""Whether more clips of a batch are displaced than a sound batch has, and what displaces them.

Every clip has a likelihood ratio B of being displaced. That a share s of the clips is displaced, rather than the share
p a sound batch may have, is then ``(1 - s + s B) / (1 - p + p B)`` times as likely; the product over the clips,
averaged over s, is at most 1 in expectation while the batch is sound. One clip alone gives no more than ``s / p``.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mm_assets.aligned.segments.offsets.alignment_profile import log_mean_exp
from mm_assets.aligned.segments.offsets.clip_offset import ClipTiming, Timing, name_rate
from mm_assets.aligned.segments.offsets.pointer_evidence import bound_p_value
from mm_assets.aligned.segments.offsets.timed_tracks import Booleans, Floats
from mm_assets.policy import OffsetGatePolicy

_SHARES: Final = (0.05, 0.1, 0.3, 0.6, 0.95)


@dataclass(frozen=True, eq=False)
class BatchTiming:
    """What was found about one pair of tracks over a batch.

    Attributes:
        tracks: cues or audio_video.
        judged: clips that can tell.
        median_offset_us: of the judged clips that are not reversed, microseconds; NaN without any.
        median_interval_us: its bootstrap interval.
        log_ratio: log-evidence that too many clips are displaced.
        p_value: its bound.
        proven: whether they are.
        fault: the commonest fault of the displaced clips; in_place without any.
        offset_us: their median offset at the clip's start.
        offset_interval_us: its bootstrap interval.
        rate: their median rate.
        rate_interval: its bootstrap interval.
        is_constant: whether they share one offset, or one rate and offset.
        beyond: shape (n,), clips that are displaced beyond doubt.
    """

    tracks: str
    judged: int
    median_offset_us: float
    median_interval_us: tuple[float, float]
    log_ratio: float
    p_value: float
    proven: bool
    fault: Timing
    offset_us: float
    offset_interval_us: tuple[float, float]
    rate: float
    rate_interval: tuple[float, float]
    is_constant: bool
    beyond: Booleans

    def name(self, policy: OffsetGatePolicy) -> str:
        """The fault with its value, such as ``offset(+0.800 s)`` or ``drift(25/23.976)``."""
        if self.fault is Timing.OFFSET:
            return f"offset({self.offset_us / 1e6:+.3f} s)" if self.is_constant else "offsets of several sizes"
        if self.fault is Timing.DRIFT:
            return f"drift({name_rate(self.rate, self.rate_interval, policy)})"
        return self.fault.value

    def to_json(self) -> dict[str, Any]:
        """JSON-able form, milliseconds."""
        return {
            "tracks": self.tracks,
            "judged": self.judged,
            "median_offset_ms": _milliseconds(self.median_offset_us),
            "median_interval_ms": [_milliseconds(bound) for bound in self.median_interval_us],
            "beyond": int(self.beyond.sum()),
            "log_likelihood_ratio": round(self.log_ratio, 3),
            "p_value": float(f"{self.p_value:.3g}"),
            "proven": self.proven,
            "fault": self.fault.value,
            "offset_ms": _milliseconds(self.offset_us),
            "offset_interval_ms": [_milliseconds(bound) for bound in self.offset_interval_us],
            "rate": round(self.rate, 6),
            "rate_interval": [round(bound, 6) if math.isfinite(bound) else None for bound in self.rate_interval],
            "is_constant": self.is_constant,
        }


def combine_timings(tracks: str, timings: Sequence[ClipTiming | None], policy: OffsetGatePolicy) -> BatchTiming | None:
    """Combine the clips of a batch; None where no clip has these tracks.

    Args:
        tracks: what was compared.
        timings: one entry a clip, None for clips that are explained otherwise or lack the tracks.
        policy: share that may be displaced, significance, confidence.
    """
    found = [timing for timing in timings if timing is not None]
    if not found:
        return None
    judged = [timing for timing in found if timing.is_judged]
    beyond = np.array(
        [timing is not None and timing.is_judged and timing.beyond >= policy.min_row_confidence for timing in timings],
        dtype=np.bool_,
    )
    score = weigh_share(np.array([timing.beyond_ratio for timing in found]), policy.max_beyond_share)
    p_value = bound_p_value(score)
    at_rest = np.array([timing.offset_us for timing in judged if math.isfinite(timing.offset_us)])
    middle, bounds = _median(at_rest), _bootstrap_median(at_rest, policy)
    # many clips a little late: none beyond doubt by itself, all of them together
    late = [
        timing.tracks for timing in judged if min(abs(bound) for bound in bounds) > policy.tolerance_us(timing.tracks)
    ]
    if len(late) >= policy.min_clips and bounds[0] * bounds[1] > 0.0:
        beyond |= np.array([timing is not None and _is_near(timing, middle, policy) for timing in timings])
        p_value = min(p_value, policy.false_hold_rate)
    proven = len(judged) >= policy.min_clips and p_value <= policy.false_hold_rate and bool(beyond.any())
    displaced = [timing for timing, is_beyond in zip(timings, beyond, strict=True) if timing is not None and is_beyond]
    faults = Counter(Timing.OFFSET if timing.timing is Timing.IN_PLACE else timing.timing for timing in displaced)
    fault = faults.most_common(1)[0][0] if faults else Timing.IN_PLACE
    alike = [timing for timing in displaced if timing.timing in {fault, Timing.IN_PLACE}]
    offsets = np.array([timing.offset_us for timing in alike if math.isfinite(timing.offset_us)])
    rates = np.array([timing.rate for timing in alike])
    # the median clip must be within the tolerance of nearly all others for one correction to do
    apart = np.abs(offsets - np.median(offsets)) if len(offsets) else np.zeros(1)
    name = alike[0].tracks if alike else tracks
    return BatchTiming(
        tracks=tracks,
        judged=len(judged),
        median_offset_us=middle,
        median_interval_us=bounds,
        log_ratio=score,
        p_value=p_value,
        proven=proven,
        fault=fault,
        offset_us=_median(offsets),
        offset_interval_us=_bootstrap_median(offsets, policy),
        rate=_median(rates),
        rate_interval=_bootstrap_median(rates, policy),
        is_constant=bool(np.quantile(apart, 0.9) <= policy.tolerance_us(name)),
        beyond=beyond,
    )


def weigh_share(ratios: Floats, allowed: float) -> float:
    """Log-evidence that more than the allowed share of clips is displaced.

    Args:
        ratios: shape (n,), log-likelihood ratio of each clip being displaced.
        allowed: share a sound batch may have.

    >>> weigh_share(np.zeros(20), 0.02)
    0.0
    """
    bounded = np.exp(np.clip(ratios, -50.0, 50.0))
    rest = np.log(1.0 - allowed + allowed * bounded)
    return log_mean_exp(np.array([float((np.log(1.0 - s + s * bounded) - rest).sum()) for s in _SHARES]))


def _is_near(timing: ClipTiming, middle_us: float, policy: OffsetGatePolicy) -> bool:
    """Whether a clip in place, or offset, is as late as the others."""
    if timing.timing not in {Timing.IN_PLACE, Timing.OFFSET}:
        return False
    return abs(timing.offset_us - middle_us) <= policy.tolerance_us(timing.tracks) / 2.0


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _bootstrap_median(values: Floats, policy: OffsetGatePolicy) -> tuple[float, float]:
    """Interval of the median, by resampling clips."""
    if not len(values):
        return math.nan, math.nan
    generator = np.random.default_rng(policy.seed)
    drawn = generator.integers(0, len(values), size=(policy.bootstrap_samples, len(values)))
    medians = np.median(values[drawn], axis=1)
    tail = (1.0 - policy.confidence) / 2.0
    low, high = np.quantile(medians, [tail, 1.0 - tail]).tolist()
    return float(low), float(high)


def _milliseconds(value_us: float) -> float | None:
    return round(value_us / 1e3, 1) if math.isfinite(value_us) else None
