import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mm_assets.errors import CrossModalCode
from mm_assets.gates.recall import evaluate_recall
from mm_assets.gates.recall_baseline import floor_baseline, trusted_baseline
from mm_assets.gates.recall_verdict import verdict_of_row
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES

POLICY = Policy()
FLOOR = floor_baseline(POLICY.recall_gate)


def judge(batch, baseline=FLOOR):
    return evaluate_recall(batch, baseline, POLICY.recall_gate, POLICY.captions)


def test_sound_batch_passes(make_batch):
    verdict = judge(make_batch(60))
    assert verdict.passed
    assert verdict.judged
    assert verdict.code is None
    assert verdict.interval[0] < verdict.recall_at_1 < verdict.interval[1]
    assert verdict.null.mean == pytest.approx(1 / 32, abs=0.005)
    assert verdict.null.p_value < 0.001
    assert verdict.image_to_text.r5 > verdict.image_to_text.r1
    assert "meets 0.120" in verdict.reason


def test_shifted_batch_fails_with_cause_and_restored_pairs(make_batch):
    verdict = judge(make_batch(60, order=np.roll(np.arange(60), 1)))
    assert not verdict.passed
    assert verdict.code is CrossModalCode.TEMPORAL
    assert "Shift(+1) explains 9" in verdict.reason
    assert "not distinguishable from random pairing" in verdict.reason
    for example in verdict.examples:
        row = int(example.image_id.removeprefix("img_"))
        assert example.caption_id == f"cap_{row - 1}"
        assert example.restored_caption_id == f"cap_{row}"
        assert example.restored_similarity is not None
        assert example.restored_similarity > example.similarity
    assert np.median(verdict.restored) > np.median(verdict.matched)


def test_partly_shifted_batch_fails_though_recall_is_good(make_batch):
    order = np.arange(200)
    order[140:] = np.roll(order[140:], 1)
    verdict = judge(make_batch(200, order=order))
    assert verdict.recall_at_1 > 0.3
    assert verdict.null.p_value < 0.001
    assert not verdict.passed
    assert verdict.code is CrossModalCode.TEMPORAL
    assert "captions stand at other rows" in verdict.reason


def test_few_displaced_rows_are_told_and_let_through(make_batch):
    order = np.arange(1_000)
    order[-18:] = np.roll(order[-18:], 1)
    verdict = judge(make_batch(1_000, noise=1.0, order=order))
    assert verdict.passed
    assert verdict.diagnosis is not None
    assert verdict.diagnosis.best.hypothesis.startswith("shift(+1) from position 98")
    assert "too few to hold the batch" in verdict.reason
    strict = POLICY.recall_gate.model_copy(update={"min_displaced_share": 0.01})
    assert not evaluate_recall(make_batch(1_000, noise=1.0, order=order), FLOOR, strict, POLICY.captions).passed


def test_trusted_batches_raise_the_bar(make_batch):
    trusted = pl.DataFrame([judge(make_batch(80, noise=1.2, seed=seed)).to_row(f"b{seed}", "s") for seed in range(3)])
    baseline = trusted_baseline(trusted, POLICY.recall_gate)
    assert baseline.recall > 0.8
    weak = make_batch(80, noise=2.2, seed=9)
    assert judge(weak).passed
    verdict = judge(weak, baseline)
    assert not verdict.passed
    assert verdict.code is CrossModalCode.FUSION
    assert "from 3 trusted batches" in verdict.reason
    assert judge(make_batch(80, noise=1.3, seed=9), baseline).passed
    assert trusted_baseline(trusted.head(1), POLICY.recall_gate).origin == "1 trusted batch"
    assert FLOOR.origin == "the policy's floor"


def test_templated_captions_fail_unless_they_tell_pictures_apart(make_batch):
    texts = [
        f"A crossing, frame {row}" if row % 2 else f"x{chr(97 + row % 26)} y{chr(97 + row // 26)}" for row in range(80)
    ]
    told_apart = make_batch(80, texts=texts)
    assert judge(told_apart).passed
    captions = told_apart.captions.copy()
    captions[1::2] = captions[1]
    verdict = judge(replace(told_apart, captions=captions))
    assert not verdict.passed
    assert verdict.code is CrossModalCode.FUSION
    assert verdict.diagnosis is not None
    assert verdict.diagnosis.kind == "templated"
    assert "do not tell them apart" in verdict.reason


def test_one_sentence_for_all_fails(make_batch):
    verdict = judge(make_batch(40, texts=["A green light."] * 40))
    assert not verdict.passed
    assert verdict.pool_size == 1
    assert verdict.null.p_value == 1.0
    assert verdict.diagnosis is not None
    assert verdict.diagnosis.kind == "templated"


def test_one_vector_for_all_fails(make_batch):
    batch = make_batch(40)
    broken = replace(
        batch, images=np.repeat(batch.images[:1], 40, axis=0), captions=np.repeat(batch.captions[:1], 40, axis=0)
    )
    verdict = judge(broken)
    assert verdict.recall_at_1 == 0.0
    assert not verdict.passed


def test_small_batches_pass_unjudged_and_say_so(make_batch):
    for count in (0, 1, 2, 11):
        verdict = judge(make_batch(count, order=np.arange(count)[::-1]) if count else empty(make_batch))
        assert verdict.passed
        assert not verdict.judged
        assert verdict.reason.startswith("Not judged, passed")
        assert np.isfinite(verdict.recall_at_1) == (count >= 2)
        row = verdict.to_row("b", "s")
        assert row["hypothesis"] is None
        json.loads(row["diagnosis_json"])
        TABLES["image_text_recall"].conform(pl.DataFrame([row], schema=TABLES["image_text_recall"].schema))
    assert judge(make_batch(12)).judged


def empty(make_batch):
    batch = make_batch(1)
    return replace(
        batch,
        captions=batch.captions[:0],
        caption_images=batch.caption_images[:0],
        caption_index=batch.caption_index[:0],
        texts=(),
        caption_ids=(),
    )


def test_row_has_the_columns_of_its_table(make_batch):
    verdict = judge(make_batch(50, order=np.arange(50)[::-1]))
    row = verdict.to_row("vendor-a-01", "vendor-a")
    frame = TABLES["image_text_recall"].conform(pl.DataFrame([row], schema=TABLES["image_text_recall"].schema))
    assert frame["hypothesis"].to_list() == ["reversed order"]
    assert frame["rows_explained"].item() == pytest.approx(1.0)
    document = json.loads(frame["diagnosis_json"].item())
    assert document["kind"] == "reversed"
    assert len(document["examples"]) == 8
    stored = verdict_of_row(row)
    assert (stored.gate, stored.measured, stored.threshold) == ("recall", verdict.recall_at_1, verdict.required)
    assert stored.evaluation_id == verdict.evaluation_id("vendor-a-01")
    assert stored.diagnosis == verdict.to_json()


def test_evaluation_id_changes_with_all_it_depends_on(make_batch):
    batch = make_batch(20)
    ids = [
        judge(batch).evaluation_id("a"),
        judge(batch).evaluation_id("b"),
        judge(make_batch(20, seed=1)).evaluation_id("a"),
        judge(replace(batch, texts=(*batch.texts[1:], "other"))).evaluation_id("a"),
        judge(batch, replace(FLOOR, recall=0.2)).evaluation_id("a"),
        evaluate_recall(batch, FLOOR, POLICY.recall_gate.model_copy(update={"seed": 1}), POLICY.captions).evaluation_id(
            "a"
        ),
    ]
    assert len(set(ids)) == len(ids)
    assert judge(batch).evaluation_id("a") == ids[0]


def test_equal_inputs_give_equal_rows(make_batch):
    batch = make_batch(300, order=np.roll(np.arange(300), -2))
    assert judge(batch).to_row("b", "s") == judge(batch).to_row("b", "s")


def test_large_batches_are_sampled_and_still_explained(make_batch):
    policy = POLICY.recall_gate.model_copy(update={"max_pairs": 512})
    for order, kind in ((np.roll(np.arange(3_000), 1), "shift"), (np.arange(3_000)[::-1], "reversed")):
        verdict = evaluate_recall(make_batch(3_000, order=order, noise=2.0), FLOOR, policy, POLICY.captions)
        assert (verdict.available_pairs, verdict.passed) == (3_000, False)
        assert 384 <= verdict.pairs <= 512
        assert verdict.diagnosis is not None
        assert verdict.diagnosis.kind == kind
        assert verdict.diagnosis.best.rows_explained > 0.95


@pytest.mark.parametrize(("count", "noise"), [(12, 1.6), (16, 2.0), (40, 2.0), (70, 2.0)])
def test_sound_batches_are_hardly_ever_held(make_batch, count, noise):
    held = [seed for seed in range(100) if not judge(make_batch(count, noise=noise, seed=seed)).passed]
    assert len(held) <= (0 if count >= 40 else 1)


@pytest.mark.parametrize(("count", "noise"), [(40, 2.0), (40, 1.6), (100, 2.0)])
def test_shifted_batches_are_held_for_the_right_cause(make_batch, count, noise):
    found = [judge(make_batch(count, noise=noise, seed=seed, order=np.roll(np.arange(count), 1))) for seed in range(40)]
    assert sum(not verdict.passed for verdict in found) >= 39
    assert sum(verdict.diagnosis is not None and verdict.diagnosis.details.get("shift") == 1 for verdict in found) >= 36
