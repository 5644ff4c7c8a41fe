"""Documents as blocks in reading order, with what their references lead to."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from mm_assets.cleaned.document_reading import STAGE, ReadDocument, clean_document
from mm_assets.cleaned.interfaces import LanguageIdentifier
from mm_assets.display.metadata import counts_table
from mm_assets.documents.reading import DocumentReader, Models
from mm_assets.errors import InputError
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.steps import STEPS
from resources.costs import Costs
from resources.delta_lake import DeltaLake, Staging
from resources.holds import Holds
from resources.language_identifier import LanguageIdentifierResource
from resources.layout_model import LayoutModelResource
from resources.object_store import LandingStore
from resources.ocr import OcrResource
from resources.policy_file import PolicyFile
from resources.provenance import Provenance, Writing

GROUP = "cleaned"
_PER_DOCUMENT = ("document_blocks", "document_pages", "document_references")


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
    provenance: Provenance,
    policy_file: PolicyFile,
    ocr: OcrResource,
    layout: LayoutModelResource,
    language: LanguageIdentifierResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per document that could be read, its blocks, pages and references; the others go to ``rejected``."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    scans = lake.scan("raw_documents", batch).filter(pl.col("form") == "page_image").select(pl.len()).collect().item()
    refuse_if_over_budget(holds, costs.estimate(batch, STAGE, "images", scans))
    models = {"ocr": ocr, "layout": layout, "language": language}
    engine = ocr.page_handle
    with (
        provenance.writing(STAGE, batch, models=models) as writing,
        costs.metered(context, STAGE, engine.identity, "images", engine.device) as meter,
        lake.staging() as staging,
        DocumentReader(
            landing, Models(engine, layout.handle), policy.document_reading, policy.document_recognition
        ) as reader,
    ):
        for name in read_batch_documents(lake, landing, batch, reader, language.handle, policy, staging, writing):
            context.log.info("read %s", name)
        recognised = staging.scan(STAGE).select(pl.col("pages_by_ocr").sum()).collect().item() or 0
        meter.add(recognised, getattr(engine, "seconds", 0.0))
        lake.replace("rejected", batch, staging, within={"stage": STAGE})
        writing.written += [lake.replace(table, batch, staging) for table in STEPS[STAGE].tables]
    rejected = lake.rejected_by_code(batch, STAGE)
    types = lake.scan("document_blocks", batch).group_by("type").len().sort("type").collect()
    references = lake.scan("document_references", batch).select("kind", "refers_to").collect()
    unresolved = references.filter(pl.col("refers_to").is_null()).group_by("kind").len().sort("kind")
    told = {
        STAGE: {"rejected": counts_table(rejected, "code", "documents")},
        "document_blocks": {"blocks": counts_table(dict(types.iter_rows()), "type", "blocks")},
        "document_references": {"unresolved": counts_table(dict(unresolved.iter_rows()), "kind", "references")},
    }
    for done in writing.written:
        metadata = written_metadata(lake, batch, done) | told.get(done.table, {})
        yield dg.MaterializeResult(done.table, data_version=writing.data_version, metadata=metadata)
