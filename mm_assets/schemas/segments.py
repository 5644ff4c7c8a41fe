"""Tables of the segment level: features and codes of sound and key frames, and the aligned segments."""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH, LANGUAGE, POSITION, SPATIAL
from mm_assets.schemas.features import CODEBOOK_COLUMNS
from mm_assets.schemas.media import CLIP_ID, END_US, START_US
from mm_assets.schemas.speech import WORD
from mm_assets.schemas.table import Column, Table

_PIECE: Final[dict[str, Column]] = {
    "batch": BATCH,
    "piece_id": Column(pl.String, "Piece of the clip."),
    "clip_id": CLIP_ID,
    "position": Column(pl.Int64, "Place of the clip's record in its delivery, from 0."),
    "piece_index": Column(pl.Int32, "Place of the piece in its clip, from 0."),
}
_MODEL: Final = Column(pl.String, "Model name and revision.")
_IN_ORDER: Final = {"starts_before_it_ends": "start_us < end_us"}

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="audio_embeddings",
        grain="One row per piece of a clip in which there is sound: its embedding and the place of its features.",
        columns=_PIECE
        | {
            "start_us": START_US,
            "end_us": END_US,
            "embedding": Column(pl.List(pl.Float32), "Unit-length summary of the sound, shape (D,); of timbre only."),
            "features": Column(
                pl.String, "Shard and record of the token features, as path#record relative to the lake."
            ),
            "tokens": Column(pl.Int32, "Feature rows: one per token from the piece's start."),
            "token_us": Column(pl.Int64, "Time behind one token, microseconds."),
            "heard_share": Column(pl.Float32, "Share of the piece in which the clip has sound, 0 to 1."),
            "model": _MODEL,
        },
        order_by=("position", "piece_index"),
        constraints=_IN_ORDER
        | {
            "tokens_cover_the_piece": "tokens * token_us >= end_us - start_us AND "
            "(tokens - 1) * token_us < end_us - start_us"
        },
    ),
    Table(
        name="key_frames",
        grain="One row per picture that stands for a piece of a cleaned video.",
        columns=_PIECE
        | {
            "frame_id": Column(pl.String, "Hash of piece and time."),
            "frame_index": Column(pl.Int32, "Place of the picture in its piece, from 0."),
            "time_us": Column(pl.Int64, "Presentation of the picture on the medium's global clock, microseconds."),
            "start_us": Column(pl.Int64, "Start of its piece on the same clock."),
            "end_us": Column(pl.Int64, "End of its piece on the same clock."),
            "embedding": Column(pl.List(pl.Float32), "Unit-length joint-space embedding, shape (D,)."),
            "spatial_features": SPATIAL,
            "model": _MODEL,
        },
        order_by=("position", "piece_index", "frame_index"),
        constraints={"lies_inside_its_piece": "time_us >= start_us AND time_us < end_us"},
    ),
    Table(
        name="audio_codebook",
        grain="One row per trained version of the audio codebook: its centroids and how well they describe the sound.",
        columns=CODEBOOK_COLUMNS,
        partition_by=(),
    ),
    Table(
        name="audio_codes",
        grain="One row per piece of a clip in which there is sound: its tokens as codebook indices.",
        columns=_PIECE
        | {
            "codes": Column(pl.List(pl.Int32), "Codebook index of each token, in time."),
            "codebook_version": Column(pl.String, "Audio codebook the indices refer to."),
        },
        order_by=("position", "piece_index"),
    ),
    Table(
        name="key_frame_codes",
        grain="One row per key frame: its spatial features as indices of the visual codebook.",
        columns=_PIECE
        | {
            "frame_id": Column(pl.String, "Key frame."),
            "frame_index": Column(pl.Int32, "Place of the picture in its piece, from 0."),
            "codes": Column(pl.List(pl.Int32), "Codebook index of each spatial feature, row major."),
            "codebook_version": Column(pl.String, "Codebook the indices refer to."),
        },
        order_by=("position", "piece_index", "frame_index"),
    ),
    Table(
        name="segment_alignments",
        grain="One row per piece of a clip whose text goes with what is heard or shown in it.",
        columns={
            "batch": BATCH,
            "sample_id": Column(pl.String, "Hash of piece, text and words."),
            "clip_id": CLIP_ID,
            "piece_id": Column(pl.String, "Piece of the clip."),
            "position": POSITION,
            "segment_index": Column(pl.Int32, "Place of the piece in its clip, from 0."),
            "medium": Column(pl.String, "audio or video: the clip's record."),
            "start_us": START_US,
            "end_us": END_US,
            "clip_start_us": Column(pl.Int64, "Start of the medium on the same clock."),
            "clip_end_us": Column(pl.Int64, "End of the medium on the same clock."),
            "previous_end_us": Column(pl.Int64, "End of the clip's segment before; null of the first.", nullable=True),
            "text": Column(pl.String, "What is said or shown."),
            "text_origin": Column(pl.String, "cue, transcription (as delivered), transcript or description."),
            "language": LANGUAGE,
            "words": Column(pl.List(WORD), "Recognised words of the piece with their times, microseconds."),
            "speakers": Column(pl.List(pl.String), "Who speaks, in the order of their first word."),
            "cue_ids": Column(pl.List(pl.String), "Cues the text was made of, in order."),
            "cue_start_us": Column(pl.Int64, "Start of the first cue.", nullable=True),
            "cue_end_us": Column(pl.Int64, "End of the last cue.", nullable=True),
            "offset_us": Column(
                pl.Int64,
                "How much later than the sound the clip's cues, or its sound than its pictures, come.",
                nullable=True,
            ),
            "drift_ppm": Column(pl.Float64, "Drift of the same, parts per million.", nullable=True),
            "method": Column(pl.String, "How text and sound were compared: tokens, similarity, recogniser or none."),
            "text_audio": Column(pl.Float32, "Agreement of text and sound by that method, 0 to 1.", nullable=True),
            "video_text": Column(
                pl.Float32, "Share of mismatched pairs whose pictures resemble the text less, 0 to 1.", nullable=True
            ),
            "shown_similarity": Column(pl.Float32, "Similarity of text and pictures behind that rank.", nullable=True),
            "shown_shift_us": Column(
                pl.Int64, "How much later than their own start the sentences are shown, at the median.", nullable=True
            ),
            "audio_video": Column(pl.Float32, "Probability that sound and pictures are on one clock.", nullable=True),
            "score": Column(
                pl.Float32, "The least of the figures behind the verdict; null if unverified.", nullable=True
            ),
            "modalities": Column(pl.List(pl.String), "What goes together, sorted."),
            "verdict": Column(pl.String, "trimodal, audio_text, video_text or unverified."),
            "reasons": Column(pl.List(pl.String), "Why a pair of modalities does not count as agreeing."),
        },
        order_by=("position", "segment_index"),
        constraints=_IN_ORDER
        | {
            "lies_inside_its_medium": "start_us >= clip_start_us AND end_us <= clip_end_us",
            "follows_the_one_before": "previous_end_us IS NULL OR previous_end_us <= start_us",
            "cues_lie_inside": "cue_start_us IS NULL OR "
            "(cue_start_us >= start_us AND cue_start_us < cue_end_us AND cue_end_us <= end_us)",
            "text_is_not_empty": "text <> ''",
        },
    ),
)
