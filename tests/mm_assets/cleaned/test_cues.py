from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from deltalake.exceptions import DeltaError
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.segments.offsets.cue_placement import place_cues
from mm_assets.cleaned.cues import clean_cues, longest_in_order, overlapping
from mm_assets.policy import CuePolicy
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake

POLICY = CuePolicy()


def raw(*cues: tuple[float, float, str], clip: str = "vid_1") -> pl.DataFrame:
    rows = [
        {
            "batch": "b1",
            "cue_id": f"{clip}-{index}",
            "clip_id": clip,
            "position": 0,
            "cue_index": index,
            "record_ref": f"b1/video/v.vtt:{3 * index + 3}",
            "start_us": round(start * 1e6),
            "end_us": round(end * 1e6),
            "text": text,
            "name": None,
            "speaker": None,
            "language": "en",
        }
        for index, (start, end, text) in enumerate(cues)
    ]
    return pl.DataFrame(rows, schema=TABLES["raw_cues"].schema)


def clips(end: float = 100.0, offset: float = 0.0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "clip_id": ["vid_1"],
            "clock_offset_us": [round(offset * 1e6)],
            "start_us": [round(offset * 1e6)],
            "end_us": [round((end + offset) * 1e6)],
        }
    )


def test_each_fault_has_its_code_and_names_file_and_line() -> None:
    cues = raw(
        (1.0, 2.0, "kept &amp; repaired"),
        (2.0, 3.0, "  \u200b "),
        (5.0, 4.0, "backwards"),
        (6.0, 6.0, "no time"),
        (7.0, 9.0, "kept too"),
        (8.0, 8.5, "inside the one above, which ends later"),
        (3.0, 3.5, "out of order"),
        (10.0, 11.0, "x" * 1_001),
        (99.0, 100.05, "reaches a little beyond"),
        (101.0, 102.0, "beyond"),
        (99.5, 140.0, "far beyond"),
    )
    kept, rejected = clean_cues(place_cues(cues, clips()), POLICY)
    assert kept.height + rejected.height == cues.height
    assert dict(zip(rejected["record_ref"].to_list(), rejected["code"].to_list(), strict=True)) == {
        "b1/video/v.vtt:6": "EMPTY_CUE",
        "b1/video/v.vtt:9": "CUE_REVERSED",
        "b1/video/v.vtt:12": "CUE_REVERSED",
        "b1/video/v.vtt:15": "CUE_OVERLAP",
        "b1/video/v.vtt:21": "CUE_OUT_OF_ORDER",
        "b1/video/v.vtt:24": "TOO_LONG",
        "b1/video/v.vtt:30": "CUE_OUTSIDE_MEDIA",
        "b1/video/v.vtt:33": "CUE_OUTSIDE_MEDIA",
    }
    assert all(reason.startswith("b1/video/v.vtt:") for reason in rejected["reason"].to_list())
    assert kept["text"].to_list() == [
        "kept & repaired",
        "inside the one above, which ends later",
        "reaches a little beyond",
    ]
    assert kept["end_us"].to_list()[-1] == 100_000_000
    TABLES["cues"].conform(kept)
    TABLES["rejected"].conform(rejected)


def test_cues_move_with_the_clock_of_their_video() -> None:
    kept, rejected = clean_cues(place_cues(raw((1.0, 2.0, "hello")), clips(10.0, 3_600.0)), POLICY)
    assert rejected.height == 0
    assert kept.select("start_us", "end_us", "clip_start_us").row(0) == (3_601_000_000, 3_602_000_000, 3_600_000_000)


def test_cues_of_a_rejected_video_go_with_it() -> None:
    kept, rejected = clean_cues(place_cues(raw((1.0, 2.0, "hello"), clip="vid_2"), clips()), POLICY)
    assert kept.height == 0
    assert rejected["code"].to_list() == ["CLIP_REJECTED"]


def test_a_little_overlap_is_left_as_it_is() -> None:
    kept, rejected = clean_cues(place_cues(raw((1.0, 2.1, "one"), (2.0, 3.0, "two")), clips()), POLICY)
    assert rejected.height == 0
    assert kept["end_us"].to_list() == [2_100_000, 3_000_000]


_TIMES = st.lists(st.tuples(st.floats(-5, 110), st.floats(-2, 30)), max_size=25)


@given(_TIMES)
def test_what_is_kept_is_ordered_apart_and_inside(times: list[tuple[float, float]]) -> None:
    cues = raw(*((max(0.0, start), max(0.0, start + length), "text") for start, length in times))
    kept, rejected = clean_cues(place_cues(cues, clips()), POLICY)
    assert sorted([*kept["cue_id"], *rejected["record_id"]]) == sorted(cues["cue_id"])
    starts, ends = kept["start_us"].to_numpy(), kept["end_us"].to_numpy()
    assert (starts < ends).all()
    assert (np.diff(starts) >= 0).all()
    assert (starts[1:] >= ends[:-1] - 250_000).all()
    assert (starts >= 0).all()
    assert (ends <= 100_000_000).all()


@given(st.lists(st.integers(0, 30), max_size=9))
def test_the_fewest_are_out_of_order(values: list[int]) -> None:
    chosen = longest_in_order(np.array(values, np.int64))
    picked = np.array(values, np.int64)[chosen]
    assert (np.diff(picked) >= 0).all()
    best = 0
    for mask in range(1 << len(values)):
        part = [value for place, value in enumerate(values) if mask >> place & 1]
        if part == sorted(part):
            best = max(best, len(part))
    assert int(chosen.sum()) == best


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15)), max_size=8))
def test_the_fewest_overlap(spans: list[tuple[int, int]]) -> None:
    ordered = sorted(spans)
    starts = np.array([start for start, _ in ordered], np.int64)
    ends = np.array([start + length for start, length in ordered], np.int64)
    found = overlapping(starts, ends, 0)
    best = 0
    for mask in range(1 << len(ordered)):
        part = [place for place in range(len(ordered)) if mask >> place & 1]
        if all(starts[b] >= ends[a] for a, b in pairwise(part)):
            best = max(best, len(part))
    assert len(ordered) - int(found.sum()) == best


def test_the_table_refuses_cues_out_of_order(tmp_path):
    lake = DeltaLake(root=str(tmp_path))
    rows = pl.DataFrame(
        [
            dict.fromkeys(TABLES["cues"].schema)
            | {"batch": "b1", "cue_id": f"cue_{index}", "clip_id": "vid_1", "position": 0, "cue_index": index}
            | {"record_ref": "r", "text": "t", "raw_text": "t", "clip_start_us": 0, "clip_end_us": 9_000}
            | {"start_us": 1_000 * index, "end_us": 1_000 * index + 900, "previous_start_us": None}
            for index in range(3)
        ],
        schema=TABLES["cues"].schema,
    ).with_columns(previous_start_us=pl.col("start_us").shift(1).over("clip_id"))
    lake.replace("cues", "b1", rows)
    with pytest.raises(DeltaError, match="failed validation"):
        lake.replace("cues", "b1", rows.with_columns(previous_start_us=pl.col("start_us") + 1))
    assert lake.read("cues", "b1").equals(rows)
