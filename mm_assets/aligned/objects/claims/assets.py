"""What captions claim: objects that nobody knows of, and contradictions among the captions of one picture."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import msgspec
import polars as pl

from mm_assets.aligned.objects.boxes.regions import read_pictures
from mm_assets.aligned.objects.claims.batch_rewrites import rewrite_batch
from mm_assets.aligned.objects.claims.caption_claims import REVIEW, CaptionChecker, detect_objects
from mm_assets.aligned.objects.claims.faithfulness import FaithfulnessVerdict, evaluate_faithfulness
from mm_assets.aligned.objects.claims.faithfulness_baseline import trusted_baseline
from mm_assets.aligned.objects.claims.interfaces import ObjectDetector
from mm_assets.aligned.objects.claims.rewrites import RewriteReport
from mm_assets.aligned.objects.claims.timed_detector import TimedDetector
from mm_assets.aligned.objects.claims.write_back import SHOWN_FOR_REVIEW, list_for_review, list_rejected, surest
from mm_assets.display.contact_sheet import Tile, contact_sheet
from mm_assets.display.metadata import counts_table, picture, rows_table
from mm_assets.gates.evidence import read_picture
from mm_assets.gates.gate_check import evidence_tables
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.policy import FaithfulnessPolicy, Policy
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.timed_models import timed
from resources.costs import Costs, Meter
from resources.delta_lake import DeltaLake
from resources.entailment import EntailmentResource
from resources.holds import Holds
from resources.object_detector import ObjectDetectorResource
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.registry import BatchRegistry
from resources.staging import Staging
from resources.vision_language import VisionLanguageResource

GROUP = "aligned_objects"
STEP = "caption_claims"
_IMAGES_AT_ONCE = 512
_SHOWN = 24
_PICTURES_SHOWN = 12


class _Annotated(msgspec.Struct):
    annotator: str | None = None


_ANNOTATED = msgspec.json.Decoder(_Annotated)


def _annotators(images: pl.DataFrame) -> pl.DataFrame:
    """Columns image_id, source and annotator, who wrote the captions where the delivery says."""
    names = [None if text is None else _ANNOTATED.decode(text).annotator for text in images["annotations_json"]]
    return images.select("image_id", "source", annotator=pl.Series(names, dtype=pl.String))


@dg.multi_asset(
    name=STEP,
    specs=table_specs(STEP, GROUP, {"deltalake", "onnx"}, ["captions", "images", "boxes", "image_text_recall"]),
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
    entailment: EntailmentResource,
    vision_language: VisionLanguageResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per caption: what it names and nobody knows of, and which of its siblings it contradicts."""
    refuse_if_held(context, holds, after=("recall",))  # captions of other pictures claim nothing about these
    batch, policy = context.partition_key, policy_file.policy
    model, reader, writer = detector.handle, entailment.handle, vision_language.handle
    if model is not None:
        refuse_if_over_budget(holds, costs.estimate(batch, STEP, "images", lake.count("images", batch)))
    if reader is not None:
        refuse_if_over_budget(holds, costs.estimate(batch, STEP, "pairs", policy.faithfulness.max_entailment_pairs))
    used = {"detector": detector, "entailment": entailment, "vision_language": vision_language}
    on = model.device if model else "cpu", reader.device if reader else "cpu"
    with (
        provenance.writing(STEP, batch, models=used) as writing,
        costs.metered(context, STEP, detector.identity, "images", on[0]) as seen,
        costs.metered(context, STEP, entailment.identity, "pairs", on[1]) as compared,
        costs.metered(context, STEP, vision_language.identity, "requests", "remote") as asked,
    ):
        sight = None if model is None else _Sight(model, landing, policy, seen)
        labels = lake.scan("boxes", batch).select(pl.col("label").drop_nulls().unique().sort()).collect()["label"]
        checker = CaptionChecker(
            labels.to_list(),
            policy.faithfulness,
            model.vocabulary if model else (),
            None
            if reader is None
            else timed(reader, "contradiction", lambda texts, seconds: compared.add(texts / 2, seconds)),
        )
        with lake.staging() as staging:
            review = _claim(lake, batch, checker, sight, staging)
            lake.replace("rejected", batch, staging, within={"stage": STEP})
            writing.written.append(lake.replace("caption_claims", batch, staging))
        verdict, source = _judge(lake, holds, registry, batch, review, policy.faithfulness)
        row = pl.DataFrame([verdict.to_row(batch, source)], schema=TABLES["caption_faithfulness"].schema)
        writing.written.append(lake.replace("caption_faithfulness", batch, row))
        most = costs.affordable(
            batch, "requests", policy.faithfulness.max_rewrites * policy.faithfulness.rewrite_attempts
        )
        rewrites = rewrite_batch(
            lake,
            landing,
            batch,
            checker,
            sight and sight.look,
            writer,
            policy,
            max_requests=most,
            count=asked.add,
        )
        writing.written.append(lake.replace("caption_rewrites", batch, rewrites.rows))
    told = {
        "caption_claims": {
            "pictures_looked_at": seen.units,
            "pairs_read_by_the_nli_model": checker.pairs.asked,
            "pairs_left_unread": checker.pairs.unread,
            "rejected": counts_table(lake.rejected_by_code(batch, STEP), "code", "captions"),
            **_for_review(lake, landing, batch, review, verdict),
        },
        "caption_faithfulness": {"reason": verdict.reason, **evidence_tables(verdict.to_json())},
        "caption_rewrites": _rewritten(rewrites),
    }
    for done in writing.written:
        metadata = told[done.table] | written_metadata(lake, batch, done)
        yield dg.MaterializeResult(done.table, data_version=writing.data_version, metadata=metadata)


class _Sight:
    """A detector at work on a batch's pictures; its own work is metered, reading and decoding them is not."""

    def __init__(self, model: ObjectDetector, landing: LandingStore, policy: Policy, meter: Meter) -> None:
        self._model, self._landing, self._policy = TimedDetector(model, meter.add), landing, policy

    def look(self, images: pl.DataFrame, wanted: Mapping[str, frozenset[str]]) -> pl.DataFrame:
        return detect_objects(read_pictures(images, wanted, self._landing, self._policy.images), wanted, self._model)


def _claim(
    lake: DeltaLake, batch: str, checker: CaptionChecker, sight: _Sight | None, staging: Staging
) -> pl.DataFrame:
    """Stage claims and rejected captions, some pictures at a time; returns the surest of those for review."""
    captions, boxes_of = lake.scan("captions", batch), lake.scan("boxes", batch).select("image_id", "label")
    review: list[pl.DataFrame] = []
    for images in lake.chunks("images", batch, _IMAGES_AT_ONCE):
        ids = images["image_id"].implode()
        own = captions.filter(pl.col("image_id").is_in(ids)).collect()
        own = own.join(_annotators(images), on="image_id", maintain_order="left")
        known = boxes_of.filter(pl.col("image_id").is_in(ids)).collect()
        detections = None if sight is None else sight.look(images, checker.wanted(own, known))
        claims = checker.claim(own, known, detections)
        staging.add("caption_claims", claims)
        staging.add("rejected", list_rejected(claims, own))
        review = [surest(pl.concat([*review, list_for_review(claims, own, _SHOWN)]), _SHOWN)]
    return review[0] if review else pl.DataFrame(schema=dict.fromkeys((*SHOWN_FOR_REVIEW, "image_id"), pl.String))


def _judge(
    lake: DeltaLake, holds: Holds, registry: BatchRegistry, batch: str, review: pl.DataFrame, policy: FaithfulnessPolicy
) -> tuple[FaithfulnessVerdict, str]:
    """The batch's verdict against the trusted batches of its source, and that source."""
    source, before = registry.of_same_source(batch)
    held = holds.held_batches()
    earlier = [name for name in before if name not in held]
    trusted = lake.scan("caption_faithfulness").filter(pl.col("batch").is_in(earlier) & pl.col("passed")).collect()
    texts = lake.scan("captions", batch).select("caption_id", "text").collect()
    verdict = evaluate_faithfulness(
        lake.read("caption_claims", batch),
        trusted_baseline(trusted, policy),
        policy,
        texts=dict(texts.iter_rows()),
        review=review.select(*SHOWN_FOR_REVIEW),
    )
    return verdict, source


def _for_review(
    lake: DeltaLake, landing: LandingStore, batch: str, review: pl.DataFrame, verdict: FaithfulnessVerdict
) -> dict[str, Any]:
    """How many captions wait for a person, the surest faults as a table, and their pictures."""
    found: dict[str, Any] = {
        "captions_for_review": verdict.actions.get(REVIEW, 0),
        "actions": counts_table(verdict.actions, "action", "captions"),
        "for_review": rows_table(review.to_dicts(), SHOWN_FOR_REVIEW),
    }
    shown = review.head(_PICTURES_SHOWN)
    ids = pl.col("image_id").is_in(shown["image_id"].unique().implode())
    references = dict(lake.scan("images", batch).filter(ids).select("image_id", "source_ref").collect().iter_rows())
    tiles = [
        Tile(read_picture(landing, references[row["image_id"]]), (row["caption"], row["claim"]), mark="darkorange")
        for row in shown.iter_rows(named=True)
    ]
    return found | ({"pictures_for_review": picture(contact_sheet(tiles), "captions for review")} if tiles else {})


def _rewritten(report: RewriteReport) -> dict[str, Any]:
    """What a person decides on: accepted rewrites first, beside the captions they would replace."""
    columns = ("before", "after", "accepted", "verdict", "reason", "source", "annotator", "model")
    rows = report.rows.sort("accepted", "position", "caption_id", descending=[True, False, False]).head(_SHOWN)
    return {
        "note": report.note,
        "requests": report.requests,
        "accepted": int(report.rows["accepted"].sum()),
        "rewrites": rows_table(rows.to_dicts(), columns),
    }
