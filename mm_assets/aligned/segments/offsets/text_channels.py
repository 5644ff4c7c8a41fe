# pyright: strict
"""Evidence of pointers from texts: what was delivered with a clip against what is said in it."""

import numpy as np
import polars as pl

from mm_assets.aligned.segments.offsets.pointer_channels import (
    AUDIO,
    FEWEST,
    SUBTITLES,
    PointerChannel,
    compare_embeddings,
    compare_texts,
)
from mm_assets.aligned.segments.offsets.timed_tracks import Floats, TimedTexts
from mm_assets.features.interfaces import ImageTextEncoder

_TEXTS_TOGETHER = 256
_NO_TIMES = np.zeros(1, dtype=np.int64)


def compare_delivered_texts(delivered: pl.DataFrame, encoder: ImageTextEncoder) -> list[PointerChannel]:
    """Captions of videos against the speech in their sound, and transcriptions of sounds against theirs.

    Args:
        delivered: columns place, is_video, said (transcript of the clip) and written (caption of a video,
            transcription of a sound); null or empty where there is none.
        encoder: embeds captions and transcripts, whose words differ; transcriptions are compared word for word.

    Returns:
        No channel where fewer than four clips have both.

    Raises:
        ModelError: the encoder failed.
    """
    count = 0 if delivered.is_empty() else int(delivered["place"].to_numpy().max()) + 1
    told = delivered.filter((pl.col("said").fill_null("") != "") & (pl.col("written").fill_null("") != ""))
    found: list[PointerChannel | None] = []
    videos = told.filter("is_video")
    if videos.height >= FEWEST:
        written, said = (_embed(videos, name, count, encoder) for name in ("written", "said"))
        found.append(compare_embeddings(written, said, "captions and speech", AUDIO))
    sounds = told.filter(~pl.col("is_video"))
    if sounds.height >= FEWEST:
        said, written = (_place(sounds, name, count) for name in ("said", "written"))
        found.append(compare_texts(said, written, "transcriptions and speech", SUBTITLES))
    return [channel for channel in found if channel is not None]


def _embed(rows: pl.DataFrame, column: str, count: int, encoder: ImageTextEncoder) -> Floats:
    """Embeddings of the texts at their places, shape (count, D); zeros elsewhere."""
    texts: list[str] = rows[column].to_list()
    parts = [encoder.encode_texts(texts[at : at + _TEXTS_TOGETHER]) for at in range(0, len(texts), _TEXTS_TOGETHER)]
    placed = np.zeros((count, encoder.dimension))
    placed[rows["place"].to_numpy()] = np.concatenate(parts)
    return placed


def _place(rows: pl.DataFrame, column: str, count: int) -> list[TimedTexts | None]:
    placed: list[TimedTexts | None] = [None] * count
    for place, text in rows.select("place", column).iter_rows():
        placed[place] = TimedTexts((text,), _NO_TIMES, _NO_TIMES)
    return placed
