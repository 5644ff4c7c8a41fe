import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.corrections import active_corrections, make_correction, withdraw_correction
from mm_assets.aligned.segments.offsets.time_corrections import correct_pointers, correct_times, read_parameters
from mm_assets.errors import ContractError
from mm_assets.schemas import TABLES

NONE = pl.DataFrame(schema=TABLES["corrections"].schema)


def correction(kind: str, rows: list[str] | None = None, at_us: int = 1, **parameters) -> pl.DataFrame:
    return make_correction(
        batch="b1",
        level="segment",
        kind=kind,
        parameters={"side": "subtitles"} | parameters,
        rows=rows or [],
        evaluation_id="eval_1",
        by="kim",
        reason="diagnosed",
        at_us=at_us,
    )


def cues(starts: list[int], clips: list[str] | None = None, clip_start_us: int = 0) -> pl.DataFrame:
    start = np.array(starts, dtype=np.int64)
    return pl.DataFrame(
        {
            "batch": "b1",
            "clip_id": clips or ["clip_0"] * len(starts),
            "clip_start_us": np.full(len(start), clip_start_us, dtype=np.int64),
            "start_us": start,
            "end_us": start + 500_000,
            "text": [str(place) for place in range(len(starts))],
        }
    )


TIMES = st.lists(st.integers(0, 3_600_000_000), min_size=1, max_size=20)


@given(TIMES, st.integers(-3_000_000, 3_000_000), st.integers(0, 10**12))
def test_undoing_a_shift_restores_the_true_times(starts: list[int], offset_us: int, clip_start_us: int) -> None:
    true = cues([start + clip_start_us for start in starts], clip_start_us=clip_start_us)
    faulty = true.with_columns(pl.col("start_us", "end_us") + offset_us)
    found = correct_times(faulty, correction("time_shift", offset_us=offset_us))
    assert found.drop("correction_id").equals(true)
    assert found["correction_id"].null_count() == 0


@given(TIMES, st.floats(0.8, 1.25), st.integers(-3_000_000, 3_000_000), st.integers(0, 10**10))
def test_undoing_a_rate_restores_the_true_times(
    starts: list[int], rate: float, offset_us: int, clip_start_us: int
) -> None:
    true = cues([start + clip_start_us for start in starts], clip_start_us=clip_start_us)
    faulty = true.with_columns(
        ((pl.col(name) - clip_start_us) * rate + offset_us).round().cast(pl.Int64) + clip_start_us
        for name in ("start_us", "end_us")
    )
    found = correct_times(faulty, correction("time_rate", rate=rate, offset_us=offset_us))
    for name in ("start_us", "end_us"):
        assert (found[name] - true[name]).abs().max() <= 1
    assert (found["end_us"] > found["start_us"]).all()


def test_corrections_act_on_their_rows_batch_level_and_side_alone() -> None:
    rows = cues([1_000_000, 2_000_000], ["clip_0", "clip_1"])
    shift = correction("time_shift", ["clip_1"], offset_us=400_000)
    found = correct_times(rows, shift)
    assert found["start_us"].to_list() == [1_000_000, 1_600_000]
    assert found["correction_id"].to_list() == [None, shift["correction_id"][0]]
    elsewhere = [
        shift.with_columns(batch=pl.lit("b2")),
        shift.with_columns(level=pl.lit("object")),
        correction("time_shift", ["clip_1"], side="audio", offset_us=400_000),
        NONE,
    ]
    for other in elsewhere:
        assert correct_times(rows, other).drop("correction_id").equals(rows)


def test_corrections_follow_one_another_and_can_be_withdrawn() -> None:
    first = correction("time_shift", offset_us=400_000, at_us=1)
    second = correction("time_rate", rate=2.0, offset_us=0, at_us=2)
    rows = cues([1_000_000])
    events = pl.concat([first, second])
    assert correct_times(rows, active_corrections(events))["start_us"].to_list() == [300_000]
    withdrawn = pl.concat([events, withdraw_correction(second, by="kim", reason="wrong", at_us=3)])
    assert correct_times(rows, active_corrections(withdrawn))["start_us"].to_list() == [600_000]


def test_reversing_the_order_of_cues_twice_changes_nothing() -> None:
    rows = cues([0, 1_000_000, 2_000_000])
    event = correction("cue_order_reversal")
    once = correct_times(rows, event)
    assert once["text"].to_list() == ["2", "1", "0"]
    assert correct_times(once.drop("correction_id"), event).drop("correction_id").equals(rows)


def clips(pointers: list[str], positions: list[int] | None = None) -> pl.DataFrame:
    places = positions or list(range(len(pointers)))
    return pl.DataFrame(
        {"batch": "b1", "clip_id": [f"clip_{place}" for place in places], "position": places, "subtitles": pointers}
    )


@given(st.integers(2, 20), st.integers(-5, 5).filter(bool))
def test_undoing_a_rolled_batch_restores_every_pointer(count: int, k: int) -> None:
    true = [f"{row}.vtt" for row in range(count)]
    faulty = [true[(row + k) % count] for row in range(count)]
    found = correct_pointers(clips(faulty), correction("pointer_shift", k=k, wrap=True), "subtitles")
    assert found["subtitles"].to_list() == true


def test_a_clip_whose_own_attachment_is_nowhere_loses_its_pointer() -> None:
    faulty = clips(["0.vtt", "2.vtt", "3.vtt", "3.vtt"])
    found = correct_pointers(faulty, correction("pointer_shift", ["clip_1", "clip_2"], k=1, wrap=False), "subtitles")
    assert found["subtitles"].to_list() == ["0.vtt", None, "2.vtt", "3.vtt"]
    assert found["correction_id"].is_null().to_list() == [True, False, False, True]


def test_reversed_pointers_are_turned_about_their_centre() -> None:
    faulty = clips(["0", "4", "3", "2", "1", "5"])
    named = [f"clip_{row}" for row in (1, 2, 3, 4)]
    found = correct_pointers(faulty, correction("pointer_reversal", named, rows_sum=5), "subtitles")
    assert found["subtitles"].to_list() == ["0", "1", "2", "3", "4", "5"]


def test_pointers_count_delivery_positions() -> None:
    faulty = clips(["1", "3", "4"], [0, 2, 3])
    found = correct_pointers(faulty, correction("pointer_shift", k=1, wrap=False), "subtitles")
    assert found["subtitles"].to_list() == [None, None, "3"]


def test_positions_that_repeat_are_refused() -> None:
    with pytest.raises(ContractError, match="one batch at a time"):
        correct_pointers(clips(["a", "b"], [0, 0]), NONE, "subtitles")


@pytest.mark.parametrize(
    ("kind", "parameters", "told"),
    [
        ("mirror_x", "{}", "unknown"),
        ("time_shift", '{"side": "subtitles"}', "offset_us"),
        ("time_shift", '{"side": "subtitles", "offset_us": 1, "k": 2}', "k"),
        ("time_rate", '{"side": "subtitles", "offset_us": 1, "rate": 0.0}', "not positive"),
    ],
)
def test_parameters_are_checked(kind: str, parameters: str, told: str) -> None:
    with pytest.raises(ContractError, match=told):
        read_parameters(kind, parameters)
