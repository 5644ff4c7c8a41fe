# pyright: strict
"""Positives of a batch from the rows of its tables."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.hard_negatives.negatives import Positive, Region
from mm_assets.hard_negatives.temporal_shift import Window
from mm_assets.hard_negatives.verdicts import IMPROPER, NO_CAPTION, REJECTED

Floats = NDArray[np.float32]


def caption_positives(
    captions: pl.DataFrame, boxes: pl.DataFrame, image_embeddings: pl.DataFrame, caption_embeddings: pl.DataFrame
) -> tuple[list[Positive], Floats, Floats]:
    """English captions with both embeddings, in the order of the delivery.

    Args:
        captions: rows of ``captions``.
        boxes: columns image_id, label, x1, y1, x2 and y2 of ``boxes``.
        image_embeddings: columns image_id and embedding.
        caption_embeddings: columns caption_id and embedding.

    Returns:
        Positives, and the unit vectors of their pictures and texts, float32, shape (N, D).
    """
    said = captions.group_by("image_id").agg(all_texts=pl.col("text"), all_ids=pl.col("caption_id"))
    labels = boxes.drop_nulls().group_by("image_id").agg(labels=pl.col("label").unique().sort())
    regions: dict[str, list[Region]] = {}
    for image_id, label, *box in boxes.drop_nulls().select("image_id", "label", "x1", "y1", "x2", "y2").iter_rows():
        regions.setdefault(image_id, []).append(Region(label, (box[0], box[1], box[2], box[3])))
    rows = (
        captions.filter(pl.col("language").fill_null("en") == "en")
        .join(image_embeddings.select("image_id", picture="embedding"), on="image_id")
        .join(caption_embeddings.select("caption_id", words="embedding"), on="caption_id")
        .join(said, on="image_id")
        .join(labels, on="image_id", how="left")
        .sort("position", "caption_index", "caption_id")
    )
    images, texts = _matrix(rows["picture"]), _matrix(rows["words"])
    scores = np.einsum("ij,ij->i", images, texts) if len(rows) else np.empty(0, np.float32)
    columns = ("caption_id", "image_id", "text", "all_texts", "all_ids", "labels", "position")
    positives = [
        Positive(
            positive_id=caption_id,
            image_id=image_id,
            text=text,
            siblings=tuple(other for other, own in zip(all_texts, all_ids, strict=True) if own != caption_id),
            labels=tuple(known or ()),
            position=position,
            similarity=float(score),
            regions=tuple(regions.get(image_id, ())),
        )
        for (caption_id, image_id, text, all_texts, all_ids, known, position), score in zip(
            rows.select(columns).iter_rows(), scores, strict=True
        )
    ]
    return positives, images, texts


def position_ranges(positions: NDArray[np.int64], rows: int) -> list[tuple[int, int]]:
    """First and last position of chunks of rows; rows of one position stay together.

    Args:
        positions: of all rows, in any order.
        rows: a chunk ends with the position that brings it to as many.

    >>> position_ranges(np.array([0, 0, 1, 4, 4, 7]), 2)
    [(0, 0), (1, 4), (7, 7)]
    """
    unique, counts = np.unique(positions, return_counts=True)
    ranges: list[tuple[int, int]] = []
    first, held = 0, 0
    for place, count in enumerate(counts.tolist()):
        held += count
        if held >= rows or place == len(unique) - 1:
            ranges.append((int(unique[first]), int(unique[place])))
            first, held = place + 1, 0
    return ranges


def cue_windows(cues: pl.DataFrame) -> list[Window]:
    """Cues of clips as windows.

    Args:
        cues: rows of ``cues``.
    """
    columns = ("cue_id", "clip_id", "text", "position", "start_us", "end_us")
    english = cues.filter(pl.col("language").fill_null("en") == "en").sort("position", "clip_id", "start_us")
    return [
        Window(Positive(cue_id, clip_id, text, position=position), start_us, end_us)
        for cue_id, clip_id, text, position, start_us, end_us in english.select(columns).iter_rows()
    ]


def segment_windows(segments: pl.DataFrame, cues: pl.DataFrame) -> list[Window]:
    """Segments as windows, with the events their cues tell.

    A segment that is one cue and no more is left out: the cue is a window already.

    Args:
        segments: rows of ``segment_alignments``.
        cues: rows of ``cues`` of their clips.
    """
    told = {cue_id: (text, start_us, end_us) for cue_id, text, start_us, end_us in _cue_rows(cues)}
    columns = ("sample_id", "clip_id", "text", "position", "start_us", "end_us", "cue_ids")
    english = segments.filter(pl.col("language").fill_null("en") == "en").sort("position", "clip_id", "start_us")
    windows: list[Window] = []
    for sample_id, clip_id, text, position, start_us, end_us, cue_ids in english.select(columns).iter_rows():
        own = sorted((told[cue_id] for cue_id in cue_ids or () if cue_id in told), key=lambda cue: cue[1])
        if [cue[0] for cue in own] != [text]:
            positive = Positive(sample_id, clip_id, text, position=position)
            windows.append(Window(positive, start_us, end_us, _find_events(text, own)))
    return windows


def _cue_rows(cues: pl.DataFrame) -> Iterable[tuple[str, str, int, int]]:
    return cues.select("cue_id", "text", "start_us", "end_us").iter_rows()


def _find_events(text: str, cues: Sequence[tuple[str, int, int]]) -> tuple[tuple[int, int], ...]:
    """Where a text tells its cues, if it tells all in their order and none begins before the one before ends."""
    spans: list[tuple[int, int]] = []
    place, before_us = 0, 0
    for said, start_us, end_us in cues:
        start = text.find(said, place)
        if start < 0 or start_us < before_us:
            return ()
        place, before_us = start + len(said), end_us
        spans.append((start, place))
    return tuple(spans) if len(spans) > 1 else ()


def latest_decisions(rows: Iterable[tuple[str, str, str | None, int]]) -> dict[str, str]:
    """The latest decision on each subject, from (subject, decision, reason, time); of equal times the later row.

    What was rejected because it reads wrong is `IMPROPER`: it is not true of its picture.

    >>> latest_decisions([("n", "accepted", "", 2), ("n", "rejected", "", 1), ("m", "rejected", NO_CAPTION, 1)])
    {'n': 'accepted', 'm': 'improper'}
    """
    found = {subject: (decision, reason) for subject, decision, reason, _ in sorted(rows, key=lambda row: row[3])}
    return {
        subject: IMPROPER if decision == REJECTED and reason == NO_CAPTION else decision
        for subject, (decision, reason) in found.items()
    }


def _matrix(vectors: pl.Series) -> Floats:
    """Vectors of equal length, shape (N, D)."""
    if not len(vectors):
        return np.empty((0, 1), np.float32)
    return vectors.explode().to_numpy().astype(np.float32, copy=False).reshape(len(vectors), -1)
