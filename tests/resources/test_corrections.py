import dataclasses
import time

import polars as pl
import pytest

from mm_assets.aligned.corrections import make_correction, withdraw_correction
from mm_assets.errors import HoldError
from mm_assets.gates.verdicts import GateVerdict
from resources.corrections import NO_CORRECTIONS, Corrections
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from tests.resources.measured import measure


def verdict(*, passed: bool, evaluation: str) -> GateVerdict:
    return GateVerdict(
        evaluation_id=evaluation,
        batch="b",
        gate="objects",
        passed=passed,
        code=None if passed else "ERR_CROSS_MDL_OBJ_FLIP",
        reason="boxes are mirrored",
        measured=0.1,
        threshold=0.3,
    )


def correction(*, batch: str = "b", by: str = "ada") -> pl.DataFrame:
    return make_correction(
        batch=batch,
        level="object",
        kind="mirror_x",
        parameters={},
        rows=["box_1"],
        evaluation_id="eval_1",
        by=by,
        reason="looked at it",
        at_us=time.time_ns() // 1_000,
    )


@pytest.fixture
def lake(tmp_path):
    return DeltaLake(root=str(tmp_path / "lake"))


@pytest.fixture
def holds(lake):
    return Holds(lake=lake)


@pytest.fixture
def corrections(lake):
    return Corrections(lake=lake)


def test_the_digest_follows_what_is_in_force_and_not_who_applied_it(corrections):
    assert corrections.digests("b")["box_corrections"] == NO_CORRECTIONS
    corrections.append(correction())
    once = corrections.digests("b")["box_corrections"]
    corrections.append(correction(by="bob"))
    assert corrections.digests("b")["box_corrections"] == once != NO_CORRECTIONS
    assert corrections.digests("c")["box_corrections"] == NO_CORRECTIONS
    corrections.append(
        withdraw_correction(corrections.in_force("b"), by="ada", reason="wrong", at_us=time.time_ns() // 1_000)
    )
    assert corrections.digests("b")["box_corrections"] == NO_CORRECTIONS


def test_levels_are_apart(corrections):
    corrections.append(correction())
    assert corrections.in_force("b", "object").height == 1
    assert corrections.in_force("b", "segment").is_empty()


def test_a_corrected_batch_runs_as_far_as_its_gate_and_no_further(holds, corrections):
    holds.record(verdict(passed=False, evaluation="eval_1"))
    holds.place_due("sensor")
    assert "is held" in holds.refusal("b", step="boxes")
    corrections.append(correction())
    assert holds.refusal("b", step="boxes") is None
    assert holds.refusal("b", step="object_recall") is None
    assert "is held" in holds.refusal("b", step="fusion_samples")
    assert "is held" in holds.refusal("b", step="image_text_recall")
    assert "is held" in holds.refusal("b")


def test_a_correction_from_before_the_hold_opens_nothing(holds, corrections):
    corrections.append(correction())
    holds.record(verdict(passed=False, evaluation="eval_1"))
    holds.place_due("sensor")
    assert "is held" in holds.refusal("b", step="boxes")


def test_a_corrected_batch_is_released_once_its_gate_has_passed(holds, corrections):
    holds.record(verdict(passed=False, evaluation="eval_1"))
    holds.place_due("sensor")
    corrections.append(correction())
    with pytest.raises(HoldError, match="has not passed since"):
        holds.release("b", "objects", "ada", "trust me")
    measure(holds.lake, "object_recall", "b", "eval_2")
    holds.record(verdict(passed=True, evaluation="eval_2"))
    assert holds.held_batches() == {"b": "objects"}
    assert holds.release("b", "objects", "ada", "repaired") == "eval_1"
    assert holds.held_batches() == {}
    assert holds.refusal("b", after=("objects",)) is None


def test_a_repair_that_fails_its_gate_is_held_again(holds, corrections):
    holds.record(verdict(passed=False, evaluation="eval_1"))
    holds.place_due("sensor")
    corrections.append(correction())
    holds.record(verdict(passed=False, evaluation="eval_2"))
    holds.place_due("sensor")
    assert holds.active().height == 2
    with pytest.raises(HoldError, match="has not passed since"):
        holds.release("b", "objects", "ada", "trust me")
    corrections.append(
        withdraw_correction(corrections.in_force("b"), by="ada", reason="wrong", at_us=time.time_ns() // 1_000)
    )
    holds.release("b", "objects", "ada", "accepted as it is")
    assert holds.held_batches() == {}


def test_a_verdict_of_another_batch_changes_nothing(holds, corrections):
    holds.record(verdict(passed=False, evaluation="eval_1"))
    holds.record(dataclasses.replace(verdict(passed=True, evaluation="eval_3"), batch="c"))
    holds.place_due("sensor")
    corrections.append(correction(batch="c"))
    assert "is held" in holds.refusal("b", step="boxes")
