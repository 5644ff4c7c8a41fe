"""Features of clips: sound and key frames of every piece, the audio codebook, and the codes of both."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from mm_assets.features.clip_features import SOUND_MODEL, read_clip_features
from mm_assets.features.codebook import Codebook, train_codebook
from mm_assets.features.codebook_ledger import codebook_in_force, codebook_result, record_codebook
from mm_assets.features.metered_codes import CODES_UNIT, identity_of, metered_codes
from mm_assets.features.ragged_shards import RaggedReader, write_ragged_shard
from mm_assets.features.shards import CLIP_FEATURES, SpatialReader, write_shard
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.media.decoder import MediaDecoder
from mm_assets.schemas import TABLES
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.steps import AUDIO_CODEBOOK, CODEBOOK, STEPS, gates_of
from resources.costs import Costs, Meter
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.image_text_encoder import ImageTextEncoderResource
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.staging import Staging

GROUP = "features"
FEATURES_STEP = "clip_features"
CODES_STEP = "audio_codes"
_CLIPS_AT_ONCE = 16
_ROWS_AT_ONCE = 256


@dg.multi_asset(
    name=FEATURES_STEP,
    specs=table_specs(
        FEATURES_STEP,
        GROUP,
        {"deltalake", "safetensors"},
        {
            "audio_embeddings": ["audio_clips", "video_clips", "clip_pieces"],
            "key_frames": ["video_clips", "clip_pieces", "shots"],
        },
    ),
)
def clip_features(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    policy_file: PolicyFile,
    encoder: ImageTextEncoderResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per piece with sound and per key frame; their features go to shards beside the tables."""
    refuse_if_held(context, holds)
    batch, policy, model = context.partition_key, policy_file.policy, encoder.handle
    refuse_if_over_budget(holds, costs.estimate(batch, FEATURES_STEP, "images", lake.count("shots", batch)))
    shards: set[str] = set()
    with (
        provenance.writing(FEATURES_STEP, batch, models={"encoder": encoder}) as writing,
        costs.metered(context, FEATURES_STEP, model.identity, "images", model.device) as meter,
        MediaDecoder(policy.media) as decoder,
        lake.staging() as staging,
    ):
        pieces, shots = lake.read("clip_pieces", batch), lake.read("shots", batch)
        number = 0
        for table in ("audio_clips", "video_clips"):
            clips = lake.chunks(table, batch, _CLIPS_AT_ONCE)
            for chunk in read_clip_features(clips, pieces, shots, landing, decoder, model, policy):
                references = write_ragged_shard(lake.files, batch, number, chunk.tokens) if chunk.tokens else []
                spatial = (
                    []
                    if chunk.spatial is None
                    else write_shard(lake.files, batch, number, chunk.spatial, CLIP_FEATURES)
                )
                number += 1
                shards.update(reference.split("#")[0] for reference in (*references[:1], *spatial[:1]))
                sounds = chunk.sounds.with_columns(features=pl.Series(references, dtype=pl.String))
                frames = chunk.frames.with_columns(spatial_features=pl.Series(spatial, dtype=pl.String))
                staging.add("audio_embeddings", sounds.select(TABLES["audio_embeddings"].schema.names()))
                staging.add("key_frames", frames.select(TABLES["key_frames"].schema.names()))
                meter.add(frames.height, chunk.model_seconds)
                context.log.info("read %s", staging.rows)
        writing.written += [lake.replace(table, batch, staging) for table in STEPS[FEATURES_STEP].tables]
        lake.files.remove_prefix(f"{CLIP_FEATURES}/{batch}", keep=shards)
    for done in writing.written:
        metadata = {"model": SOUND_MODEL if done.table == "audio_embeddings" else str(model.identity)}
        yield dg.MaterializeResult(
            done.table, data_version=writing.data_version, metadata=metadata | written_metadata(lake, batch, done)
        )


@dg.asset(
    group_name=GROUP,
    deps=["audio_embeddings", "segment_offsets"],
    kinds={"deltalake", "faiss"},
    description=TABLES["audio_codebook"].grain,
)
def audio_codebook(
    context: dg.AssetExecutionContext, lake: DeltaLake, holds: Holds, policy_file: PolicyFile
) -> dg.MaterializeResult:
    """One row per trained version of the audio codebook; this trains a new one on every batch that is not held."""
    held = holds.held_batches()
    rows = lake.scan("audio_embeddings").filter(~pl.col("batch").is_in(list(held)))
    references = (
        rows.select("batch", "position", "piece_index", "features").sort(pl.all().exclude("features")).collect()
    )
    if references.is_empty():
        raise dg.Failure(description="no batch has sound yet; materialize audio_embeddings", allow_retries=False)
    reader = RaggedReader(lake.files)
    trained = train_codebook(
        (tokens for reference in references["features"] for tokens in reader.read([reference])),
        policy_file.policy.audio_codebook,
    )
    record_codebook(lake, AUDIO_CODEBOOK, trained, SOUND_MODEL, references["batch"].unique(maintain_order=True))
    context.log.info("codebook %s of %d codes", trained.version, trained.size)
    return codebook_result(lake, AUDIO_CODEBOOK, trained)


@dg.multi_asset(
    name=CODES_STEP,
    specs=table_specs(
        CODES_STEP,
        GROUP,
        {"deltalake", "faiss"},
        {
            "audio_codes": ["audio_embeddings", "audio_codebook", "segment_offsets"],
            "key_frame_codes": ["key_frames", "codebook", "segment_offsets"],
        },
    ),
)
def audio_codes(
    context: dg.AssetExecutionContext, lake: DeltaLake, holds: Holds, provenance: Provenance, costs: Costs
) -> Iterator[dg.MaterializeResult]:
    """One row per piece with sound and per key frame: the nearest code of each of its features."""
    refuse_if_held(context, holds, after=gates_of(provenance.parts(context.partition_key)))
    batch = context.partition_key
    with provenance.writing(CODES_STEP, batch) as writing, lake.staging() as staging:
        if lake.count("audio_embeddings", batch):
            sounds = codebook_in_force(lake, AUDIO_CODEBOOK)
            with costs.metered(context, CODES_STEP, identity_of(sounds), CODES_UNIT, "cpu") as meter:
                _code_sounds(lake, batch, sounds, staging, meter)
        if lake.count("key_frames", batch):
            pictures = codebook_in_force(lake, CODEBOOK)
            with costs.metered(context, CODES_STEP, identity_of(pictures), CODES_UNIT, "cpu") as meter:
                _code_frames(lake, batch, pictures, staging, meter)
        writing.written += [lake.replace(table, batch, staging) for table in STEPS[CODES_STEP].tables]
    for done in writing.written:
        used = lake.scan(done.table, batch).select(pl.col("codes").explode().n_unique()).collect().item()
        metadata = {"distinct_codes": used}
        yield dg.MaterializeResult(
            done.table, data_version=writing.data_version, metadata=metadata | written_metadata(lake, batch, done)
        )


def _code_sounds(lake: DeltaLake, batch: str, codebook: Codebook, staging: Staging, meter: Meter) -> None:
    reader = RaggedReader(lake.files)
    for rows in lake.chunks("audio_embeddings", batch, _ROWS_AT_ONCE):
        sounds = reader.read(rows["features"].to_list())
        codes = [metered_codes(codebook, tokens[None], meter)[0] for tokens in sounds]
        _add_codes(staging, "audio_codes", rows, [one.tolist() for one in codes], codebook)


def _code_frames(lake: DeltaLake, batch: str, codebook: Codebook, staging: Staging, meter: Meter) -> None:
    reader = SpatialReader(lake.files)
    for rows in lake.chunks("key_frames", batch, _ROWS_AT_ONCE):
        codes = metered_codes(codebook, reader.read(rows["spatial_features"].to_list()), meter)
        _add_codes(staging, "key_frame_codes", rows, codes.tolist(), codebook)


def _add_codes(staging: Staging, table: str, rows: pl.DataFrame, codes: list[list[int]], codebook: Codebook) -> None:
    coded = rows.with_columns(
        codes=pl.Series(codes, dtype=pl.List(pl.Int32)), codebook_version=pl.lit(codebook.version)
    )
    staging.add(table, coded.select(TABLES[table].schema.names()))
