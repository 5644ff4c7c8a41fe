import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest

from mm_assets.aligned.objects.claims.caption_claims import DETECTION_SCHEMA, CaptionChecker
from mm_assets.aligned.objects.claims.rewrite_checks import Examined, RewriteExaminer, RewriteTask
from mm_assets.aligned.objects.claims.rewrites import (
    RewriteReport,
    plan_rewrites,
    rewrite_captions,
    tidy_answer,
    write_prompt,
)
from mm_assets.errors import DecodeError, InferenceError
from mm_assets.models import ModelIdentity
from mm_assets.policy import CaptionPolicy, FaithfulnessPolicy
from mm_assets.schemas import TABLES

POLICY = FaithfulnessPolicy()
CAPTIONS = CaptionPolicy()
PICTURE = Path(__file__).parents[5] / "demo" / "data" / "landing" / "scenes-coco-04" / "images" / "scene-0006.jpg"
BOXES = pl.DataFrame({"image_id": ["i"] * 3, "label": ["donkey", "vulture", "frog"]})


class Scripted:
    """Answers as told, one request at a time, and remembers what it was asked."""

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


def make_captions(texts: list[str], image_id: str = "i") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "batch": "b",
            "caption_id": [f"c{index}" for index in range(len(texts))],
            "image_id": image_id,
            "position": 0,
            "caption_index": range(len(texts)),
            "text": texts,
            "language": "en",
            "source": "v",
            "annotator": "ann-1",
        }
    )


@pytest.fixture(scope="module")
def checker() -> CaptionChecker:
    return CaptionChecker(["donkey", "vulture", "frog", "whale"], POLICY)


@pytest.fixture(scope="module")
def tasks(checker: CaptionChecker) -> list[RewriteTask]:
    captions = make_captions(["A donkey and a vulture.", "A donkey and a whale.", "Two donkeys and a frog."])
    claims = checker.claim(captions, BOXES, None)
    assert claims["action"].to_list() == ["review", "reject", "review"]
    # The first is what a person kept.
    kept = claims.with_columns(action=pl.when(pl.col("caption_id") == "c0").then(pl.lit("keep")).otherwise("action"))
    return list(plan_rewrites(kept, captions, 9))


def make_examiner(checker: CaptionChecker) -> RewriteExaminer:
    return RewriteExaminer(checker, BOXES, None, CAPTIONS)


def ask(
    tasks: list[RewriteTask],
    checker: CaptionChecker,
    model: Scripted,
    *,
    max_requests: int = 99,
    clock: Callable[[], float] = lambda: 0.0,
    read_picture: Callable[[str], bytes] | None = None,
    counted: list[float] | None = None,
    **policy: float,
) -> RewriteReport:
    return rewrite_captions(
        tasks,
        model,
        read_picture or (lambda image_id: PICTURE.read_bytes() if image_id == "i" else b""),
        make_examiner(checker).examine,
        policy=FaithfulnessPolicy.model_validate({"rewrite_concurrency": 1} | policy),
        max_requests=max_requests,
        count=lambda requests, _: (counted if counted is not None else []).append(requests),
        clock=clock,
    )


def test_the_surest_faults_come_first(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    assert [task.text for task in tasks] == ["A donkey and a whale.", "Two donkeys and a frog."]
    assert tasks[0].siblings == ("A donkey and a vulture.",)
    captions = make_captions(["A donkey.", "A whale."])
    assert [task.text for task in plan_rewrites(checker.claim(captions, BOXES, None), captions, 1)] == ["A whale."]
    assert list(plan_rewrites(checker.claim(captions, BOXES, None), captions, 0)) == []


def test_a_rewrite_that_passes_is_accepted(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    model, counted = Scripted("A donkey, a vulture and a frog.", "Caption: 'A donkey above a frog.'"), list[float]()
    report = ask(tasks, checker, model, counted=counted)
    assert report.rows.schema == TABLES["caption_rewrites"].schema
    assert report.rows["accepted"].to_list() == [True, True]
    assert report.rows["verdict"].to_list() == ["supported", "supported"]
    assert report.rows["before"].to_list() == ["A donkey and a whale.", "Two donkeys and a frog."]
    assert report.rows["after"].to_list() == ["A donkey, a vulture and a frog.", "A donkey above a frog."]
    assert report.rows["action"].to_list() == ["reject", "review"]
    assert set(report.rows["annotator"]) == {"ann-1"}
    assert report.rows["attempts"].to_list() == [1, 1]
    assert report.note == "2 of 2 rewrites by vlm:test@localhost#111111111111 pass the checks"
    assert counted == [1.0, 1.0]
    assert "It names whale, which may not be there." in model.prompts[0]
    assert "Objects known to be there: donkey, frog, vulture." in model.prompts[0]


def test_a_rewrite_that_invents_again_is_refused_and_told_why(
    tasks: list[RewriteTask], checker: CaptionChecker
) -> None:
    model = Scripted("A donkey rides a whale.", "A donkey near a whale.")
    report = ask(tasks[:1], checker, model)
    row = report.rows.row(0, named=True)
    assert (row["accepted"], row["verdict"], row["attempts"]) == (False, "invented", 2)
    assert row["reason"] == "names whale, which nobody knows to be there"
    assert row["after"] == "A donkey near a whale."
    assert "Your last answer was not accepted: names whale" in model.prompts[1]
    assert "Your last answer" not in model.prompts[0]


def test_a_rewrite_must_agree_with_the_siblings_that_stay_and_with_one_another(
    tasks: list[RewriteTask], checker: CaptionChecker
) -> None:
    examiner = make_examiner(checker)
    (denied,) = examiner.examine([(tasks[0], "No donkey, just a frog.")])
    assert denied == Examined("contradicted", "denial: 'no donkey' against 'A donkey' (0.90)")
    taken, other = examiner.examine([(tasks[0], "A frog below a donkey."), (tasks[1], "A frog above a donkey.")])
    assert taken == Examined("supported", None)
    assert other.verdict == "contradicted"
    assert str(other.objection).startswith("side:")
    assert examiner.examine([]) == []


@pytest.mark.parametrize(
    ("answer", "verdict", "why"),
    [
        ("", "unusable", "0 characters"),
        ("x" * 3_000, "unusable", "3000 characters"),
        ("A donkey <|image_start|> near a frog.", "unusable", "it holds what reads as a placeholder"),
        ("a donkey and a WHALE.", "invented", "the same caption again"),
        ("A lovely picture.", "unverified", "names nothing that anybody knows to be there"),
        ("Ein Esel neben einem Geier.", "unverified", "names nothing that anybody knows to be there"),
    ],
)
def test_no_caption_is_no_rewrite(
    tasks: list[RewriteTask], checker: CaptionChecker, answer: str, verdict: str, why: str
) -> None:
    (examined,) = make_examiner(checker).examine([(tasks[0], answer)])
    assert examined.verdict == verdict
    assert str(examined.objection).startswith(why)


def test_where_nothing_could_be_checked_a_rewrite_must_speak_of_the_same_things() -> None:
    checker = CaptionChecker([], POLICY)
    captions = make_captions(["A red bus.", "A green bus."])
    claims = checker.claim(captions, BOXES.clear(), None)
    assert claims["verdict"].to_list() == ["contradicted"] * 2
    first, second = plan_rewrites(claims, captions, 9)
    examiner = RewriteExaminer(checker, BOXES.clear(), None, CAPTIONS)
    same, astray, against = examiner.examine(
        [(first, "A green bus at a stop."), (second, "Something nice."), (second, "A red bus in the rain.")]
    )
    assert same == Examined("unverified", None)
    assert astray.objection == "names nothing that anybody knows to be there"
    assert against.verdict == "contradicted"


def test_a_detector_looks_again_for_what_the_rewrite_names() -> None:
    checker = CaptionChecker([], POLICY, {"zebra", "cat", "bus"})
    captions = make_captions(["A zebra by a bus."])
    looked: list[Mapping[str, frozenset[str]]] = []

    def look(wanted: Mapping[str, frozenset[str]]) -> pl.DataFrame:
        looked.append(wanted)
        return pl.DataFrame(
            [{"image_id": "i", "seen": ["cat"], "certain": ["cat"], "clarity": 0.9}], schema=DETECTION_SCHEMA
        )

    boxes = BOXES.clear()
    (task,) = plan_rewrites(checker.claim(captions, boxes, look(checker.wanted(captions, boxes))), captions, 9)
    examiner = RewriteExaminer(checker, boxes, look, CAPTIONS)
    assert examiner.examine([(task, "A cat on a wall.")]) == [Examined("supported", None)]
    assert examiner.examine([(task, "A cat on a bus.")])[0].verdict == "invented"
    assert looked == [
        {"i": frozenset({"zebra", "bus"})},
        {"i": frozenset({"cat"})},
        {"i": frozenset({"cat", "bus"})},
    ]


def test_an_endpoint_that_fails_costs_its_caption_only(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    counted: list[float] = []
    model = Scripted(InferenceError("vlm:test did not answer"), "A donkey above a frog.")
    report = ask(tasks, checker, model, counted=counted)
    assert report.rows["accepted"].to_list() == [False, True]
    assert report.rows["verdict"].to_list() == ["unanswered", "supported"]
    assert report.rows["reason"][0] == "vlm:test did not answer"
    assert report.rows["after"][0] == ""
    assert counted == [1.0, 1.0]


def test_a_picture_that_is_gone_costs_its_caption_only(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    def gone(_: str) -> bytes:
        raise DecodeError("IMAGE_UNREADABLE", "the picture is gone")

    report = ask(tasks[:1], checker, Scripted(), read_picture=gone)
    assert report.rows["verdict"].to_list() == ["unanswered"]
    assert "the picture is gone" in report.rows["reason"][0]


def test_an_endpoint_that_is_down_is_left_alone(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    model = Scripted(*[InferenceError("nobody there")] * 20)
    report = ask(tasks * 10, checker, model)
    assert len(model.prompts) == report.requests == report.rows.height == 8
    assert report.note.endswith("12 were not asked for: 8 requests in a row failed")


def test_the_budget_and_the_clock_bound_the_requests(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    whale = "A donkey near a whale."
    report = ask(tasks, checker, Scripted(whale), max_requests=1)
    assert (report.rows.height, report.requests) == (1, 1)
    assert report.note.endswith("1 were not asked for: the budget allows no more")
    assert ask(tasks, checker, Scripted(), max_requests=0).rows.is_empty()
    times = iter([0.0, 0.0, 0.0, 700.0, 700.0, 700.0, 700.0, 700.0])
    late = ask(tasks, checker, Scripted(whale), clock=lambda: next(times))
    assert (late.rows.height, late.requests) == (1, 1)
    assert late.note.endswith("1 were not asked for: rewrite_seconds ran out")


def test_requests_go_out_together_as_many_as_the_policy_says(tasks: list[RewriteTask], checker: CaptionChecker) -> None:
    class Slow(Scripted):
        def __init__(self) -> None:
            super().__init__()
            self.together = threading.Barrier(3, timeout=20.0)

        def ask(self, picture: bytes, prompt: str) -> str:
            self.together.wait()  # breaks unless three requests are under way at once
            return "A donkey, a vulture and a frog."

    report = ask([tasks[0]] * 6, checker, Slow(), rewrite_concurrency=3)
    assert report.requests == 6
    assert report.rows["accepted"].all()


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("A duck.", "A duck."),
        ("```text\nA duck\non a pond.\n```", "A duck on a pond."),
        ('Here is the rewritten caption: "A duck."', "A duck."),
        ("Caption: A duck.", "A duck."),
        ("  \u201cA duck.\u201d ", "A duck."),
        ("A duck\u200b &amp; a\x07 pond.", "A duck & a pond."),
        ("", ""),
    ],
)
def test_answers_are_tidied(answer: str, caption: str) -> None:
    assert tidy_answer(answer) == caption


def test_a_prompt_has_no_key_and_no_path(tasks: list[RewriteTask]) -> None:
    prompt = write_prompt(tasks[1], None)
    assert prompt.splitlines()[2] == "Caption: Two donkeys and a frog."
    assert "contradicts another caption" in prompt
    assert "Other captions of it: A donkey and a vulture." in prompt
