"""What would undo the diagnosis of a held batch: one plan per gate that knows a repair."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mm_assets.aligned.corrections import make_correction
from mm_assets.errors import REMEDIES, CrossModalCode, HoldError
from resources.delta_lake import DeltaLake
from resources.holds import Holds


@dataclass(frozen=True)
class Proposal:
    """One correction that a diagnosis proposes.

    Attributes:
        kind: the fault that would be undone.
        parameters: its parameters.
        rows: ids of the rows that would be corrected.
    """

    kind: str
    parameters: Mapping[str, Any]
    rows: tuple[str, ...]


@dataclass(frozen=True)
class RepairPlan:
    """What a diagnosis proposes to correct.

    Attributes:
        batch: the held batch.
        gate: the gate that holds it.
        evaluation_id: its verdict.
        level: object or segment.
        proposals: the corrections, one at least.
        of: rows there are.
        reason: the verdict in one sentence.
        diagnosis: explanation with evidence.
    """

    batch: str
    gate: str
    evaluation_id: str
    level: str
    proposals: tuple[Proposal, ...]
    of: int
    reason: str
    diagnosis: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The fault that would be undone."""
        return self.proposals[0].kind

    @property
    def rows(self) -> tuple[str, ...]:
        """Ids of the rows that would be corrected, each once."""
        return tuple(dict.fromkeys(row for proposal in self.proposals for row in proposal.rows))


def plan_object_repair(lake: DeltaLake, verdict: Mapping[str, Any]) -> RepairPlan:
    """The correction of boxes that the object gate's diagnosis proposes."""
    batch = verdict["batch"]
    row, diagnosis = _read_diagnosis(lake, "object_recall", verdict)
    return RepairPlan(
        batch=batch,
        gate="objects",
        evaluation_id=row["evaluation_id"],
        level="object",
        proposals=(Proposal(diagnosis["kind"], diagnosis["parameters"], tuple(row["affected_boxes"])),),
        of=lake.scan("boxes", batch).select(pl.len()).collect().item(),
        reason=row["reason"],
        diagnosis=diagnosis,
    )


def plan_segment_repair(lake: DeltaLake, verdict: Mapping[str, Any]) -> RepairPlan:
    """The corrections of times or pointers that the offset gate's diagnosis proposes.

    Raises:
        HoldError: it names none, or one that would need the sound itself made again.
    """
    batch = verdict["batch"]
    row, diagnosis = _read_diagnosis(lake, "segment_offsets", verdict)
    proposals = tuple(
        Proposal(item["kind"], item["parameters"], tuple(item["rows"])) for item in diagnosis["corrections"]
    )
    videos = set(lake.scan("raw_videos", batch).select("clip_id").collect()["clip_id"])
    for proposal in proposals:
        if proposal.kind == "time_rate" and proposal.parameters["side"] == "audio":
            raise HoldError(
                f"batch {batch!r}: sound that runs at another rate is made anew at its source; {row['reason']}"
            )
        if not videos.issuperset(proposal.rows):
            raise HoldError(f"batch {batch!r}: transcriptions of sounds are mended at their source; {row['reason']}")
    return RepairPlan(
        batch=batch,
        gate="offset",
        evaluation_id=row["evaluation_id"],
        level="segment",
        proposals=proposals,
        of=len(videos),
        reason=row["reason"],
        diagnosis=diagnosis,
    )


def _read_diagnosis(lake: DeltaLake, table: str, verdict: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of a gate's measurement that the verdict rests on, and its diagnosis.

    Raises:
        HoldError: the rows were replaced since, or the diagnosis names no repair.
    """
    row = lake.read(table, verdict["batch"]).row(0, named=True)
    diagnosis = json.loads(row["diagnosis_json"])
    if row["evaluation_id"] != verdict["evaluation_id"] or not diagnosis.get("repairable"):
        raise HoldError(
            f"batch {verdict['batch']!r}: the diagnosis names no repair ({row['reason']}); correct the delivery at "
            "its source"
        )
    return row, diagnosis


PLANNERS: Final[Mapping[str, Callable[[DeltaLake, Mapping[str, Any]], RepairPlan]]] = {
    "objects": plan_object_repair,
    "offset": plan_segment_repair,
}


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


def correction_events(plan: RepairPlan, *, by: str, reason: str, at_us: int) -> pl.DataFrame:
    """The plan as rows of ``corrections``, one per proposal.

    Args:
        plan: the plan.
        by: who applies it.
        reason: why.
        at_us: when, microseconds since 1970 UTC.

    Raises:
        ContractError: ``by`` or ``reason`` is blank.
    """
    return pl.concat(
        make_correction(
            batch=plan.batch,
            level=plan.level,
            kind=proposal.kind,
            parameters=proposal.parameters,
            rows=proposal.rows,
            evaluation_id=plan.evaluation_id,
            by=by,
            reason=reason,
            at_us=at_us,
        )
        for proposal in plan.proposals
    )
