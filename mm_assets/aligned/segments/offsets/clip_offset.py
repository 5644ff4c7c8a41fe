# pyright: strict
"""What is wrong with the time of one clip: an offset, a drift, playing backwards, or nothing that can be told.

Hypotheses share out the profile of a clip: in place (nowhere displaced beyond the tolerance), a constant offset, a rate
that drifts, and one track played backwards. Each has the mean of its likelihood ratios as evidence, so that one with
many ways to be true pays for them, and a prior. Where all of them together do not beat tracks that have nothing to do
with each other, the clip is not judged.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from mm_assets.aligned.segments.offsets.alignment_profile import Profile, log_mean_exp
from mm_assets.aligned.segments.offsets.timed_tracks import FRAME_US, MICROSECONDS, Booleans, Floats
from mm_assets.policy import OffsetGatePolicy

_UNRELATED_SHARE: Final = 0.05
"""Share of clips whose tracks have nothing to do with each other."""
_FAULT_WIDTH: Final = 15
"""Lags about the offset of a batch at which one of its clips is looked for, frames."""


class Timing(StrEnum):
    """What the time of a clip came to."""

    IN_PLACE = "in_place"
    OFFSET = "offset"
    DRIFT = "drift"
    REVERSED = "reversed"
    UNJUDGED = "unjudged"


PRIORS: Final[Mapping[Timing, float]] = {
    Timing.IN_PLACE: 0.9,
    Timing.OFFSET: 0.05,
    Timing.DRIFT: 0.03,
    Timing.REVERSED: 0.02,
}
"""One clip in ten is wrong before anything was heard: the gate asks whether many are, and lets the clips speak."""
_KNOWN_SHARE: Final = 0.5
"""Prior of drift that the known rates share; the free ones share the rest."""
_NEAR_SHARE: Final = 0.5
_OFFSET_SCALE_US: Final = 1_000_000.0
_REVERSAL_SCALE_US: Final = 250_000.0
"""Half of the offsets are about as large as this, microseconds; the others may be of any size."""
_NEAR_LAGS: Final = 40
"""Lags about the best one that are averaged, frames: beyond them lies another alignment."""


@dataclass(frozen=True)
class ClipTiming:
    """What was found about the time of one clip.

    Attributes:
        clip_id: the clip.
        tracks: what was compared: cues_speech, cues_words or audio_video.
        timing: the best hypothesis, or unjudged.
        offset_us: how much later the track shows what happens at the clip's start; NaN if unjudged or reversed.
        offset_interval_us: its interval.
        rate: track seconds per clip second, 1 without drift.
        rate_interval: its interval.
        displacement_us: largest displacement within the clip, microseconds; NaN if unjudged or reversed.
        beyond: posterior probability that the clip is displaced beyond the tolerance or reversed; NaN if unjudged.
        evidence: natural logarithm of the likelihood ratio of all alignments against none.
        log_ratio: of the best hypothesis against in place; 0 for in place.
        beyond_ratio: logarithm of the likelihood ratio of being displaced or reversed against being in place, where
            tracks that have nothing to do with each other could be either: near 0 where the clip cannot tell.
        reason: why it was not judged, or nothing.
    """

    clip_id: str
    tracks: str
    timing: Timing
    offset_us: float
    offset_interval_us: tuple[float, float]
    rate: float
    rate_interval: tuple[float, float]
    displacement_us: float
    beyond: float
    evidence: float
    log_ratio: float
    beyond_ratio: float
    reason: str = ""

    @property
    def is_judged(self) -> bool:
        """Whether the clip can tell."""
        return self.timing is not Timing.UNJUDGED

    @property
    def drift_ppm(self) -> float:
        """Rate above 1, parts per million."""
        return (self.rate - 1.0) * 1e6

    def to_json(self) -> dict[str, Any]:
        """JSON-able form, milliseconds."""
        judged = math.isfinite(self.offset_us)
        return {
            "clip_id": self.clip_id,
            "tracks": self.tracks,
            "timing": self.timing.value,
            "offset_ms": round(self.offset_us / 1e3, 1) if judged else None,
            "offset_interval_ms": [round(bound / 1e3, 1) for bound in self.offset_interval_us] if judged else None,
            "rate": round(self.rate, 6),
            "beyond": round(self.beyond, 4) if math.isfinite(self.beyond) else None,
            "log_likelihood_ratio": round(self.log_ratio, 2),
            "reason": self.reason,
        }


def unjudged(clip_id: str, tracks: str, reason: str, evidence: float = 0.0, beyond_ratio: float = 0.0) -> ClipTiming:
    """A clip that cannot tell."""
    nothing = math.nan, math.nan
    return ClipTiming(
        clip_id=clip_id,
        tracks=tracks,
        timing=Timing.UNJUDGED,
        offset_us=math.nan,
        offset_interval_us=nothing,
        rate=1.0,
        rate_interval=nothing,
        displacement_us=math.nan,
        beyond=math.nan,
        evidence=evidence,
        log_ratio=0.0,
        beyond_ratio=beyond_ratio,
        reason=reason,
    )


def judge_clip(clip_id: str, tracks: str, profile: Profile | None, policy: OffsetGatePolicy) -> ClipTiming:
    """Weigh the hypotheses on one clip.

    Args:
        clip_id: the clip.
        tracks: what the profile compares.
        profile: its evidence; None where there was too little.
        policy: tolerance by task type, evidence a verdict needs, confidence of the intervals.
    """
    if profile is None:
        return unjudged(clip_id, tracks, "too little to compare")
    regions = share_out(profile, policy.tolerance_us(tracks))
    scores = {timing: math.log(PRIORS[timing]) + value for timing, value in weigh(profile, regions, policy).items()}
    total = _log_sum(scores.values())
    in_place = scores[Timing.IN_PLACE] - math.log(PRIORS[Timing.IN_PLACE])
    others = _log_sum(score for timing, score in scores.items() if timing is not Timing.IN_PLACE)
    floor = policy.min_clip_evidence
    beyond_ratio = float(
        np.logaddexp(others - math.log(1.0 - PRIORS[Timing.IN_PLACE]), floor) - np.logaddexp(in_place, floor)
    )
    if total < policy.min_clip_evidence:
        told = f"evidence {total:.1f} is below {policy.min_clip_evidence:g}"
        return unjudged(clip_id, tracks, told, total, beyond_ratio)
    best = max(scores, key=lambda timing: scores[timing])
    ratio = 0.0 if best is Timing.IN_PLACE else scores[best] - math.log(PRIORS[best]) - in_place
    nothing = math.nan, math.nan
    rate, rates, offset, offsets, displacement = -1.0, (-1.0, -1.0), math.nan, nothing, math.nan
    if best is not Timing.REVERSED:
        drifts = best is Timing.DRIFT
        rate, rates, offset, offsets = _estimate(profile, regions[best], policy.confidence, drifts=drifts)
        rate = rate if drifts else 1.0
        displacement = max(abs(offset), abs(offset + (rate - 1.0) * profile.duration_us))
    return ClipTiming(
        clip_id=clip_id,
        tracks=tracks,
        timing=best,
        offset_us=offset,
        offset_interval_us=offsets,
        rate=rate,
        rate_interval=rates,
        displacement_us=displacement,
        beyond=1.0 - math.exp(scores[Timing.IN_PLACE] - total),
        evidence=total,
        log_ratio=ratio,
        beyond_ratio=beyond_ratio,
    )


def weigh(profile: Profile, regions: Mapping[Timing, Booleans], policy: OffsetGatePolicy) -> dict[Timing, float]:
    """Log-evidence of each hypothesis against unrelated tracks, priors left out."""
    shape = profile.forward.shape
    weights = {
        Timing.IN_PLACE: np.ones(shape),
        Timing.OFFSET: np.broadcast_to(_lag_weights(profile, _OFFSET_SCALE_US), shape),
        Timing.DRIFT: np.broadcast_to(_rate_weights(profile, policy)[:, None], shape),
    }
    found = {
        timing: log_mean_exp(profile.forward[region], weights[timing][region]) for timing, region in regions.items()
    }
    return found | {Timing.REVERSED: _weigh_reversed(profile)}


def rejudge_clip(
    profile: Profile, known: Timing, offset_us: float, rate: float, share: float, policy: OffsetGatePolicy, tracks: str
) -> float:
    """Posterior probability that a clip has the fault its batch has.

    Args:
        profile: evidence of the clip.
        known: the fault of the batch.
        offset_us: its offset at the clip's start; not used for reversal.
        rate: its rate.
        share: share of clips that have it.
        policy: tolerance.
        tracks: what the profile compares.
    """
    regions = share_out(profile, policy.tolerance_us(tracks))
    in_place = log_mean_exp(profile.forward[regions[Timing.IN_PLACE]])
    if known is Timing.REVERSED:
        fault = _weigh_reversed(profile)
    else:
        row = int(np.argmin(np.abs(profile.rates - rate)))
        expected = (offset_us - (1.0 - rate) * profile.duration_us / 2.0) / rate / FRAME_US
        near = np.abs(profile.lags - expected) <= _FAULT_WIDTH
        fault = log_mean_exp(profile.forward[row, near])
    rivals = [math.log(1.0 - share) + in_place, math.log(_UNRELATED_SHARE)]
    odds = math.log(share) + fault
    return 1.0 / (1.0 + math.exp(min(_log_sum(rivals) - odds, 700.0)))


def _log_sum(values: Iterable[float]) -> float:
    return float(np.logaddexp.reduce(np.array(list(values))))


def name_rate(rate: float, interval: tuple[float, float], policy: OffsetGatePolicy) -> str:
    """The known ratio nearest to a rate if its interval allows one, else the rate in parts per million."""
    known = {
        name: value
        for (top, bottom), ratio in zip(policy.known_ratios, policy.known_rates, strict=True)
        for name, value in ((f"{top:g}/{bottom:g}", ratio), (f"{bottom:g}/{top:g}", 1.0 / ratio))
    }
    name = min(known, key=lambda item: abs(known[item] - rate))
    slack = max(interval[1] - rate, rate - interval[0], 1e-4)
    return name if abs(known[name] - rate) <= slack else f"{(rate - 1.0) * 1e6:+.0f} ppm"


def share_out(profile: Profile, tolerance_us: float) -> dict[Timing, Booleans]:
    """Which rates and lags are which hypothesis, shape (R, L) each."""
    displaced = profile.displacement_us() > tolerance_us
    drifting = (np.abs(profile.rates - 1.0) * profile.duration_us / 2.0 > tolerance_us)[:, None]
    return {
        Timing.IN_PLACE: ~displaced,
        Timing.OFFSET: displaced & ~drifting,
        Timing.DRIFT: displaced & drifting,
    }


def _weigh_reversed(profile: Profile) -> float:
    """Log-evidence of a clip played backwards; its bounds mostly stay where they are."""
    return log_mean_exp(profile.backward, _lag_weights(profile, _REVERSAL_SCALE_US))


def _lag_weights(profile: Profile, scale_us: float) -> Floats:
    """Prior of lags, shape (L,): half of them within the scale or so, the others anywhere."""
    near = np.exp(-np.abs(profile.lags) * FRAME_US / scale_us)
    return _NEAR_SHARE * near / near.sum() + (1.0 - _NEAR_SHARE) / len(near)


def _rate_weights(profile: Profile, policy: OffsetGatePolicy) -> Floats:
    known = np.array([rate for ratio in policy.known_rates for rate in (ratio, 1.0 / ratio)])
    is_known = (np.abs(profile.rates[:, None] - known[None, :]) < 1e-9).any(axis=1)  # noqa: PLR2004 - rounding
    counts = max(int(is_known.sum()), 1), max(int((~is_known).sum()), 1)
    return np.where(is_known, _KNOWN_SHARE / counts[0], (1.0 - _KNOWN_SHARE) / counts[1])


def _estimate(
    profile: Profile, region: Booleans, confidence: float, *, drifts: bool
) -> tuple[float, tuple[float, float], float, tuple[float, float]]:
    """Rate and offset at the clip's start with their intervals, by the posterior about the best alignment."""
    at_unit = (np.arange(len(profile.rates)) == profile.unit)[:, None]
    masked = np.where(region if drifts else region & at_unit, profile.forward, -np.inf)
    row, column = np.unravel_index(int(np.argmax(masked)), masked.shape)
    # a hypothesis names the alignment; its neighbours beyond the border of the region share in its estimate
    low, high = max(int(column) - _NEAR_LAGS, 0), int(column) + _NEAR_LAGS + 1
    part = profile.forward[:, low:high]
    weights = np.exp(part - part.max()).ravel()
    weights /= weights.sum()
    rates = np.broadcast_to(profile.rates[:, None], part.shape).ravel()
    lags = np.broadcast_to(profile.lags[None, low:high] * float(FRAME_US), part.shape).ravel()
    reach = _NEAR_LAGS * FRAME_US if drifts else 0.0
    near = np.abs(rates - profile.rates[row]) * profile.duration_us / 2.0 <= reach
    weights = np.where(near, weights, 0.0) / max(float(weights[near].sum()), 1e-300)
    offsets = rates * lags + (1.0 - rates) * profile.duration_us / 2.0
    return (
        float(weights @ rates),
        _quantiles(rates, weights, confidence),
        float(weights @ offsets),
        _quantiles(offsets, weights, confidence),
    )


def _quantiles(values: Floats, weights: Floats, confidence: float) -> tuple[float, float]:
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weights[order])
    tail = (1.0 - confidence) / 2.0
    places = np.minimum(np.searchsorted(mass, [tail, 1.0 - tail]), len(values) - 1)
    low, high = values[order][places].tolist()
    return float(low), float(high)


def tell_offset(timing: ClipTiming) -> str:
    """The finding in words."""
    if timing.timing is Timing.DRIFT:
        return f"runs at rate {timing.rate:.5f} from {timing.offset_us / MICROSECONDS:+.3f} s"
    if timing.timing is Timing.REVERSED:
        return "runs backwards"
    return f"is {timing.offset_us / MICROSECONDS:+.3f} s late"
