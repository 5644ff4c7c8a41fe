from io import BytesIO

import numpy as np
import polars as pl
from PIL import Image

from mm_assets.hard_negatives.edit_pictures import edit_pictures, plan_tasks
from mm_assets.hard_negatives.interfaces import WordNet
from mm_assets.hard_negatives.negatives import EditKind, Positive
from mm_assets.hard_negatives.region_edits import Region, exchange_regions, plan_edits, recolor_region
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
    positive = Positive("a", "1", "From left to right: a red apple, a camel and a rose.")
    regions = [Region("apple", (0, 0, 20, 20)), Region("camel", (30, 0, 50, 20)), Region("rose", (60, 0, 80, 20))]
    plans = list(plan_edits(positive, regions))
    assert [(plan.form, plan.before) for plan in plans] == [
        ("recolored", "red"),
        ("exchanged", "apple"),
        ("exchanged", "camel"),
    ]
    twice = [*regions, Region("apple", (0, 30, 20, 50))]
    assert "recolored" not in {plan.form for plan in plan_edits(positive, twice)}


def test_a_batch_of_pictures_is_edited_within_its_bound() -> None:
    positives = [
        Positive("a", "1", "A red apple."),
        Positive("b", "2", "A red apple."),
        Positive("c", "3", "From left to right: a camel and a rose."),
    ]
    boxes = pl.DataFrame(
        [
            ("1", "apple", 8, 8, 42, 52),
            ("2", "apple", 44, 0, 49, 9),
            ("3", "camel", 8, 8, 42, 52),
            ("3", "rose", 48, 8, 72, 52),
        ],
        schema=["image_id", "label", "x1", "y1", "x2", "y2"],
        orient="row",
    )
    tasks = plan_tasks(positives, boxes, 9)
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
    assert len(plan_tasks(positives, boxes, 1)) == 1
