"""The check every gate shares: record the stored verdict, show why, and fail unless a person waived it."""

import math
from collections.abc import Mapping
from typing import Any

import dagster as dg

from mm_assets.display.metadata import picture, rows_table
from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.gates.check_results import judged
from mm_assets.gates.evidence import evidence_sheet, tell_sheet
from mm_assets.gates.verdicts import GateVerdict
from mm_assets.landing import Landing
from resources.delta_lake import DeltaLake
from resources.holds import Holds

_LISTS = ("rates", "groups", "for_review")


def gate_check(
    holds: Holds, lake: DeltaLake, landing: Landing, verdict: GateVerdict, shown: Mapping[str, Any]
) -> dg.AssetCheckResult:
    """Record a verdict and turn it into a check result.

    Args:
        holds: the ledger.
        lake: the tables.
        landing: where the pictures lie.
        verdict: what the gate found.
        shown: further figures for the UI.
    """
    holds.record(verdict)
    waived = holds.is_waived(verdict.evaluation_id)
    metadata: dict[str, Any] = {
        name: value for name, value in shown.items() if not (isinstance(value, float) and math.isnan(value))
    }
    metadata |= {"evaluation_id": verdict.evaluation_id, "waived": waived}
    metadata |= evidence_tables(verdict.diagnosis)
    if not verdict.passed:
        metadata |= _explanation(verdict)
        sheet = evidence_sheet(lake, landing, verdict.batch, verdict.diagnosis)
        if sheet is not None:
            metadata["side_by_side"] = picture(sheet, tell_sheet(verdict.diagnosis))
    return judged(
        passed=verdict.passed or waived,
        measured=verdict.measured,
        threshold=verdict.threshold,
        code=verdict.code,
        description=verdict.reason,
        metadata=metadata,
    )


def evidence_tables(diagnosis: Mapping[str, Any]) -> dict[str, dg.TableMetadataValue]:
    """What a diagnosis lists of its rates, of sources and annotators, and of rows for review; as far as it does."""
    found: dict[str, dg.TableMetadataValue] = {}
    for name in _LISTS:
        rows: list[dict[str, Any]] = list(diagnosis.get(name, []))
        if rows:
            found[name] = rows_table(
                [{key: _told(value) for key, value in row.items()} for row in rows], tuple(rows[0])
            )
    return found


def _told(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """An interval in words, anything else as it is."""
    if isinstance(value, list) and all(isinstance(end, float) for end in value):
        return " to ".join(f"{end:.4f}" for end in value)
    return value


def _explanation(verdict: GateVerdict) -> dict[str, Any]:
    found = verdict.diagnosis
    evidence: list[dict[str, Any]] = list(found.get("evidence", []))
    remedy = REMEDIES.get(CrossModalCode(verdict.code)) if verdict.code in set(CrossModalCode) else None
    return {
        "fix": remedy.fix if remedy else found.get("fix") or "",
        "hypothesis": found.get("hypothesis") or "unknown",
        "rows_explained": found.get("rows_explained") or 0.0,
        "evidence": rows_table(evidence, tuple(evidence[0]) if evidence else ("hypothesis",)),
    }
