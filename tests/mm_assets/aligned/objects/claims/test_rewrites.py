from pathlib import Path

import polars as pl
import pytest

from mm_assets.aligned.objects.claims.caption_claims import CaptionChecker
from mm_assets.aligned.objects.claims.rewrites import (
    NOT_CONFIGURED,
    RewriteReport,
    RewriteTask,
    check_rewrite,
    plan_rewrites,
    rewrite_captions,
    tidy_answer,
    write_prompt,
)
from mm_assets.errors import InferenceError
from mm_assets.models import ModelIdentity
from mm_assets.policy import CaptionPolicy, FaithfulnessPolicy
from mm_assets.schemas import TABLES

POLICY = FaithfulnessPolicy()
CAPTIONS = CaptionPolicy()
PICTURE = Path(__file__).parents[5] / "demo" / "data" / "landing" / "scenes-coco-04" / "images" / "scene-0006.jpg"


class Scripted:
    """Answers as told, and remembers what it was asked."""

    identity = ModelIdentity("vlm:test", "localhost", "1" * 64)

    def __init__(self, *answers: str | Exception) -> None:
        self._answers = list(answers)
        self.prompts: list[str] = []

    def ask(self, picture: bytes, prompt: str) -> str:
        assert picture.startswith(b"\xff\xd8")
        self.prompts.append(prompt)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(scope="module")
def checker() -> CaptionChecker:
    return CaptionChecker(["donkey", "vulture", "frog", "whale"], POLICY)


@pytest.fixture(scope="module")
def tasks(checker: CaptionChecker) -> list[RewriteTask]:
    texts = ["A donkey and a vulture.", "A donkey and a whale.", "Two donkeys and a frog."]
    captions = pl.DataFrame(
        {
            "batch": "b",
            "caption_id": ["c0", "c1", "c2"],
            "image_id": "i",
            "position": 0,
            "caption_index": [0, 1, 2],
            "text": texts,
            "language": "en",
            "source": "v",
            "annotator": pl.Series([None] * 3, dtype=pl.String),
        }
    )
    boxes = pl.DataFrame({"image_id": ["i"] * 3, "label": ["donkey", "vulture", "frog"]})
    claims = checker.claim(captions, boxes, None)
    assert claims["action"].to_list() == ["review", "reject", "review"]
    # The first is what a person kept.
    kept = claims.with_columns(action=pl.when(pl.col("caption_id") == "c0").then(pl.lit("keep")).otherwise("action"))
    return list(plan_rewrites(kept, captions, checker.know(boxes, None)))


def ask(tasks: list[RewriteTask], checker: CaptionChecker, model: Scripted | None, **policy: int) -> RewriteReport:
    return rewrite_captions(
        tasks,
        checker,
        model,
        lambda image_id: PICTURE.read_bytes() if image_id == "i" else b"",
        policy=FaithfulnessPolicy(**policy),
        captions=CAPTIONS,
    )


def test_the_surest_faults_come_first(tasks: list[RewriteTask]) -> None:
    assert [task.text for task in tasks] == ["A donkey and a whale.", "Two donkeys and a frog."]
    assert tasks[0].siblings == ("A donkey and a vulture.",)


def test_without_an_endpoint_nothing_happens_and_it_says_so(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    report = ask(tasks, checker, None)
    assert report.rows.equals(TABLES["caption_rewrites"].empty())
    assert report.skipped == 2
    assert report.note == NOT_CONFIGURED


def test_a_rewrite_that_passes_is_accepted(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    model = Scripted("A donkey, a vulture and a frog.", "Caption: 'A donkey above a frog.'")
    report = ask(tasks, checker, model)
    assert report.rows.schema == TABLES["caption_rewrites"].schema
    assert report.rows["accepted"].to_list() == [True, True]
    assert report.rows["after"].to_list() == ["A donkey, a vulture and a frog.", "A donkey above a frog."]
    assert report.rows["attempts"].to_list() == [1, 1]
    assert report.note == "2 of 2 rewrites by vlm:test@localhost#111111111111 pass the checks"
    assert "It names whale, which may not be there." in model.prompts[0]
    assert "Objects known to be there: donkey, frog, vulture." in model.prompts[0]


def test_a_rewrite_that_invents_again_is_refused_and_told_why(
    tasks: list[RewriteTask], checker: CaptionChecker
) -> None:
    model = Scripted("A donkey rides a whale.", "A donkey near a whale.")
    report = ask(tasks[:1], checker, model)
    row = report.rows.row(0, named=True)
    assert (row["accepted"], row["attempts"]) == (False, 2)
    assert row["reason"] == "names whale, which nobody knows to be there"
    assert "Your last answer was not accepted: names whale" in model.prompts[1]


def test_a_rewrite_must_agree_with_the_siblings_that_stay(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    assert check_rewrite("No donkey, just a frog.", tasks[0], checker, CAPTIONS) == (
        "denial: 'no donkey' against 'A donkey' (0.90)"
    )
    assert check_rewrite("A frog below a donkey.", tasks[0], checker, CAPTIONS) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [("", "0 characters"), ("x" * 3_000, "3000 characters"), ("a donkey and a WHALE.", "the same caption again")],
)
def test_no_caption_is_no_rewrite(tasks: list[RewriteTask], checker: CaptionChecker, answer: str, why: str) -> None:
    told = check_rewrite(answer, tasks[0], checker, CAPTIONS)
    assert told is not None
    assert told.startswith(why)


def test_an_endpoint_that_fails_costs_its_caption_only(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    model = Scripted(InferenceError("vlm:test did not answer"), "A donkey above a frog.")
    report = ask(tasks, checker, model)
    assert report.rows["accepted"].to_list() == [False, True]
    assert report.rows["reason"][0] == "vlm:test did not answer"
    assert report.rows["after"][0] == ""


def test_the_policy_bounds_the_number(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    report = ask(tasks, checker, Scripted("A donkey and a frog."), max_rewrites=1)
    assert (report.rows.height, report.skipped) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("A duck.", "A duck."),
        ("```text\nA duck\non a pond.\n```", "A duck on a pond."),
        ('Here is the rewritten caption: "A duck."', "A duck."),
        ("Caption: A duck.", "A duck."),
        ("  \u201cA duck.\u201d ", "A duck."),
    ],
)
def test_answers_are_tidied(answer: str, caption: str) -> None:
    assert tidy_answer(answer) == caption


def test_a_prompt_has_no_key_and_no_path(tasks: list[RewriteTask]) -> None:
    prompt = write_prompt(tasks[1], None)
    assert prompt.splitlines()[2] == "Caption: Two donkeys and a frog."
    assert "contradicts another caption" in prompt
    assert "Other captions of it: A donkey and a vulture." in prompt
