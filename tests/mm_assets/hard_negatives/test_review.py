import json
import math

import polars as pl
import pytest

from mm_assets.errors import RecordError
from mm_assets.hard_negatives.label_studio import CONFIG, FALSE, TRUE, UNGRAMMATICAL, make_tasks, read_export
from mm_assets.hard_negatives.negatives import EditKind, Negative, Outcome, Strategy, find_edits
from mm_assets.hard_negatives.review_sheet import COLUMNS, choose_for_review
from mm_assets.hard_negatives.rows import to_rows
from mm_assets.hard_negatives.verdicts import Judged


def _rows(judged: list[Judged]) -> pl.LazyFrame:
    return to_rows("b", judged, dict.fromkeys((one.negative.positive_id for one in judged), 0)).lazy()


def _judged(count: int, strategy: Strategy, *, reviewed: bool = False) -> list[Judged]:
    made, reason = [], "review: accepted" if reviewed else "false as far as is known"
    for place in range(count):
        true, false = f"A <red> car {place}.", f"A blue car {place}."
        negative = Negative(f"p{place}", f"i{place}", strategy, true, false, find_edits(true, false, EditKind.COLOR))
        made.append(Judged(negative, Outcome.KEPT, reason, math.nan, math.nan, math.nan, reviewed))
    return made


def test_each_strategy_is_sampled_at_random_and_again_the_same() -> None:
    judged = [*_judged(30, Strategy.IN_BATCH), *_judged(4, Strategy.LLM_SYNTHETIC)]
    items = choose_for_review(_rows(judged), 5, seed=1)
    assert [item.judged.negative.strategy for item in items].count(Strategy.IN_BATCH) == 5
    assert len(items) == 9
    assert items == choose_for_review(_rows(judged[::-1]), 5, seed=1)
    assert items != choose_for_review(_rows(judged), 5, seed=2)
    assert tuple(items[0].to_row()) == COLUMNS
    assert "⟦blue⟧" in items[0].negative_marked


def test_what_was_reviewed_is_not_shown_again() -> None:
    assert not choose_for_review(_rows(_judged(5, Strategy.IN_BATCH, reviewed=True)), 5, seed=0)


class _Addresses:
    def of(self, item_id: str) -> str:
        return f"/{item_id}"

    def of_edited(self, path: str) -> str:
        return f"/lake/{path}"

    def is_clip(self, item_id: str) -> bool:
        return item_id == "clip"


def _false_media(image_id: str, media: dict[str, object]) -> Judged:
    negative = Negative("p", image_id, Strategy.TEMPORAL_SHIFT, "A red car.", "A red car.", media=media)
    return Judged(negative, Outcome.KEPT, "false", math.nan, math.nan, math.nan)


def test_people_judge_the_picture_or_window_that_the_text_is_false_of() -> None:
    edited = {"form": "recolored", "path": "negatives/b/e.png", "before": "red", "after": "blue"}
    window = {"form": "window", "clip_id": "clip", "start_us": 2_500_000, "end_us": 4_000_000}
    judged = [_false_media("i", edited), _false_media("clip", window), *_judged(1, Strategy.IN_BATCH)]
    items = choose_for_review(_rows(judged), 5, seed=0)
    tasks = [task["data"] for task in json.loads(make_tasks(items, _Addresses()))]
    by_seen = {task["seen"]: task for task in tasks}
    assert set(by_seen) == {
        "edited picture: red turned to blue",
        "clip from 2.50 s to 4.00 s",
        "picture or clip as delivered",
    }
    picture = by_seen["edited picture: red turned to blue"]
    assert picture["image"] == "/lake/negatives/b/e.png"
    assert picture["seen_html"].index("/lake/negatives/b/e.png") < picture["seen_html"].index('"/i"')
    assert '"/clip#t=2.500,4.000"' in by_seen["clip from 2.50 s to 4.00 s"]["seen_html"]
    assert by_seen["picture or clip as delivered"]["seen_html"] == '<img src="/i0" height="400">'
    assert [item.to_row()["seen"] for item in items] == [task["seen"] for task in tasks]


def _export(answers: list[tuple[str, str, str]]) -> str:
    items = choose_for_review(_rows(_judged(6, Strategy.IN_BATCH)), 6, seed=0)
    tasks = json.loads(make_tasks(items, _Addresses()))
    for task, (choice, who, when) in zip(tasks, answers, strict=False):
        task["annotations"] = [
            {
                "completed_by": {"id": 7, "email": who},
                "updated_at": when,
                "was_cancelled": False,
                "result": [{"type": "choices", "from_name": "truth", "value": {"choices": [choice]}}],
            }
        ]
    return json.dumps(tasks)


def test_tasks_go_out_and_decisions_come_back() -> None:
    text = _export(
        [
            (FALSE, "ann@example.org", "2026-01-02T03:04:05Z"),
            (TRUE, "ann@example.org", "2026-01-02T03:05:05Z"),
            (UNGRAMMATICAL, "bob@example.org", "2026-01-02T03:06:05Z"),
            ("Something else", "bob@example.org", "2026-01-02T03:06:05Z"),
        ]
    )
    tasks = json.loads(text)
    assert (
        tasks[0]["data"]["positive_html"].startswith("A <mark>&lt;red&gt;</mark> car")
        or "&lt;" in (tasks[0]["data"]["positive_html"])
    )
    assert "<red>" not in tasks[0]["data"]["positive_html"]
    unknown = tasks[4]["data"]["negative_id"]
    found = read_export(text, lambda subject: subject != unknown)
    assert [d.decision for d in found.decisions] == ["accepted", "rejected", "rejected"]
    assert found.decisions[0].by == "ann@example.org"
    assert found.decisions[1].at_us - found.decisions[0].at_us == 60_000_000
    assert (found.malformed, found.unknown, found.open) == (1, 1, 1)
    assert set(found.decisions[0].to_row()) == {"subject_id", "decision", "reason", "by", "at_us"}
    for choice in (FALSE, TRUE, UNGRAMMATICAL):
        assert f'value="{choice}"' in CONFIG


def test_the_latest_answer_counts() -> None:
    tasks = json.loads(_export([(FALSE, "a", "2026-01-02T00:00:00Z")]))[:1]
    later = json.loads(_export([(TRUE, "b", "2026-01-03T00:00:00Z")]))[0]["annotations"][0]
    cancelled = later | {"was_cancelled": True, "updated_at": "2027-01-01T00:00:00Z"}
    for annotations in ([later, tasks[0]["annotations"][0]], [tasks[0]["annotations"][0], later, cancelled]):
        text = json.dumps([tasks[0] | {"annotations": annotations}])
        assert [d.decision for d in read_export(text, lambda _: True).decisions] == ["rejected"]


@pytest.mark.parametrize("text", ["", "{}", "[", "null", '"x"'])
def test_what_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="EXPORT_UNREADABLE"):
        read_export(text, lambda _: True)


@pytest.mark.parametrize(
    "task", [1, {}, {"data": 3}, {"data": {"negative_id": 1}}, {"data": {"negative_id": "n"}, "annotations": [{}]}]
)
def test_what_does_not_fit_is_counted(task: object) -> None:
    found = read_export(json.dumps([task]), lambda _: True)
    assert not found.decisions
    assert found.malformed == 1
