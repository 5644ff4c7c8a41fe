"""The ledger of holds: what the gates decided, what is held, and who let it go."""

import json
import time
from collections.abc import Collection
from typing import Any, Final

import dagster as dg
import polars as pl

from mm_assets.aligned.corrections import active_corrections
from mm_assets.errors import HoldError
from mm_assets.gates import ledger
from mm_assets.gates.verdicts import GateVerdict
from mm_assets.identifiers import validate_batch_id
from mm_assets.schemas import TABLES
from mm_assets.steps import GATE_STEPS, GATES, STEPS, upstream_steps
from resources.delta_lake import DeltaLake

_MEASUREMENTS: Final = {
    gate: next(table for table in STEPS[GATE_STEPS[gate]].tables if "evaluation_id" in TABLES[table].columns)
    for gate in GATES
}
"""The table that holds what each gate measured, and the id of the verdict it leads to."""


def _now_us() -> int:
    return time.time_ns() // 1_000


class Holds(dg.ConfigurableResource):
    """Reads and appends to ``gate_evaluations`` and ``holds``."""

    lake: dg.ResourceDependency[DeltaLake]

    def _events(self) -> pl.DataFrame:
        return self.lake.snapshot("holds")

    def _evaluations(self, batch: str | None = None) -> pl.DataFrame:
        rows = self.lake.snapshot("gate_evaluations")
        return rows if batch is None else rows.filter(pl.col("batch") == batch)

    def record(self, verdict: GateVerdict) -> None:
        """Append a verdict, unless it is the newest of its gate and batch already."""
        newest = ledger.latest_evaluations(self._evaluations(verdict.batch)).filter(pl.col("gate") == verdict.gate)
        if newest["evaluation_id"].to_list() == [verdict.evaluation_id]:
            return
        row = verdict.to_row() | {"evaluated_at_us": _now_us()}
        self.lake.append("gate_evaluations", pl.DataFrame([row], schema=TABLES["gate_evaluations"].schema))

    def latest(self, batch: str, gate: str) -> dict[str, Any] | None:
        """The newest verdict of a gate on a batch."""
        rows = ledger.latest_evaluations(self._evaluations(batch)).filter(pl.col("gate") == gate).to_dicts()
        return rows[0] if rows else None

    def judged(self, batch: str | None = None, among: Collection[str] = GATES) -> dict[str, set[str]]:
        """Gates, of those named, whose newest verdict is on the rows of now, by batch; of one batch if one is named.

        A verdict on rows that were replaced since says nothing, even if it is the newest: the process that wrote the
        new rows may have died before their verdict.
        """
        measured = [
            self.lake.scan(table, batch).select("batch", "evaluation_id", gate=pl.lit(gate))
            for gate, table in _MEASUREMENTS.items()
            if gate in among
        ]
        if not measured:  # a batch of texts alone has no gates
            return {}
        newest = ledger.latest_evaluations(self._evaluations(batch))
        found = newest.join(pl.concat(measured).collect(), on=("batch", "gate", "evaluation_id"), how="semi")
        return {name: set(gates) for name, gates in found.group_by("batch").agg("gate").iter_rows()}

    def unjudged(self, batch: str, gates: tuple[str, ...]) -> list[str]:
        """Those of the gates that gave no verdict on the batch's rows of now."""
        judged = self.judged(batch, gates).get(batch, set())
        return [gate for gate in gates if gate not in judged]

    def active(self) -> pl.DataFrame:
        """Holds that nobody has released (see `ledger.hold_history` for the columns)."""
        return ledger.active_holds(self._events())

    def history(self) -> pl.DataFrame:
        """Every hold ever placed."""
        return ledger.hold_history(self._events())

    def held_batches(self) -> dict[str, str]:
        """Batches that must not go on, with the first gate that says so: held, or failed and about to be held."""
        failing = ledger.failing_gates(self._evaluations(), self._events())
        held = self.active()
        pairs = pl.concat([failing.select("batch", "gate"), held.select("batch", "gate")]).unique(maintain_order=True)
        order = {gate: rank for rank, gate in enumerate(GATE_STEPS)}
        return dict(sorted(pairs.rows(), key=lambda pair: order.get(pair[1], len(order)), reverse=True))

    def is_waived(self, evaluation_id: str) -> bool:
        """Whether a person released the hold bound to this verdict."""
        return evaluation_id in ledger.waived_evaluations(self._events())

    def corrected_at_us(self, hold: dict[str, Any]) -> int | None:
        """When the batch was last corrected after this hold (a row of `active`) was placed; None if it was not."""
        rows = self.lake.scan("corrections").filter(pl.col("batch") == hold["batch"]).collect()
        later = active_corrections(rows).filter(pl.col("at_us") > hold["opened_at_us"])
        return later["at_us"].to_list()[-1] if later.height else None

    def refusal(self, batch: str, after: tuple[str, ...] = (), step: str | None = None) -> str | None:
        """Why a step on this batch may not run, or None if it may.

        A batch that was corrected after its hold was placed may run again as far as the gate that holds it.

        Args:
            batch: the batch.
            after: gates that must have passed, or been waived, before the step.
            step: name of the step.
        """
        events = self._events()
        held = [
            hold
            for hold in ledger.active_holds(events).filter(pl.col("batch") == batch).to_dicts()
            if not (_leads_to_gate(step, hold["gate"]) and self.corrected_at_us(hold) is not None)
        ]
        if held:
            first = held[0]
            return (
                f"batch {batch!r} is held by gate {first['gate']!r}: {first['reason']} "
                f"Release it with: mm release-hold {batch} --gate {first['gate']} --by WHO --reason TEXT"
            )
        unjudged = self.unjudged(batch, after) if after else []
        waived = ledger.waived_evaluations(events)
        for newest in ledger.latest_evaluations(self._evaluations(batch)).to_dicts():
            failed = not newest["passed"] and newest["evaluation_id"] not in waived
            if failed and newest["gate"] in after and newest["gate"] not in unjudged:
                return f"batch {batch!r} failed gate {newest['gate']!r}: {newest['reason']}"
        if unjudged:
            return (
                f"batch {batch!r} has no verdict of gate {unjudged[0]!r} on its rows of now; "
                "materialize the gate's asset with its checks"
            )
        return None

    def _refuse_unproven_repair(self, hold: dict[str, Any]) -> None:
        """A corrected batch is released by passing its gate, not by a person's word alone.

        Raises:
            HoldError: the batch was corrected, and its gate was not measured since or fails still.
        """
        if self.corrected_at_us(hold) is None:
            return
        newest = self.latest(hold["batch"], hold["gate"])
        if newest is not None and newest["passed"]:
            return
        raise HoldError(
            f"batch {hold['batch']!r} was corrected, but gate {hold['gate']!r} has not passed since; run it again with "
            f"mm repair {hold['batch']} --apply, or take the correction back with mm repair {hold['batch']} --withdraw"
        )

    def place_due(
        self, by: str, gates: Collection[str] | None = None, batches: Collection[str] | None = None
    ) -> list[dict[str, Any]]:
        """Place a hold for every failed verdict without one, of these gates and batches if named; returns the holds."""
        due = ledger.due_holds(self._evaluations(), self._events())
        if gates is not None:
            due = due.filter(pl.col("gate").is_in(list(gates)))
        if batches is not None:
            due = due.filter(pl.col("batch").is_in(list(batches)))
        if due.is_empty():
            return []
        rows = due.select(
            pl.lit("placed").alias("event"),
            "evaluation_id",
            "batch",
            "gate",
            "code",
            "reason",
            "measured",
            "threshold",
            "diagnosis_json",
            pl.lit(by).alias("by"),
            pl.lit(_now_us(), dtype=pl.Int64).alias("at_us"),
        )
        self.lake.append("holds", rows)
        return rows.to_dicts()

    def release(self, batch: str, gate: str, by: str, reason: str) -> str:
        """Release the active hold of a gate on a batch; returns the evaluation it was bound to.

        Raises:
            HoldError: no name, no reason, or nothing of that kind is held.
        """
        validate_batch_id(batch)
        if not by.strip() or not reason.strip():
            raise HoldError("a release needs a name (--by) and a reason (--reason)")
        self.place_due(by="release")
        held = self.active().filter((pl.col("batch") == batch) & (pl.col("gate") == gate))
        if held.is_empty():
            names = self.active().select(pl.format("{}:{}", "batch", "gate")).to_series().to_list()
            raise HoldError(f"batch {batch!r} is not held by gate {gate!r}; held now: {names or 'nothing'}")
        self._refuse_unproven_repair(held.row(0, named=True))
        rows = held.select(
            pl.lit("released").alias("event"),
            "evaluation_id",
            "batch",
            "gate",
            "code",
            pl.lit(reason.strip()).alias("reason"),
            "measured",
            "threshold",
            "diagnosis_json",
            pl.lit(by.strip()).alias("by"),
            pl.lit(_now_us(), dtype=pl.Int64).alias("at_us"),
        )
        self.lake.append("holds", rows)
        return held["evaluation_id"][0]


def _leads_to_gate(step: str | None, gate: str) -> bool:
    return any(step == needed.name for needed in upstream_steps(GATE_STEPS[gate]))


def describe_hold(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `Holds.history` in the shape that ``mm holds --json`` promises."""
    released = None
    if row["released_at_us"] is not None:
        released = {
            "by": row["released_by"],
            "reason": row["released_reason"],
            "at": format_time(row["released_at_us"]),
        }
    return {
        "batch": row["batch"],
        "gate": row["gate"],
        "code": row["code"],
        "reason": row["reason"],
        "measured": row["measured"],
        "threshold": row["threshold"],
        "evaluation_id": row["evaluation_id"],
        "opened_at": format_time(row["opened_at_us"]),
        "diagnosis": json.loads(row["diagnosis_json"]),
        "released": released,
    }


def format_time(at_us: int) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_us / 1e6)) + "Z"
