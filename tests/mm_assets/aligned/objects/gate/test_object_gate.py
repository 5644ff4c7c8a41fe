import json
import math

import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.corrections import make_correction
from mm_assets.aligned.objects.boxes.boxes import convert_boxes
from mm_assets.aligned.objects.boxes.corrections import correct_boxes
from mm_assets.aligned.objects.boxes.readings import Reading
from mm_assets.aligned.objects.gate.object_verdict import verdict_of_row
from mm_assets.aligned.objects.gate.region_recall import floor_region_baseline, trusted_region_baseline
from mm_assets.policy import ObjectGatePolicy, ObjectPolicy, Policy
from mm_assets.schemas import TABLES


def as_correction(verdict):
    found = verdict.diagnosis
    return make_correction(
        batch="batch-1",
        level="object",
        kind=found.kind,
        parameters=found.parameters,
        rows=found.affected,
        evaluation_id=verdict.evaluation_id("batch-1"),
        by="me",
        reason="test",
        at_us=0,
    )


def some_rows(count, share, seed=1):
    hit = np.zeros(count, bool)
    hit[np.random.default_rng(seed).choice(count, round(share * count), replace=False)] = True
    return hit


def test_sound_batch_passes(scenes, pattern_encoder):
    images = scenes.deliver()
    evaluation = scenes.evaluate(images, pattern_encoder)
    verdict = evaluation.verdict
    assert verdict.passed
    assert verdict.judged
    assert verdict.code is None
    assert verdict.diagnosis.hypothesis == "as_given"
    assert verdict.recall_at_1 > 0.4
    assert verdict.interval[0] < verdict.recall_at_1 < verdict.interval[1]
    assert verdict.hard_recall_at_1 > verdict.recall_at_1
    assert verdict.null.p_value < 0.01
    assert verdict.encoder_calls == pattern_encoder.crops
    assert verdict.calls_saved == 100 * 20 - verdict.encoder_calls
    assert evaluation.embeddings.height == 100
    assert evaluation.embeddings["reading"].unique().to_list() == ["as_given"]
    assert max(item["likelihood_ratio"] for item in verdict.diagnosis.evidence[1:]) < 4.0


@pytest.mark.parametrize(
    ("fault", "convention"),
    [
        (Reading("mirror_x"), "xyxy_pixels"),
        (Reading("mirror_y"), "cxcywh_0_1"),
        (Reading("xywh_as_xyxy"), "xyxy_0_1000"),
        (Reading("xyxy_as_xywh"), "xywh_pixels"),
        (Reading("normalised_as_pixels"), "xywh_pixels"),
        (Reading("pixels_as_normalised"), "xyxy_0_1"),
        (Reading("swapped_axes"), "xyxy_pixels"),
        (Reading("scale", {"factor": 0.5}), "xyxy_pixels"),
        (Reading("scale", {"factor": 1.16}), "xyxy_pixels"),
    ],
)
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_fault_is_named_and_repaired(scenes, fault, convention, share):
    hit = some_rows(100, share)
    images = scenes.deliver(fault=fault, rows=hit, convention=convention)
    verdict = scenes.evaluate(images).verdict
    assert not verdict.passed
    assert verdict.code.value == "ERR_CROSS_MDL_OBJ_FLIP"
    assert verdict.diagnosis.kind == fault.kind
    if fault.kind == "scale":
        assert verdict.diagnosis.parameters["factor"] == pytest.approx(fault.parameters["factor"], rel=0.002)
    assert verdict.diagnosis.share == pytest.approx(share, abs=0.08)
    after = convert_boxes(images, ObjectPolicy(), as_correction(verdict)).kept
    named = after.filter(pl.col("box_id").is_in(list(verdict.diagnosis.affected)))
    rows = (2 * named["position"] + named["box_index"]).to_numpy()
    assert hit[rows].all()
    assert len(rows) == len(verdict.diagnosis.affected) >= 0.75 * hit.sum()
    moved = np.abs(named.select("x1", "y1", "x2", "y2").to_numpy() - scenes.corners[rows]).max()
    assert moved < (1.0 if fault.kind == "scale" else 0.01)


def test_repaired_batch_passes(scenes):
    images = scenes.deliver(fault=Reading("mirror_x"))
    held = scenes.evaluate(images).verdict
    again = scenes.evaluate(images, corrections=as_correction(held)).verdict
    assert not held.passed
    assert again.passed
    assert again.recall_at_1 == pytest.approx(held.diagnosis.restored_recall, abs=0.02)
    assert again.evaluation_id("batch-1") != held.evaluation_id("batch-1")


@pytest.mark.parametrize("k", [-2, 1])
def test_labels_shifted_from_a_row_on(scenes, k):
    labels = np.array(scenes.labels, dtype=object)
    hit = np.zeros(100, bool)
    hit[30:70] = True
    told = np.where(hit, np.roll(labels, k), labels).tolist()
    images = scenes.deliver(labels=told)
    verdict = scenes.evaluate(images, corrections=None).verdict
    assert not verdict.passed
    assert verdict.diagnosis.hypothesis == f"label_shift({k:+d})"
    assert verdict.diagnosis.structure == "runs"
    kept = convert_boxes(images, ObjectPolicy()).kept
    corrected = correct_boxes(kept, as_correction(verdict), kept)
    named = corrected.filter(pl.col("box_id").is_in(list(verdict.diagnosis.affected)))
    rows = (2 * named["position"] + named["box_index"]).to_numpy()
    assert named["label"].to_list() == labels[rows].tolist()
    assert len(rows) >= 30


def test_copied_labels_are_found_and_not_repaired(scenes):
    labels = np.array(scenes.labels, dtype=object)
    hit = some_rows(100, 0.4)
    told = np.where(hit, np.roll(labels, 2), labels).tolist()
    verdict = scenes.evaluate(scenes.deliver(labels=told)).verdict
    assert not verdict.passed
    assert verdict.diagnosis.hypothesis == "label_shift(+2)"
    assert len(verdict.diagnosis.affected) < 10
    assert "boxes_without_label" in verdict.to_json()


def test_permuted_labels_fail_without_a_repair(scenes):
    told = np.random.default_rng(3).permutation(np.array(scenes.labels, dtype=object)).tolist()
    verdict = scenes.evaluate(scenes.deliver(labels=told)).verdict
    assert not verdict.passed
    assert verdict.diagnosis.hypothesis == "labels_permuted"
    assert verdict.code.value == "ERR_CROSS_MDL_OBJ_FLIP"
    assert verdict.diagnosis.affected == ()


def test_boxes_moved_in_a_way_nobody_knows_are_not_misnamed(scenes):
    generator = np.random.default_rng(5)
    sides = scenes.corners[:, 2:] - scenes.corners[:, :2]
    corner = generator.random((100, 2)) * (np.array([320.0, 240.0]) - sides)
    moved = scenes.deliver()
    moved = moved.with_columns(
        annotations_json=pl.Series(
            [
                json.dumps(
                    json.loads(text)
                    | {
                        "objects": {
                            "bbox": np.hstack((corner, corner + sides))[2 * row : 2 * row + 2].tolist(),
                            "categories": scenes.labels[2 * row : 2 * row + 2],
                        }
                    }
                )
                for row, text in enumerate(moved["annotations_json"])
            ]
        )
    )
    verdict = scenes.evaluate(moved).verdict
    assert not verdict.passed
    assert verdict.diagnosis.kind == "misplaced_boxes"
    assert verdict.diagnosis.affected == ()


def test_mirrored_medical_images_have_their_own_code(scenes):
    images = scenes.deliver(fault=Reading("mirror_x"), extra={"orientation": {"patient_orientation": ["L", "F"]}})
    assert scenes.evaluate(images).verdict.code.value == "ERR_CROSS_MDL_MIRROR"


def test_verdict_fits_its_table(scenes):
    images = scenes.deliver(fault=Reading("mirror_x"), rows=some_rows(100, 0.5))
    verdict = scenes.evaluate(images).verdict
    table = TABLES["object_recall"]
    row = table.conform(pl.DataFrame([verdict.to_row("batch-1", "vendor")], schema=table.schema)).row(0, named=True)
    assert row["hypothesis"] == "mirror_x"
    assert row["evaluation_id"] == verdict.evaluation_id("batch-1")
    assert len(row["affected_boxes"]) == len(row["affected_confidence"]) > 0
    assert min(row["affected_confidence"]) >= Policy().object_gate.min_row_confidence
    stored = verdict_of_row(row)
    assert (stored.gate, stored.measured, stored.threshold) == ("objects", verdict.recall_at_1, verdict.required)
    told = stored.diagnosis
    assert told["fix"].startswith("Bind every geometric augmentation")
    assert told["evidence"][0]["hypothesis"] == "as_given"
    assert told["evidence"][1]["hypothesis"] == "mirror_x"
    example = told["examples"][0]
    assert example["score_restored"] > example["score"]
    x1, y1, x2, y2 = example["xyxy"]
    assert example["xyxy_restored"] == pytest.approx([320 - x2, y1, 320 - x1, y2])
    assert {"worst", "random"} == {item["chosen"] for item in told["examples"]}


def test_equal_input_gives_an_equal_id(scenes):
    images = scenes.deliver()
    first, second = (scenes.evaluate(images).verdict for _ in range(2))
    assert first.evaluation_id("batch-1") == second.evaluation_id("batch-1")
    assert first.reason == second.reason
    other = Policy(object_gate=ObjectGatePolicy(pool_size=8))
    assert scenes.evaluate(images, policy=other).verdict.evaluation_id("batch-1") != first.evaluation_id("batch-1")


def test_known_crops_are_not_encoded_again(scenes, pattern_encoder):
    images = scenes.deliver()
    first = scenes.evaluate(images)
    again = scenes.evaluate(images, pattern_encoder, known=first.embeddings)
    assert again.verdict.encoder_calls == first.verdict.encoder_calls - 100
    assert again.verdict.recall_at_1 == first.verdict.recall_at_1
    assert again.embeddings.equals(first.embeddings)


def test_few_boxes_are_not_judged(scenes, pattern_encoder):
    images = scenes.deliver().head(5)
    verdict = scenes.evaluate(images, pattern_encoder).verdict
    assert verdict.passed
    assert not verdict.judged
    assert "Not judged" in verdict.reason
    assert pattern_encoder.crops == 0
    assert (
        TABLES["object_recall"]
        .conform(pl.DataFrame([verdict.to_row("batch-1", "vendor")], schema=TABLES["object_recall"].schema))
        .height
    )


def test_one_label_leaves_the_places_to_judge(scenes):
    sound = scenes.evaluate(scenes.deliver(labels=["thing"] * 100)).verdict
    spoiled = scenes.evaluate(scenes.deliver(labels=["thing"] * 100, fault=Reading("mirror_x"))).verdict
    assert sound.passed
    assert math.isnan(sound.recall_at_1)
    assert spoiled.diagnosis.hypothesis == "mirror_x"


def test_large_batch_is_sampled_and_every_row_named(scenes):
    policy = Policy(object_gate=ObjectGatePolicy(max_boxes=48, images_per_window=4))
    hit = some_rows(100, 0.5)
    verdict = scenes.evaluate(scenes.deliver(fault=Reading("mirror_y"), rows=hit), policy=policy).verdict
    assert verdict.boxes == 48
    assert verdict.available_boxes == 100
    assert len(verdict.diagnosis.affected) > 0.75 * hit.sum()


def test_baseline_of_trusted_batches(scenes):
    verdict = scenes.evaluate(scenes.deliver()).verdict
    policy = ObjectGatePolicy()
    rows = pl.DataFrame([verdict.to_row(f"b{n}", "v") for n in range(3)], schema=TABLES["object_recall"].schema)
    baseline = trusted_region_baseline(rows, policy)
    assert baseline.kind == "trusted_batches"
    assert baseline.batches == ("b0", "b1", "b2")
    assert baseline.recall == pytest.approx(verdict.recall_at_1, abs=1e-9)
    assert trusted_region_baseline(rows.clear(), policy) == floor_region_baseline(policy)
