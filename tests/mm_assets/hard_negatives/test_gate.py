import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mm_assets.gates.binomial_interval import clopper_pearson
from mm_assets.hard_negatives.batch_negatives import (
    Audits,
    BatchNegatives,
    BatchSummary,
    KeptTexts,
    Tally,
    judge_chunk,
    settle,
)
from mm_assets.hard_negatives.false_negative_rate import count_outcomes, estimate_rate
from mm_assets.hard_negatives.gate import audit_row, verdict_of_row
from mm_assets.hard_negatives.interfaces import WordNet
from mm_assets.hard_negatives.make_batch import BatchMaker, Sources
from mm_assets.hard_negatives.measures import unmeasured
from mm_assets.hard_negatives.negatives import EditKind, Negative, Outcome, Positive, Strategy, find_edits
from mm_assets.hard_negatives.rows import from_row, to_rows
from mm_assets.hard_negatives.shortcut_audit import AuditResult
from mm_assets.hard_negatives.subtle_replacement import SubtleReplacement
from mm_assets.hard_negatives.temporal_shift import Window
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.hard_negatives.truth_rules import TruthRules
from mm_assets.hard_negatives.verdicts import Judged
from mm_assets.policy import HardNegativePolicy
from mm_assets.schemas import TABLES

_POLICY = HardNegativePolicy()
_WORDS = list(zip(("duck", "owl", "mug", "drum", "pear") * 12, ("fox", "rose", "kettle", "camel") * 15, strict=True))
_NOTHING = AuditResult((), 0, passed=True)


def _judged(count: int, outcome: Outcome, *, reviewed: bool = False, start: int = 0) -> list[Judged]:
    return [
        Judged(
            Negative(f"p{start + i}", "i", Strategy.IN_BATCH, "A duck.", f"A truck {start + i}."),
            outcome,
            "review: x" if reviewed else "rule: x",
            math.nan,
            math.nan,
            math.nan,
            reviewed,
        )
        for i in range(count)
    ]


def _batch(judged: list[Judged]) -> BatchSummary:
    return BatchNegatives(tuple(judged), Audits({}, _NOTHING, {}), len(judged)).summary("b")


def test_found_ones_tell_how_many_slipped_through() -> None:
    policy = _POLICY.model_copy(update={"verdict_caught": 90, "verdict_planted": 100})
    judged = [*_judged(200, Outcome.KEPT), *_judged(180, Outcome.FALSE_NEGATIVE, start=200)]
    rate = estimate_rate(count_outcomes(judged), policy)
    assert rate.value == pytest.approx(20 / 200)
    assert rate.low < rate.value < rate.high
    assert rate.basis == "planted"


def test_the_estimate_holds_on_simulated_batches() -> None:
    rng = np.random.default_rng(0)
    policy = _POLICY.model_copy(update={"verdict_caught": 180, "verdict_planted": 200})
    covered = 0
    for _ in range(200):
        true = int(rng.binomial(1_000, 0.2))
        found = int(rng.binomial(true, 0.9))
        rate = estimate_rate(
            count_outcomes(
                [*_judged(1_000 - found, Outcome.KEPT), *_judged(found, Outcome.FALSE_NEGATIVE, start=1_000)]
            ),
            policy,
        )
        covered += rate.low <= (true - found) / (1_000 - found) <= rate.high
    assert covered >= 0.93 * 200


def test_people_tell_once_there_are_enough() -> None:
    judged = [
        *_judged(100, Outcome.KEPT),
        *_judged(36, Outcome.KEPT, reviewed=True, start=100),
        *_judged(4, Outcome.FALSE_NEGATIVE, reviewed=True, start=136),
    ]
    rate = estimate_rate(count_outcomes(judged), _POLICY)
    assert rate.basis == "people"
    assert rate.reviewed == 40
    assert rate.value == pytest.approx(0.1 * 100 / 136)
    low, high = clopper_pearson(4, 40, 0.95)
    assert (rate.low, rate.high) == pytest.approx((low * 100 / 136, high * 100 / 136))


@pytest.mark.parametrize(("rejected", "basis"), [(2, "planted"), (4, "people"), (12, "people")])
def test_a_dozen_verdicts_tell_once_they_leave_no_doubt(rejected: int, basis: str) -> None:
    judged = [
        *_judged(200, Outcome.KEPT),
        *_judged(12 - rejected, Outcome.KEPT, reviewed=True, start=200),
        *_judged(rejected, Outcome.FALSE_NEGATIVE, reviewed=True, start=300),
    ]
    rate = estimate_rate(count_outcomes(judged), _POLICY)
    assert rate.basis == basis
    assert audit_row("b", _batch(judged), _POLICY)["passed"] is (basis == "planted")


def test_a_batch_of_true_texts_is_held() -> None:
    # As in the reference's log: 8,240 of 21,300 candidates are true, and the verdicts miss one in ten.
    policy = _POLICY.model_copy(update={"verdict_caught": 90, "verdict_planted": 100})
    judged = [*_judged(613, Outcome.KEPT), *_judged(387, Outcome.FALSE_NEGATIVE, start=613)]
    row = audit_row("b", _batch(judged), policy)
    verdict = verdict_of_row(row)
    assert not verdict.passed
    assert verdict.code == "ERR_CROSS_MDL_HARD_NEG"
    assert verdict.measured is not None
    assert verdict.measured > 0.05
    assert verdict.threshold == 0.05
    assert verdict.gate == "hard_negatives"


def test_a_clean_batch_passes_and_few_are_not_judged() -> None:
    judged = [*_judged(95, Outcome.KEPT), *_judged(5, Outcome.FALSE_NEGATIVE, start=95)]
    assert audit_row("b", _batch(judged), _POLICY)["passed"]
    few = audit_row("b", _batch(_judged(3, Outcome.KEPT)), _POLICY)
    assert few["passed"]
    assert "too few" in few["reason"]
    assert verdict_of_row(few).measured is None


def test_a_whole_batch_is_settled_stored_and_read_back(net: WordNet, pairs: list[Positive]) -> None:
    negatives = list(SubtleReplacement(net, _POLICY).make(pairs))
    rules = TruthRules(TermRelations(net), _POLICY)
    result = settle(judge_chunk(negatives, pairs, unmeasured(len(negatives)), rules, _POLICY), len(pairs), _POLICY)
    assert len(result.judged) == len(negatives)
    positions = {pair.positive_id: pair.position for pair in pairs}
    rows = TABLES["hard_negatives"].conform(result.rows("b", positions))
    assert rows.height == len(negatives)
    for row, one in zip(rows.iter_rows(named=True), result.judged, strict=True):
        back = from_row(row)
        assert back.negative == one.negative
        assert (back.outcome, back.reason) == (one.outcome, one.reason)
    audit = (
        TABLES["hard_negative_audit"]
        .empty()
        .vstack(TABLES["hard_negative_audit"].conform(TABLES["hard_negative_audit"].empty()))
    )
    assert audit.is_empty()
    row = audit_row("b", result.summary("b"), _POLICY)
    assert set(row) == set(TABLES["hard_negative_audit"].columns)
    assert json.loads(row["diagnosis_json"])["rates"][0]["kept"] == len(result.kept())
    counts = np.unique([one.negative.positive_id for one in result.kept()], return_counts=True)[1]
    assert counts.max() <= _POLICY.max_per_positive


def test_all_strategies_meet_in_one_batch(net: WordNet, pairs: list[Positive]) -> None:
    rng = np.random.default_rng(0)
    images, texts = (rng.normal(size=(len(pairs), 4)).astype(np.float32) for _ in range(2))
    windows = [
        Window(Positive(f"w{i}", "clip", text), i * 3_000_000, i * 3_000_000 + 1_000_000)
        for i, text in enumerate(("A zebra.", "A trumpet.", "A cow."))
    ]
    sources = Sources(pairs, images, texts, windows, encoder="test")
    policy = _POLICY.model_copy(update={"max_similarity": 1.0, "min_similarity": 0.0, "max_per_positive": 9})
    maker = BatchMaker(net, lambda new: np.ones((len(new), 4), np.float32), policy)
    result = settle(maker.make(sources), len(pairs), policy)
    made = {one.negative.strategy for one in result.judged}
    assert made == set(Strategy) - {Strategy.LLM_SYNTHETIC}
    assert "no language model" in maker.report.note
    timed = [one for one in result.judged if one.negative.strategy is Strategy.TEMPORAL_SHIFT]
    assert {one.outcome for one in timed} == {Outcome.KEPT}
    positions = {pair.positive_id: 0 for pair in [*pairs, *(window.positive for window in windows)]}
    assert result.rows("b", positions).height == len(result.judged)
    assert len({one.negative.negative_id for one in result.judged}) == len(result.judged)


def test_a_batch_without_pictures_has_its_windows_only(net: WordNet) -> None:
    nothing = np.empty((0, 1), np.float32)
    windows = [
        Window(Positive(f"w{i}", "clip", text), i * 3_000_000, i * 3_000_000 + 1_000_000)
        for i, text in enumerate(("A zebra.", "A trumpet."))
    ]
    for own, strategies in ((windows, {Strategy.TEMPORAL_SHIFT}), ([], set())):
        maker = BatchMaker(net, lambda _: nothing, _POLICY)
        result = settle(maker.make(Sources([], nothing, nothing, own)), len(own), _POLICY)
        assert {one.negative.strategy for one in result.judged} == strategies
        assert audit_row("b", result.summary("b"), _POLICY)["passed"]


def test_a_strategy_that_stays_told_holds_no_batch_and_is_left_out() -> None:
    telling = [
        Judged(
            Negative(f"p{place}", "i", Strategy.LLM_SYNTHETIC, f"A {one} here {place}.", f"No {one} here {place}."),
            Outcome.KEPT,
            "false as far as is known",
            0.3,
            0.4,
            0.5,
        )
        for place, (one, _) in enumerate(_WORDS)
    ]
    result = settle([*telling, *_judged(30, Outcome.KEPT, start=100)], 90, _POLICY)
    left = [one for one in result.judged if one.negative.strategy is Strategy.LLM_SYNTHETIC]
    assert {one.outcome for one in left} == {Outcome.SHORTCUT}
    assert all(one.reason.startswith("blind_reader: ") for one in left)
    assert any("left to clear" in one.reason for one in left)
    row = audit_row("b", result.summary("b"), _POLICY)
    assert row["passed"]
    assert (row["kept"], row["dropped_by_balancer"]) == (30, len(telling))
    assert "What llm_synthetic made is left out" in row["reason"]
    accepted = [replace(one, reason="review: accepted", reviewed=True) for one in telling]
    told = settle(accepted, 60, _POLICY)
    assert len(told.kept()) == len(accepted)
    assert not audit_row("b", told.summary("b"), _POLICY)["passed"]  # people's word keeps them, and the audit tells


def test_the_evaluation_changes_with_the_verdicts() -> None:
    judged = _judged(30, Outcome.KEPT)
    first = audit_row("b", _batch(judged), _POLICY)["evaluation_id"]
    assert first == audit_row("b", _batch(judged[::-1]), _POLICY)["evaluation_id"]
    changed = [replace(judged[0], outcome=Outcome.TOO_EASY), *judged[1:]]
    assert first != audit_row("b", _batch(changed), _POLICY)["evaluation_id"]


def test_edits_of_a_mined_caption_are_whole_words() -> None:
    edits = find_edits("A duck on a pond.", "A truck.", EditKind.OBJECT)
    assert [edit.before for edit in edits] == ["duck on a pond"]


def test_chunks_end_where_the_whole_does() -> None:
    clean = [(f"A {one} on a {place} hill.", f"A {two} on a {place} hill.") for place, (one, two) in enumerate(_WORDS)]
    telling = [(f"A {one} here {place}.", f"A {one} or quetzal {place}.") for place, (one, _) in enumerate(_WORDS)]
    judged = [
        Judged(
            Negative(f"p{place}", "i", Strategy.SUBTLE_REPLACEMENT, true, false),
            Outcome.KEPT,
            "review: accepted" if place == 70 else "false as far as is known",
            0.3,
            0.4,
            0.5,
            place == 70,
        )
        for place, (true, false) in enumerate([*clean, *telling])
    ]
    whole = settle(judged, len(judged), _POLICY)
    texts, tally = KeptTexts(), Tally()
    chunks = [judged[start : start + 37] for start in range(0, len(judged), 37)]
    for chunk in chunks:
        texts.add(chunk)
    audits = texts.audit(_POLICY)
    for chunk in chunks:
        rows = to_rows("b", chunk, dict.fromkeys((one.negative.positive_id for one in chunk), 0))
        tally.add(audits.settle_rows(rows))
    summary = tally.summary(len(judged), audits)
    assert summary == whole.summary("b")
    assert summary.kept == len(whole.kept()) < len(judged)
    assert whole.judged[70].outcome is Outcome.KEPT  # people accepted it, readers tell it or not
    assert summary.outcomes["subtle_replacement/shortcut/blind_reader"] == len(audits.dropped)
