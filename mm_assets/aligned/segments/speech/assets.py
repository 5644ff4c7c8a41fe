"""Transcripts and utterances of sounds and videos."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.aligned.segments.speech.agreement import word_error_rate
from mm_assets.aligned.segments.speech.hearing import HearingFigures, SpeechModels
from mm_assets.aligned.segments.speech.transcribing import STAGE, transcribe_clips
from mm_assets.display.metadata import counts_table, preview
from mm_assets.gates.guard import refuse_if_held, refuse_if_over_budget
from mm_assets.media.decoder import MediaDecoder
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.steps import STEPS
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.speaker_embedder import SpeakerEmbedderResource
from resources.speech_recognizer import SpeechRecognizerResource
from resources.word_aligner import WordAlignerResource

GROUP = "aligned_segments"
_CLIPS_AT_ONCE = 16


def _clips_with_sound(lake: DeltaLake, batch: str) -> Iterator[pl.DataFrame]:
    """Cleaned sounds, then videos with sound, each with its speech track."""
    columns = ("batch", "clip_id", "position", "record_ref", "language", "sound_clock_offset_us")
    own = pl.col("source_ref").alias("sound_ref")
    separate = pl.col("audio_ref").struct.field("uri").is_not_null()
    of_video = pl.when(separate).then("audio_ref").otherwise("source_ref").alias("sound_ref")
    for table, kind, reference in (("audio_clips", "audio", own), ("video_clips", "video", of_video)):
        for rows in lake.chunks(table, batch, _CLIPS_AT_ONCE):
            heard = rows.filter(pl.col("sound_start_us").is_not_null())
            clips = heard.select(*columns, reference, kind=pl.lit(kind))
            tracks = lake.scan("clip_tracks", batch).filter(pl.col("clip_id").is_in(clips["clip_id"].implode()))
            speech = tracks.select("clip_id", "sound_start_us", "sound_step_us", "speech").collect()
            yield clips.join(speech, on="clip_id", how="inner", maintain_order="left")


@dg.multi_asset(
    name=STAGE,
    specs=table_specs(STAGE, GROUP, {"deltalake", "whisper"}, ["audio_clips", "video_clips", "clip_tracks"]),
)
def transcripts(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    provenance: Provenance,
    policy_file: PolicyFile,
    speech: SpeechRecognizerResource,
    word_aligner: WordAlignerResource,
    speakers: SpeakerEmbedderResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per cleaned clip with sound: what is said in it, when each word is, and by which voice."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    seconds = _speech_seconds(lake, batch)
    refuse_if_over_budget(holds, costs.estimate(batch, STAGE, "seconds", seconds))
    models = SpeechModels(speech.handle, word_aligner.handle, speakers.handle)
    on = [model.device if model else "cpu" for model in (models.aligner, models.speakers)]
    figures = HearingFigures()
    identities = {"speech": speech, "word_aligner": word_aligner, "speakers": speakers}
    with (
        provenance.writing(STAGE, batch, models=identities) as writing,
        costs.metered(context, STAGE, speech.identity, "seconds", models.recognizer.device) as recognized,
        costs.metered(context, STAGE, word_aligner.identity, "seconds", on[0]) as placed,
        costs.metered(context, STAGE, speakers.identity, "seconds", on[1]) as told_apart,
        MediaDecoder(policy.media) as decoder,
        lake.staging() as staging,
    ):
        clips = _clips_with_sound(lake, batch)
        for chunk in transcribe_clips(clips, landing, decoder, models, policy.speech, figures):
            staging.add("transcripts", chunk.transcripts)
            staging.add("utterances", chunk.utterances)
            staging.add("rejected", chunk.rejected)
            for meter, model in ((recognized, "recognizer"), (placed, "aligner"), (told_apart, "speakers")):
                heard = figures.seconds if figures.busy[model] else 0.0
                meter.add(heard - meter.units, figures.busy[model] - meter.device_seconds)
            context.log.info("recognised %.0f of %.0f s of speech", figures.seconds, seconds)
        lake.replace("rejected", batch, staging, within={"stage": STAGE})
        writing.written += [lake.replace(table, batch, staging) for table in STEPS[STAGE].tables]
    beside = _described(lake, batch, figures) | {name: str(model.identity) for name, model in identities.items()}
    for done in writing.written:
        yield dg.MaterializeResult(
            done.table,
            data_version=writing.data_version,
            metadata=(beside if done.table == STAGE else {}) | written_metadata(lake, batch, done),
        )


def _speech_seconds(lake: DeltaLake, batch: str) -> float:
    """What there is to recognise, by the clips' share of speech."""
    seconds = 0.0
    for table in ("audio_clips", "video_clips"):
        spans = (pl.col("sound_end_us") - pl.col("sound_start_us")) / 1e6
        share = pl.col("speech_share").fill_null(0.0)
        seconds += float(lake.scan(table, batch).select((spans * share).sum()).collect().item() or 0.0)
    return seconds


def _described(lake: DeltaLake, batch: str, figures: HearingFigures) -> dict[str, Any]:
    """What is worth seeing of a batch of transcripts."""
    rows = lake.scan("transcripts", batch)
    said = lake.scan("audio_clips", batch).select("clip_id", "transcription", delivered="language")
    compared = rows.join(said, on="clip_id").select("clip_id", "text", "transcription").collect()
    words = rows.select(pl.col("words").explode(empty_as_null=False).struct.field("method")).collect()
    methods = dict(words.group_by("method").len().sort("method").iter_rows())
    languages = rows.filter(pl.col("language").is_not_null()).group_by("language").len().sort("language").collect()
    error_rate = word_error_rate(compared)
    shown = lake.scan("utterances", batch).select("clip_id", "start_us", "end_us", "speaker", "text").head(8).collect()
    return {
        "utterances": preview(shown),
        "words_by_method": counts_table(methods, "method", "words"),
        "languages": counts_table(dict(languages.iter_rows()), "language", "clips"),
        "voices": counts_table(
            dict(rows.group_by(pl.col("speakers").cast(pl.String)).len().sort("speakers").collect().iter_rows()),
            "voices",
            "clips",
        ),
        "dropped_texts": counts_table(dict(figures.doubts), "reason", "windows"),
        "refused_alignments": counts_table(dict(figures.refusals), "reason", "windows"),
        "model_seconds": counts_table(
            {name: round(seconds, 2) for name, seconds in figures.busy.items()}, "model", "seconds"
        ),
        "audio_seconds": round(figures.seconds, 2),
        "rejected": counts_table(lake.rejected_by_code(batch, STAGE), "code", "records"),
        **({} if error_rate is None else {"word_error_rate": round(error_rate, 4)}),
    }
