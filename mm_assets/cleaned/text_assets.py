"""Cleaned texts of the text pool, near-duplicates left out."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from mm_assets.cleaned.text_duplicates import find_text_duplicates, fingerprint_texts
from mm_assets.cleaned.texts import STAGE, TextCleaner, reject_near_duplicates
from mm_assets.display.metadata import counts_table
from mm_assets.gates.guard import refuse_if_held
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.timed_models import timed
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.language_identifier import LanguageIdentifierResource
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.registry import TEXTS, BatchRegistry

GROUP = "cleaned"


def _kept_fingerprints(lake: DeltaLake, batch: str) -> pl.DataFrame:
    """Fingerprints of the texts an earlier batch kept: nothing is a copy of what was turned away."""
    kept = lake.scan("texts", batch).select("text_id")
    return lake.scan("text_fingerprints", batch).join(kept, on="text_id", how="semi").collect()


@dg.multi_asset(name=STAGE, specs=table_specs(STAGE, GROUP, {"deltalake", "polars"}, ["raw_texts"]))
def texts(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    costs: Costs,
    registry: BatchRegistry,
    provenance: Provenance,
    policy_file: PolicyFile,
    language: LanguageIdentifierResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per repaired text of the text pool that repeats no other."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    with (
        provenance.writing(STAGE, batch, models={"language": language}) as writing,
        costs.metered(context, "texts", language.identity, "texts", "cpu") as meter,
        lake.staging() as repaired,
        lake.staging() as cleaned,
    ):
        cleaner = TextCleaner(
            timed(language.handle, "identify", meter.add), policy.texts, policy.text_quality, policy.dialogues
        )
        for chunk in lake.chunks("raw_texts", batch):
            kept, rejected = cleaner.clean(chunk)
            repaired.add("texts", kept)
            cleaned.add("rejected", rejected)
            compared = kept.filter(pl.col("kind").is_in(policy.text_duplicates.kinds))
            repaired.add("text_fingerprints", fingerprint_texts(compared, policy.text_duplicates))
        fingerprints = lake.replace("text_fingerprints", batch, repaired)
        origin = lake.head("raw_texts", batch, 1).select("source", "license")
        source, license_name = origin.row(0) if origin.height else ("", "")
        earlier = registry.register(batch, source, license_name, set(holds.held_batches()), TEXTS)

        def read(of: str, ids: pl.Series) -> pl.DataFrame:
            rows = repaired.scan("texts") if of == batch else lake.scan("texts", of)
            return rows.filter(pl.col("text_id").is_in(ids.implode())).select("text_id", "text").collect()

        duplicates = find_text_duplicates(
            repaired.scan("text_fingerprints").collect(),
            (_kept_fingerprints(lake, one) for one in earlier),
            read,
            policy.text_duplicates,
        )
        for frame in repaired.frames("texts"):
            kept, rejected = reject_near_duplicates(frame, duplicates)
            cleaned.add("texts", kept)
            cleaned.add("rejected", rejected)
        lake.replace("rejected", batch, cleaned, within={"stage": STAGE})
        writing.written += [fingerprints, lake.replace("texts", batch, cleaned)]
    kinds = lake.scan("texts", batch).group_by("kind").len().sort("kind").collect()
    told = {
        "texts": {
            "kinds": counts_table(dict(kinds.iter_rows()), "kind", "texts"),
            "rejected": counts_table(lake.rejected_by_code(batch, STAGE), "code", "records"),
        },
        "text_fingerprints": {"compared_with_batches": len(earlier)},
    }
    for done in writing.written:
        metadata = told[done.table] | written_metadata(lake, batch, done)
        yield dg.MaterializeResult(done.table, data_version=writing.data_version, metadata=metadata)
