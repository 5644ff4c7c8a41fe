"""Checks on transcripts: each clip has one, and its words are in order inside it."""

import dagster as dg
import polars as pl

from mm_assets.aligned.segments.speech.transcribing import STAGE
from mm_assets.display.metadata import counts_table
from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake

_STEP_US = 10_000  # of the speech track, whose last step may reach beyond the sound


def _clips(lake: DeltaLake, batch: str) -> pl.LazyFrame:
    columns = ("clip_id", "sound_start_us", "sound_end_us")
    tables = [lake.scan(table, batch).select(columns) for table in ("audio_clips", "video_clips")]
    return pl.concat(tables).filter(pl.col("sound_start_us").is_not_null())


@batch_check("transcripts")
def every_clip_with_sound_has_a_transcript(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Every cleaned clip with sound has exactly one transcript, or stands in rejected."""
    batch = context.partition_key
    clips = _clips(lake, batch).select("clip_id").collect()
    found = lake.scan("transcripts", batch).select("clip_id").collect()
    turned_away = lake.scan("rejected", batch).filter(pl.col("stage") == STAGE)
    rejected = turned_away.select(clip_id="record_id").collect()
    twice = found.height - found.n_unique()
    bare = clips.join(found, on="clip_id", how="anti").join(rejected, on="clip_id", how="anti").height
    strange = found.join(clips, on="clip_id", how="anti").height
    bad = twice + bare + strange
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "TRANSCRIPT_MISSING",
        description=f"{bare} clips have no transcript, {twice} have several, {strange} transcripts have no clip",
    )


@batch_check("transcripts")
def words_are_in_order_inside_their_clip(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """Words last some time, do not overlap, and lie inside the sound of their clip."""
    batch = context.partition_key
    rows = lake.scan("transcripts", batch).filter(pl.col("words").list.len() > 0)
    words = rows.select("clip_id", "words").explode("words").unnest("words")
    placed = words.join(_clips(lake, batch), on="clip_id", how="left").collect()
    before = pl.col("end_us").shift(1).over("clip_id")
    faults = {
        "words without a duration": placed.filter(pl.col("start_us") >= pl.col("end_us")).height,
        "words that start before the one in front ends": placed.filter(pl.col("start_us") < before).height,
        "words outside the sound": placed.filter(
            (pl.col("start_us") < pl.col("sound_start_us") - _STEP_US)
            | (pl.col("end_us") > pl.col("sound_end_us") + _STEP_US)
        ).height,
    }
    total = sum(faults.values())
    return judged(
        passed=total == 0,
        measured=total,
        threshold=0,
        code=None if total == 0 else "WORDS_OUT_OF_ORDER",
        description=f"{total} faults in {placed.height} words",
        metadata={"faults": counts_table(faults, "fault", "words")},
    )


@batch_check("utterances")
def utterances_hold_the_words_of_their_transcript(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake
) -> dg.AssetCheckResult:
    """The utterances of a clip are in order, apart, and start and end with its words."""
    batch = context.partition_key
    rows = lake.scan("utterances", batch).sort("clip_id", "utterance_index").collect()
    overlapping = rows.filter(pl.col("start_us") < pl.col("end_us").shift(1).over("clip_id")).height
    words = pl.col("words").list
    spans = lake.scan("transcripts", batch).filter(words.len() > 0)
    expected = spans.select(
        "clip_id",
        first_us=words.first().struct.field("start_us"),
        last_us=words.last().struct.field("end_us"),
    ).collect()
    found = rows.group_by("clip_id").agg(start_us=pl.col("start_us").min(), end_us=pl.col("end_us").max())
    joined = expected.join(found, on="clip_id", how="full", coalesce=True)
    apart = joined.filter(
        ~(pl.col("first_us").eq_missing(pl.col("start_us")) & pl.col("last_us").eq_missing(pl.col("end_us")))
    ).height
    bad = overlapping + apart
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "UTTERANCES_INCOMPLETE",
        description=f"{overlapping} utterances overlap, {apart} clips have words outside their utterances",
    )


CHECKS = (
    every_clip_with_sound_has_a_transcript,
    words_are_in_order_inside_their_clip,
    utterances_hold_the_words_of_their_transcript,
)
