"""Cleaned sounds, videos and cues."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from mm_assets.aligned.segments.offsets.cue_placement import list_delivered, place_cues
from mm_assets.aligned.segments.offsets.time_corrections import correct_pointers, sound_shifts
from mm_assets.aligned.segments.slicing import slice_clips
from mm_assets.cleaned.cues import STAGE as CUES_STAGE
from mm_assets.cleaned.cues import clean_cues
from mm_assets.cleaned.media_clips import STAGE as MEDIA_STAGE
from mm_assets.cleaned.media_clips import Ears, clean_audio, clean_videos
from mm_assets.cleaned.timed_ears import TimedEvents, TimedVoice, Watch
from mm_assets.display.excerpts import draw_shots
from mm_assets.display.metadata import counts_table, picture
from mm_assets.gates.guard import refuse_if_held
from mm_assets.media.decoder import MediaDecoder, open_landed
from mm_assets.policy import MediaPolicy
from mm_assets.step_assets import table_specs, written_metadata
from mm_assets.steps import STEPS
from resources.corrections import Corrections
from resources.costs import Costs
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.sound_events import SoundEventsResource
from resources.voice_activity import VoiceActivityResource

GROUP = "cleaned"
_CLIPS_AT_ONCE = 16
_SHOWN_VIDEO_US = 120_000_000
_READ_BY = {
    "audio_clips": ["raw_audio"],
    "video_clips": ["raw_videos"],
    "shots": ["raw_videos"],
    "clip_tracks": ["raw_audio", "raw_videos"],
    "pauses": ["raw_audio", "raw_videos"],
    "cues": ["raw_cues", "video_clips", "transcripts"],
    "clip_pieces": ["raw_cues", "audio_clips", "video_clips", "pauses", "shots", "transcripts"],
}


def delivered_clips(lake: DeltaLake, batch: str) -> pl.DataFrame:
    """Every clip of the delivery, in the order in which its pointers count."""
    columns = ("batch", "clip_id", "position")
    return list_delivered(*(lake.scan(table, batch).select(columns).collect() for table in ("raw_audio", "raw_videos")))


def words_of(lake: DeltaLake, batch: str) -> pl.DataFrame:
    """Every recognised word: clip_id, word, start_us, end_us and what else is known of it."""
    words = lake.scan("transcripts", batch).select("clip_id", "words").explode("words", empty_as_null=False)
    return words.unnest("words").collect()


def _with_sound(
    rows: Iterator[pl.DataFrame], lake: DeltaLake, batch: str, in_force: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """Videos with the sound track that corrections lead to, and with its shift."""
    tracks: pl.DataFrame | None = None
    if in_force["kind"].str.starts_with("pointer").any():
        own = lake.scan("raw_videos", batch).select("clip_id", sound=pl.struct("audio_ref", "audio_sha256")).collect()
        pointers = delivered_clips(lake, batch).drop("position").rename({"place": "position"})
        pointers = pointers.join(own, on="clip_id", how="left", maintain_order="left")
        tracks = correct_pointers(pointers, in_force, "sound", "audio").select("clip_id", "sound").unnest("sound")
    for chunk in rows:
        led = (
            chunk if tracks is None else chunk.drop("audio_ref", "audio_sha256").join(tracks, on="clip_id", how="left")
        )
        yield sound_shifts(led, in_force)


@dg.multi_asset(
    name=MEDIA_STAGE,
    specs=table_specs(MEDIA_STAGE, GROUP, {"deltalake", "onnx"}, _READ_BY),
)
def cleaned_media(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    landing: LandingStore,
    holds: Holds,
    costs: Costs,
    corrections: Corrections,
    provenance: Provenance,
    policy_file: PolicyFile,
    voice: VoiceActivityResource,
    sound_events: SoundEventsResource,
) -> Iterator[dg.MaterializeResult]:
    """One row per sound and video that decodes to its end and meets the rules, with what was measured on the way."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    records = lake.count("raw_audio", batch) + lake.count("raw_videos", batch)
    in_force = corrections.in_force(batch, "segment")
    spoken, sounding = Watch(), Watch()
    events = TimedEvents(sound_events.handle, sounding)
    ears = Ears(TimedVoice(voice.handle, spoken), events)
    with (
        provenance.writing(MEDIA_STAGE, batch, models={"voice": voice, "sound_events": sound_events}) as writing,
        costs.metered(context, MEDIA_STAGE, voice.identity, "seconds", ears.voice.device) as voiced,
        costs.metered(context, MEDIA_STAGE, sound_events.identity, "seconds", events.device) as sounded,
        MediaDecoder(policy.media) as decoder,
        lake.staging() as staging,
    ):
        sounds = (sound_shifts(chunk, in_force) for chunk in lake.chunks("raw_audio", batch, _CLIPS_AT_ONCE))
        videos = _with_sound(lake.chunks("raw_videos", batch, _CLIPS_AT_ONCE), lake, batch, in_force)
        for table, cleaned in (
            ("audio_clips", clean_audio(sounds, landing, decoder, ears, policy)),
            ("video_clips", clean_videos(videos, landing, decoder, ears, policy)),
        ):
            for chunk in cleaned:
                staging.add(table, chunk.kept)
                staging.add("shots", chunk.shots)
                staging.add("pauses", chunk.pauses)
                staging.add("clip_tracks", chunk.tracks)
                staging.add("rejected", chunk.rejected)
                voiced.add(chunk.media_seconds, 0.0)
                sounded.add(chunk.media_seconds, 0.0)
                context.log.info("inspected %s of %d clips", staging.rows, records)
        voiced.add(0.0, spoken.seconds)
        sounded.add(0.0, sounding.seconds)
        lake.replace("rejected", batch, staging, within={"stage": MEDIA_STAGE})
        writing.written += [lake.replace(table, batch, staging) for table in STEPS[MEDIA_STAGE].tables]
    rejected = counts_table(lake.rejected_by_code(batch, MEDIA_STAGE), "code", "records")
    for done in writing.written:
        metadata: dict[str, Any] = {}
        if done.table == "shots":
            metadata |= _show_shots(lake, landing, batch, policy.media)
        yield dg.MaterializeResult(
            done.table,
            data_version=writing.data_version,
            metadata=metadata | {"rejected": rejected} | written_metadata(lake, batch, done),
        )


def _show_shots(lake: DeltaLake, landing: LandingStore, batch: str, policy: MediaPolicy) -> dict[str, Any]:
    """A contact sheet of the first video that is no longer than two minutes: it is decoded once more for it."""
    length = pl.col("end_us") - pl.col("start_us")
    videos = lake.scan("video_clips", batch).filter(length <= _SHOWN_VIDEO_US).sort("position").head(1).collect()
    if videos.is_empty():
        return {}
    video = videos.row(0, named=True)
    shots = lake.scan("shots", batch).filter(pl.col("clip_id") == video["clip_id"]).sort("shot_index")
    rows = shots.select("start_us", "end_us", "key_frame_us").collect().rows()
    with MediaDecoder(policy) as decoder, open_landed(landing, video["source_ref"]["uri"]) as stream:
        sheet = draw_shots(decoder, stream, video["record_ref"], video["clock_offset_us"], rows)
    return {"key_frames": picture(sheet, f"shots of {video['file_name']}")}


@dg.multi_asset(
    name=CUES_STAGE,
    specs=table_specs(CUES_STAGE, GROUP, {"deltalake", "polars"}, _READ_BY),
)
def cues(
    context: dg.AssetExecutionContext,
    lake: DeltaLake,
    holds: Holds,
    corrections: Corrections,
    provenance: Provenance,
    policy_file: PolicyFile,
) -> Iterator[dg.MaterializeResult]:
    """One row per usable cue, and per piece of a clip: cut where nothing is said."""
    refuse_if_held(context, holds)
    batch, policy = context.partition_key, policy_file.policy
    in_force = corrections.in_force(batch, "segment")
    with provenance.writing(CUES_STAGE, batch) as writing, lake.staging() as staging:
        videos = lake.read("video_clips", batch)
        placed = place_cues(lake.read("raw_cues", batch), videos, delivered_clips(lake, batch), in_force)
        kept, turned_away = clean_cues(placed, policy.cues)
        staging.add("cues", kept)
        staging.add("rejected", turned_away)
        spans = ("clip_id", "start_us", "end_us")
        busy = pl.concat([kept.select(spans), words_of(lake, batch).select(spans)])
        pauses, shots = lake.read("pauses", batch), lake.read("shots", batch)
        for clips in (videos, lake.read("audio_clips", batch)):
            staging.add("clip_pieces", slice_clips(clips, busy=busy, pauses=pauses, shots=shots, policy=policy.slicing))
        lake.replace("rejected", batch, staging, within={"stage": CUES_STAGE})
        writing.written += [lake.replace(table, batch, staging) for table in STEPS[CUES_STAGE].tables]
    rejected = counts_table(lake.rejected_by_code(batch, CUES_STAGE), "code", "records")
    corrected = dict(in_force.group_by("kind").len().sort("kind").iter_rows())
    for done in writing.written:
        metadata = {"corrections": counts_table(corrected, "correction", "events")}
        yield dg.MaterializeResult(
            done.table,
            data_version=writing.data_version,
            metadata=metadata | {"rejected": rejected} | written_metadata(lake, batch, done),
        )
