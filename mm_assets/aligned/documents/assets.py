"""Documents laid out in windows, and the order gate's measurements; its check and the UI read them from here."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.aligned.documents.document_figures import show_pages, show_window
from mm_assets.aligned.documents.order_gate.document_check import BoundCaption, FoundReference, ObservedDocument
from mm_assets.aligned.documents.order_gate.order_gate import judge_order
from mm_assets.aligned.documents.order_gate.page_marks import from_frame
from mm_assets.aligned.documents.window_cuts import count_cuts
from mm_assets.aligned.documents.windows.interfaces import TokenCounter
from mm_assets.aligned.documents.windows.interleave import DocumentNames, Window, interleave
from mm_assets.aligned.documents.windows.tile_plan import figure_tokens
from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens, TokenizerTokens
from mm_assets.aligned.documents.windows.units import Binding, Use
from mm_assets.display.metadata import picture
from mm_assets.display.page_sheet import LEGEND
from mm_assets.documents.block_rows import OwnedBlock, block_id_of, read_blocks
from mm_assets.documents.blocks import Block
from mm_assets.features.figure_features import UNSAFE
from mm_assets.gates.guard import refuse_if_held
from mm_assets.policy import Policy, WindowPolicy
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance

GROUP = "aligned_documents"
WINDOWS = "document_windows"
ORDER = "document_order"


def blocks_by_document(lake: DeltaLake, batch: str) -> Iterator[tuple[str, Iterator[OwnedBlock]]]:
    """Each document's blocks in reading order, one document after the other; each is to be read before the next."""
    yield from groupby(read_blocks(lake.chunks("document_blocks", batch)), key=attrgetter("document_id"))


def rows_by_document(lake: DeltaLake, batch: str, table: str, columns: Iterable[str]) -> dict[str, pl.DataFrame]:
    """Some columns of a small table of a batch, in the table's order, by document."""
    rows = lake.read(table, batch).select("document_id", *columns)
    return {str(key[0]): part for key, part in rows.partition_by("document_id", as_dict=True).items()}


def token_counter(policy: WindowPolicy) -> TokenCounter:
    """The tokenizer the policy names, or the estimate."""
    return TokenizerTokens(Path(policy.tokenizer)) if policy.tokenizer else EstimatedTokens()


def _none_of(table: str, columns: Iterable[str]) -> pl.DataFrame:
    return TABLES[table].empty().select(columns)


def lay_out(lake: DeltaLake, batch: str, policy: Policy, counter: TokenCounter) -> Iterator[Window]:
    """Windows of every document of a batch."""
    sizes = rows_by_document(lake, batch, "document_figures", ("position", "width_px", "height_px"))
    used, bound = ("position", "start", "refers_to"), ("position", "caption_position")
    uses = rows_by_document(lake, batch, "document_references", used)
    bindings = rows_by_document(lake, batch, "caption_bindings", bound)
    records = dict(lake.scan("documents", batch).select("document_id", "record_ref").collect().iter_rows())
    for document, blocks in blocks_by_document(lake, batch):
        measured = sizes.get(document, _none_of("document_figures", ("position", "width_px", "height_px")))
        own_uses = uses.get(document, _none_of("document_references", used)).drop_nulls("refers_to").sort("position")
        own_bindings = bindings.get(document, _none_of("caption_bindings", bound)).drop_nulls("caption_position")

        def name_block(block: Block, document: str = document) -> str:
            return block_id_of(document, block)

        names = DocumentNames(batch, document, records[document], name_block)
        pictures = {
            place: (width, height) for place, width, height in measured.drop("document_id", strict=False).iter_rows()
        }
        yield from interleave(
            (owned.block for owned in blocks),
            (Use(*row) for row in own_uses.select(used).iter_rows()),
            (Binding(*row) for row in own_bindings.select(bound).sort("position").iter_rows()),
            figure_tokens(pictures, policy.tiles),
            names,
            policy.windows,
            counter,
        )


@dg.multi_asset(
    name=WINDOWS,
    specs=table_specs(
        WINDOWS,
        GROUP,
        {"deltalake", "polars"},
        ["documents", "document_blocks", "document_references", "document_figures", "caption_bindings"],
    ),
)
def document_windows(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    provenance: Provenance,
    policy_file: PolicyFile,
) -> Iterator[dg.MaterializeResult]:
    """One row per element of a window: text and pictures in the order in which a model reads them."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    counter = token_counter(policy.windows)
    totals = {"windows": 0, "tokens": 0, "moved": 0, "repeated": 0}
    with provenance.writing(WINDOWS, batch) as writing, lake.staging() as staging:
        for window in lay_out(lake, batch, policy, counter):
            staging.add(WINDOWS, window.rows)
            staging.add("rejected", window.rejected.with_columns(stage=pl.lit(WINDOWS)))
            found = (int(window.rows.height > 0), window.tokens, window.moved, window.repeated)
            totals = {name: total + more for (name, total), more in zip(totals.items(), found, strict=True)}
            if totals["windows"] % 100 == 0:
                context.log.info("laid out %s", totals)
        lake.replace("rejected", batch, staging, within={"stage": WINDOWS})
        writing.written.append(lake.replace(WINDOWS, batch, staging))
    preview = show_window(lake, landing, batch, policy)
    for done in writing.written:
        metadata: dict[str, Any] = dict(totals)
        metadata |= {"budget_tokens": policy.windows.budget_tokens, "token_counter": counter.identity}
        if preview is not None:
            metadata["window_to_look_at"] = dg.MetadataValue.path(f"{lake.root.rstrip('/')}/{preview}")
        yield dg.MaterializeResult(
            done.table, data_version=writing.data_version, metadata=metadata | written_metadata(lake, batch, done)
        )


def likeness(figures: pl.DataFrame, captions: pl.DataFrame) -> NDArray[np.float32] | None:
    """Cosines of the captioned figures of a document with their captions.

    Args:
        figures: position and embedding of its figures.
        captions: position of the figure, and embedding of its caption.

    Returns:
        float32, shape (N, N), figures in rows, captions in columns, both in the order of the figures; None if a figure
        or a caption has no embedding.
    """
    pairs = captions.join(figures, on="position", how="left", suffix="_of_figure").sort("position")
    if pairs.is_empty() or pairs["embedding"].null_count() or pairs["embedding_of_figure"].null_count():
        return None
    own, theirs = (np.stack(pairs[name].to_list()).astype(np.float32) for name in ("embedding_of_figure", "embedding"))
    return own @ theirs.T


def observe_documents(lake: DeltaLake, batch: str) -> Iterator[ObservedDocument]:
    """What the gate is told of each document of a batch, one after the other."""
    figures = rows_by_document(lake, batch, "document_figures", ("position", "embedding"))
    columns = ("position", "block_id", "type", "caption_position", "score", "embedding")
    bindings = rows_by_document(lake, batch, "caption_bindings", columns)
    references = rows_by_document(lake, batch, "document_references", ("position", "kind", "text", "refers_to"))
    pages = rows_by_document(
        lake,
        batch,
        "document_pages",
        ("page", "label", "words", "digest", "top", "bottom", "links", "ocr_disagreement"),
    )
    told = lake.scan("documents", batch).select("document_id", "file_name", "language").collect().iter_rows()
    names = {document: (file_name, language) for document, file_name, language in told}
    placed = lake.scan(WINDOWS, batch).select("document_id", "window_index", "block_position", "type", "role").collect()
    unsafe = lake.scan("rejected", batch).filter(pl.col("code") == UNSAFE).select("record_id").collect()["record_id"]
    cuts = count_cuts(placed, lake.scan("caption_bindings", batch).collect())
    for document, blocks in blocks_by_document(lake, batch):
        bound = bindings.get(document, _none_of("caption_bindings", columns))
        shown = figures.get(document, _none_of("document_figures", ("position", "embedding")))
        captioned = bound.filter(pl.col("type") == "figure").drop_nulls("caption_position")
        wanted = bound.filter((pl.col("type") == "figure") & ~pl.col("block_id").is_in(unsafe.implode()))
        found = references.get(document, _none_of("document_references", ("position", "kind", "text", "refers_to")))
        marks = pages.get(document)
        yield ObservedDocument(
            document_id=document,
            file_name=names[document][0],
            blocks=(owned.block for owned in blocks),
            bindings=[BoundCaption(*row) for row in bound.select("position", "caption_position", "score").iter_rows()],
            references=[
                FoundReference(*row) for row in found.select("position", "kind", "text", "refers_to").iter_rows()
            ],
            pages=() if marks is None else from_frame(marks),
            similarity=likeness(shown, captioned),
            lost_pictures=sorted(set(wanted["position"].to_list()) - set(shown["position"].to_list())),
            ocr_disagreement={}
            if marks is None
            else dict(marks.drop_nulls("ocr_disagreement").select("page", "ocr_disagreement").iter_rows()),
            window_cuts=cuts.get(document, 0),
            language=names[document][1],
        )


@dg.multi_asset(
    name=ORDER,
    specs=table_specs(
        ORDER,
        GROUP,
        {"deltalake", "numpy"},
        [
            "documents",
            "document_pages",
            "document_blocks",
            "document_references",
            "document_figures",
            "document_windows",
        ],
    ),
)
def document_order(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    provenance: Provenance,
    policy_file: PolicyFile,
) -> Iterator[dg.MaterializeResult]:
    """One row per batch: do its documents stand in the order they were written in?"""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    with provenance.writing(ORDER, batch) as writing:
        verdict = judge_order(observe_documents(lake, batch), policy.order_gate)
        sources = lake.scan("documents", batch).select("source").head(1).collect()["source"].to_list()
        row = pl.DataFrame([verdict.to_row(batch, sources[0] if sources else "")], schema=TABLES[ORDER].schema)
        checks = verdict.to_frame(batch, policy.order_gate)
        writing.written += [lake.replace(ORDER, batch, row), lake.replace("document_checks", batch, checks)]
    for done in writing.written:
        metadata: dict[str, Any] = {}
        if done.table == ORDER:
            metadata["reason"] = verdict.reason
            sheet = show_pages(lake, landing, batch, [check.document_id for check, _ in verdict.affected], policy)
            if sheet is not None:
                metadata["pages"] = picture(sheet, LEGEND)
        yield dg.MaterializeResult(
            done.table, data_version=writing.data_version, metadata=metadata | written_metadata(lake, batch, done)
        )
