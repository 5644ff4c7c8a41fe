# pyright: strict
"""Whether the subtitle and audio pointers of a batch lead to other clips: by how many rows, which rows, how surely."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mm_assets.aligned.segments.offsets.pointer_channels import AUDIO, SUBTITLES, PointerChannel
from mm_assets.aligned.segments.offsets.pointer_evidence import (
    PointerHypotheses,
    bound_p_value,
    list_hypotheses,
    measure_gains,
    permute_pointers,
    rate_rows,
    weigh_hypotheses,
)
from mm_assets.aligned.segments.offsets.timed_tracks import Booleans, Floats, Integers
from mm_assets.errors import ContractError
from mm_assets.policy import OffsetGatePolicy

_TOLD: Final = 8
_MOST_NULL: Final = 0.02
"""P-value among random deals above which order evidence is not believed, whatever its bound."""


@dataclass(frozen=True, eq=False)
class PointerFinding:
    """What was found about one pointer of a batch.

    Attributes:
        side: subtitles or audio.
        channels: names of the evidence.
        hypothesis: name of the best hypothesis, such as ``shift(+1)``.
        kind: pointer_shift or pointer_reversal.
        parameters: of the correction that undoes it.
        log_ratio: log-evidence of all hypotheses against pointers in place.
        p_value: its bound.
        null_p_value: share of deals with as much evidence, where whose the attachments are is dealt at random;
            1 where the bound was too high to ask.
        proven: whether the pointers lead elsewhere.
        confidence: shape (n,), posterior of each row being displaced under the best hypothesis.
        named: shape (n,), rows that are displaced beyond doubt.
        sources: shape (n,), row whose attachment belongs to each clip once it is undone; -1 where there is none.
        evidence: the best hypotheses, by falling evidence.
        own: shape (n,), evidence of each delivered pair.
        restored: shape (n,), evidence of each pair once it is undone.
    """

    side: str
    channels: tuple[str, ...]
    hypothesis: str
    kind: str
    parameters: dict[str, int | bool | str]
    log_ratio: float
    p_value: float
    null_p_value: float
    proven: bool
    confidence: Floats
    named: Booleans
    sources: Integers
    evidence: tuple[dict[str, Any], ...]
    own: Floats
    restored: Floats

    @property
    def share(self) -> float:
        """Share of rows that are displaced, by their posterior."""
        return float(self.confidence.mean())

    def at(self, first: int, count: int) -> "PointerFinding":
        """The finding on rows that start at ``first`` of a batch of ``count``."""
        span = slice(first, first + len(self.named))

        def place(values: npt.NDArray[Any], rest: npt.NDArray[Any]) -> npt.NDArray[Any]:
            rest[span] = values
            return rest

        parameters = dict(self.parameters)
        if "rows_sum" in parameters:
            parameters["rows_sum"] = int(parameters["rows_sum"]) + 2 * first
        return replace(
            self,
            parameters=parameters,
            confidence=place(self.confidence, np.zeros(count)),
            named=place(self.named, np.zeros(count, dtype=np.bool_)),
            sources=place(np.where(self.sources >= 0, self.sources + first, -1), np.arange(count)),
            own=place(self.own, np.zeros(count)),
            restored=place(self.restored, np.zeros(count)),
        )

    def joined(self, other: "PointerFinding") -> "PointerFinding":
        """This and the same fault on other rows of the batch; of two faults the one with more evidence."""
        if not (self.proven and other.proven and self.parameters == other.parameters):
            return max(self, other, key=lambda finding: (finding.proven, finding.log_ratio))
        rows = np.arange(len(self.named))
        return replace(
            self,
            log_ratio=self.log_ratio + other.log_ratio,
            p_value=bound_p_value(self.log_ratio + other.log_ratio),
            confidence=np.maximum(self.confidence, other.confidence),
            named=self.named | other.named,
            sources=np.where(self.sources != rows, self.sources, other.sources),
            own=self.own + other.own,
            restored=self.restored + other.restored,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "side": self.side,
            "channels": list(self.channels),
            "hypothesis": self.hypothesis,
            "kind": self.kind,
            "parameters": self.parameters,
            "log_likelihood_ratio": round(self.log_ratio, 3),
            "p_value": float(f"{self.p_value:.3g}"),
            "null_p_value": float(f"{self.null_p_value:.3g}"),
            "proven": self.proven,
            "rows_explained": round(self.share, 4),
            "hypotheses": list(self.evidence),
        }


def find_pointers(channels: Sequence[PointerChannel], side: str, policy: OffsetGatePolicy) -> PointerFinding | None:
    """Weigh every shift and reversal of one pointer; None without evidence about it.

    Args:
        channels: evidence, of both pointers.
        side: the pointer.
        policy: largest shift, permutations, significance, confidence of rows.
    """
    chosen = [channel for channel in channels if channel.side == side and channel.match.any()]
    if not chosen:
        return None
    match = np.sum([channel.match for channel in chosen], axis=0)
    count = len(match)
    hypotheses = list_hypotheses(count, policy.max_shift)
    gains = measure_gains(match, hypotheses.targets)
    each, together = weigh_hypotheses(gains, hypotheses.log_prior)
    weighed = each + hypotheses.log_prior
    best = int(np.argmax(weighed))
    score = float(together)
    p_value = bound_p_value(score)
    null_p = 1.0
    if p_value <= policy.false_hold_rate:
        null = permute_pointers(match, hypotheses, permutations=policy.permutations, seed=policy.seed)
        null_p = float((1 + np.count_nonzero(null >= score)) / (1 + len(null)))
    targets = hypotheses.targets[best]
    wraps = hypotheses.kinds[best] == "shift" and _wraps(match, hypotheses.parameters[best])
    if wraps:
        targets = (np.arange(count, dtype=np.int64) + hypotheses.parameters[best]) % count
    confidence = rate_rows(measure_gains(match, targets[None])[0])
    confidence = np.where(targets != np.arange(count), confidence, 0.0)
    named = confidence >= policy.min_row_confidence
    kind, parameters = _describe(hypotheses, best, side, wraps=wraps)
    sources = restore_sources(kind, parameters, named)
    proven = p_value <= policy.false_hold_rate and null_p <= _MOST_NULL and bool(named.any())
    own = np.diagonal(match).copy()
    return PointerFinding(
        side=side,
        channels=tuple(channel.name for channel in chosen),
        hypothesis=hypotheses.names[best],
        kind=kind,
        parameters=parameters,
        log_ratio=score,
        p_value=p_value,
        null_p_value=null_p,
        proven=proven,
        confidence=confidence,
        named=named,
        sources=sources,
        evidence=tuple(
            {"hypothesis": hypotheses.names[row], "log_likelihood_ratio": round(float(each[row]), 3)}
            for row in np.argsort(-weighed)[:_TOLD].tolist()
        ),
        own=own,
        restored=np.where(sources >= 0, match[np.arange(count), sources], 0.0),
    )


def blame_pointer(subtitles: PointerFinding | None, audio: PointerFinding | None) -> list[PointerFinding]:
    """The pointers that are at fault.

    A clip's words and speech come from its sound. Where sound belongs to another clip, subtitles seem displaced the
    other way on the same rows: the one fault of the sound then explains both.
    """
    found = [finding for finding in (audio, subtitles) if finding is not None and finding.proven]
    if len(found) < 2:  # noqa: PLR2004 - nothing to choose between
        return found
    sound, cues = found
    same_rows = float((sound.named & cues.named).sum()) >= 0.5 * float(cues.named.sum())
    if not same_rows or sound.kind != cues.kind:
        return found
    if sound.kind == "pointer_shift" and sound.parameters["k"] != -int(cues.parameters["k"]):
        return found
    return [sound]


def restore_sources(kind: str, parameters: Mapping[str, object], named: Booleans) -> Integers:
    """Row whose attachment belongs to each clip once the fault is undone, shape (n,); -1 where there is none.

    Clips that are not named keep their own. A named clip takes what a named row has of it.

    Args:
        kind: pointer_shift or pointer_reversal.
        parameters: ``k`` and ``wrap``, or ``rows_sum``.
        named: shape (n,), rows that have the fault.

    Raises:
        ContractError: the kind is unknown or a parameter is missing.
    """
    count = len(named)
    rows = np.arange(count)
    try:
        if kind == "pointer_shift":
            taken = rows - int(str(parameters["k"]))
            taken = taken % count if parameters["wrap"] else taken
        elif kind == "pointer_reversal":
            taken = int(str(parameters["rows_sum"])) - rows
        else:
            raise ContractError(f"{kind}: no correction of pointers; pass pointer_shift or pointer_reversal")
    except KeyError as error:
        raise ContractError(f"{kind}: parameter {error} is missing; pass those of the diagnosis") from error
    inside = (taken >= 0) & (taken < count)
    there = inside & named[np.where(inside, taken, 0)]
    return np.where(named, np.where(there, taken, -1), rows)


def _wraps(match: Floats, k: int) -> bool:
    """Whether attachments pushed over one end came back at the other."""
    count = len(match)
    rows = np.arange(count)
    beyond = rows[(rows + k < 0) | (rows + k >= count)]
    return float(match[(beyond + k) % count, beyond].sum()) > max(float(match[beyond, beyond].sum()), 0.0)


def _describe(
    hypotheses: PointerHypotheses, best: int, side: str, *, wraps: bool
) -> tuple[str, dict[str, int | bool | str]]:
    parameter = hypotheses.parameters[best]
    if hypotheses.kinds[best] == "shift":
        return "pointer_shift", {"side": side, "k": parameter, "wrap": wraps}
    return "pointer_reversal", {"side": side, "rows_sum": parameter}


SIDES: Final = (SUBTITLES, AUDIO)
