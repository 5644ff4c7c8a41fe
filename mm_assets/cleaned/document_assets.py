"""Documents as blocks in reading order, with what their references lead to."""

from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.cleaned.document_reading import STAGE, ReadDocument, clean_document
from mm_assets.cleaned.image_text_share import report_text_share
from mm_assets.cleaned.interfaces import LanguageIdentifier
from mm_assets.cleaned.text_duplicates import find_text_duplicates, fingerprint_texts
from mm_assets.display.metadata import counts_table, rows_table
from mm_assets.documents.reading import DocumentReader, Models
from mm_assets.errors import InputError
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.timed_models import timed
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.language_identifier import LanguageIdentifierResource
from resources.layout_model import LayoutResource
from resources.object_store import LandingStore
from resources.ocr import OcrResource
from resources.policy_file import PolicyFile
from resources.provenance import Provenance, Writing
from resources.registry import DOCUMENTS, BatchRegistry
from resources.staging import Staging

GROUP = "cleaned"
_REPORTED = ("kind", "language", "script", "items", "characters", "characters_in_images", "share")
_PER_DOCUMENT = ("document_pages", "document_blocks", "document_references")


def _named(found: ReadDocument, identifier: LanguageIdentifier) -> pl.DataFrame:
    """The row of a document, with the language of its text where nothing states one."""
    row = found.row
    if row["language"] is None and found.sample.strip():
        (named,) = identifier.identify([found.sample])
        row = row | {"language": named.code if named.confidence >= 0.5 else None}  # noqa: PLR2004 - more likely than not
    table = TABLES[STAGE]
    return table.conform(pl.DataFrame([row], schema_overrides=table.schema).select(table.schema.names()))


def _rejection(row: dict[str, object], error: InputError) -> pl.DataFrame:
    table = TABLES["rejected"]
    return table.conform(
        pl.DataFrame(
            [
                {
                    "batch": row["batch"],
                    "stage": STAGE,
                    "record_kind": "document",
                    "record_ref": row["record_ref"],
                    "record_id": row["document_id"],
                    "code": error.code,
                    "reason": error.reason,
                }
            ],
            schema=table.schema,
        )
    )


def _words_of(blocks: pl.LazyFrame) -> pl.DataFrame:
    """Text of documents, columns text_id and text."""
    ordered = blocks.select("document_id", "position", "text").sort("document_id", "position")
    joined = ordered.group_by("document_id", maintain_order=True).agg(pl.col("text").str.join("\n"))
    return joined.select(text_id="document_id", text="text").collect()


def _fingerprint(row: dict[str, Any], own: Staging, policy: Policy) -> pl.DataFrame:
    words = _words_of(own.scan("document_blocks"))
    known = words.with_columns(batch=pl.lit(row["batch"]), position=pl.lit(row["position"]))
    return fingerprint_texts(known, policy.text_duplicates)


def _kept_fingerprints(lake: DeltaLake, batch: str) -> pl.DataFrame:
    """Fingerprints of the documents an earlier batch kept: nothing is a copy of what was turned away."""
    kept = lake.scan(STAGE, batch).select(text_id="document_id")
    return lake.scan("document_fingerprints", batch).join(kept, on="text_id", how="semi").collect()


def find_repeated_documents(
    lake: DeltaLake, batch: str, read: Staging, earlier: Iterable[str], policy: Policy
) -> pl.DataFrame:
    """Documents that repeat another of their batch or of an earlier one, as `find_text_duplicates` names them."""

    def words(of: str, ids: pl.Series) -> pl.DataFrame:
        blocks = read.scan("document_blocks") if of == batch else lake.scan("document_blocks", of)
        return _words_of(blocks.filter(pl.col("document_id").is_in(ids.implode())))

    return find_text_duplicates(
        read.scan("document_fingerprints").collect(),
        (_kept_fingerprints(lake, one) for one in earlier),
        words,
        policy.text_duplicates,
    )


def text_in_pixels(lake: DeltaLake, batch: str) -> pl.DataFrame:
    """How much text of a batch's documents was read from pixels, by type of block, language and script."""
    languages = lake.scan(STAGE, batch).select("document_id", "language")
    characters = pl.col("text").str.len_chars()
    return report_text_share(
        lake.scan("document_blocks", batch)
        .filter(characters > 0)
        .join(languages, on="document_id")
        .select(
            "language",
            "text",
            kind="type",
            characters_in_images=pl.when(pl.col("text_from") == "ocr").then(characters).otherwise(0),
        )
        .collect()
    )


def _repeated(documents: pl.DataFrame, duplicates: pl.DataFrame) -> pl.DataFrame:
    """Rejections of documents that repeat another."""
    found = documents.join(duplicates, left_on="document_id", right_on="text_id", how="inner", maintain_order="left")
    return found.select(
        "batch",
        pl.lit(STAGE).alias("stage"),
        pl.lit("document").alias("record_kind"),
        "record_ref",
        pl.col("document_id").alias("record_id"),
        pl.when(pl.col("kind") == "exact")
        .then(pl.lit("EXACT_DUPLICATE"))
        .otherwise(pl.lit("NEAR_DUPLICATE"))
        .alias("code"),
        pl.format(
            "{}: document repeats {} of batch {} ({} of their shingles); deliver each document once",
            "record_ref",
            "duplicate_of",
            "duplicate_batch",
            pl.col("similarity").round(3),
        ).alias("reason"),
    )


def read_batch_documents(
    lake: DeltaLake,
    landing: LandingStore,
    batch: str,
    reader: DocumentReader,
    identifier: LanguageIdentifier,
    policy: Policy,
    staging: Staging,
    writing: Writing,
) -> Iterator[str]:
    """Stage every document of a batch, whole or as one rejected row; yields the name of each that is done."""
    for rows in lake.chunks("raw_documents", batch):
        for row in rows.iter_rows(named=True):
            with lake.staging() as own:
                try:
                    found = clean_document(row, reader, landing, policy, own.add)
                except InputError as error:
                    staging.add("rejected", _rejection(row, error))
                else:
                    staging.add(STAGE, _named(found, identifier))
                    staging.add("document_fingerprints", _fingerprint(row, own, policy))
                    for table in _PER_DOCUMENT:
                        for frame in own.frames(table):
                            staging.add(table, frame)
            writing.seen["document"] = writing.seen.get("document", 0) + 1
            yield row["file_name"]


@dg.multi_asset(
    name=STAGE,
    specs=table_specs(STAGE, GROUP, {"deltalake", "pdf", "html"}, ["raw_documents"]),
)
def documents(
    context: dg.AssetExecutionContext,
    landing: LandingStore,
    lake: DeltaLake,
    holds: Holds,
    costs: Costs,
    registry: BatchRegistry,
    provenance: Provenance,
    policy_file: PolicyFile,
    ocr: OcrResource,
    layout: LayoutResource,
    language: LanguageIdentifierResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per document that could be read, its blocks, pages and references; the others go to ``rejected``."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    scans = lake.scan("raw_documents", batch).filter(pl.col("form") == "page_image").select(pl.len()).collect().item()
    refuse_if_over_budget(holds, costs.estimate(batch, STAGE, "images", scans))
    models = {"ocr": ocr, "layout": layout, "language": language}
    engine, regions = ocr.handle, layout.handle
    with (
        provenance.writing(STAGE, batch, models=models) as writing,
        costs.metered(context, STAGE, ocr.identity, "images", engine.device) as recognised,
        costs.metered(context, STAGE, layout.identity, "images", regions.device) as divided,
        costs.metered(context, STAGE, language.identity, "texts", "cpu") as identified,
        lake.staging() as read,
        lake.staging() as kept,
        DocumentReader(
            landing,
            Models(timed(engine, "read_pages", recognised.add), timed(regions, "find_regions", divided.add)),
            policy.document_reading,
            policy.document_recognition,
        ) as reader,
    ):
        identifier = timed(language.handle, "identify", identified.add)
        for name in read_batch_documents(lake, landing, batch, reader, identifier, policy, read, writing):
            context.log.info("read %s", name)
        fingerprints = lake.replace("document_fingerprints", batch, read)
        origin = lake.head("raw_documents", batch, 1).select("source", "license")
        source, license_name = origin.row(0) if origin.height else ("", "")
        earlier = registry.register(batch, source, license_name, set(holds.held_batches()), DOCUMENTS)
        duplicates = find_repeated_documents(lake, batch, read, earlier, policy)
        repeated = duplicates["text_id"].implode()
        kept.add("rejected", _repeated(read.scan(STAGE).collect(), duplicates))
        for table in (STAGE, *_PER_DOCUMENT):
            for frame in read.frames(table):
                kept.add(table, frame.filter(~pl.col("document_id").is_in(repeated)))
        for frame in read.frames("rejected"):
            kept.add("rejected", frame)
        lake.replace("rejected", batch, kept, within={"stage": STAGE})
        writing.written += [fingerprints, *(lake.replace(table, batch, kept) for table in (STAGE, *_PER_DOCUMENT))]
    rejected = lake.rejected_by_code(batch, STAGE)
    types = lake.scan("document_blocks", batch).group_by("type").len().sort("type").collect()
    references = lake.scan("document_references", batch).select("kind", "refers_to").collect()
    unresolved = references.filter(pl.col("refers_to").is_null()).group_by("kind").len().sort("kind")
    told = {
        STAGE: {
            "rejected": counts_table(rejected, "code", "documents"),
            "text_in_pixels": rows_table(text_in_pixels(lake, batch).to_dicts(), _REPORTED),
        },
        "document_blocks": {"blocks": counts_table(dict(types.iter_rows()), "type", "blocks")},
        "document_references": {"unresolved": counts_table(dict(unresolved.iter_rows()), "kind", "references")},
    }
    for done in writing.written:
        metadata = told.get(done.table, {}) | written_metadata(lake, batch, done)
        yield dg.MaterializeResult(done.table, data_version=writing.data_version, metadata=metadata)
