"""The text, words and speakers of every piece of a clip, joined on the global clock.

A cue belongs to the piece it starts in or is about to, a word to the piece its middle lies in. Pieces are cut between
words and cues; where a cut had to go through one the piece is marked, unless no more than a recogniser's error reaches
over the edge.
"""

from typing import Final

import polars as pl

from mm_assets.policy import SegmentPolicy
from mm_assets.schemas.speech import WORD

CLIP_COLUMNS: Final = {
    "clip_id": pl.String,
    "record_ref": pl.String,
    "medium": pl.String,
    "clip_start_us": pl.Int64,
    "clip_end_us": pl.Int64,
    "has_sound": pl.Boolean,
    "declared_language": pl.String,
    "transcription": pl.String,
    "declared_speaker": pl.String,
    "description": pl.String,
}
"""What `list_clips` makes of ``audio_clips`` and ``video_clips``."""


def list_clips(audio: pl.DataFrame, video: pl.DataFrame) -> pl.DataFrame:
    """One row per clip of either kind with the columns of `CLIP_COLUMNS`."""
    parts = [
        rows.select(
            "clip_id",
            "record_ref",
            pl.lit(medium).alias("medium"),
            pl.col("start_us").alias("clip_start_us"),
            pl.col("end_us").alias("clip_end_us"),
            pl.col("sound_end_us").is_not_null().alias("has_sound"),
            pl.col("language").alias("declared_language"),
            (pl.col("transcription") if medium == "audio" else pl.lit(None, pl.String)).alias("transcription"),
            (pl.col("speaker") if medium == "audio" else pl.lit(None, pl.String)).alias("declared_speaker"),
            pl.col("text").alias("description"),
        )
        for medium, rows in (("audio", audio), ("video", video))
    ]
    return pl.concat(parts).cast(CLIP_COLUMNS)  # pyright: ignore[reportArgumentType] - types are a schema


def gather_texts(
    clips: pl.DataFrame, pieces: pl.DataFrame, cues: pl.DataFrame, transcripts: pl.DataFrame, policy: SegmentPolicy
) -> pl.DataFrame:
    """Say of every piece what is said in it.

    Args:
        clips: as `list_clips` gives them.
        pieces: rows of ``clip_pieces``.
        cues: rows of ``cues``.
        transcripts: rows of ``transcripts``.
        policy: how far a word may reach out of its piece.

    Returns:
        One row per piece, in order: place and times, the clip's columns, ``text`` and ``text_origin`` (null where
        nothing says what the piece holds), ``heard`` (its recognised words as text, null without a transcript),
        ``words``, ``speakers``, ``language``, the cues' ids, texts and times, and ``code``: ``CUE_CUT``, ``WORD_CUT``,
        ``NO_CLIP`` or ``NO_TEXT``, null of a usable piece.
    """
    placed = pieces.join(clips, on="clip_id", how="left").sort("clip_id", "start_us")
    placed = placed.with_columns(lone=pl.len().over("clip_id") == 1)
    spoken = transcripts.select("clip_id", transcript="text", heard_language="language")
    rows = (
        placed.join(_gather_cues(placed, cues, policy), on="piece_id", how="left")
        .join(_gather_words(placed, transcripts), on="piece_id", how="left")
        .join(spoken, on="clip_id", how="left")
        .with_columns(
            pl.col("cue_ids", "cue_texts").fill_null(pl.lit([], pl.List(pl.String))),
            pl.col("cue_starts").fill_null(pl.lit([], pl.List(pl.Int64))),
            pl.col("words").fill_null(pl.lit([], pl.List(WORD))),
            heard=pl.when(pl.col("transcript").is_not_null()).then(
                pl.when("lone").then(pl.col("transcript").str.strip_chars()).otherwise(pl.col("joined").fill_null(""))
            ),
        )
    )
    cue_text = pl.col("cue_texts").list.join(" ").str.strip_chars().replace("", None)
    transcription = pl.when("lone").then(pl.col("transcription").str.strip_chars().replace("", None))
    description = pl.when("lone").then(pl.col("description").str.strip_chars().replace("", None))
    heard = pl.col("heard").replace("", None)
    return (
        rows.with_columns(
            text=pl.coalesce(cue_text, transcription, heard, description),
            text_origin=pl.when(cue_text.is_not_null())
            .then(pl.lit("cue"))
            .when(transcription.is_not_null())
            .then(pl.lit("transcription"))
            .when(heard.is_not_null())
            .then(pl.lit("transcript"))
            .when(description.is_not_null())
            .then(pl.lit("description")),
            speakers=_first_named("word_speakers", "cue_speakers", "declared_speaker"),
        )
        .with_columns(
            language=pl.when(pl.col("text_origin") == "cue")
            .then(pl.coalesce("cue_language", "declared_language", "heard_language"))
            .when(pl.col("text_origin") == "transcript")
            .then(pl.coalesce("heard_language", "declared_language"))
            .otherwise(pl.coalesce("declared_language", "heard_language")),
            code=pl.when(pl.col("record_ref").is_null())
            .then(pl.lit("NO_CLIP"))
            .when(pl.col("cue_overhang_us") > policy.max_overhang_us)
            .then(pl.lit("CUE_CUT"))
            .when(pl.col("word_overhang_us") > policy.max_overhang_us)
            .then(pl.lit("WORD_CUT"))
            .when(pl.col("text").is_null())
            .then(pl.lit("NO_TEXT")),
        )
        .rename({"piece_index": "segment_index"})
        .sort("position", "clip_id", "segment_index")
    )


def _first_named(*columns: str) -> pl.Expr:
    lists = [pl.col(name) if name != "declared_speaker" else pl.concat_list(name).list.drop_nulls() for name in columns]
    named = [pl.when(one.list.len() > 0).then(one) for one in lists]
    return pl.coalesce(*named, pl.lit([], pl.List(pl.String)))


def _gather_cues(pieces: pl.DataFrame, cues: pl.DataFrame, policy: SegmentPolicy) -> pl.DataFrame:
    spans = pieces.select("clip_id", "piece_id", piece_start=pl.col("start_us"), piece_end=pl.col("end_us"))
    # looked up a little behind its start, so that a cue which starts just before its piece is not the piece's before
    at = pl.min_horizontal(pl.col("start_us") + policy.max_overhang_us, "end_us") - 1
    placed = (
        cues.select("clip_id", "cue_id", "text", "speaker", "language", "start_us", "end_us")
        .with_columns(at=at)
        .sort("clip_id", "at")
        .join_asof(
            spans.sort("clip_id", "piece_start"),
            left_on="at",
            right_on="piece_start",
            by="clip_id",
            check_sortedness=False,
        )
        .drop_nulls("piece_id")
    )
    overhang = pl.max_horizontal(pl.col("piece_start") - pl.col("start_us"), pl.col("end_us") - pl.col("piece_end"))
    start = pl.max_horizontal("start_us", "piece_start")
    return (
        placed.sort("clip_id", "start_us", "end_us")
        .group_by("piece_id", maintain_order=True)
        .agg(
            cue_ids=pl.col("cue_id"),
            cue_texts=pl.col("text"),
            cue_starts=start,
            cue_start_us=start.min(),
            cue_end_us=pl.min_horizontal("end_us", "piece_end").max(),
            cue_overhang_us=overhang.max(),
            cue_speakers=pl.col("speaker").drop_nulls().unique(maintain_order=True),
            cue_language=pl.col("language").drop_nulls().first(),
        )
    )


def _gather_words(pieces: pl.DataFrame, transcripts: pl.DataFrame) -> pl.DataFrame:
    spans = pieces.select("clip_id", "piece_id", piece_start=pl.col("start_us"), piece_end=pl.col("end_us"))
    words = transcripts.select("clip_id", "words").explode("words").drop_nulls("words").unnest("words")
    # what lies beside the clip belongs to its first or last piece, and reaches out of it
    edges = pieces.group_by("clip_id").agg(first=pl.col("start_us").min(), last=pl.col("end_us").max())
    middle = (pl.col("start_us") + pl.col("end_us")) // 2
    placed = (
        words.join(edges, on="clip_id")
        .with_columns(middle=middle.clip(pl.col("first"), pl.col("last") - 1))
        .sort("clip_id", "middle")
        .join_asof(
            spans.sort("clip_id", "piece_start"),
            left_on="middle",
            right_on="piece_start",
            by="clip_id",
            check_sortedness=False,
        )
        .drop_nulls("piece_id")
    )
    overhang = pl.max_horizontal(pl.col("piece_start") - pl.col("start_us"), pl.col("end_us") - pl.col("piece_end"))
    inside = placed.with_columns(
        overhang=overhang,
        start_us=pl.col("start_us").clip(pl.col("piece_start"), pl.col("piece_end")),
        end_us=pl.col("end_us").clip(pl.col("piece_start"), pl.col("piece_end")),
    )
    return (
        inside.sort("clip_id", "start_us", "end_us")
        .group_by("piece_id", maintain_order=True)
        .agg(
            words=pl.struct("word", "start_us", "end_us", "confidence", "method", "speaker"),
            joined=pl.col("word").str.strip_chars().str.join(" "),
            word_overhang_us=pl.col("overhang").max(),
            word_speakers=pl.col("speaker").drop_nulls().unique(maintain_order=True),
            confidence=pl.col("confidence").mean(),
        )
    )
