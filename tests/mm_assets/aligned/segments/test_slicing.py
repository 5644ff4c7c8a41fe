from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.segments.slicing import merge_spans, slice_clip, slice_clips
from mm_assets.errors import InputError
from mm_assets.policy import SlicingPolicy

SECOND = 1_000_000
POLICY = SlicingPolicy()
NONE = np.zeros((0, 2), np.int64)


def spans(*pairs: tuple[float, float]) -> np.ndarray:
    return np.array([[round(a * SECOND), round(b * SECOND)] for a, b in pairs], np.int64).reshape(-1, 2)


def times(*seconds: float) -> np.ndarray:
    return np.array([round(second * SECOND) for second in seconds], np.int64)


@st.composite
def _clips(draw: st.DrawFn):
    start = draw(st.integers(-(10**9), 10**12))
    length = draw(st.integers(1, 400 * SECOND))
    end = start + length

    def pairs(most: int, longest: int):
        found = draw(
            st.lists(
                st.tuples(st.integers(0, length - 1), st.integers(1, longest)),
                max_size=most,
            )
        )
        return np.array([(start + a, min(start + a + b, end)) for a, b in found], np.int64).reshape(-1, 2)

    shots = np.array(sorted(draw(st.sets(st.integers(start, end - 1), max_size=8))), np.int64)
    return start, end, pairs(25, 45 * SECOND), pairs(12, 4 * SECOND), shots


@given(_clips())
def test_pieces_tile_the_clip_outside_words_and_as_short_as_they_allow(clip) -> None:
    start, end, busy, pauses, shots = clip
    pieces = slice_clip(start, end, busy=busy, pauses=pauses, shots=shots, policy=POLICY)
    edges = [piece.start_us for piece in pieces] + [pieces[-1].end_us]
    assert (edges[0], edges[-1]) == (start, end)
    assert [piece.end_us for piece in pieces[:-1]] == edges[1:-1]
    assert all(a < b for a, b in pairwise(edges))
    assert pieces[-1].cut == "end"
    for cut in edges[1:-1]:
        assert not ((busy[:, 0] < cut) & (cut < busy[:, 1])).any()
    if end - start <= 60 * SECOND:
        assert len(pieces) == 1
        return
    unbroken = merge_spans(busy)
    for piece in pieces:
        too_long = piece.end_us - piece.start_us > 30 * SECOND
        within = (unbroken[:, 0] <= piece.start_us) & (piece.end_us <= unbroken[:, 1])
        assert not too_long or within.any(), "a piece is too long only if it is one run of words"


@given(_clips())
def test_every_cut_is_of_the_kind_it_says(clip) -> None:
    start, end, busy, pauses, shots = clip
    for piece in slice_clip(start, end, busy=busy, pauses=pauses, shots=shots, policy=POLICY)[:-1]:
        if piece.cut == "shot":
            assert piece.end_us in shots
        elif piece.cut == "silence":
            assert ((pauses[:, 0] <= piece.end_us) & (piece.end_us <= pauses[:, 1])).any()


def test_a_clip_of_a_minute_is_whole() -> None:
    (piece,) = slice_clip(0, 60 * SECOND, busy=NONE, pauses=NONE, shots=times(), policy=POLICY)
    assert (piece.start_us, piece.end_us, piece.cut) == (0, 60 * SECOND, "end")


def test_cuts_prefer_shots_and_pauses_to_gaps() -> None:
    words = spans(*[(i * 0.5, i * 0.5 + 0.4) for i in range(180)])
    pieces = slice_clip(
        0, 90 * SECOND, busy=words, pauses=spans((27.4, 27.5), (29.4, 29.5)), shots=times(57.45, 58.7), policy=POLICY
    )
    first, second, third, rest = pieces
    assert first.cut == "silence"
    assert first.end_us in times(27.45, 29.45)
    assert (second.end_us, second.cut) == (57_450_000, "shot")
    assert third.cut == "gap"
    assert rest.end_us - rest.start_us >= 5 * SECOND
    # 58.7 s lies inside a word and is no place to cut.
    assert 58.7 * SECOND not in [piece.end_us for piece in pieces]


def test_a_cue_longer_than_a_piece_stays_whole() -> None:
    pieces = slice_clip(0, 100 * SECOND, busy=spans((20, 65)), pauses=NONE, shots=times(40), policy=POLICY)
    assert (20 * SECOND, 65 * SECOND) in [(piece.start_us, piece.end_us) for piece in pieces]


def test_long_stretches_without_words_are_cut_anyhow() -> None:
    pieces = slice_clip(0, 200 * SECOND, busy=NONE, pauses=NONE, shots=times(), policy=POLICY)
    assert len(pieces) == 7
    assert {piece.cut for piece in pieces} == {"forced", "end"}
    assert max(piece.end_us - piece.start_us for piece in pieces) <= 30 * SECOND


def test_a_clip_without_duration_is_refused() -> None:
    with pytest.raises(InputError, match="no duration"):
        slice_clip(5, 5, busy=NONE, pauses=NONE, shots=times(), policy=POLICY)


def test_rows_of_a_batch_carry_ids_that_stay() -> None:
    clips = pl.DataFrame(
        {
            "batch": ["b", "b"],
            "clip_id": ["vid_1", "vid_2"],
            "position": [0, 1],
            "start_us": [1_000, 0],
            "end_us": [100 * SECOND, 4 * SECOND],
        }
    )
    empty = pl.DataFrame(schema={"clip_id": pl.String, "start_us": pl.Int64, "end_us": pl.Int64})
    shots = pl.DataFrame({"clip_id": ["vid_1"] * 2, "start_us": [1_000, 50 * SECOND], "end_us": [50 * SECOND, 10**8]})
    first, second = (slice_clips(clips, busy=empty, pauses=empty, shots=shots, policy=POLICY) for _ in range(2))
    assert first.equals(second)
    assert first["piece_id"].n_unique() == first.height
    ends = first.group_by("clip_id").agg(pl.col("start_us").min(), pl.col("end_us").max()).sort("clip_id")
    assert ends.rows() == [("vid_1", 1_000, 100 * SECOND), ("vid_2", 0, 4 * SECOND)]
    assert 50 * SECOND in first["end_us"].to_list()
