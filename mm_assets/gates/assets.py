"""The gates' measurements, stored once; checks and views read them from here."""

from typing import Any

import dagster as dg
import polars as pl

from mm_assets.display.metadata import picture, table_metadata
from mm_assets.gates.guard import refuse_if_held
from mm_assets.gates.recall import evaluate_recall
from mm_assets.gates.recall_baseline import trusted_baseline
from mm_assets.gates.recall_figures import draw_hypotheses, draw_recall_history, draw_similarities
from mm_assets.gates.recall_input import RecallInput, read_recall_input, sample_pairs
from mm_assets.partitions import batches
from mm_assets.policy import RecallGatePolicy
from mm_assets.schemas import TABLES
from mm_assets.steps import STEPS
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.registry import BatchRegistry

GROUP = "gates"


def _read_pairs(lake: DeltaLake, batch: str, policy: RecallGatePolicy) -> RecallInput:
    """The pairs the gate looks at; no other embedding is read, so that memory is flat in the batch's rows."""
    images, captions = lake.scan("image_embeddings", batch), lake.scan("caption_embeddings", batch)
    chosen, available = sample_pairs(
        images.select("image_id", "position").collect(),
        captions.select("caption_id", "image_id", "caption_index").collect(),
        max_pairs=policy.max_pairs,
        seed=policy.seed,
    )
    texts = lake.scan("captions", batch).select("caption_id", "text")
    claimed = pl.col("caption_id").is_in(chosen["caption_id"].implode())
    return read_recall_input(
        images.filter(pl.col("image_id").is_in(chosen["image_id"].implode())).sort("position").collect(),
        captions.filter(claimed)
        .join(texts.filter(claimed), on="caption_id")
        .sort("position", "caption_index")
        .collect(),
        available,
    )


@dg.asset(
    group_name=GROUP,
    partitions_def=batches,
    deps=["image_embeddings", "caption_embeddings"],
    kinds={"deltalake", "numpy"},
    code_version=STEPS["image_text_recall"].code_version,
    description=TABLES["image_text_recall"].grain,
)
def image_text_recall(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    provenance: Provenance,
    registry: BatchRegistry,
    policy_file: PolicyFile,
) -> dg.MaterializeResult:
    """One row per batch: retrieval on fixed-size pools, the null, the baseline and the diagnosis."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    source, before = registry.of_same_source(batch)
    with provenance.writing("image_text_recall", batch) as writing:
        earlier = [name for name in before if name not in holds.held_batches()]
        trusted = lake.scan("image_text_recall").filter(pl.col("batch").is_in(earlier) & pl.col("passed")).collect()
        pairs = _read_pairs(lake, batch, policy.recall_gate)
        baseline = trusted_baseline(trusted, policy.recall_gate)
        verdict = evaluate_recall(pairs, baseline, policy.recall_gate, policy.captions)
        row = pl.DataFrame([verdict.to_row(batch, source)], schema=TABLES["image_text_recall"].schema)
        written = lake.replace("image_text_recall", batch, row)
        writing.written.append(written)
    metadata: dict[str, Any] = {"recall_at_1": verdict.recall_at_1, "reason": verdict.reason}
    if verdict.judged:
        history = lake.scan("image_text_recall").filter(pl.col("source") == source).sort("batch").collect()
        metadata["similarities"] = picture(draw_similarities(verdict), "matched against mismatched pairs")
        metadata["recall_over_batches"] = picture(draw_recall_history(history), f"R@1 of batches from {source}")
        metadata["hypotheses"] = picture(draw_hypotheses(verdict), "recall each hypothesis restores")
    metadata |= table_metadata("image_text_recall", 1, row, written.version)
    return dg.MaterializeResult(data_version=writing.data_version, metadata=metadata)
