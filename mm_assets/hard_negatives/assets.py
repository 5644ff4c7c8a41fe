"""Hard negatives of a batch, and what is known about them."""

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.aligned.objects.boxes.regions import read_pictures
from mm_assets.display.contact_sheet import Tile, contact_sheet
from mm_assets.display.metadata import counts_table, picture, rows_table
from mm_assets.gates.evidence import read_picture
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.hard_negatives.batch_negatives import KeptTexts, Tally
from mm_assets.hard_negatives.batch_sources import (
    caption_positives,
    cue_windows,
    latest_decisions,
    position_ranges,
    segment_windows,
)
from mm_assets.hard_negatives.edit_pictures import edit_pictures, plan_tasks
from mm_assets.hard_negatives.gate import audit_row
from mm_assets.hard_negatives.interfaces import LanguageModel, TextRater
from mm_assets.hard_negatives.make_batch import BatchMaker, Sources
from mm_assets.hard_negatives.negatives import Negative, Positive
from mm_assets.hard_negatives.review_sheet import COLUMNS, ReviewItem, choose_for_review
from mm_assets.hard_negatives.rows import to_rows
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.timed_models import timed
from resources.costs import Costs, Meter
from resources.delta_lake import DeltaLake
from resources.device_neighbours import search_on
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
_PICTURES_SHOWN = 4
_PICTURE_PX = 160
_DEPS = (
    "captions",
    "images",
    "boxes",
    "image_embeddings",
    "caption_embeddings",
    "image_text_recall",
    "cues",
    "segment_alignments",
)


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
    reader, writer = entailment.handle, language_model.handle
    texts = lake.count("captions", batch) * policy.hard_negatives.texts_per_caption
    refuse_if_over_budget(holds, costs.estimate(batch, STEP, "texts", texts))
    if reader is not None:
        refuse_if_over_budget(holds, costs.estimate(batch, STEP, "pairs", texts))
    asks = "texts" if isinstance(writer, TextRater) else "requests"
    used = {"encoder": encoder, "wordnet": wordnet, "language_model": language_model, "entailment": entailment}
    with (
        provenance.writing(STEP, batch, models=used) as writing,
        costs.metered(context, STEP, model.identity, "texts", model.device) as embedded,
        costs.metered(context, STEP, entailment.identity, "pairs", reader.device if reader else "cpu") as compared,
        costs.metered(context, STEP, language_model.identity, asks, "cpu" if asks == "texts" else "remote") as asked,
        lake.staging() as drafts,
        lake.staging() as settled,
    ):

        def embed(texts: Sequence[str]) -> NDArray[np.float32]:
            started = perf_counter()
            found = model.encode_texts(list(texts))
            embedded.add(len(texts), perf_counter() - started)
            return found

        decisions = (
            lake.scan("review_decisions").select("subject_id", "decision", "reason", "at_us").collect().iter_rows()
        )
        maker = BatchMaker(
            wordnet.handle,
            embed,
            policy.hard_negatives,
            _labels(lake, batch),
            model=_watched(writer, asked),
            entailment=None if reader is None else timed(reader, "contradiction", compared.add),
            decisions=latest_decisions(decisions),
            search=search_on(model.device),
            max_prompts=costs.affordable(batch, asks, policy.hard_negatives.max_prompts),
        )
        kept, tally, positives = KeptTexts(), Tally(), 0
        for sources in _chunks(lake, landing, batch, str(model.identity), policy):
            judged = maker.make(sources)
            kept.add(judged)
            drafts.add(STEP, to_rows(batch, judged, sources.positions()))
            positives += len(sources.positives) + len(sources.windows)
        audits = kept.audit(policy.hard_negatives)
        for draft in drafts.frames(STEP):
            rows = audits.settle_rows(draft)
            tally.add(rows)
            settled.add(STEP, rows)
        summary = tally.summary(positives, audits)
        writing.written.append(lake.replace(STEP, batch, settled))
        audit = pl.DataFrame(
            [audit_row(batch, summary, policy.hard_negatives)], schema=TABLES["hard_negative_audit"].schema
        )
        writing.written.append(lake.replace("hard_negative_audit", batch, audit))
        rows = settled.scan(STEP)
        items = choose_for_review(rows, policy.hard_negatives.review_per_strategy, seed=policy.hard_negatives.seed)
        shown = {
            **_pictures_for_review(lake, landing, batch, items),
            "kept": summary.kept,
            "outcomes": counts_table(dict(summary.outcomes), "strategy/outcome/rule", "negatives"),
            "language_model": maker.report.tell(),
            "for_review": rows_table([item.to_row() for item in items], COLUMNS),
        }
    told = {STEP: shown, "hard_negative_audit": {"reason": audit["reason"][0]}}
    for done in writing.written:
        metadata = told[done.table] | written_metadata(lake, batch, done)
        yield dg.MaterializeResult(done.table, data_version=writing.data_version, metadata=metadata)


def _watched(writer: LanguageModel | TextRater | None, meter: Meter) -> LanguageModel | TextRater | None:
    """The model with its requests counted, or the texts it rated."""
    if isinstance(writer, TextRater):
        return timed(writer, "rate", meter.add, lambda _, texts: len(texts))
    return None if writer is None else timed(writer, "ask", meter.add, lambda _: 1)


def _labels(lake: DeltaLake, batch: str) -> list[str]:
    """Labels in use in the batch."""
    return lake.scan("boxes", batch).select(pl.col("label").drop_nulls().unique().sort()).collect()["label"].to_list()


def _chunks(lake: DeltaLake, landing: LandingStore, batch: str, encoder: str, policy: Policy) -> Iterator[Sources]:
    """Everything of the batch that negatives are made from, chunk by chunk: captions, then cues, then segments."""
    settings = policy.hard_negatives
    editor = _PictureEditor(lake, landing, batch, policy)
    for within in _ranges(lake, "captions", batch, settings.chunk_texts):
        boxes = lake.scan("boxes", batch).filter(within).select("image_id", "label", "x1", "y1", "x2", "y2").collect()
        positives, images, texts = caption_positives(
            lake.scan("captions", batch).filter(within).collect(),
            boxes,
            lake.scan("image_embeddings", batch).filter(within).select("image_id", "embedding").collect(),
            lake.scan("caption_embeddings", batch).filter(within).select("caption_id", "embedding").collect(),
        )
        yield Sources(positives, images, texts, edited=editor.edit(positives), encoder=encoder)
    editor.remove_others()
    nothing = np.empty((0, 1), np.float32)
    for within in _ranges(lake, "cues", batch, settings.chunk_texts):
        yield Sources([], nothing, nothing, cue_windows(lake.scan("cues", batch).filter(within).collect()))
    for within in _ranges(lake, "segment_alignments", batch, settings.chunk_texts):
        segments = lake.scan("segment_alignments", batch).filter(within).collect()
        cues = (
            lake.scan("cues", batch).filter(pl.col("clip_id").is_in(segments["clip_id"].unique().to_list())).collect()
        )
        yield Sources([], nothing, nothing, segment_windows(segments, cues))


def _ranges(lake: DeltaLake, table: str, batch: str, rows: int) -> Iterator[pl.Expr]:
    positions = lake.scan(table, batch).select("position").collect()["position"].to_numpy()
    return (pl.col("position").is_between(first, last) for first, last in position_ranges(positions, rows))


class _PictureEditor:
    """Edits pictures of a batch, as many as the policy allows; they go to files beside the tables."""

    def __init__(self, lake: DeltaLake, landing: LandingStore, batch: str, policy: Policy) -> None:
        self._lake, self._landing, self._batch, self._policy = lake, landing, batch, policy
        self._folder = f"negatives/{batch}"
        self._left = policy.hard_negatives.max_recolored
        self._kept: set[str] = set()

    def edit(self, positives: list[Positive]) -> list[Negative]:
        tasks = plan_tasks(positives, self._left)
        if not tasks:
            return []
        self._left -= sum(len(own) for own in tasks.values())
        columns = self._lake.scan("images", self._batch).select("image_id", "source_ref")
        images = columns.filter(pl.col("image_id").is_in(list(tasks))).collect()
        return list(edit_pictures(read_pictures(images, tasks, self._landing, self._policy.images), tasks, self._store))

    def remove_others(self) -> None:
        """Pictures of earlier runs go."""
        self._lake.files.remove_prefix(self._folder, keep=self._kept)

    def _store(self, name: str, data: bytes) -> str:
        path = f"{self._folder}/{name}"
        self._lake.files.put_bytes(path, data)
        self._kept.add(path)
        return path


def _pictures_for_review(
    lake: DeltaLake, landing: LandingStore, batch: str, items: Sequence[ReviewItem]
) -> dict[str, Any]:
    """The first negatives of each strategy under the pictures they are to be false of."""
    images = lake.scan("images", batch).select("image_id", "source_ref")
    wanted = {item.judged.negative.image_id for item in items}
    references = dict(images.filter(pl.col("image_id").is_in(wanted)).collect().iter_rows())
    shown: dict[str, list[Tile]] = {}
    for item in items:
        negative = item.judged.negative
        own = shown.setdefault(negative.strategy.value, [])
        if negative.image_id in references and len(own) < _PICTURES_SHOWN:
            path = item.edited_picture
            encoded = (
                read_picture(landing, references[negative.image_id]) if path is None else lake.files.get_bytes(path)
            )
            lines = (negative.strategy.value, f"true: {item.positive_marked}", f"false: {item.negative_marked}")
            own.append(Tile(encoded, (*lines, item.seen) if path else lines))
    tiles = [tile for own in shown.values() for tile in own]
    sheet = contact_sheet(tiles, columns=_PICTURES_SHOWN, side=_PICTURE_PX)
    return {"pictures_for_review": picture(sheet, "kept negatives, changed words in brackets")} if tiles else {}
