"""Join aligned segments with the codes of their key frames and sound into fusion samples.

One sample per segment: what goes together stands in it, pictures first, then sound, then text::

    <|video_start|><IMG_TK_3>…<|video_end|><|audio_start|><AUD_TK_7>…<|audio_end|> The white car drives down the street.

Rows in = samples + rejected: every row of ``segment_alignments`` becomes one of either.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import polars as pl

from mm_assets.errors import ContractError
from mm_assets.fusion.packed_samples import PackedSamples, make_rejected, make_samples
from mm_assets.fusion.placeholders import PLACEHOLDER_LIKE, Modality
from mm_assets.fusion.rendering import media_block
from mm_assets.policy import FusionPolicy

_FINE, _COARSE = "fine_grained_interleaved", "coarse_image_text"
_REASONS: Final[Mapping[str, str]] = {
    "NO_CLIP": "segment of record {} belongs to no kept clip; materialize its alignments again",
    "NO_VISUAL_CODES": "segment of record {} has no codes of its key frames; materialize them again",
    "NO_AUDIO_CODES": "segment of record {} has no codes of its sound; materialize them again",
    "TEXT_TOO_LONG": "text of a segment of record {} is longer than fusion.max_caption_characters; shorten its cues",
    "PLACEHOLDER_IN_TEXT": "text of a segment of record {} holds what reads as a placeholder; reword it",
}


def pack_segments(
    segments: pl.DataFrame,
    clips: pl.DataFrame,
    sounds: pl.DataFrame,
    frames: pl.DataFrame,
    checks: Mapping[str, object],
    policy: FusionPolicy,
) -> PackedSamples:
    """Pack one sample per segment.

    Args:
        segments: rows of ``segment_alignments``.
        clips: clip_id, source, license and record_ref of the kept clips.
        sounds: as `join_sounds` gives them.
        frames: as `join_frames` gives them.
        checks: gate values of the batch, stored with every sample.
        policy: syntax and bounds.

    Returns:
        Samples in the order of their ids, and rejected rows of kind ``segment``: ``NO_CLIP``, ``NO_VISUAL_CODES``,
        ``NO_AUDIO_CODES``, ``TEXT_TOO_LONG``, ``PLACEHOLDER_IN_TEXT``.

    Raises:
        ContractError: a clip occurs twice.
    """
    if clips["clip_id"].is_duplicated().any():
        raise ContractError("a clip occurs more than once; write one row per clip")
    shows, sounds_in = (pl.col("modalities").list.contains(name) for name in ("video", "audio"))
    rows = (
        segments.join(clips, on="clip_id", how="left", maintain_order="left")
        .join(sounds, on="piece_id", how="left", maintain_order="left")
        .join(frames, on="piece_id", how="left", maintain_order="left")
        .with_columns(
            code=pl.when(pl.col("source").is_null())
            .then(pl.lit("NO_CLIP"))
            .when(shows & (pl.col("codes").list.len().fill_null(0) == 0))
            .then(pl.lit("NO_VISUAL_CODES"))
            .when(sounds_in & (pl.col("audio_codes").list.len().fill_null(0) == 0))
            .then(pl.lit("NO_AUDIO_CODES"))
            .when(pl.col("text").str.len_chars() > policy.max_caption_characters)
            .then(pl.lit("TEXT_TOO_LONG"))
            .when(pl.col("text").str.contains(PLACEHOLDER_LIKE))
            .then(pl.lit("PLACEHOLDER_IN_TEXT")),
            record_ref=pl.col("record_ref").fill_null(pl.format("of clip {}", "clip_id")),
        )
    )
    good = rows.filter(pl.col("code").is_null())
    good = good.with_columns(
        # what does not go with the text stays out of the sample
        *(
            pl.when(shows).then(name).alias(name)
            for name in ("codes", "codebook_version", "frame_features", "frames_us")
        ),
        *(
            pl.when(sounds_in).then(name).alias(name)
            for name in ("audio_codes", "audio_codebook_version", "audio_features")
        ),
    )
    described = pl.Series(_describe(good), dtype=pl.String)
    visual, audio = (
        media_block(medium, pl.col(name)).fill_null("")
        for medium, name in ((Modality.VIDEO, "codes"), (Modality.AUDIO, "audio_codes"))
    )
    packed = good.with_columns(
        kind=pl.lit("segment"),
        content=visual + audio + pl.lit(" ") + pl.col("text"),
        pool=pl.when(pl.col("verdict").is_in(["trimodal", "audio_text"]))
        .then(pl.lit(_FINE))
        .otherwise(pl.lit(_COARSE)),
        segment_id=pl.col("sample_id"),
        segment_json=described,
    ).drop("sample_id")
    return PackedSamples(
        make_samples(packed, checks, policy, "segment_id", "codebook_version", "audio_codebook_version"),
        make_rejected(rows.filter(pl.col("code").is_not_null()), "segment", "sample_id", _REASONS),
    )


def pack_segment_chunks(
    segments: Iterator[pl.DataFrame],
    clips: pl.DataFrame,
    sounds: pl.DataFrame,
    frames: pl.DataFrame,
    checks: Mapping[str, object],
    policy: FusionPolicy,
) -> Iterator[PackedSamples]:
    """`pack_segments` over chunks of segments, so that the contents of a large batch are never held at once."""
    for chunk in segments:
        own = {"clips": clips.join(chunk, on="clip_id", how="semi")}
        own |= {
            name: rows.join(chunk, on="piece_id", how="semi") for name, rows in (("sounds", sounds), ("frames", frames))
        }
        yield pack_segments(chunk, own["clips"], own["sounds"], own["frames"], checks, policy)


def join_sounds(embeddings: pl.DataFrame, codes: pl.DataFrame, codebook_size: int) -> pl.DataFrame:
    """Codes and place of the features of each piece's sound, with the codebook's version.

    Args:
        embeddings: rows of ``audio_embeddings``.
        codes: rows of ``audio_codes``.
        codebook_size: number of audio codes; every code must be below it.

    Raises:
        ContractError: a code lies outside the codebook, or a piece has not one code for each of its tokens.
    """
    joined = codes.select("piece_id", audio_codes="codes", audio_codebook_version="codebook_version").join(
        embeddings.select("piece_id", "tokens", audio_features="features"), on="piece_id", how="inner"
    )
    _refuse_outside(joined, "audio_codes", codebook_size, "audio")
    uneven = joined.filter(pl.col("audio_codes").list.len() != pl.col("tokens"))
    if uneven.height:
        raise ContractError(f"piece {uneven['piece_id'][0]} has other codes than tokens; materialize audio_codes again")
    return joined.drop("tokens")


def join_frames(frames: pl.DataFrame, codes: pl.DataFrame, codebook_size: int) -> pl.DataFrame:
    """Codes, places of the features and times of each piece's key frames, with the codebook's version.

    Args:
        frames: rows of ``key_frames``.
        codes: rows of ``key_frame_codes``.
        codebook_size: number of image codes; every code must be below it.

    Raises:
        ContractError: a code lies outside the codebook.
    """
    joined = codes.select("frame_id", "codes", "codebook_version").join(
        frames.select("frame_id", "piece_id", "time_us", "spatial_features"), on="frame_id", how="inner"
    )
    _refuse_outside(joined, "codes", codebook_size, "visual")
    return (
        joined.sort("piece_id", "time_us")
        .group_by("piece_id", maintain_order=True)
        .agg(
            pl.col("codes").explode(),
            pl.col("codebook_version").first(),
            frame_features=pl.col("spatial_features"),
            frames_us=pl.col("time_us"),
        )
    )


def _refuse_outside(rows: pl.DataFrame, column: str, size: int, kind: str) -> None:
    outside = rows.filter((pl.col(column).list.min() < 0) | (pl.col(column).list.max() >= size))
    if outside.height:
        raise ContractError(
            f"piece {outside['piece_id'][0]}: a code lies outside the {kind} codebook of {size} codes; "
            "encode it with the codebook it is packed with"
        )


def _describe(rows: pl.DataFrame) -> list[str]:
    columns = ("clip_id", "medium", "start_us", "end_us", "words", "speakers", "frames_us", "text_origin", "verdict",
               "score", "offset_us", "drift_ppm")  # fmt: skip
    return [
        msgspec.json.encode(
            {
                "clip_id": clip,
                "medium": medium,
                "times": [{"start_us": start, "end_us": end}],
                "words": words,
                "speakers": speakers,
                "key_frames_us": frames or [],
                "text_origin": origin,
                "verdict": verdict,
                "score": score,
                "offset_us": offset,
                "drift_ppm": drift,
            }
        ).decode()
        for clip, medium, start, end, words, speakers, frames, origin, verdict, score, offset, drift in rows.select(
            columns
        ).iter_rows()
    ]
