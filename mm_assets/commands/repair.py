"""Show what a held batch's diagnosis would correct, and correct it: apply, run again, pass the gate, release."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mm_assets.aligned.corrections import withdraw_correction
from mm_assets.commands.run import Runner
from mm_assets.commands.workspace import Workspace
from mm_assets.errors import HoldError
from mm_assets.gates.evidence import evidence_sheet
from mm_assets.gates.repairs import PLANNERS, RepairPlan, correction_events, plan_repair
from mm_assets.identifiers import validate_batch_id
from mm_assets.steps import GATE_STEPS, upstream_steps


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Attributes:
        correction_id: the corrections in force, separated by commas.
        passed: whether the gate passed on the corrected rows.
        reason: the gate's new verdict in one sentence.
        released: whether the hold was released.
    """

    correction_id: str
    passed: bool
    reason: str
    released: bool


def show_repair(workspace: Workspace, batch: str, gate: str | None, sheet: Path | None) -> tuple[RepairPlan, Path]:
    """The plan, and a sheet of pictures with boxes before and after.

    Raises:
        HoldError: the batch is not held, or its diagnosis names no repair.
    """
    validate_batch_id(batch)
    workspace.holds.place_due(by="mm repair")
    plan = plan_repair(workspace.lake, workspace.holds, batch, gate)
    path = sheet or Path(f"{batch}-{plan.gate}-repair.png")
    drawn = evidence_sheet(workspace.lake, workspace.landing, batch, dict(plan.diagnosis))
    if drawn is None:
        raise HoldError(f"batch {batch!r}: its pictures cannot be read; see that the landing area is there")
    path.write_bytes(drawn)
    return plan, path


def repairable_batches(workspace: Workspace) -> list[str]:
    """Held batches whose diagnosis names a repair, sorted: those that ``mm repair`` would show."""
    active = workspace.holds.active()
    found: list[str] = []
    for batch in sorted(set(active.filter(pl.col("gate").is_in(list(PLANNERS)))["batch"])):
        try:
            plan_repair(workspace.lake, workspace.holds, batch)
        except HoldError:
            continue
        found.append(batch)
    return found


def tell_repair(batch: str, landing: str = "") -> str:
    """Where to go on with a held batch that can be repaired.

    Args:
        batch: the batch.
        landing: landing root to name, where it is not the one that a new shell would use.
    """
    setting = f"MM_LANDING={shlex.quote(landing)} " if landing else ""
    return f"{batch}: the diagnosis names a repair; see it with pictures: {setting}mm repair {batch}"


def apply_repair(workspace: Workspace, runner: Runner, plan: RepairPlan, by: str, reason: str) -> Repaired:
    """Apply the plan as a correction layer, run the batch up to the gate, and release the hold if it passes."""
    now_us = time.time_ns() // 1_000
    events = correction_events(plan, by=by, reason=reason, at_us=now_us)
    workspace.corrections.append(events)
    ids = ", ".join(events["correction_id"])
    runner.rerun(plan.batch, tuple(step.name for step in upstream_steps(GATE_STEPS[plan.gate])))
    verdict = workspace.holds.latest(plan.batch, plan.gate)
    if verdict is None or verdict["evaluation_id"] == plan.evaluation_id:
        raise HoldError(
            f"batch {plan.batch!r} was corrected but could not be run again: "
            f"{runner.summary.failed.get(plan.batch, 'see its run')}; mend that and run mm repair {plan.batch} again"
        )
    workspace.holds.place_due(by="mm repair")
    if not verdict["passed"]:
        return Repaired(ids, passed=False, reason=verdict["reason"], released=False)
    workspace.holds.release(plan.batch, plan.gate, by, f"{reason} (corrected by {ids}: {plan.kind})")
    return Repaired(ids, passed=True, reason=verdict["reason"], released=True)


def withdraw_repairs(workspace: Workspace, batch: str, by: str, reason: str) -> list[str]:
    """Take back every correction in force on the batch; returns their ids.

    Raises:
        HoldError: none is in force.
    """
    in_force = workspace.corrections.in_force(validate_batch_id(batch))
    if in_force.is_empty():
        raise HoldError(f"no correction is in force on batch {batch!r}")
    workspace.corrections.append(withdraw_correction(in_force, by=by, reason=reason, at_us=time.time_ns() // 1_000))
    return in_force["correction_id"].to_list()


def plan_as_document(plan: RepairPlan, sheet: Path) -> dict[str, Any]:
    """The plan as ``mm repair --json`` prints it."""
    return {
        "batch": plan.batch,
        "gate": plan.gate,
        "evaluation_id": plan.evaluation_id,
        "kind": plan.kind,
        "parameters": dict(plan.proposals[0].parameters),
        "rows": list(plan.rows),
        "corrections": [
            {"kind": item.kind, "parameters": dict(item.parameters), "rows": list(item.rows)} for item in plan.proposals
        ],
        "of": plan.of,
        "reason": plan.reason,
        "sheet": str(sheet),
    }
