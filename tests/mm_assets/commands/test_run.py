import dagster as dg
import pytest

from mm_assets.commands.run import failure_beside_gates, failure_reason


@dg.asset
def judged():
    return 1


@dg.asset_check(asset=judged, blocking=True)
def is_good():
    return dg.AssetCheckResult(passed=False)


@dg.asset(deps=[judged])
def behind_the_gate():
    return 2


@dg.asset
def refused():
    raise dg.Failure(description="batch 'b' would overspend", allow_retries=False)


@dg.asset
def broken():
    raise ValueError("the disk is on fire")


@dg.asset
def fine():
    return 3


@pytest.fixture
def run_of():
    """Run some assets, and the check of the judged one."""

    def run(*assets):
        checks = [is_good] if judged in assets else []
        defs = dg.Definitions(assets=list(assets), asset_checks=checks, jobs=[dg.define_asset_job("all_of_them")])
        return defs.resolve_job_def("all_of_them").execute_in_process(raise_on_error=False)

    return run


def test_a_failed_check_and_a_refusal_are_no_failures_of_a_held_batch(run_of):
    result = run_of(judged, behind_the_gate, refused, fine)
    assert not result.success
    assert failure_beside_gates(result) is None


def test_an_error_beside_a_failed_check_is_told_in_its_own_words(run_of):
    result = run_of(judged, behind_the_gate, refused, broken)
    assert failure_beside_gates(result) == "ValueError: the disk is on fire"


@pytest.mark.parametrize(
    ("assets", "words"),
    [
        ((broken, fine), "ValueError: the disk is on fire"),
        ((refused, fine), "batch 'b' would overspend"),
        ((judged, behind_the_gate), "is_good"),
    ],
)
def test_where_nothing_is_held_the_first_failure_speaks(run_of, assets, words):
    assert words in failure_reason(run_of(*assets))
