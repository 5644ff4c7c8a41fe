import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from mm_assets.aligned.objects.claims.faithfulness import (
    FIXES,
    FaithfulnessVerdict,
    evaluate_faithfulness,
    verdict_of_row,
)
from mm_assets.aligned.objects.claims.faithfulness_baseline import (
    FaithfulnessBaseline,
    ceiling_baseline,
    trusted_baseline,
)
from mm_assets.aligned.objects.claims.rates import Rate, excess_p_value, measure_rate, wilson_interval
from mm_assets.policy import FaithfulnessPolicy
from mm_assets.schemas import TABLES

POLICY = FaithfulnessPolicy()
CEILING = ceiling_baseline(POLICY)


def make_claims(
    invented: np.ndarray, conflicts: np.ndarray | None = None, *, weight: float = 1.0, blindness: float = 0.0
) -> pl.DataFrame:
    """Claims of pictures with as many captions as ``invented`` has columns; the first two of some contradict."""
    rows = []
    for picture, flags in enumerate(invented):
        ids = [f"c{picture}-{index}" for index in range(len(flags))]
        for index, flag in enumerate(flags):
            disagrees = conflicts is not None and bool(conflicts[picture]) and index < 2
            rows.append(
                {
                    "batch": "b",
                    "caption_id": ids[index],
                    "image_id": f"i{picture}",
                    "position": picture,
                    "caption_index": index,
                    "source": "vendor",
                    "annotator": f"ann-{picture % 2}",
                    "read": True,
                    "mentioned": ["dog"],
                    "checked": ["dog"],
                    "known": [],
                    "knowledge": "annotated",
                    "invented": ["dog"] if flag else [],
                    "weights": [weight] if flag else [],
                    "evidence_weight": weight if flag else 0.0,
                    "blindness": blindness,
                    "conflicts_with": [ids[1 - index]] if disagrees else [],
                    "conflicts": ["color: 'a' against 'b' (0.90)"] if disagrees else [],
                    "conflict_confidence": 0.9 if disagrees else 0.0,
                    "verdict": "invented" if flag else "supported",
                    "action": "keep",
                }
            )
    table = TABLES["caption_claims"]
    return table.conform(pl.DataFrame(rows, schema=table.schema))


def flags(share: float, pictures: int, captions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((pictures, captions)) < share


def judge(claims: pl.DataFrame, baseline: FaithfulnessBaseline = CEILING) -> FaithfulnessVerdict:
    return evaluate_faithfulness(claims, baseline, POLICY)


# -- rates


def test_a_rate_by_hand() -> None:
    rate = measure_rate([2.0, 0.0], [4.0, 4.0], 0.95)
    assert rate.value == 0.25
    assert (rate.count, rate.clusters) == (8, 2)
    # Between pictures: (2 - 1)^2 + (0 - 1)^2, times 2 / 1; independent: 8 * 0.25 * 0.75.
    assert rate.effective == pytest.approx(8 / (4 / 1.5))


def test_an_interval_of_nothing_found_is_not_empty() -> None:
    low, high = wilson_interval(0.0, 100.0, 0.95)
    assert low == 0.0
    assert high == pytest.approx(0.037, abs=5e-4)


@given(st.integers(1, 60), st.data())
def test_the_tail_is_the_exact_binomial_one_for_whole_counts(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    allowed = data.draw(st.floats(0.01, 0.9))
    rate = Rate(hits / count, 0.0, 1.0, count, count, float(count))
    assert excess_p_value(rate, allowed) == pytest.approx(float(binom.sf(hits - 1, count, allowed)), abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=30))
def test_an_interval_holds_its_rate_and_clusters_only_widen_it(pictures: list[tuple[int, int]]) -> None:
    hits = [float(min(hit, count)) for hit, count in pictures]
    counts = [float(count) for _, count in pictures]
    rate = measure_rate(hits, counts, 0.95)
    assert rate.low - 1e-12 <= rate.value <= rate.high + 1e-12
    assert rate.effective <= rate.count + 1e-9
    assert rate.effective >= rate.count / max(counts) - 1e-9


# -- the gate


@pytest.mark.parametrize("captions", [1, 5])
def test_batches_at_the_ceiling_are_seldom_held(captions: int) -> None:
    """At most one in a hundred, though captions of a picture share their faults."""
    trials, pictures = 400, 60
    held = 0
    for trial in range(trials):
        shared = flags(POLICY.invention_ceiling, pictures, 1, trial)
        rate = measure_rate(
            (shared.repeat(captions, axis=1)).sum(axis=1).astype(float), np.full(pictures, float(captions)), 0.95
        )
        held += excess_p_value(rate, POLICY.invention_ceiling) < POLICY.false_hold_rate
    assert held <= 0.01 * trials


def test_clean_batches_pass() -> None:
    for seed in range(30):
        verdict = judge(make_claims(flags(0.03, 50, 2, seed), flags(0.01, 50, 1, seed)[:, 0]))
        assert verdict.passed, verdict.reason
        assert verdict.code is None


def test_an_inventive_batch_fails_with_its_code_and_fix() -> None:
    verdict = judge(make_claims(flags(0.35, 60, 2, 1)))
    assert not verdict.passed
    assert verdict.code == "CAPTIONS_INVENT"
    assert verdict.invention_p_value < POLICY.false_hold_rate
    assert FIXES["CAPTIONS_INVENT"] in verdict.reason
    gate = verdict_of_row(verdict.to_row("b", "vendor"))
    assert (gate.gate, gate.passed, gate.code) == ("faithfulness", False, "CAPTIONS_INVENT")
    assert gate.measured == pytest.approx(verdict.invention.value)
    assert gate.threshold == pytest.approx(POLICY.invention_ceiling)
    assert gate.diagnosis["examples"][0]["invented"] == ["dog"]


def test_a_contradictory_batch_fails_with_its_code() -> None:
    verdict = judge(make_claims(np.zeros((60, 2), bool), flags(0.4, 60, 1, 2)[:, 0]))
    assert verdict.code == "CAPTIONS_CONFLICT"
    gate = verdict_of_row(verdict.to_row("b", "vendor"))
    assert gate.measured == pytest.approx(verdict.conflict.value)
    assert gate.threshold == POLICY.conflict_ceiling


def test_what_a_blind_detector_misses_is_allowed_for() -> None:
    flagged = flags(0.3, 80, 1, 3)
    assert not judge(make_claims(flagged, weight=0.78)).passed
    blind = judge(make_claims(flagged, weight=0.78, blindness=0.2))
    assert blind.passed
    assert blind.allowed_invention == pytest.approx(0.1 + 0.9 * 0.2)


def test_weak_evidence_counts_less() -> None:
    flagged = flags(0.3, 60, 2, 4)
    strong, weak = judge(make_claims(flagged)), judge(make_claims(flagged, weight=0.5))
    assert weak.invention.value == pytest.approx(0.5 * strong.invention.value)
    assert weak.chair_instance == pytest.approx(0.5 * strong.chair_instance)


def test_both_rates_come_with_interval_threshold_and_baseline() -> None:
    trusted = FaithfulnessBaseline(0.03, 0.02, "trusted_batches", ("a", "b"))
    verdict = judge(make_claims(flags(0.1, 40, 2, 3), flags(0.1, 40, 1, 4)[:, 0], blindness=0.05), trusted)
    document = verdict.to_json()
    invention, conflict = document["rates"]
    assert (invention["baseline"], conflict["baseline"]) == (0.03, 0.02)
    assert invention["threshold"] == pytest.approx(0.03 + 0.97 * 0.05)
    assert conflict["threshold"] == 0.02
    assert (invention["counted"], conflict["counted"], invention["pictures"]) == (80, 40, 40)
    for rate in (invention, conflict):
        assert rate["low"] < rate["measured"] < rate["high"]
        assert 0.0 <= rate["p_value"] <= 1.0
        assert rate["judged"]
        assert (rate["baseline_kind"], rate["baseline_batches"]) == ("trusted_batches", 2)
    assert document["actions"] == {"keep": 80}
    nothing = judge(TABLES["caption_claims"].empty()).to_json()["rates"]
    assert [rate["measured"] for rate in nothing] == [None, None]
    assert not any(rate["judged"] for rate in nothing)


def test_few_captions_are_not_judged() -> None:
    verdict = judge(make_claims(np.ones((9, 2), bool), np.ones(9, bool)))
    assert verdict.passed
    assert verdict.judged == ()
    assert verdict.reason.startswith("Not judged, passed:")


def test_a_batch_without_captions_has_a_row() -> None:
    verdict = judge(TABLES["caption_claims"].empty())
    assert verdict.passed
    row = verdict.to_row("b", "vendor")
    frame = TABLES["caption_faithfulness"].conform(pl.DataFrame([row], schema=TABLES["caption_faithfulness"].schema))
    assert frame["captions"].item() == 0
    assert verdict_of_row(verdict.to_row("b", "vendor")).measured is None


def test_the_breakdown_names_the_worst_annotator_first() -> None:
    invented = np.zeros((60, 2), bool)
    invented[1::2] = True
    verdict = judge(make_claims(invented))
    assert [group["annotator"] for group in verdict.groups] == ["ann-1", "ann-0"]
    assert verdict.groups[0]["invention"] == 1.0
    assert verdict.groups[1]["invention"] == 0.0
    assert "annotator ann-1" in verdict.reason


def test_the_id_follows_the_claims_and_not_their_order() -> None:
    claims = make_claims(flags(0.1, 40, 2, 5))
    first, again = judge(claims), judge(claims.sample(fraction=1.0, shuffle=True, seed=1))
    assert first.evaluation_id("b") == again.evaluation_id("b")
    assert first.evaluation_id("b") != first.evaluation_id("other")
    other = judge(make_claims(flags(0.1, 40, 2, 6)))
    assert first.evaluation_id("b") != other.evaluation_id("b")
    unrelated = evaluate_faithfulness(claims, CEILING, FaithfulnessPolicy(max_rewrites=1))
    assert unrelated.evaluation_id("b") == first.evaluation_id("b")
    stricter = evaluate_faithfulness(claims, CEILING, FaithfulnessPolicy(min_captions=2))
    assert stricter.evaluation_id("b") != first.evaluation_id("b")


def test_examples_show_the_text_and_the_fault() -> None:
    claims = make_claims(flags(0.5, 20, 2, 7))
    texts = dict.fromkeys(claims["caption_id"].to_list(), "A dog.")
    verdict = evaluate_faithfulness(claims, CEILING, POLICY, texts=texts)
    assert verdict.examples[0]["text"] == "A dog. [not known to be there: dog]"
    assert json.loads(verdict.to_row("b", "v")["breakdown_json"])["examples"][0]["image_id"].startswith("i")


# -- baselines


def history(*rates: tuple[float, float], captions: int = 400, pairs: int = 200) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "batch": f"old-{number}",
                "captions": captions,
                "chair_sentence": invention,
                "chair_blindness": 0.0,
                "pairs": pairs,
                "conflict_rate": conflict,
            }
            for number, (invention, conflict) in enumerate(rates)
        ]
    )


def test_a_source_without_history_has_the_ceiling() -> None:
    assert trusted_baseline(history().clear(), POLICY) == CEILING if history().width else True
    small = trusted_baseline(history((0.0, 0.0), captions=3, pairs=2), POLICY)
    assert small == CEILING


def test_a_clean_source_is_held_to_less_than_the_ceiling_but_never_to_nothing() -> None:
    baseline = trusted_baseline(history(*[(0.0, 0.0)] * 5), POLICY)
    assert baseline.kind == "trusted_batches"
    assert baseline.batches == tuple(f"old-{number}" for number in range(5))
    assert POLICY.baseline_floor <= baseline.invention < POLICY.invention_ceiling
    assert POLICY.baseline_floor <= baseline.conflict < POLICY.conflict_ceiling
    spoiled = judge(make_claims(flags(0.12, 150, 2, 8)), baseline)
    assert not spoiled.passed


def test_a_source_cannot_creep_above_the_ceiling() -> None:
    baseline = trusted_baseline(history(*[(0.09, 0.04)] * 8), POLICY)
    assert baseline.invention <= POLICY.invention_ceiling + 0.02
    released = trusted_baseline(history(*[(0.3, 0.2)] * 8), POLICY)
    assert released.invention > POLICY.invention_ceiling  # a person released those batches


def test_blindness_of_earlier_evidence_is_no_invention() -> None:
    seen = history(*[(0.2, 0.0)] * 4).with_columns(chair_blindness=pl.lit(0.2))
    assert trusted_baseline(seen, POLICY).invention < 0.05
