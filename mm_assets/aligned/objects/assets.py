"""Object alignment: boxes in pixels, their phrases, and what the object gates measure."""

import dagster as dg

from mm_assets.aligned.objects.boxes import convert_boxes, list_declared_boxes
from mm_assets.aligned.objects.corrections import LABEL_SHIFT, correct_boxes
from mm_assets.display.metadata import counts_table, table_metadata
from mm_assets.gates.guard import refuse_if_held
from mm_assets.partitions import batches
from mm_assets.schemas import TABLES
from mm_assets.steps import STEPS
from resources.corrections import Corrections
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.policy_file import PolicyFile
from resources.provenance import Provenance

GROUP = "aligned_objects"
_IMAGES_AT_ONCE = 1_024


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=["images"],
    kinds={"deltalake", "numpy"},
    code_version=STEPS["boxes"].code_version,
    description=TABLES["boxes"].grain,
)
def boxes(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    provenance: Provenance,
    corrections: Corrections,
    policy_file: PolicyFile,
) -> dg.MaterializeResult:
    """One row per declared box of a kept image, corrections applied."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy.objects
    in_force = corrections.in_force(batch, "object")
    with provenance.writing("boxes", batch) as writing, lake.staging() as staging:
        seen = 0
        for images in lake.chunks("images", batch, _IMAGES_AT_ONCE):
            converted = convert_boxes(images, policy, in_force)
            staging.add("boxes", converted.kept)
            staging.add("rejected", converted.rejected)
            seen += converted.seen
        lake.replace("rejected", batch, staging, within={"stage": "boxes"})
        if (in_force["kind"] == LABEL_SHIFT).any():
            delivered = list_declared_boxes(lake.read("raw_images", batch))
            written = lake.replace(
                "boxes", batch, correct_boxes(staging.scan("boxes").collect(), in_force, delivered, policy)
            )
        else:
            written = lake.replace("boxes", batch, staging)
        writing.written.append(written)
        writing.seen["box"] = seen
    return dg.MaterializeResult(
        data_version=writing.data_version,
        metadata={
            **table_metadata("boxes", written.rows, lake.head("boxes", batch), written.version),
            "declared": seen,
            "corrections": counts_table(
                {row["kind"]: len(row["rows"]) or written.rows for row in in_force.to_dicts()}, "correction", "boxes"
            ),
            "rejected": counts_table(lake.rejected_by_code(batch, "boxes"), "code", "boxes"),
        },
    )
