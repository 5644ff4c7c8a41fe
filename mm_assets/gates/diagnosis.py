# pyright: strict
"""Why the captions of a batch are not those of its pictures.

Hypotheses: captions shifted by k rows, in whole or from some row on (a line lost or inserted); reversed order; blocks
in another order; templated captions; and, when none of them restores recall, pairing at random.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.gates.block_order import find_blocks
from mm_assets.gates.displacement import (
    Displacement,
    Offsets,
    best_run,
    close_gaps,
    find_runs,
    is_displaced,
    measure_gain,
    measure_match,
    tabulate_offsets,
)
from mm_assets.gates.recall_input import Booleans, Floats, Integers
from mm_assets.gates.recall_pools import Retrieval
from mm_assets.gates.templates import Templates

_SEARCHES: Final = 3 * math.e
"""Runs in delivery order, runs in reversed order, blocks of one size; e bounds the ways to choose several runs."""
_MAX_RUNS_TOLD: Final = 12
NAMING_LEVEL: Final = 0.05
"""Significance at which an order explains a batch that has failed already; its bound is generous, so few are wrong."""


@dataclass(frozen=True)
class Evidence:
    """One hypothesis and what the batch says about it.

    Attributes:
        hypothesis: its name.
        recall: R@1 on the same pools once it is undone; None where there is nothing to undo.
        rows_explained: share of pairs it explains, 0 to 1.
        log_likelihood_ratio: log-evidence against the delivered pairing, the choice of hypothesis paid for.
        p_value: of that evidence when nothing is displaced; None for hypotheses without one.
    """

    hypothesis: str
    recall: float | None
    rows_explained: float
    log_likelihood_ratio: float | None
    p_value: float | None

    def to_json(self) -> dict[str, Any]:
        """Rounded values under their own names."""
        return {
            "hypothesis": self.hypothesis,
            "recall": _rounded(self.recall),
            "rows_explained": _rounded(self.rows_explained),
            "log_likelihood_ratio": _rounded(self.log_likelihood_ratio),
            "p_value": None if self.p_value is None else float(f"{self.p_value:.3g}"),
        }


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The best explanation of a batch and everything that was considered.

    Attributes:
        best: the named hypothesis; ``as delivered`` if no other is supported.
        kind: ``in_place``, ``shift``, ``reversed``, ``shuffled_blocks``, ``templated`` or ``random_pairing``.
        code: cross-modal code, None for ``in_place``.
        evidence: every hypothesis, the delivered pairing first, then by falling restored recall.
        details: what the kind has to tell: offsets and positions, block size, repeated sentences.
        partners: shape (n,), pair whose caption belongs to each image under the best hypothesis, -1 where rejected.
        displaced: shape (n,), rows that hypothesis moves.
    """

    best: Evidence
    kind: str
    code: CrossModalCode | None
    evidence: tuple[Evidence, ...]
    details: dict[str, Any]
    partners: Integers
    displaced: Booleans

    @property
    def is_displacement(self) -> bool:
        """Whether the order of the captions explains the batch."""
        return self.kind in {"shift", "reversed", "shuffled_blocks"}

    def to_json(self) -> dict[str, Any]:
        """JSON-able form for the ledger and the UI."""
        return {
            "hypothesis": self.best.hypothesis,
            "kind": self.kind,
            "code": None if self.code is None else self.code.value,
            "fix": None if self.code is None else REMEDIES[self.code].fix,
            "rows_explained": _rounded(self.best.rows_explained),
            "restored_recall": _rounded(self.best.recall),
            "evidence": [item.to_json() for item in self.evidence],
            **self.details,
        }


@dataclass(frozen=True)
class _Order:
    """One way the captions may have been reordered."""

    evidence: Evidence
    kind: str
    displacement: Displacement
    details: dict[str, Any]


def diagnose(
    retrieval: Retrieval,
    positions: Integers,
    templates: Templates,
    *,
    failed: bool,
    templates_fail: bool,
    reference_recall: float,
    null_mean: float,
    max_shift: int,
    level: float,
) -> Diagnosis:
    """Weigh the hypotheses and name the best one.

    An order hypothesis is believed at ``level`` if recall has not failed, and at ``NAMING_LEVEL`` if it has. Random
    pairing only explains a batch whose recall failed.

    Args:
        retrieval: the batch's retrieval, n pairs in delivery order.
        positions: shape (n,), delivery positions.
        templates: how templated the captions are.
        failed: whether the batch's recall failed.
        templates_fail: whether too many templated captions do not tell their pictures apart.
        reference_recall: R@1 expected of a sound batch of this source, on the same pools.
        null_mean: R@1 of random pairing.
        max_shift: largest k tested as a shift.
        level: significance at which an order hypothesis is believed against a batch of good recall.
    """
    match = measure_match(retrieval.image_to_text.similarity)
    gain = measure_gain(match, against_neighbours=not failed)
    forward = tabulate_offsets(gain, positions, positions, max_shift)
    backward = tabulate_offsets(gain, positions, positions[0] + positions[-1] - positions, max_shift)

    delivered = Evidence("as delivered", retrieval.recall_at_1, 1.0, None, None)
    shifts = [_weigh_shift(retrieval, forward, offset) for offset in range(-max_shift, max_shift + 1) if offset]
    orders = [
        _weigh_order(retrieval, forward, match, positions, reversed_order=False),
        _weigh_order(retrieval, backward, match, positions, reversed_order=True),
        _weigh_blocks(retrieval, forward, positions),
    ]
    template = _weigh_templates(retrieval, templates)
    chosen = max(orders, key=lambda order: order.evidence.log_likelihood_ratio or 0.0)
    p_value = chosen.evidence.p_value
    best, kind, code, details = delivered, "in_place", None, dict[str, Any]()
    partners = np.arange(len(positions), dtype=np.int64)
    displaced = np.zeros(len(positions), dtype=np.bool_)
    extra: list[Evidence] = []
    if p_value is not None and p_value <= (max(level, NAMING_LEVEL) if failed else level):
        best, kind, code, details = chosen.evidence, chosen.kind, CrossModalCode.TEMPORAL, chosen.details
        partners = chosen.displacement.partners
        displaced = is_displaced(chosen.displacement, len(positions))
    elif templates_fail:
        best, kind, code = template, "templated", CrossModalCode.FUSION
        details = {"distinct_captions": templates.distinct, "examples": [list(item) for item in templates.examples]}
    elif failed:
        lost = (reference_recall - retrieval.recall_at_1) / max(reference_recall - null_mean, 1e-9)
        best = Evidence("random pairing", None, float(np.clip(lost, 0.0, 1.0)), None, None)
        kind, code = "random_pairing", CrossModalCode.FUSION
        extra.append(best)
    if kind != "in_place":
        delivered = replace(delivered, rows_explained=1.0 - best.rows_explained)
    named = {item.evidence.hypothesis: item.evidence for item in orders}
    rest = [item for item in shifts if item.hypothesis not in named] + list(named.values()) + [template, *extra]
    rest.sort(key=lambda item: -(item.recall if item.recall is not None else -1.0))
    return Diagnosis(best, kind, code, (delivered, *rest), details, partners, displaced)


def _weigh_shift(retrieval: Retrieval, offsets: Offsets, offset: int) -> Evidence:
    """All captions, or one run of them, ``offset`` rows away."""
    run = best_run(offsets, offset)
    score = run.gain - float(offsets.entry_cost()[offset + offsets.reach])
    return Evidence(
        hypothesis=f"shift({offset:+d})",
        recall=_restored(retrieval, offsets.partners[:, offset + offsets.reach]),
        rows_explained=run.rows / len(offsets.partners) if score > 0.0 else 0.0,
        log_likelihood_ratio=score,
        p_value=_bound(score),
    )


def _weigh_order(
    retrieval: Retrieval, offsets: Offsets, match: Floats, positions: Integers, *, reversed_order: bool
) -> _Order:
    """The best set of displaced runs, in delivery order or reversed."""
    found = close_gaps(find_runs(offsets, delivered=None if reversed_order else 0), offsets, match)
    rows = len(positions)
    if not found.runs:
        name, kind = ("reversed order", "reversed") if reversed_order else ("shuffled blocks", "shuffled_blocks")
        column = offsets.partners[:, offsets.reach] if reversed_order else None
        recall = _restored(retrieval, column) if column is not None else None
        return _Order(Evidence(name, recall, 0.0, found.score, 1.0), kind, found, {})
    name, kind = _name_reversed(found, rows) if reversed_order else _name_forward(found, positions, offsets.near)
    share = float(is_displaced(found, rows).mean())
    evidence = Evidence(name, _restored(retrieval, found.partners), share, found.score, _bound(found.score))
    return _Order(evidence, kind, found, _describe(found, positions, kind))


def _weigh_blocks(retrieval: Retrieval, offsets: Offsets, positions: Integers) -> _Order:
    """Blocks of one size in another order."""
    size, found = find_blocks(offsets, positions)
    supported = found.score > 0.0 and bool(found.runs)
    share = float(is_displaced(found, len(positions)).mean()) if supported else 0.0
    evidence = Evidence(
        hypothesis=f"shuffled blocks of {size} rows" if supported else "shuffled blocks",
        recall=_restored(retrieval, found.partners) if supported else None,
        rows_explained=share,
        log_likelihood_ratio=found.score,
        p_value=_bound(found.score),
    )
    details = _describe(found, positions, "shuffled_blocks") | {"block_rows": size}
    return _Order(evidence, "shuffled_blocks", found, details)


def _name_forward(found: Displacement, positions: Integers, near: int) -> tuple[str, str]:
    """Name runs in delivery order after what makes such runs."""
    runs = found.runs
    offsets = {run.offset for run in runs}
    if len(offsets) == 1 and (len(runs) == 1 or abs(runs[0].offset) <= near):
        offset = runs[0].offset
        spans = [_span(run.start, run.stop, positions) for run in runs]
        return " ".join([f"shift({offset:+d})", " and ".join(span for span in spans if span)]).strip(), "shift"
    main = max(runs, key=lambda run: run.rows).offset
    length = int(positions[-1] - positions[0]) + 1
    if all(run.offset == main or abs(abs(run.offset - main) - length) <= near for run in runs):
        return f"shift({main:+d}) wrapped around", "shift"
    steps = [right.offset - left.offset for left, right in pairwise(runs)]
    if abs(runs[0].offset) <= near and all(abs(step) <= near for step in steps):
        told = [f"{run.offset:+d} from position {int(positions[run.start])}" for run in runs[:_MAX_RUNS_TOLD]]
        return f"growing shift ({', '.join(told)}{', …' if len(runs) > _MAX_RUNS_TOLD else ''})", "shift"
    return f"shuffled blocks of about {_block_rows(found)} rows", "shuffled_blocks"


def _name_reversed(found: Displacement, rows: int) -> tuple[str, str]:
    if len(found.runs) == 1:
        run = found.runs[0]
        whole = run.start == 0 and run.stop == rows
        return "reversed order" if whole else f"reversed order of {run.stop - run.start} rows", "reversed"
    return f"reversed order in blocks of about {_block_rows(found)} rows", "reversed"


def _span(start: int, stop: int, positions: Integers) -> str:
    rows = len(positions)
    if start == 0 and stop == rows:
        return ""
    if stop == rows:
        return f"from position {int(positions[start])}"
    if start == 0:
        return f"until position {int(positions[stop - 1])}"
    return f"from position {int(positions[start])} to {int(positions[stop - 1])}"


def _block_rows(found: Displacement) -> int:
    return int(np.median([run.stop - run.start for run in found.runs]))


def _describe(found: Displacement, positions: Integers, kind: str) -> dict[str, Any]:
    told: Sequence[dict[str, Any]] = [
        {
            "offset": run.offset,
            "from_position": int(positions[run.start]),
            "to_position": int(positions[run.stop - 1]),
            "rows": run.rows,
            "log_likelihood_ratio": _rounded(run.gain),
        }
        for run in found.runs
    ]
    details: dict[str, Any] = {"runs": list(told)}
    if kind == "shift":
        details["shift"] = max(found.runs, key=lambda run: run.rows).offset
    if kind == "shuffled_blocks" and found.runs:
        details["block_rows"] = _block_rows(found)
    return details


def _weigh_templates(retrieval: Retrieval, templates: Templates) -> Evidence:
    """Captions that say nothing about their own picture; recall is that of the others."""
    others = ~np.array(templates.templated, dtype=np.bool_)
    recall = float(retrieval.r1[others].mean()) if others.any() else None
    return Evidence("templated captions", recall, templates.share, None, None)


def _restored(retrieval: Retrieval, partners: Integers | npt.NDArray[np.int32]) -> float | None:
    """R@1 if every image had its partner's caption; rows without a partner are not counted."""
    rows = np.flatnonzero(partners >= 0)
    return float(retrieval.hits[rows, partners[rows]].mean(dtype=np.float64)) if len(rows) else None


def _bound(score: float) -> float:
    """P-value of log-evidence after all searches (Ville 1939)."""
    return min(1.0, _SEARCHES * math.exp(-max(score, 0.0)))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
