"""Clean cues: repair their text, turn away what times nothing."""

from bisect import bisect_right
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.cleaned.repair import repair_texts
from mm_assets.policy import CuePolicy
from mm_assets.schemas import TABLES

STAGE: Final = "cues"
_REASONS: Final = {
    "CUE_WITHOUT_CLIP": "its subtitles were delivered with another clip and their own is not in the batch; deliver it",
    "CLIP_REJECTED": "its video was rejected; see the video's own row",
    "EMPTY_CUE": "nothing is left of its text after repair; write what is said, or leave the cue out",
    "TOO_LONG": "longer than [cues] max_characters; write one cue per utterance",
    "CUE_REVERSED": "it ends before it starts, or as it starts; correct its times",
    "CUE_OUTSIDE_MEDIA": "it lies beyond its medium; check that the subtitles belong to it and share its clock",
    "CUE_OUT_OF_ORDER": "it starts before a cue above it; sort the cues, or check the times above",
    "CUE_OVERLAP": "it starts while the one above it still runs; end that one first",
}


def clean_cues(cues: pl.DataFrame, policy: CuePolicy) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Repair cues and turn away the unusable ones.

    A cue that reaches a little beyond its medium is cut there; nothing else about times is changed.

    Args:
        cues: cues of a whole batch, as `mm_assets.aligned.segments.offsets.cue_placement.place_cues` leaves them.
        policy: what a clean cue is.

    Returns:
        Rows of ``cues`` and rows of ``rejected``; together as many as came in.
    """
    outside = round(policy.max_outside_seconds * 1_000_000)
    placed = cues.with_columns(raw_text=pl.col("text"), text=repair_texts(cues["text"], keep_lines=False))
    start, end, length = pl.col("start_us"), pl.col("end_us"), pl.col("text").str.len_chars()
    code = (
        pl.when(~pl.col("has_clip"))
        .then(pl.lit("CUE_WITHOUT_CLIP"))
        .when(pl.col("clip_start_us").is_null())
        .then(pl.lit("CLIP_REJECTED"))
        .when(length == 0)
        .then(pl.lit("EMPTY_CUE"))
        .when(length > policy.max_characters)
        .then(pl.lit("TOO_LONG"))
        .when(end <= start)
        .then(pl.lit("CUE_REVERSED"))
        .when(
            (start < pl.col("clip_start_us") - outside)
            | (end > pl.col("clip_end_us") + outside)
            | (start >= pl.col("clip_end_us"))
            | (end <= pl.col("clip_start_us"))
        )
        .then(pl.lit("CUE_OUTSIDE_MEDIA"))
        .otherwise(None)
    )
    judged = _mark_order(placed.with_columns(code=code), round(policy.max_overlap_seconds * 1_000_000))
    kept = judged.filter(pl.col("code").is_null()).with_columns(
        start_us=pl.max_horizontal("start_us", "clip_start_us"), end_us=pl.min_horizontal("end_us", "clip_end_us")
    )
    kept = kept.with_columns(previous_start_us=pl.col("start_us").shift(1).over("clip_id"))
    return kept.select(list(TABLES["cues"].columns)), _rejected(judged.filter(pl.col("code").is_not_null()))


def _mark_order(judged: pl.DataFrame, max_overlap_us: int) -> pl.DataFrame:
    """Mark the fewest cues without which the others of their file stand in order and apart."""
    usable = judged.with_row_index("row").filter(pl.col("code").is_null())
    codes: list[str | None] = judged["code"].to_list()
    for part in usable.partition_by("clip_id", maintain_order=True):
        rows, starts, ends = (part[name].to_numpy() for name in ("row", "start_us", "end_us"))
        ordered = longest_in_order(starts)
        for row in rows[~ordered].tolist():
            codes[row] = "CUE_OUT_OF_ORDER"
        for row in rows[ordered][overlapping(starts[ordered], ends[ordered], max_overlap_us)].tolist():
            codes[row] = "CUE_OVERLAP"
    return judged.with_columns(code=pl.Series(codes, dtype=pl.String))


def longest_in_order(starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which values make up a longest non-decreasing subsequence, shape (N,).

    >>> longest_in_order(np.array([1, 9, 2, 3, 3])).tolist()
    [True, False, True, True, True]
    """
    if bool((np.diff(starts) >= 0).all()):
        return np.ones(len(starts), np.bool_)
    ends: list[int] = []  # smallest last value of a subsequence of each length …
    places: list[int] = []  # … and where it stands
    before = [-1] * len(starts)
    for place, value in enumerate(starts.tolist()):
        length = bisect_right(ends, value)
        before[place] = places[length - 1] if length else -1
        ends[length : length + 1] = [value]
        places[length : length + 1] = [place]
    chosen = np.zeros(len(starts), np.bool_)
    place = places[-1]
    while place >= 0:
        chosen[place] = True
        place = before[place]
    return chosen


def overlapping(starts: NDArray[np.int64], ends: NDArray[np.int64], max_overlap_us: int) -> NDArray[np.bool_]:
    """The fewest cues without which no other overlaps the next by more than ``max_overlap_us``, shape (N,).

    Of two that overlap the one that ends later goes, so that a single wrong end does not cost all cues behind it.

    Args:
        starts: non-decreasing.
        ends: each behind its start.
        max_overlap_us: allowed overlap, microseconds.

    >>> overlapping(np.array([0, 5, 20]), np.array([90, 15, 30]), 2).tolist()
    [True, False, False]
    """
    found = np.zeros(len(starts), np.bool_)
    last = 0
    for place in range(1, len(starts)):
        if starts[place] >= ends[last] - max_overlap_us:
            last = place
        elif ends[place] < ends[last]:
            found[last], last = True, place
        else:
            found[place] = True
    return found


def _rejected(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        "batch",
        pl.lit(STAGE).alias("stage"),
        pl.lit("cue").alias("record_kind"),
        "record_ref",
        pl.col("cue_id").alias("record_id"),
        "code",
        pl.format(
            "{}: cue '{}' from {} to {} s: {}",
            "record_ref",
            pl.col("raw_text").str.slice(0, 80),
            (pl.col("start_us") / 1e6).round(3),
            (pl.col("end_us") / 1e6).round(3),
            pl.col("code").replace_strict(_REASONS, return_dtype=pl.String),
        ).alias("reason"),
    )
