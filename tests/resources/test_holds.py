import pytest

from mm_assets.errors import HoldError
from mm_assets.gates.verdicts import GateVerdict, budget_verdict
from resources.delta_lake import DeltaLake
from resources.holds import Holds, describe_hold
from tests.resources.measured import measure


def verdict(batch: str, *, passed: bool, evaluation: str = "eval_1") -> GateVerdict:
    return GateVerdict(
        evaluation_id=evaluation,
        batch=batch,
        gate="recall",
        passed=passed,
        code=None if passed else "ERR_CROSS_MDL_TEMPORAL",
        reason="captions are shifted",
        measured=0.03,
        threshold=0.12,
        diagnosis={"hypothesis": "shift(+1)"},
    )


def judge(holds: Holds, batch: str, *, passed: bool, evaluation: str = "eval_1") -> None:
    measure(holds.lake, "image_text_recall", batch, evaluation)
    holds.record(verdict(batch, passed=passed, evaluation=evaluation))


@pytest.fixture
def holds(tmp_path):
    return Holds(lake=DeltaLake(root=str(tmp_path / "lake")))


def test_nothing_is_held_at_first(holds):
    assert holds.active().is_empty()
    assert holds.refusal("b") is None
    assert "no verdict" in holds.refusal("b", after=("recall",))


def test_a_failed_verdict_refuses_before_any_hold_is_placed(holds):
    judge(holds, "b", passed=False)
    assert holds.refusal("b") is None
    assert "captions are shifted" in holds.refusal("b", after=("recall",))
    assert holds.held_batches() == {"b": "recall"}


def test_placing_is_idempotent(holds):
    judge(holds, "b", passed=False)
    assert [hold["batch"] for hold in holds.place_due("sensor")] == ["b"]
    assert holds.place_due("sensor") == []
    assert "mm release-hold b" in holds.refusal("b")


def test_other_batches_go_on(holds):
    judge(holds, "b", passed=False)
    judge(holds, "c", passed=True, evaluation="eval_2")
    holds.place_due("sensor")
    assert holds.refusal("c", after=("recall",)) is None
    assert holds.held_batches() == {"b": "recall"}


def test_release_waives_one_verdict_only(holds):
    judge(holds, "b", passed=False)
    holds.place_due("sensor")
    assert holds.release("b", "recall", "ada", "looked at it") == "eval_1"
    assert holds.refusal("b", after=("recall",)) is None
    assert holds.place_due("sensor") == []
    judge(holds, "b", passed=False, evaluation="eval_2")
    assert "captions are shifted" in holds.refusal("b", after=("recall",))
    assert len(holds.place_due("sensor")) == 1


def test_a_verdict_on_rows_that_were_replaced_says_nothing(holds):
    """The process that measured the new rows may have been killed before their verdict."""
    judge(holds, "b", passed=True)
    judge(holds, "c", passed=True)
    assert holds.refusal("b", after=("recall",)) is None
    assert holds.unjudged("b", ("recall", "objects")) == ["objects"]
    measure(holds.lake, "image_text_recall", "b", "eval_2")
    assert "no verdict of gate 'recall' on its rows of now" in holds.refusal("b", after=("recall",))
    assert holds.unjudged("b", ("recall",)) == ["recall"]
    assert holds.judged() == {"c": {"recall"}}
    assert holds.refusal("c", after=("recall",)) is None
    holds.record(verdict("b", passed=True, evaluation="eval_2"))
    assert holds.refusal("b", after=("recall",)) is None
    holds.lake.clear("image_text_recall", "b")
    assert holds.unjudged("b", ("recall",)) == ["recall"]


def test_recording_the_same_verdict_again_adds_nothing(holds):
    holds.record(verdict("b", passed=False))
    holds.record(verdict("b", passed=False))
    assert holds.lake.count("gate_evaluations") == 1


def test_release_needs_name_reason_and_a_hold(holds):
    holds.record(verdict("b", passed=False))
    holds.place_due("sensor")
    with pytest.raises(HoldError, match="needs a name"):
        holds.release("b", "recall", " ", "why")
    with pytest.raises(HoldError, match="needs a name"):
        holds.release("b", "recall", "ada", "")
    with pytest.raises(HoldError, match="not held by gate 'offset'"):
        holds.release("b", "offset", "ada", "why")


def test_described_hold_has_the_promised_shape(holds):
    holds.record(verdict("b", passed=False))
    holds.place_due("sensor")
    holds.release("b", "recall", "ada", "looked at it")
    described = describe_hold(holds.history().to_dicts()[0])
    assert list(described) == [
        "batch",
        "gate",
        "code",
        "reason",
        "measured",
        "threshold",
        "evaluation_id",
        "opened_at",
        "diagnosis",
        "released",
    ]
    assert described["diagnosis"] == {"hypothesis": "shift(+1)"}
    assert described["released"]["by"] == "ada"


def test_budget_verdict_is_the_same_on_a_retry():
    first = budget_verdict("b", "images", estimate=2.0, spent=4.0, budget=5.0, currency="USD")
    again = budget_verdict("b", "images", estimate=2.0, spent=4.5, budget=5.0, currency="USD")
    assert not first.passed
    assert first.evaluation_id == again.evaluation_id
    assert budget_verdict("b", "images", estimate=0.5, spent=4.0, budget=5.0, currency="USD").passed
