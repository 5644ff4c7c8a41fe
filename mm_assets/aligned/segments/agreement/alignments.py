"""Segments whose text, sound and pictures go together, and why the others do not.

Three pairs are judged: text and sound by the tokens a transcript shares with the text, text and pictures by a rank
among mismatched pairs, sound and pictures by the offset gate's finding about the clip. A pair without evidence agrees
with nothing: it is neither counted nor turned away.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.aligned.segments.agreement.segment_texts import gather_texts
from mm_assets.aligned.segments.agreement.segment_verdicts import alignment_rows, judge_pieces, rejections
from mm_assets.aligned.segments.agreement.text_audio import (
    SampleCheck,
    check_sample,
    match_tokens,
    rank_tokens,
    split_tokens,
)
from mm_assets.aligned.segments.agreement.video_text import (
    Shown,
    ShownText,
    group_sentences,
    rank_shown,
    rank_texts,
)
from mm_assets.policy import SegmentPolicy, WarpingPolicy

_COMPARED: Final = ("cue", "transcription")
_MIN_TOKENS: Final = 3


class TextEncoder(Protocol):
    """Puts texts into the space of the key frames' embeddings."""

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """float32, shape (B, D), unit length, row i of text i."""
        ...


@dataclass(frozen=True)
class AlignedSegments:
    """What became of the pieces of a batch: pieces in = rows + rejected.

    Attributes:
        rows: rows of ``segment_alignments``.
        rejected: rows of ``rejected``.
        sample: the similarity sample that was checked first.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    sample: SampleCheck


def align_segments(
    clips: pl.DataFrame,
    pieces: pl.DataFrame,
    cues: pl.DataFrame,
    transcripts: pl.DataFrame,
    offsets: pl.DataFrame,
    key_frames: pl.DataFrame,
    encoder: TextEncoder,
    policy: SegmentPolicy,
    warping: WarpingPolicy,
) -> AlignedSegments:
    """Judge every piece of a batch.

    Args:
        clips: as `list_clips` gives them.
        pieces: rows of ``clip_pieces``.
        cues: rows of ``cues``.
        transcripts: rows of ``transcripts``.
        offsets: what the offset gate found: clip_id, tracks, timing, offset_us, drift_ppm and beyond, at most one row
            of cues and one of sound against pictures for each clip.
        key_frames: rows of ``key_frames``.
        encoder: embeds texts; called for pieces with pictures, and where tokens disagree.
        policy: what counts as agreement.
        warping: temperature of the association of sentences and pictures.
    """
    texts = _join_offsets(gather_texts(clips, pieces, cues, transcripts, policy), offsets)
    usable = texts["code"].is_null()
    heard, sample = _compare_sound(texts, usable.to_numpy(), encoder, policy)
    shown = _compare_pictures(texts.filter(usable), key_frames, encoder, policy, warping)
    judged = judge_pieces(
        texts.hstack(heard).join(shown, on="piece_id", how="left", maintain_order="left"), sample, policy
    )
    kept = judged.filter(pl.col("code").is_null())
    return AlignedSegments(alignment_rows(kept), rejections(judged.filter(pl.col("code").is_not_null())), sample)


def _join_offsets(texts: pl.DataFrame, offsets: pl.DataFrame) -> pl.DataFrame:
    columns = ("timing", "offset_us", "drift_ppm", "beyond")
    joined = texts
    for prefix, chosen in (
        ("cue", pl.col("tracks").str.starts_with("cues")),
        ("sound", pl.col("tracks") == "audio_video"),
    ):
        own = offsets.filter(chosen).unique("clip_id", keep="first", maintain_order=True)
        renamed = own.select("clip_id", *(pl.col(name).alias(f"{prefix}_{name}") for name in columns))
        joined = joined.join(renamed, on="clip_id", how="left", maintain_order="left")
    return joined


def _compare_sound(
    texts: pl.DataFrame, usable: NDArray[np.bool_], encoder: TextEncoder, policy: SegmentPolicy
) -> tuple[pl.DataFrame, SampleCheck]:
    """Agreement of text and sound, and the sample; columns method, text_audio, is_heard."""
    origins, confidences = texts["text_origin"].to_list(), texts["confidence"].to_list()
    own = [split_tokens(text or "") for text in texts["text"]]
    heard = [split_tokens(text or "") for text in texts["heard"]]
    methods = ["none"] * len(own)
    figures: list[float | None] = [None] * len(own)
    agree: list[bool | None] = [None] * len(own)
    compared: list[int] = []
    for row, origin in enumerate(origins):
        if not usable[row]:
            continue
        if origin == "transcript":
            methods[row], figures[row], agree[row] = "recogniser", confidences[row], True
        elif origin in _COMPARED and (figure := match_tokens(own[row], heard[row])) is not None:
            methods[row], figures[row], agree[row] = "tokens", figure, figure >= policy.min_heard_share
            compared.append(row)
    sample = check_sample([own[row] for row in compared], [heard[row] for row in compared], policy)
    for row, (method, figure) in _reconsider(texts, own, heard, compared, agree, encoder, policy).items():
        methods[row], figures[row], agree[row] = method, figure, True
    schema = {"method": pl.String, "text_audio": pl.Float32, "is_heard": pl.Boolean}
    return pl.DataFrame({"method": methods, "text_audio": figures, "is_heard": agree}, schema=schema), sample


def _reconsider(
    texts: pl.DataFrame,
    own: list[list[str]],
    heard: list[list[str]],
    compared: list[int],
    agree: list[bool | None],
    encoder: TextEncoder,
    policy: SegmentPolicy,
) -> dict[int, tuple[str, float]]:
    """Method and figure of segments with few tokens in common that go together by their rank among mismatched pairs."""
    clip_of = texts["clip_id"].to_list()
    found: dict[int, tuple[str, float]] = {}
    unlike: list[int] = []
    for row in [row for row in compared if not agree[row]]:
        others = [other for other in compared if clip_of[other] != clip_of[row]]
        others = _draw(others, policy.null_pairs // 2, row, policy)
        figure = match_tokens(own[row], heard[row]) or 0.0
        if figure >= policy.min_tokens_ranked and 2 * len(others) >= policy.min_null_pairs:
            rank = rank_tokens(row, own, heard, others)
            if rank is not None and rank >= policy.min_heard_rank:
                found[row] = "tokens", figure
                continue
        if min(len(own[row]), len(heard[row])) >= _MIN_TOKENS:
            unlike.append(row)
    others = [row for row in compared if agree[row]][: policy.null_pairs]
    if unlike and len(others) >= policy.min_null_pairs:
        text, told = texts["text"], texts["heard"]
        ranks = rank_texts(
            encoder.encode_texts([text[row] for row in unlike]),
            encoder.encode_texts([told[row] for row in unlike]),
            encoder.encode_texts([told[row] for row in others]),
        )
        pairs = zip(unlike, ranks, strict=True)
        found |= {row: ("similarity", rank) for row, rank in pairs if rank >= policy.min_heard_rank}
    return found


def _draw(rows: list[int], most: int, salt: int, policy: SegmentPolicy) -> list[int]:
    """Some of the rows, the same for the same segment in every run."""
    if len(rows) <= most:
        return rows
    chosen = np.random.default_rng((policy.seed, salt)).choice(len(rows), most, replace=False)
    return [rows[place] for place in chosen.tolist()]


def _compare_pictures(
    texts: pl.DataFrame, key_frames: pl.DataFrame, encoder: TextEncoder, policy: SegmentPolicy, warping: WarpingPolicy
) -> pl.DataFrame:
    """Agreement of text and pictures of the pieces that have any; columns piece_id and those of `Shown`."""
    frames_of = {
        str(piece): part
        for (piece,), part in key_frames.sort("time_us")
        .select("piece_id", "time_us", "embedding")
        .partition_by("piece_id", as_dict=True, maintain_order=True)
        .items()
    }
    rows = texts.filter(pl.col("piece_id").is_in(list(frames_of)))
    groups: list[tuple[list[str], list[int]]] = []
    columns = ("piece_id", "text", "text_origin", "start_us", "cue_texts", "cue_starts")
    for piece, text, origin, start, cue_texts, cue_starts in rows.select(columns).iter_rows():
        sentences = (cue_texts, cue_starts) if origin == "cue" else ([text], [start])
        groups.append(group_sentences(*sentences, frames_of[piece].height))
    flat = [sentence for sentences, _ in groups for sentence in sentences]
    vectors = encoder.encode_texts(flat) if flat else np.zeros((0, 1), np.float32)
    segments: list[ShownText] = []
    first = 0
    for (clip, piece, end), (sentences, starts) in zip(
        rows.select("clip_id", "piece_id", "end_us").iter_rows(), groups, strict=True
    ):
        own = frames_of[piece]
        segments.append(
            ShownText(
                clip_id=clip,
                frames=np.stack(own["embedding"].to_list()).astype(np.float32),
                bounds_us=np.append(own["time_us"].to_numpy(), end).astype(np.int64),
                sentences=vectors[first : first + len(sentences)],
                starts_us=np.array(starts, np.int64),
            )
        )
        first += len(sentences)
    return _shown_frame(rows["piece_id"], rank_shown(segments, policy, warping))


def _shown_frame(pieces: pl.Series, shown: list[Shown]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "piece_id": pieces,
            "video_text": [item.rank for item in shown],
            "shown_similarity": [item.similarity for item in shown],
            "shown_shift_us": [item.shift_us for item in shown],
        },
        schema={
            "piece_id": pl.String,
            "video_text": pl.Float32,
            "shown_similarity": pl.Float32,
            "shown_shift_us": pl.Int64,
        },
    )
