import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.gates.recall_baseline import convert_recall, floor_baseline, shortfall_p_value, trusted_baseline
from mm_assets.gates.recall_input import select_pairs
from mm_assets.gates.recall_pools import measure_retrieval
from mm_assets.policy import RecallGatePolicy

POLICY = RecallGatePolicy()


def rows(*measured: tuple[str, float, int, int]) -> pl.DataFrame:
    return pl.DataFrame(measured, schema=["batch", "recall_at_1", "pairs", "pool_size"], orient="row")


def test_without_trusted_batches_the_floor_holds():
    for frame in (
        rows().cast({"recall_at_1": pl.Float64, "pairs": pl.Int64}),
        rows(("a", float("nan"), 50, 32)),
        rows(("a", 0.5, 11, 11)),
    ):
        assert trusted_baseline(frame, POLICY) == floor_baseline(POLICY)
    assert floor_baseline(POLICY).required_recall(32) == POLICY.baseline_floor


def test_one_trusted_batch_by_hand():
    baseline = trusted_baseline(rows(("a", 0.5, 98, 32)), POLICY)
    assert baseline.recall == pytest.approx(0.5)
    assert baseline.variance == pytest.approx(0.5 * 0.25 / 98)
    assert baseline.required_recall(32) == pytest.approx(0.25)
    assert (baseline.kind, baseline.batches) == ("trusted_batches", ("a",))


def test_large_batches_weigh_more_until_batches_differ():
    alike = trusted_baseline(rows(("a", 0.50, 1000, 32), ("b", 0.52, 50, 32)), POLICY)
    assert alike.recall == pytest.approx(0.501, abs=0.002)
    differing = trusted_baseline(rows(("a", 0.30, 1000, 32), ("b", 0.60, 1000, 32), ("c", 0.45, 50, 32)), POLICY)
    assert differing.recall == pytest.approx(0.45, abs=0.01)
    assert differing.variance > 10 * alike.variance


@given(recall=st.floats(0.05, 0.99), pool=st.integers(4, 200))
@settings(max_examples=50, deadline=None)
def test_conversion_returns_and_smaller_pools_are_easier(recall, pool):
    there = convert_recall(recall, 32, pool)
    assert convert_recall(there, pool, 32) == pytest.approx(recall, abs=1e-3)
    assert (there >= recall - 1e-6) if pool <= 32 else (there <= recall + 1e-6)


def test_conversion_fits_measured_pools(make_batch):
    batch = make_batch(600, noise=1.9)
    pairs = select_pairs(batch, max_pairs=4_096, seed=0)
    at = {pool: measure_retrieval(batch, pairs, pool).recall_at_1 for pool in (8, 16, 32, 64)}
    for pool, measured in at.items():
        assert convert_recall(at[32], 32, pool) == pytest.approx(measured, abs=0.02)


def test_shortfall_is_one_sided_and_not_certain_without_spread():
    baseline = floor_baseline(POLICY)
    spread = np.random.default_rng(0).normal(0.0, 0.4, 100)
    assert shortfall_p_value(0.5, spread, 0.12, baseline) > 0.999
    assert shortfall_p_value(0.12, spread, 0.12, baseline) == pytest.approx(0.5)
    assert shortfall_p_value(0.0, np.zeros(20), 0.12, baseline) > 0.001
    assert shortfall_p_value(0.0, np.zeros(400), 0.12, baseline) < 1e-6
