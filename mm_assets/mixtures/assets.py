"""Mixtures and the release packages they leave in."""

import importlib.metadata
from collections.abc import Iterable, Iterator

import dagster as dg
import polars as pl

from mm_assets.aligned.documents.assets import token_counter
from mm_assets.display.metadata import counts_table, rows_table, table_metadata
from mm_assets.errors import ReleaseError
from mm_assets.features.ragged_shards import RaggedReader
from mm_assets.features.shards import SpatialReader
from mm_assets.fusion.placeholders import Vocabulary
from mm_assets.fusion.sequences import SequenceFormat
from mm_assets.gates.guard import mark_run
from mm_assets.lineage.takedowns import not_taken_down
from mm_assets.mixtures.draw_metadata import describe_draw
from mm_assets.mixtures.evaluation_sets import digest_of
from mm_assets.mixtures.exclusions import exclusions
from mm_assets.mixtures.manifest import EvaluationSetRecord, ExclusionCount, GateValue, TextOrigin
from mm_assets.mixtures.package import ReleaseRecipe, write_release
from mm_assets.mixtures.pools import told_of_floor
from mm_assets.mixtures.recipes import choose_recipe
from mm_assets.mixtures.sample_exclusions import repeats_of_evaluation_sets
from mm_assets.mixtures.sample_groups import split_samples
from mm_assets.mixtures.selection import draw_release, validate_release_id
from mm_assets.mixtures.sequence_files import SequencePacking
from mm_assets.partitions import releases
from mm_assets.schemas import TABLES
from mm_assets.steps import CODEBOOKS, GATES
from resources.corrections import Corrections
from resources.delta_lake import DeltaLake, Written
from resources.holds import Holds
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.release_store import releases_of_lake

GROUP = "mixtures"
_PINNED = (
    "images",
    "captions",
    "texts",
    "boxes",
    "object_alignments",
    "caption_claims",
    "corrections",
    "image_embeddings",
    "visual_codes",
    "codebook",
    "audio_clips",
    "video_clips",
    "cues",
    "clip_pieces",
    "transcripts",
    "segment_alignments",
    "audio_embeddings",
    "key_frames",
    "audio_codebook",
    "audio_codes",
    "key_frame_codes",
    "documents",
    "document_blocks",
    "document_figures",
    "caption_bindings",
    "document_windows",
    "figure_codes",
    "fusion_samples",
    "mixtures",
    "mixture_exclusions",
    "recipes",
)


def _write_if_changed(lake: DeltaLake, table: str, release: str, rows: pl.DataFrame) -> Written:
    """Leave the table, and so its version, alone when it holds these rows of the release already."""
    before = lake.scan(table).filter(pl.col("release") == release).sort(TABLES[table].order_by).collect()
    if before.equals(TABLES[table].conform(rows)) and lake.open(table) is not None:
        return Written(table, lake.version(table), rows.height)
    return lake.replace(table, release, rows)


def _clean_batches(holds: Holds, corrections: Corrections, batches: Iterable[str]) -> list[str]:
    """Batches that passed every gate they met, with no correction in force."""
    return [
        batch
        for batch in batches
        if all(row is None or row["passed"] for row in (holds.latest(batch, gate) for gate in GATES))
        and corrections.in_force(batch).is_empty()
    ]


@dg.asset(
    group_name=GROUP,
    partitions_def=releases,
    deps=[dg.AssetDep("fusion_samples", partition_mapping=dg.AllPartitionMapping())],
    kinds={"deltalake", "polars"},
    description=TABLES["mixtures"].grain,
)
def mixtures(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    corrections: Corrections,
    policy_file: PolicyFile,
) -> dg.MaterializeResult:
    """One row per sample that the recipe draws from the batches that are not held, in release order."""
    mark_run(context)
    release, excluded = validate_release_id(context.partition_key), exclusions(holds)
    usable = lake.scan("fusion_samples").filter(~pl.col("batch").is_in(list(excluded)))
    samples = not_taken_down(usable, lake.scan("takedowns"))
    batches = samples.select(pl.col("batch").unique().sort()).collect()["batch"].to_list()
    policy = policy_file.policy.mixtures
    if told := told_of_floor(policy.min_text_retention, policy.allow_no_text_retention):
        context.log.warning("release %s: %s", release, told)
    try:
        recipe = choose_recipe(release, policy, lake.scan("recipes").collect())
        left_out, compared = repeats_of_evaluation_sets(lake, batches, policy, policy_file.policy.duplicates)
        splits = split_samples(lake, samples, policy.splits)
        drawn = draw_release(
            samples,
            policy,
            release,
            excluded,
            recipe=recipe,
            splits=splits.samples,
            left_out=left_out,
            clean_batches=_clean_batches(holds, corrections, batches) if policy.curriculum == "staged" else (),
        )
    except ReleaseError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    _write_if_changed(lake, "mixture_exclusions", release, drawn.exclusions)
    written = _write_if_changed(lake, "mixtures", release, drawn.mixtures)
    return dg.MaterializeResult(
        metadata={
            "pools": counts_table(drawn.pools, "pool", "samples"),
            "batches": ", ".join(drawn.batches),
            **describe_draw(drawn, splits, compared),
            "excluded_batches": rows_table(
                [{"batch": batch, "why": why} for batch, why in excluded.items()], ("batch", "why")
            ),
            **table_metadata("mixtures", written.rows, drawn.mixtures.head(8), written.version),
        }
    )


def _newest_size(lake: DeltaLake, codebook: str) -> int:
    sizes = lake.scan(codebook).sort("sequence").select("size").collect()["size"]
    return sizes[-1] if len(sizes) else 0


def _count_exclusions(lake: DeltaLake, release: str) -> list[ExclusionCount]:
    rows = lake.scan("mixture_exclusions").filter(pl.col("release") == release)
    counts = rows.group_by("code", "evaluation_set").len().sort("code", "evaluation_set").collect()
    return [ExclusionCount(code, name, count) for code, name, count in counts.iter_rows()]


def _text_origins(lake: DeltaLake, drawn: pl.DataFrame) -> list[TextOrigin]:
    """What deliveries say of the texts that were drawn, commonest first."""
    said = ["generator", "prompt_version", "spot_check"]
    told = lake.scan("texts").filter(pl.any_horizontal(pl.col(said).is_not_null())).select("text_id", *said)
    made = lake.scan("fusion_samples").filter(pl.col("text_id").is_not_null()).select("sample_id", "text_id")
    rows = made.join(told, on="text_id").join(drawn.lazy().select("sample_id"), on="sample_id", how="semi")
    counts = rows.group_by(said).len("samples").sort("samples", *said, descending=[True, False, False, False]).collect()
    return [TextOrigin(**row) for row in counts.iter_rows(named=True)]


def _frames(lake: DeltaLake, drawn: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Samples of the mixture, one frame per batch, with their place and weight."""
    for batch in sorted(drawn["batch"].unique()):
        chosen = drawn.filter(pl.col("batch") == batch).select("sample_id", "position", "weight", "split")
        yield lake.read("fusion_samples", batch).join(chosen, on="sample_id", how="inner")


def _sequence_metadata(sequences: SequenceFormat | None) -> dict[str, int | float]:
    if sequences is None:
        return {}
    return {
        "sequence_windows": sequences.windows,
        "sequence_fill": sequences.fill,
        "samples_longer_than_a_window": sequences.too_long,
    }


@dg.asset(
    group_name=GROUP,
    partitions_def=releases,
    deps=["mixtures"],
    kinds={"jsonl", "safetensors"},
    description="One row per release: its folder of samples, features, codes, manifest and data card, linted.",
)
def release_packages(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    policy_file: PolicyFile,
    provenance: Provenance,
) -> dg.MaterializeResult:
    """One row per release: its folder, complete or not there at all."""
    mark_run(context)
    release, excluded, policy = context.partition_key, exclusions(holds), policy_file.policy
    drawn = lake.scan("mixtures").filter(pl.col("release") == release).collect()
    late = sorted(set(drawn["batch"].unique()) & excluded.keys())
    if late:
        reason = f"batches {late} were held after the mixture was drawn; materialize mixtures of {release!r} again"
        raise dg.Failure(description=reason, allow_retries=False)
    digest = provenance.release_digest(release, excluded)
    shares = choose_recipe(release, policy.mixtures, lake.scan("recipes").collect())
    sizes = [_newest_size(lake, table) for table in CODEBOOKS]
    recorded = lake.scan("provenance").filter(pl.col("batch").is_in(drawn["batch"].unique().implode()))
    models = recorded.select(pl.col("models").explode().drop_nulls().unique().sort()).collect().to_series().to_list()
    verdicts = (holds.latest(batch, gate) for batch in sorted(drawn["batch"].unique()) for gate in GATES)
    recipe = ReleaseRecipe(
        release=release,
        vocabulary=Vocabulary.of(policy.fusion, *sizes),
        placeholder_version=policy.fusion.placeholder_version,
        code_version=importlib.metadata.version("mm-assets"),
        models=models,
        delta_versions={table: lake.version(table) for table in _PINNED},
        excluded=excluded,
        shares=shares,
        exclusions=_count_exclusions(lake, release),
        text_origins=_text_origins(lake, drawn),
        evaluation_sets=[EvaluationSetRecord(one.name, digest_of(one)) for one in policy.mixtures.evaluation_sets],
        gates=[
            GateValue(row["batch"], row["gate"], row["measured"], row["threshold"], row["passed"])
            for row in verdicts
            if row is not None
        ],
    )
    store = releases_of_lake(lake.root)
    try:
        pictures, sounds = SpatialReader(lake.files), RaggedReader(lake.files)
        packing = SequencePacking(policy.packing, token_counter(policy.windows))
        manifest = write_release(store, recipe, _frames(lake, drawn), pictures, policy.mixtures, sounds, packing)
    except ReleaseError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    provenance.record_release(release, digest, tuple(models))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": manifest.samples,
            "path": dg.MetadataValue.path(f"{lake.root.rstrip('/')}/releases/{release}"),
            "text_retention_share": manifest.text_retention_share,
            **_sequence_metadata(manifest.sequences),
            "files": rows_table(
                [{"file": file.path, "bytes": file.size_bytes, "sha256": file.sha256} for file in manifest.files],
                ("file", "bytes", "sha256"),
            ),
            **{f"per_{name}": counts_table(counts, name, "samples") for name, counts in manifest.counts.items()},
            "excluded_batches": rows_table(
                [{"batch": batch, "why": why} for batch, why in excluded.items()], ("batch", "why")
            ),
        }
    )
