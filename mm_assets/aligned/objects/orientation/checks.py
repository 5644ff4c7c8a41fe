"""The orientation gate: contradictions about sides, counted once and judged here."""

import dagster as dg
import polars as pl

from mm_assets.aligned.objects.orientation.findings import Subject
from mm_assets.aligned.objects.orientation.orientation_checks import list_declared
from mm_assets.aligned.objects.orientation.orientation_verdict import verdict_of_row, waive_captions
from mm_assets.display.metadata import rows_table
from mm_assets.gates.check_results import batch_check, judged
from mm_assets.gates.gate_check import gate_check
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore


@batch_check("orientation_agreement")
def sides_are_not_mirrored(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, landing: LandingStore, holds: Holds
) -> dg.AssetCheckResult:
    """Declared orientation, side markers and captions agree but for slips; otherwise the batch is held."""
    row = lake.read("orientation_agreement", context.partition_key).row(0, named=True)
    verdict = verdict_of_row(row)
    for gate in ("recall", "objects"):
        newest = holds.latest(row["batch"], gate)
        if newest and not newest["passed"] and holds.is_waived(newest["evaluation_id"]):
            verdict = waive_captions(verdict, gate)
    shown = ["pictures_read"]
    shown += [f"{kind.value}_{name}" for kind in Subject for name in ("decided", "contradicted", "low", "high")]
    figures = {name: row[name] for name in shown}
    if verdict.diagnosis["examples"]:
        columns = ("file_name", "subject", "text", "confidence")
        figures["contradictions"] = rows_table(verdict.diagnosis["examples"], columns)
    return gate_check(holds, lake, landing, verdict, figures)


@batch_check("orientation_checks")
def every_declared_orientation_is_checked(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Every kept picture that declares an orientation has a finding about it."""
    batch = context.partition_key
    findings = lake.scan("orientation_checks", batch).filter(pl.col("subject") == Subject.DECLARED.value)
    found = set(findings.select("image_id").collect()["image_id"])
    declared = {
        image_id
        for images in lake.chunks("images", batch, columns=["image_id", "annotations_json"])
        for image_id in list_declared(images)
    }
    missing = len(declared ^ found)
    return judged(
        passed=missing == 0,
        measured=missing,
        threshold=0,
        code=None if missing == 0 else "ROWS_LOST",
        description=f"{missing} of {len(declared)} declared orientations are unaccounted for",
    )


CHECKS = (sides_are_not_mirrored, every_declared_orientation_is_checked)
