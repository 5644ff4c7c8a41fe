"""Hard negatives of a batch, and what is known about them."""

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.aligned.objects.boxes.regions import read_pictures
from mm_assets.display.metadata import counts_table, rows_table
from mm_assets.gates.guard import refuse_if_held
from mm_assets.hard_negatives.batch_negatives import BatchNegatives, outcomes
from mm_assets.hard_negatives.batch_sources import caption_positives, cue_windows, latest_decisions
from mm_assets.hard_negatives.edit_pictures import edit_pictures, plan_batch
from mm_assets.hard_negatives.gate import audit_row
from mm_assets.hard_negatives.llm_synthetic import SyntheticReport
from mm_assets.hard_negatives.make_batch import Sources, make_batch
from mm_assets.hard_negatives.negatives import Negative, Positive
from mm_assets.hard_negatives.review_sheet import COLUMNS, choose_for_review
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.entailment import EntailmentResource
from resources.holds import Holds
from resources.image_text_encoder import ImageTextEncoderResource
from resources.language_model import LanguageModelResource
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.wordnet import WordNetResource

GROUP = "hard_negatives"
STEP = "hard_negatives"
_DEPS = ("captions", "images", "boxes", "image_embeddings", "caption_embeddings", "image_text_recall", "cues")


@dg.multi_asset(name=STEP, specs=table_specs(STEP, GROUP, {"deltalake"}, _DEPS))
def hard_negatives(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
    wordnet: WordNetResource,
    language_model: LanguageModelResource,
    entailment: EntailmentResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per hard negative with its verdict, and one per batch: how many are true, and what gives them away."""
    refuse_if_held(context, holds)
    batch, policy, model = context.partition_key, policy_file.policy, encoder.handle
    used = {"encoder": encoder, "wordnet": wordnet, "language_model": language_model, "entailment": entailment}
    with (
        provenance.writing(STEP, batch, models=used) as writing,
        costs.metered(context, STEP, model.identity, "texts", model.device) as embedded,
    ):

        def embed(texts: Sequence[str]) -> NDArray[np.float32]:
            started = perf_counter()
            found = model.encode_texts(list(texts))
            embedded.add(len(texts), perf_counter() - started)
            return found

        sources = _gather(lake, landing, batch, str(model.identity), policy)
        decisions = lake.scan("review_decisions").select("subject_id", "decision", "at_us").collect().iter_rows()
        result, report = make_batch(
            sources,
            wordnet.handle,
            embed,
            policy.hard_negatives,
            model=language_model.handle,
            entailment=entailment.handle,
            decisions=latest_decisions(decisions),
        )
        positions = {p.positive_id: p.position for p in (*sources.positives, *(w.positive for w in sources.windows))}
        writing.written.append(lake.replace("hard_negatives", batch, result.rows(batch, positions)))
        audit = pl.DataFrame(
            [audit_row(batch, result, policy.hard_negatives)], schema=TABLES["hard_negative_audit"].schema
        )
        writing.written.append(lake.replace("hard_negative_audit", batch, audit))
    told = {
        "hard_negatives": _shown(result, report, policy),
        "hard_negative_audit": {"reason": audit["reason"][0]},
    }
    for done in writing.written:
        metadata = written_metadata(lake, batch, done) | told[done.table]
        yield dg.MaterializeResult(done.table, data_version=writing.data_version, metadata=metadata)


def _gather(lake: DeltaLake, landing: LandingStore, batch: str, encoder: str, policy: Policy) -> Sources:
    """Everything of the batch that negatives are made from; edited pictures go to files beside the tables."""
    boxes = lake.scan("boxes", batch).select("image_id", "label", "x1", "y1", "x2", "y2").collect()
    positives, images, texts = caption_positives(
        lake.read("captions", batch),
        boxes.select("image_id", "label"),
        lake.scan("image_embeddings", batch).select("image_id", "embedding").collect(),
        lake.scan("caption_embeddings", batch).select("caption_id", "embedding").collect(),
    )
    edited = _edit(lake, landing, batch, positives, boxes, policy)
    return Sources(positives, images, texts, cue_windows(lake.read("cues", batch)), edited, encoder)


def _edit(
    lake: DeltaLake, landing: LandingStore, batch: str, positives: list[Positive], boxes: pl.DataFrame, policy: Policy
) -> list[Negative]:
    folder = f"negatives/{batch}"
    kept: set[str] = set()

    def store(name: str, data: bytes) -> str:
        path = f"{folder}/{name}"
        lake.files.put_bytes(path, data)
        kept.add(path)
        return path

    tasks = plan_batch(positives, boxes, policy.hard_negatives)
    columns = lake.scan("images", batch).select("image_id", "source_ref")
    images = columns.filter(pl.col("image_id").is_in(list(tasks))).collect()
    made = list(edit_pictures(read_pictures(images, tasks, landing, policy.images), tasks, store))
    lake.files.remove_prefix(folder, keep=kept)
    return made


def _shown(result: BatchNegatives, report: SyntheticReport, policy: Policy) -> dict[str, Any]:
    """What a person wants to see: counts by strategy and rule, and random negatives to look at."""
    settings = policy.hard_negatives
    items = choose_for_review(result.judged, settings.review_per_strategy, seed=settings.seed)
    return {
        "kept": len(result.kept()),
        "outcomes": counts_table(outcomes(result.judged), "strategy/outcome/rule", "negatives"),
        "language_model": report.note or f"{report.requests} requests, {report.malformed} malformed",
        "for_review": rows_table([item.to_row() for item in items], COLUMNS),
    }
