"""Tables of speech: what is said in a clip, when, by whom and how.

Times are microseconds on the medium's global clock.
"""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH
from mm_assets.schemas.media import CLIP_ID, END_US, START_US
from mm_assets.schemas.table import Column, Table

WORD: Final = pl.Struct(
    {
        "word": pl.String,
        "start_us": pl.Int64,
        "end_us": pl.Int64,
        "confidence": pl.Float32,
        "method": pl.String,
        "speaker": pl.String,
    }
)
"""A word on the global clock: ``method`` says who timed it, such as ``forced:pocketsphinx`` or ``recogniser``."""

_POSITION: Final = Column(pl.Int64, "Place of the clip's record in its delivery, from 0, rejected records counted.")
_AVG_LOGPROB: Final = "log probability per token; speech lies above -0.3, music and noise about -1.4."

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="transcripts",
        grain="One row per cleaned clip with sound: what is said in it, and when each word is.",
        columns={
            "batch": BATCH,
            "clip_id": CLIP_ID,
            "position": _POSITION,
            "text": Column(pl.String, "What is said; empty where nothing is."),
            "language": Column(pl.String, "Code of the language it was recognised in; null: no speech.", nullable=True),
            "language_probability": Column(
                pl.Float32, "Of that language, by the recogniser; null: no speech or not told.", nullable=True
            ),
            "words": Column(pl.List(WORD), "Words in order, each with its times, who timed it and who says it."),
            "speakers": Column(pl.Int32, "Voices told apart in the clip."),
            "avg_logprob": Column(
                pl.Float32, f"Recogniser's mean {_AVG_LOGPROB} Null: nothing recognised.", nullable=True
            ),
            "dropped_segments": Column(pl.Int32, "Stretches whose text was dropped as hallucinated."),
            "model": Column(pl.String, "Recogniser: name, revision and hash of its weights."),
        },
        order_by=("position", "clip_id"),
        constraints={"counts_are_not_negative": "speakers >= 0 AND dropped_segments >= 0"},
    ),
    Table(
        name="utterances",
        grain="One row per utterance of a transcript: a run of words by one voice without a long pause.",
        columns={
            "batch": BATCH,
            "utterance_id": Column(pl.String, "Hash of clip, times and text."),
            "clip_id": CLIP_ID,
            "position": _POSITION,
            "utterance_index": Column(pl.Int32, "Place of the utterance in its clip, from 0."),
            "start_us": START_US,
            "end_us": END_US,
            "text": Column(pl.String, "What is said."),
            "speaker": Column(pl.String, "Voice, numbered from S0 within the clip.", nullable=True),
            "pitch_hz": Column(
                pl.Float32, "Median fundamental frequency of the voiced time; null: none.", nullable=True
            ),
            "pitch_range_semitones": Column(
                pl.Float32, "From its 10th to its 90th percentile, semitones.", nullable=True
            ),
            "energy_db": Column(pl.Float32, "Mean power, dB under full scale."),
            "words_per_second": Column(pl.Float32, "Words over the utterance's duration."),
            "avg_logprob": Column(pl.Float32, f"Of the stretch it was recognised in: {_AVG_LOGPROB}"),
            "no_speech_probability": Column(
                pl.Float32, "That nothing is said, by the recogniser; null: not told.", nullable=True
            ),
        },
        order_by=("position", "clip_id", "utterance_index"),
        constraints={
            "starts_before_it_ends": "start_us < end_us",
            "text_is_not_empty": "text <> ''",
        },
    ),
)
