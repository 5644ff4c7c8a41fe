"""Cues follow their pointers and their clocks."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.corrections import make_correction
from mm_assets.aligned.segments.offsets.cue_placement import list_delivered, place_cues
from mm_assets.aligned.segments.offsets.time_corrections import sound_shifts
from mm_assets.schemas import TABLES


def clip(index: int) -> str:
    return f"vid_{index}"


def videos(positions: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {"batch": ["b"] * len(positions), "clip_id": [clip(at) for at in positions], "position": positions}
    )


def cleaned(positions: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "clip_id": [clip(at) for at in positions],
            "clock_offset_us": [at * 1_000 for at in positions],
            "start_us": [at * 1_000 for at in positions],
            "end_us": [60_000_000 + at * 1_000 for at in positions],
        }
    )


def cues(positions: list[int]) -> pl.DataFrame:
    rows = [
        dict.fromkeys(TABLES["raw_cues"].columns)
        | {"batch": "b", "cue_id": f"cue_{at}_{index}", "clip_id": clip(at), "position": at, "cue_index": index}
        | {"start_us": index * 1_000_000, "end_us": index * 1_000_000 + 500_000, "text": f"said in {at}"}
        for at in positions
        for index in range(2)
    ]
    return pl.DataFrame(rows, schema=TABLES["raw_cues"].schema)


def correction(kind: str, parameters: dict[str, object], rows: list[int]) -> pl.DataFrame:
    return make_correction(
        batch="b",
        level="segment",
        kind=kind,
        parameters=parameters,
        rows=[clip(at) for at in rows],
        evaluation_id="eval_1",
        by="ada",
        reason="test",
        at_us=1,
    )


NO_SOUNDS = videos([]).with_columns(pl.col("position").cast(pl.Int64), pl.col("batch", "clip_id").cast(pl.String))


def test_cues_move_with_the_clock_of_their_video() -> None:
    placed = place_cues(cues([3]), cleaned([3]))
    assert placed["start_us"].to_list() == [3_000, 1_003_000]
    assert placed["clip_start_us"].to_list() == [3_000, 3_000]
    assert placed["correction_id"].null_count() == 2


def test_sounds_come_before_videos_and_rejected_records_keep_their_places() -> None:
    listed = list_delivered(videos([0, 2]), videos([1, 2]))
    assert listed.select("place", "position", "is_video").rows() == [
        (0, 0, False),
        (2, 2, False),
        (4, 1, True),
        (5, 2, True),
    ]


def test_subtitles_delivered_one_row_on_come_back() -> None:
    """Row i was delivered with what belongs to row i + 1; what belongs to the first was not delivered at all."""
    at = [0, 1, 2, 3]
    shifted = correction("pointer_shift", {"side": "subtitles", "k": 1, "wrap": False}, at)
    placed = place_cues(cues(at), cleaned(at), list_delivered(NO_SOUNDS, videos(at)), shifted)
    assert placed.height == 8
    led = dict(placed.filter("has_clip").select("text", "clip_id").unique().iter_rows())
    assert set(led) < {f"said in {index}" for index in at}
    steps = {int(name.removeprefix("vid_")) - int(text.removeprefix("said in ")) for text, name in led.items()}
    assert steps == {1}
    lost = placed.filter(~pl.col("has_clip"))
    assert lost.height == 2
    assert lost["correction_id"].null_count() == 0
    moved = placed.filter("has_clip")
    assert (moved["clip_start_us"] == moved["position"] * 1_000).all()


def test_late_cues_come_forward_on_the_named_clips_only() -> None:
    late = correction("time_shift", {"side": "subtitles", "offset_us": 300_000}, [1])
    placed = place_cues(cues([0, 1]), cleaned([0, 1]), list_delivered(NO_SOUNDS, videos([0, 1])), late)
    assert placed.filter(pl.col("clip_id") == clip(0))["start_us"].to_list() == [0, 1_000_000]
    assert placed.filter(pl.col("clip_id") == clip(1))["start_us"].to_list() == [1_000 - 300_000, 701_000]
    assert placed["correction_id"].null_count() == 2


def test_shifts_of_sound_add_up_and_leave_cues_alone() -> None:
    late = pl.concat(
        [
            correction("time_shift", {"side": "audio", "offset_us": 300_000}, [1]),
            correction("time_shift", {"side": "audio", "offset_us": -50_000}, [0, 1]),
            correction("time_shift", {"side": "subtitles", "offset_us": 9_000_000}, [0, 1]),
        ]
    )
    assert sound_shifts(videos([0, 1, 2]), late)["sound_shift_us"].to_list() == [-50_000, 250_000, 0]
    assert sound_shifts(videos([0, 1, 2]), late.clear())["sound_shift_us"].to_list() == [0, 0, 0]


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=8, unique=True).map(sorted),
    st.integers(-4, 4).filter(bool),
    st.booleans(),
    st.data(),
)
def test_no_cue_is_lost_or_doubled(positions: list[int], k: int, wrap: bool, data: st.DataObject) -> None:
    named = data.draw(st.lists(st.sampled_from(positions), min_size=1, unique=True))
    moved = correction("pointer_shift", {"side": "subtitles", "k": k, "wrap": wrap}, named)
    given_cues = cues(positions)
    placed = place_cues(given_cues, cleaned(positions), list_delivered(NO_SOUNDS, videos(positions)), moved)
    assert sorted(placed["cue_id"]) == sorted(given_cues["cue_id"])
    own = placed.filter(~pl.col("text").is_in([f"said in {at}" for at in named]))
    assert own["correction_id"].null_count() == own.height


def test_a_correction_of_an_unknown_level_is_refused() -> None:
    with pytest.raises(Exception, match="level 'page' is unknown"):
        make_correction(
            batch="b",
            level="page",
            kind="time_shift",
            parameters={},
            rows=[],
            evaluation_id="e",
            by="a",
            reason="r",
            at_us=0,
        )
