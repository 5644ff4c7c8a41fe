"""Sides: what medical pictures declare, what is burned into them, and what captions claim of boxes."""

from collections.abc import Iterator
from time import perf_counter

import dagster as dg
import polars as pl

from mm_assets.aligned.objects.boxes.regions import read_pictures
from mm_assets.aligned.objects.orientation.findings import Verdict
from mm_assets.aligned.objects.orientation.orientation_checks import (
    check_orientation,
    list_medical,
    mentions_orientation,
    names_a_side,
)
from mm_assets.aligned.objects.orientation.orientation_verdict import agreement_row, orientation_verdict
from mm_assets.aligned.objects.orientation.side_markers import SideMarker, marker_rows, read_side_markers
from mm_assets.display.metadata import counts_table
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.landing import Landing
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from resources.costs import Costs, Meter
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.ocr import OcrResource
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.registry import BatchRegistry

GROUP = "aligned_objects"
STEP = "orientation_checks"
_IMAGES_AT_ONCE = 1_024


def _read_markers(
    medical: pl.DataFrame, landing: Landing, ocr: OcrResource, policy: Policy, meter: Meter
) -> Iterator[tuple[str, list[SideMarker]]]:
    """Side markers of these pictures, one picture in memory at a time."""
    for image_id, pixels in read_pictures(medical, medical["image_id"], landing, policy.images):
        started = perf_counter()
        found = read_side_markers(pixels, ocr.handle, policy.orientation)
        meter.add(1, perf_counter() - started)
        yield image_id, found


@dg.multi_asset(
    name=STEP,
    specs=table_specs(
        STEP,
        GROUP,
        {"deltalake", "onnx"},
        ["captions", "images", "boxes", "object_alignments", "object_recall", "image_text_recall"],
    ),
)
def orientation_checks(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    registry: BatchRegistry,
    policy_file: PolicyFile,
    ocr: OcrResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per finding about sides, and one per batch: whether there are more contradictions than slips."""
    # Captions of other pictures, and boxes in the wrong place, say nothing about sides.
    refuse_if_held(context, holds, after=("recall", "objects"))
    batch, policy = context.partition_key, policy_file.policy
    medical = lake.scan("images", batch).filter(mentions_orientation()).select(pl.len()).collect().item()
    if medical:
        refuse_if_over_budget(holds, costs.estimate(batch, STEP, "images", medical))
    source, _ = registry.of_same_source(batch)
    with (
        provenance.writing(STEP, batch, models={"ocr": ocr}) as writing,
        costs.metered(context, STEP, ocr.identity, "images", "cpu") as meter,
        lake.staging() as staging,
    ):
        captions = lake.scan("captions", batch).filter(names_a_side())
        labels = lake.scan("boxes", batch).select("box_id", "label")
        anchored = lake.scan("object_alignments", batch).join(labels, on="box_id", how="left")
        for images in lake.chunks("images", batch, _IMAGES_AT_ONCE):
            markers = _read_markers(list_medical(images, policy.orientation), landing, ocr, policy, meter)
            claiming = captions.filter(pl.col("image_id").is_in(images["image_id"].implode())).collect()
            named = anchored.filter(pl.col("caption_id").is_in(claiming["caption_id"].implode()))
            found = check_orientation(images, claiming, named.collect(), marker_rows(markers), policy.orientation)
            staging.add(STEP, found)
        writing.written.append(lake.replace(STEP, batch, staging))
        rows = lake.read(STEP, batch)
        contradicted = rows.filter(pl.col("verdict") == Verdict.CONTRADICTED.value)["image_id"].unique()
        files = lake.scan("images", batch).filter(pl.col("image_id").is_in(contradicted.implode()))
        names = dict(files.select("image_id", "file_name").collect().iter_rows())
        verdict = orientation_verdict(batch, rows, policy.orientation, names)
        row = pl.DataFrame(
            [agreement_row(verdict, source, int(meter.units))], schema=TABLES["orientation_agreement"].schema
        )
        writing.written.append(lake.replace("orientation_agreement", batch, row))
    findings = dict(rows.group_by("verdict").len().sort("verdict").iter_rows())
    for done in writing.written:
        metadata = {
            "reason": verdict.reason,
            "pictures_read": meter.units,
            "findings": counts_table(findings, "verdict", "findings"),
        }
        yield dg.MaterializeResult(
            done.table, data_version=writing.data_version, metadata=metadata | written_metadata(lake, batch, done)
        )
