"""The verdict on each piece from what its pairs show, and the rows it becomes."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from mm_assets.aligned.segments.agreement.text_audio import SampleCheck
from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.identifiers import make_id
from mm_assets.policy import SegmentPolicy
from mm_assets.schemas import TABLES

STAGE: Final = "segment_alignments"
_FUSION, _TEMPORAL = CrossModalCode.FUSION, CrossModalCode.TEMPORAL
_PLACED: Final = ("in_place", "unjudged")
_REASONS: Final[Mapping[str, str]] = {
    "NO_CLIP": "belongs to no kept clip; materialize clip_pieces again",
    "CUE_CUT": "is cut inside a cue; correct the cue's times or raise slicing.piece_seconds",
    "WORD_CUT": "is cut inside a word; raise slicing.piece_seconds or deliver the clip cut at a pause",
    "NO_TEXT": "has no cue, no word and no text of its own; deliver subtitles or a text for it",
    "not_heard": f"has a text that is not what is said; correct the text. {REMEDIES[_FUSION].fix}",
    "not_shown": f"has a text that its pictures do not show; correct the text. {REMEDIES[_FUSION].fix}",
    "sample": f"comes with texts that fit other clips no worse; re-join texts and clips by id. {REMEDIES[_FUSION].fix}",
    "displaced": f"has cues that are not on its clock; correct them, see mm repair. {REMEDIES[_TEMPORAL].fix}",
}
_CODES: Final = {"not_heard": _FUSION, "not_shown": _FUSION, "sample": _FUSION, "displaced": _TEMPORAL}


def judge_pieces(rows: pl.DataFrame, sample: SampleCheck, policy: SegmentPolicy) -> pl.DataFrame:
    """Verdict, modalities, score and reasons of every usable piece, and the code of every other."""
    has_pictures = pl.col("shown_similarity").is_not_null()
    displaced = ~pl.col("sound_timing").is_in(_PLACED) & (pl.col("sound_beyond") > policy.max_beyond)
    rows = rows.with_columns(
        has_pictures=has_pictures,
        is_shown=pl.when(pl.col("video_text") >= policy.min_shown_rank)
        .then(pl.lit(value=True))
        .when(pl.col("video_text") < policy.max_unlike_rank)
        .then(pl.lit(value=False)),
        is_synchronous=pl.when(displaced)
        .then(statement=pl.lit(value=False))
        .when(pl.col("sound_timing") == "in_place")
        .then(pl.lit(value=True)),
        audio_video=pl.when(pl.col("sound_timing") != "unjudged").then(1.0 - pl.col("sound_beyond")),
    )
    heard, shown = pl.col("is_heard").fill_null(value=False), pl.col("is_shown").fill_null(value=False)
    together = pl.col("is_synchronous").fill_null(value=False)
    not_heard = ~pl.col("is_heard").fill_null(value=True)
    late = (
        (pl.col("text_origin") == "cue")
        & ~pl.col("cue_timing").is_in(_PLACED)
        & (pl.col("cue_beyond") > policy.max_beyond)
    ).fill_null(value=False)
    failed_sample = pl.lit(value=not sample.passed) & pl.col("method").is_in(["tokens", "similarity"])
    code = (
        pl.when(pl.col("code").is_not_null())
        .then(pl.col("code"))
        .when(late)
        .then(pl.lit("displaced"))
        .when(failed_sample)
        .then(pl.lit("sample"))
        .when(not_heard)
        .then(pl.lit("not_heard"))
        .when(pl.col("is_heard").is_null() & ~pl.col("is_shown").fill_null(value=True))
        .then(pl.lit("not_shown"))
    )
    verdict = (
        pl.when(heard & shown & together)
        .then(pl.lit("trimodal"))
        .when(heard)
        .then(pl.lit("audio_text"))
        .when(shown)
        .then(pl.lit("video_text"))
        .otherwise(pl.lit("unverified"))
    )
    judged = rows.with_columns(code=code, verdict=verdict, reasons=_reasons(policy))
    pictured = (pl.col("verdict") == "video_text") | ((pl.col("verdict") == "unverified") & pl.col("has_pictures"))
    return judged.with_columns(
        modalities=pl.when(pl.col("verdict") == "trimodal")
        .then(pl.lit(["audio", "text", "video"]))
        .when(pictured)
        .then(pl.lit(["text", "video"]))
        .otherwise(pl.lit(["audio", "text"])),
        score=pl.when(pl.col("verdict") == "trimodal")
        .then(pl.min_horizontal("text_audio", "video_text", "audio_video"))
        .when(pl.col("verdict") == "audio_text")
        .then(pl.col("text_audio"))
        .when(pl.col("verdict") == "video_text")
        .then(pl.col("video_text")),
    )


def _reasons(policy: SegmentPolicy) -> pl.Expr:
    """Why each pair does not count as agreeing."""
    said = (
        pl.when(pl.col("is_heard").is_null() & ~pl.col("has_sound"))
        .then(pl.lit("text and sound: the clip has no sound"))
        .when(pl.col("is_heard").is_null() & (pl.col("text_origin") == "description"))
        .then(pl.lit("text and sound: the text describes, and nothing that is said can be compared with it"))
        .when(pl.col("is_heard").is_null())
        .then(pl.lit("text and sound: no words were recognised"))
    )
    seen = (
        pl.when(~pl.col("has_pictures") & (pl.col("medium") == "video"))
        .then(pl.lit("text and pictures: the segment shows no picture"))
        .when(pl.col("has_pictures") & pl.col("video_text").is_null())
        .then(pl.lit("text and pictures: too few other clips to compare with"))
        .when(pl.col("has_pictures") & ~pl.col("is_shown").fill_null(value=False))
        .then(
            pl.format(
                f"text and pictures: rank {{}} among mismatched pairs, below {policy.min_shown_rank}",
                pl.col("video_text").round(2),
            )
        )
    )
    timed = pl.when(pl.col("medium") == "video").then(
        pl.when(pl.col("is_synchronous").is_null())
        .then(pl.lit("sound and pictures: nothing in them tells whether they are on one clock"))
        .when(~pl.col("is_synchronous"))
        .then(pl.format("sound and pictures: {}", "sound_timing"))
    )
    return pl.concat_list(said, seen, timed).list.drop_nulls()


def alignment_rows(kept: pl.DataFrame) -> pl.DataFrame:
    """Judged pieces without a code as rows of ``segment_alignments``."""
    table = TABLES["segment_alignments"]
    cued = pl.col("text_origin") == "cue"
    ids = [make_id("seg", *parts) for parts in kept.select("piece_id", "text_origin", "text").iter_rows()]
    rows = kept.with_columns(
        sample_id=pl.Series(ids, dtype=pl.String),
        previous_end_us=pl.col("end_us").shift(1).over("clip_id", order_by="start_us"),
        offset_us=pl.when(cued).then(pl.col("cue_offset_us")).otherwise(pl.col("sound_offset_us")),
        drift_ppm=pl.when(cued).then(pl.col("cue_drift_ppm")).otherwise(pl.col("sound_drift_ppm")),
    )
    return table.conform(rows.select(table.schema.names())).sort(table.order_by)


def rejections(rows: pl.DataFrame) -> pl.DataFrame:
    """Judged pieces with a code as rows of ``rejected``."""
    reason = pl.col("code").replace_strict(_REASONS, return_dtype=pl.String)
    named = {name: code.value for name, code in _CODES.items()}
    table = TABLES["rejected"]
    start, end = (pl.col(name).cast(pl.Float64) / 1e6 for name in ("start_us", "end_us"))
    return table.conform(
        rows.select(
            "batch",
            pl.lit(STAGE).alias("stage"),
            pl.lit("segment").alias("record_kind"),
            pl.col("record_ref").fill_null(pl.format("clip {}", "clip_id")),
            pl.col("piece_id").alias("record_id"),
            pl.col("code").replace(named),
            pl.format(
                "{}: the piece from {} to {} s {}",
                pl.col("record_ref").fill_null("?"),
                start.round(3),
                end.round(3),
                reason,
            ).alias("reason"),
        ).select(table.schema.names())
    )
