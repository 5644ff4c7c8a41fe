"""What captions claim: objects that nobody knows of, and contradictions among the captions of one picture."""

from collections.abc import Iterator
from time import perf_counter

import dagster as dg
import msgspec
import polars as pl

from mm_assets.aligned.objects.boxes.regions import read_pictures
from mm_assets.aligned.objects.claims.caption_claims import CaptionChecker, detect_objects
from mm_assets.aligned.objects.claims.faithfulness import evaluate_faithfulness
from mm_assets.aligned.objects.claims.faithfulness_baseline import trusted_baseline
from mm_assets.aligned.objects.claims.write_back import list_for_review, list_rejected
from mm_assets.display.metadata import counts_table, preview, table_metadata
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.partitions import batches
from mm_assets.schemas import TABLES
from mm_assets.steps import STEPS
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_detector import ObjectDetectorResource
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.registry import BatchRegistry

GROUP = "aligned_objects"
STEP = "caption_claims"
_IMAGES_AT_ONCE = 512
_SHOWN = 24


class _Annotated(msgspec.Struct):
    annotator: str | None = None


_ANNOTATED = msgspec.json.Decoder(_Annotated)


def _annotators(images: pl.DataFrame) -> pl.DataFrame:
    """Columns image_id, source and annotator, who wrote the captions where the delivery says."""
    names = [None if text is None else _ANNOTATED.decode(text).annotator for text in images["annotations_json"]]
    return images.select("image_id", "source", annotator=pl.Series(names, dtype=pl.String))


@dg.multi_asset(
    name=STEP,
    specs=[
        dg.AssetSpec(
            table,
            group_name=GROUP,
            partitions_def=batches,
            code_version=STEPS[STEP].code_version,
            description=TABLES[table].grain,
            deps=["captions", "images", "boxes", "image_text_recall"],
            kinds={"deltalake", "onnx"},
        )
        for table in STEPS[STEP].tables
    ],
)
def caption_claims(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    registry: BatchRegistry,
    policy_file: PolicyFile,
    detector: ObjectDetectorResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per caption: what it names and nobody knows of, and which of its siblings it contradicts."""
    refuse_if_held(context, holds, after=("recall",))  # captions of other pictures claim nothing about these
    batch, policy, model = context.partition_key, policy_file.policy, detector.handle
    if model is not None:
        refuse_if_over_budget(holds, costs.estimate(batch, "caption_claims", "images", lake.count("images", batch)))
    source, before = registry.of_same_source(batch)
    device = model.device if model else "cpu"
    labels = lake.scan("boxes", batch).select(pl.col("label").drop_nulls().unique().sort()).collect()["label"]
    checker = CaptionChecker(labels.to_list(), policy.faithfulness, model.vocabulary if model else ())
    with (
        provenance.writing(STEP, batch, models={"detector": detector}) as writing,
        costs.metered(context, STEP, detector.identity, "images", device) as meter,
        lake.staging() as staging,
    ):
        review: list[pl.DataFrame] = []
        captions, boxes_of = lake.scan("captions", batch), lake.scan("boxes", batch).select("image_id", "label")
        for images in lake.chunks("images", batch, _IMAGES_AT_ONCE):
            ids = images["image_id"].implode()
            own = captions.filter(pl.col("image_id").is_in(ids)).collect()
            own = own.join(_annotators(images), on="image_id", maintain_order="left")
            known = boxes_of.filter(pl.col("image_id").is_in(ids)).collect()
            detections = None
            if model is not None:
                wanted = checker.wanted(own, known)
                started = perf_counter()
                detections = detect_objects(read_pictures(images, wanted, landing, policy.images), wanted, model)
                meter.add(len(wanted), perf_counter() - started)
            claims = checker.claim(own, known, detections)
            staging.add("caption_claims", claims)
            staging.add("rejected", list_rejected(claims, own))
            review.append(list_for_review(claims, own).head(_SHOWN))
        lake.replace("rejected", batch, staging, within={"stage": STEP})
        writing.written.append(lake.replace("caption_claims", batch, staging))
        earlier = [name for name in before if name not in holds.held_batches()]
        trusted = lake.scan("caption_faithfulness").filter(pl.col("batch").is_in(earlier) & pl.col("passed")).collect()
        verdict = evaluate_faithfulness(
            lake.read("caption_claims", batch),
            trusted_baseline(trusted, policy.faithfulness),
            policy.faithfulness,
            texts=dict(lake.scan("captions", batch).select("caption_id", "text").collect().iter_rows()),
        )
        row = pl.DataFrame([verdict.to_row(batch, source)], schema=TABLES["caption_faithfulness"].schema)
        writing.written.append(lake.replace("caption_faithfulness", batch, row))
    for done in writing.written:
        metadata = table_metadata(done.table, done.rows, lake.head(done.table, batch), done.version)
        metadata |= {
            "reason": verdict.reason,
            "pictures_looked_at": meter.units,
            "rejected": counts_table(lake.rejected_by_code(batch, STEP), "code", "captions"),
        }
        if review:
            waiting = pl.concat(review).head(_SHOWN)
            metadata["for_review"] = preview(waiting, ("record_ref", "code", "reason", "confidence"))
        yield dg.MaterializeResult(done.table, data_version=writing.data_version, metadata=metadata)
