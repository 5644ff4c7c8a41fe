# pyright: strict
"""Orders in which the captions of a batch may have been delivered, each weighed, named and undone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mm_assets.gates.block_order import find_blocks
from mm_assets.gates.displacement import (
    Displacement,
    Offsets,
    best_run,
    close_gaps,
    find_runs,
    is_displaced,
    measure_gain,
    tabulate_offsets,
)
from mm_assets.gates.recall_input import Floats, Integers
from mm_assets.gates.recall_pools import Retrieval

_SEARCHES: Final = 3 * math.e
"""Runs in delivery order, runs in reversed order, blocks of one size; e bounds the ways to choose several runs."""
_MAX_RUNS_TOLD: Final = 12


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
            "recall": rounded(self.recall),
            "rows_explained": rounded(self.rows_explained),
            "log_likelihood_ratio": rounded(self.log_likelihood_ratio),
            "p_value": None if self.p_value is None else float(f"{self.p_value:.3g}"),
        }


@dataclass(frozen=True)
class Order:
    """One way the captions may have been reordered."""

    evidence: Evidence
    kind: str
    displacement: Displacement
    details: dict[str, Any]


@dataclass(frozen=True)
class OrderSearch:
    """What was found with one kind of evidence.

    Attributes:
        shifts: all captions shifted by each k.
        orders: the best runs in delivery order, in reversed order, and the best blocks of one size.
    """

    shifts: tuple[Evidence, ...]
    orders: tuple[Order, ...]

    @property
    def best(self) -> Order:
        """The order with the most evidence."""
        return max(self.orders, key=lambda order: order.evidence.log_likelihood_ratio or 0.0)


def search_orders(
    retrieval: Retrieval, positions: Integers, match: Floats, *, max_shift: int, against_neighbours: bool
) -> OrderSearch:
    """Weigh every order.

    Args:
        retrieval: the batch's retrieval, n pairs in delivery order.
        positions: shape (n,), delivery positions.
        match: shape (n, n), from ``measure_match``.
        max_shift: largest k weighed as a constant shift.
        against_neighbours: whether proposed captions must beat those around them, see ``measure_gain``.
    """
    gain = measure_gain(match, against_neighbours=against_neighbours)
    forward = tabulate_offsets(gain, positions, positions, max_shift)
    backward = tabulate_offsets(gain, positions, positions[0] + positions[-1] - positions, max_shift)
    return OrderSearch(
        shifts=tuple(_weigh_shift(retrieval, forward, k) for k in range(-max_shift, max_shift + 1) if k),
        orders=(
            _weigh_order(retrieval, forward, match, positions, reversed_order=False),
            _weigh_order(retrieval, backward, match, positions, reversed_order=True),
            _weigh_blocks(retrieval, forward, positions),
        ),
    )


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
) -> Order:
    """The best set of displaced runs, in delivery order or reversed."""
    found = close_gaps(find_runs(offsets, delivered=None if reversed_order else 0), offsets, match)
    rows = len(positions)
    if not found.runs:
        name, kind = ("reversed order", "reversed") if reversed_order else ("shuffled blocks", "shuffled_blocks")
        column = offsets.partners[:, offsets.reach] if reversed_order else None
        recall = _restored(retrieval, column) if column is not None else None
        return Order(Evidence(name, recall, 0.0, found.score, 1.0), kind, found, {})
    name, kind = _name_reversed(found, rows) if reversed_order else _name_forward(found, positions, offsets.near)
    share = float(is_displaced(found, rows).mean())
    evidence = Evidence(name, _restored(retrieval, found.partners), share, found.score, _bound(found.score))
    return Order(evidence, kind, found, _describe(found, positions, kind))


def _weigh_blocks(retrieval: Retrieval, offsets: Offsets, positions: Integers) -> Order:
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
    return Order(evidence, "shuffled_blocks", found, details)


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
            "log_likelihood_ratio": rounded(run.gain),
        }
        for run in found.runs
    ]
    details: dict[str, Any] = {"runs": list(told)}
    if kind == "shift":
        details["shift"] = max(found.runs, key=lambda run: run.rows).offset
    if kind == "shuffled_blocks" and found.runs:
        details["block_rows"] = _block_rows(found)
    return details


def _restored(retrieval: Retrieval, partners: Integers | npt.NDArray[np.int32]) -> float | None:
    """R@1 if every image had its partner's caption; rows without a partner are not counted."""
    rows = np.flatnonzero(partners >= 0)
    return float(retrieval.hits[rows, partners[rows]].mean(dtype=np.float64)) if len(rows) else None


def _bound(score: float) -> float:
    """P-value of log-evidence after all searches (Ville 1939)."""
    return min(1.0, _SEARCHES * math.exp(-max(score, 0.0)))


def rounded(value: float | None) -> float | None:
    """Four decimals, for documents that people read."""
    return None if value is None else round(value, 4)
