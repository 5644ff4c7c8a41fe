import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mm_assets.errors import InferenceError
from mm_assets.hard_negatives.batch_sources import segment_windows
from mm_assets.hard_negatives.edit_pictures import edit_pictures, plan_tasks
from mm_assets.hard_negatives.interfaces import WordNet
from mm_assets.hard_negatives.negatives import EditKind, Positive, Region, apply_edits
from mm_assets.hard_negatives.region_edits import exchange_regions, plan_edits, recolor_region
from mm_assets.hard_negatives.temporal_shift import TemporalShift, Window
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.policy import HardNegativePolicy


def _windows(*texts: str, step_us: int = 3_000_000, clip: str = "clip") -> list[Window]:
    return [
        Window(Positive(f"{clip}-{i}", clip, text), i * step_us, i * step_us + 1_500_000)
        for i, text in enumerate(texts)
    ]


def test_windows_are_shifted_beyond_the_tolerance_and_not_far(net: WordNet) -> None:
    policy = HardNegativePolicy()
    windows = _windows("A zebra.", "A cow.", "A trumpet.", "A zebra.", "An owl.")
    made = [
        n for n in TemporalShift(TermRelations(net), policy).make(windows) if n.media and n.media["form"] == "window"
    ]
    assert made
    by_id = {window.positive.positive_id: window for window in windows}
    for negative in made:
        own, false = by_id[negative.positive_id], by_id[negative.donor_id or ""]
        assert negative.text == own.positive.text != false.positive.text
        gap_us = max(own.start_us, false.start_us) - min(own.end_us, false.end_us)
        assert negative.media is not None
        assert negative.media["gap_us"] == gap_us
        assert policy.min_gap_us <= gap_us <= policy.max_gap_us
        assert negative.media["start_us"] == false.start_us


def test_close_windows_and_other_clips_lend_nothing(net: WordNet) -> None:
    near = _windows("A zebra.", "A trumpet.", step_us=1_600_000)
    apart = [*_windows("A zebra.", clip="a"), *_windows("A trumpet.", clip="b")]
    for windows in (near, apart):
        made = TemporalShift(TermRelations(net), HardNegativePolicy()).make(windows)
        assert not [n for n in made if n.media and n.media["form"] == "window"]


def test_two_events_are_told_the_wrong_way_round(net: WordNet) -> None:
    made = TemporalShift(TermRelations(net), HardNegativePolicy()).make(_windows("The athlete starts.", "A dog barks."))
    told = [negative for negative in made if negative.edits]
    assert [negative.positive_text for negative in told] == ["The athlete starts, then a dog barks."]
    assert told[0].text == "A dog barks, then the athlete starts."
    assert told[0].kind is EditKind.ORDER


def _apple() -> np.ndarray:
    pixels = np.full((60, 80, 3), 240, np.uint8)
    pixels[10:50, 10:40] = (200, 30, 40)
    pixels[10:50, 50:70] = (210, 25, 45)
    return pixels


def test_a_region_turns_to_another_colour_and_nothing_else_does() -> None:
    pixels = _apple()
    edited, change = recolor_region(pixels, (8, 8, 42, 52), "red", "green")
    assert change > HardNegativePolicy().min_color_shift
    red, green, _ = edited[30, 25].astype(int)
    assert green > red + 50
    assert (edited[:, 44:] == pixels[:, 44:]).all()
    assert (pixels == _apple()).all()


def test_a_colour_that_is_not_there_changes_nothing() -> None:
    edited, change = recolor_region(_apple(), (8, 8, 42, 52), "blue", "green")
    assert change == 0.0
    assert (edited == _apple()).all()


def test_a_thing_of_several_colours_is_left_alone() -> None:
    pixels = _apple()
    pixels[10:35, 10:40] = (30, 40, 200)
    edited, change = recolor_region(pixels, (8, 8, 42, 52), "red", "green")
    assert change == 0.0
    assert (edited == pixels).all()


def test_regions_trade_places() -> None:
    pixels = np.full((50, 100, 3), 255, np.uint8)
    pixels[10:30, 10:30], pixels[10:30, 60:80] = (255, 0, 0), (0, 0, 255)
    edited = exchange_regions(pixels, (10, 10, 30, 30), (60, 10, 80, 30))
    assert edited[20, 20].tolist() == [0, 0, 255]
    assert edited[20, 70].tolist() == [255, 0, 0]


def test_edits_are_planned_where_the_caption_speaks_of_a_box() -> None:
    regions = (Region("apple", (0, 0, 20, 20)), Region("camel", (30, 0, 50, 20)), Region("rose", (60, 0, 80, 20)))
    positive = Positive("a", "1", "From left to right: a red apple, a camel and a rose.", regions=regions)
    plans = list(plan_edits(positive))
    assert [(plan.form, plan.before) for plan in plans] == [
        ("recolored", "red"),
        ("exchanged", "apple"),
        ("exchanged", "camel"),
    ]
    twice = replace(positive, regions=(*regions, Region("apple", (0, 30, 20, 50))))
    assert "recolored" not in {plan.form for plan in plan_edits(twice)}


def test_what_stands_above_another_thing_is_in_no_order_with_it() -> None:
    stacked = (Region("owl", (0, 0, 20, 20)), Region("camel", (5, 30, 25, 50)), Region("rose", (60, 0, 80, 20)))
    positive = Positive("a", "1", "From left to right: an owl, a camel and a rose.", regions=stacked)
    assert [(plan.before, plan.after) for plan in plan_edits(positive)] == [("camel", "rose")]


def test_a_batch_of_pictures_is_edited_within_its_bound() -> None:
    positives = [
        Positive("a", "1", "A red apple.", regions=(Region("apple", (8, 8, 42, 52)),)),
        Positive("b", "2", "A red apple.", regions=(Region("apple", (44, 0, 49, 9)),)),
        Positive(
            "c",
            "3",
            "From left to right: a camel and a rose.",
            regions=(Region("camel", (8, 8, 42, 52)), Region("rose", (48, 8, 72, 52))),
        ),
    ]
    tasks = plan_tasks(positives, 9)
    stored: dict[str, bytes] = {}

    def store(name: str, data: bytes) -> str:
        stored[name] = data
        return f"negatives/{name}"

    made = list(edit_pictures(((image_id, _apple()) for image_id in tasks), tasks, store))
    assert [(negative.positive_id, dict(negative.media or {})["form"]) for negative in made] == [
        ("a", "recolored"),
        ("c", "exchanged"),
    ]
    for negative, data in zip(made, stored.values(), strict=True):
        edited = np.asarray(Image.open(BytesIO(data)))
        assert edited.shape == _apple().shape
        assert (edited != _apple()).any()
        assert negative.text == negative.positive_text
    assert len(plan_tasks(positives, 1)) == 1


def _segments(texts: list[str], gaps_us: int = 2_000_000) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Segments of one clip and the cues they are made of, every sentence a cue of one second."""
    cues, segments, clock_us = list[dict[str, object]](), list[dict[str, object]](), 0
    for place, text in enumerate(texts):
        start_us, ids = clock_us, []
        for said in re.findall(r"[^.]+\.", text):
            ids.append(f"cue{len(cues)}")
            cues.append({"cue_id": ids[-1], "text": said.strip(), "start_us": clock_us, "end_us": clock_us + 1_000_000})
            clock_us += 1_000_000
        segments.append(
            {
                "sample_id": f"seg{place}",
                "clip_id": "v",
                "text": text,
                "position": 0,
                "start_us": start_us,
                "end_us": clock_us,
                "cue_ids": ids,
                "language": "en",
            }
        )
        clock_us += gaps_us
    return pl.DataFrame(segments), pl.DataFrame(cues)


def test_a_segment_tells_two_of_its_events_the_wrong_way_round(net: WordNet) -> None:
    windows = segment_windows(*_segments(["A zebra. A trumpet. A cow.", "A rose.", "An owl. A truck."]))
    assert [window.positive.positive_id for window in windows] == ["seg0", "seg2"]  # seg1 is a cue, a window already
    made = list(TemporalShift(TermRelations(net), HardNegativePolicy()).make(windows))
    texts = {negative.positive_id: negative for negative in made if negative.media is None}
    assert texts["seg2"].text == "A truck. An owl."
    assert texts["seg0"].text in {"A trumpet. A zebra. A cow.", "A zebra. A cow. A trumpet."}
    for negative in texts.values():
        assert apply_edits(negative.positive_text, negative.edits) == negative.text
        assert {edit.kind for edit in negative.edits} == {EditKind.ORDER}
    shifted = {negative.positive_id: dict(negative.media) for negative in made if negative.media is not None}
    assert shifted["seg0"]["start_us"] == windows[1].start_us
    assert shifted["seg0"]["gap_us"] == windows[1].start_us - windows[0].end_us
    assert shifted["seg0"]["gap_us"] >= HardNegativePolicy().min_gap_us


def test_events_that_overlap_or_recur_are_not_reordered(net: WordNet) -> None:
    segments, cues = _segments(["A zebra. A trumpet."])
    together = cues.with_columns(start_us=pl.lit(0))
    assert segment_windows(segments, together)[0].events == ()
    again = segment_windows(*_segments(["A zebra. A zebra."]))
    assert not list(TemporalShift(TermRelations(net), HardNegativePolicy()).make(again))


class _Painter:
    """An inpainting model that paints the whole picture green, or hands back another size."""

    def __init__(self, side: int | None = None) -> None:
        self.told: list[str] = []
        self._side = side

    def edit(self, pixels: np.ndarray, box: tuple[float, float, float, float], instruction: str) -> np.ndarray:
        self.told.append(instruction)
        shape = pixels.shape if self._side is None else (self._side, self._side, 3)
        return np.full(shape, (20, 180, 30), np.uint8)


def test_an_inpainting_model_stands_in_and_keeps_to_the_box() -> None:
    positive = Positive("a", "1", "A red apple.", regions=(Region("apple", (8, 8, 42, 52)),))
    tasks, painter, stored = plan_tasks([positive], 9), _Painter(), list[bytes]()
    made = list(edit_pictures([("1", _apple())], tasks, lambda name, data: stored.append(data) or name, painter))
    edited = np.asarray(Image.open(BytesIO(stored[0])))
    assert (edited[8:52, 8:42] == (20, 180, 30)).all()
    outside = np.ones(edited.shape[:2], bool)
    outside[8:52, 8:42] = False
    assert (edited[outside] == _apple()[outside]).all()
    assert painter.told == ["Turn what is red in this region to blue; keep everything else as it is."]
    assert dict(made[0].media or {})["change"] > HardNegativePolicy().min_color_shift
    with pytest.raises(InferenceError, match="keep the size"):
        list(edit_pictures([("1", _apple())], tasks, lambda name, _: name, _Painter(9)))
