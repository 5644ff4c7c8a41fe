"""What would undo the diagnosis of a held batch: one plan per gate that knows a repair."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mm_assets.errors import REMEDIES, CrossModalCode, HoldError
from resources.delta_lake import DeltaLake
from resources.holds import Holds


@dataclass(frozen=True)
class RepairPlan:
    """A correction that a diagnosis proposes.

    Attributes:
        batch: the held batch.
        gate: the gate that holds it.
        evaluation_id: its verdict.
        level: object, segment or document.
        kind: the fault that would be undone.
        parameters: its parameters.
        rows: ids of the rows that would be corrected.
        of: rows there are.
        reason: the verdict in one sentence.
        diagnosis: explanation with evidence.
    """

    batch: str
    gate: str
    evaluation_id: str
    level: str
    kind: str
    parameters: Mapping[str, Any]
    rows: tuple[str, ...]
    of: int
    reason: str
    diagnosis: Mapping[str, Any]


def plan_object_repair(lake: DeltaLake, verdict: Mapping[str, Any]) -> RepairPlan:
    """The correction of boxes that the object gate's diagnosis proposes."""
    batch = verdict["batch"]
    row = lake.read("object_recall", batch).row(0, named=True)
    diagnosis = json.loads(row["diagnosis_json"])
    if row["evaluation_id"] != verdict["evaluation_id"] or not diagnosis.get("repairable"):
        raise HoldError(
            f"batch {batch!r}: the diagnosis names no repair ({row['reason']}); correct the delivery at its source"
        )
    return RepairPlan(
        batch=batch,
        gate="objects",
        evaluation_id=row["evaluation_id"],
        level="object",
        kind=diagnosis["kind"],
        parameters=diagnosis["parameters"],
        rows=tuple(row["affected_boxes"]),
        of=lake.scan("boxes", batch).select(pl.len()).collect().item(),
        reason=row["reason"],
        diagnosis=diagnosis,
    )


PLANNERS: Final[Mapping[str, Callable[[DeltaLake, Mapping[str, Any]], RepairPlan]]] = {"objects": plan_object_repair}


def plan_repair(lake: DeltaLake, holds: Holds, batch: str, gate: str | None = None) -> RepairPlan:
    """The repair of a held batch.

    Args:
        lake: the tables.
        holds: the ledger.
        batch: the held batch.
        gate: the gate to repair for; by default the first that holds the batch and knows a repair.

    Raises:
        HoldError: the batch is not held by such a gate, or its diagnosis names no repair.
    """
    active = holds.active().filter(pl.col("batch") == batch).unique("gate", maintain_order=True)
    held = active["gate"].to_list()
    known = [name for name in held if name in PLANNERS and gate in (None, name)]
    if not known:
        raise HoldError(
            f"batch {batch!r} is held by {held or 'nothing'}; a repair is known for {sorted(PLANNERS)}, "
            f"other faults are mended at their source{_advice(active['code'].to_list())}"
        )
    verdict = holds.latest(batch, known[0])
    if verdict is None or verdict["passed"]:
        raise HoldError(
            f"batch {batch!r} passes gate {known[0]!r} by now; release it with: "
            f"mm release-hold {batch} --gate {known[0]} --by WHO --reason TEXT"
        )
    return PLANNERS[known[0]](lake, verdict)


def _advice(codes: list[str | None]) -> str:
    """The remedies of the codes that a batch is held for. No picture is ever mirrored here, least a medical one."""
    known = [REMEDIES[CrossModalCode(code)].fix for code in codes if code in set(CrossModalCode)]
    return f": {' '.join(dict.fromkeys(known))}" if known else ""
