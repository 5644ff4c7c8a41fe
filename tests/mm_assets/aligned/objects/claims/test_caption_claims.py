from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from mm_assets.aligned.objects.claims.caption_claims import (
    DETECTION_SCHEMA,
    CaptionChecker,
    claim_captions,
    decide_actions,
    detect_objects,
)
from mm_assets.aligned.objects.claims.conflicts import Conflict
from mm_assets.aligned.objects.claims.interfaces import SeenObjects
from mm_assets.aligned.objects.claims.timed_detector import TimedDetector
from mm_assets.aligned.objects.claims.write_back import SHOWN_FOR_REVIEW, list_for_review, list_rejected
from mm_assets.models import ModelIdentity
from mm_assets.policy import FaithfulnessPolicy
from mm_assets.schemas import TABLES
from mm_assets.timed_models import timed

POLICY = FaithfulnessPolicy()
BOXES = [("a", "owl"), ("a", "cricket ball"), ("b", "dog"), ("c", "giraffe"), ("c", None)]


class Contradictory:
    """An NLI model that finds the word "purple" contradictory."""

    identity = ModelIdentity("nli:test", "1", "0" * 64)
    device = "cpu"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.calls = 0

    def contradiction(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.asked += pairs
        self.calls += 1
        return np.array([0.99 if "purple" in a + b else 0.1 for a, b in pairs], np.float32)


class RedDetector:
    """Sees a zebra in every picture with a red first pixel."""

    identity = ModelIdentity("red", "1", "0" * 64)
    device = "cpu"
    vocabulary = frozenset({"zebra", "cat"})

    def __init__(self) -> None:
        self.batches: list[int] = []

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return pixels[:1, :1]

    def detect(self, prepared: Sequence[NDArray[np.uint8]], wanted: Sequence[frozenset[str]]) -> list[SeenObjects]:
        assert len(prepared) == len(wanted)
        self.batches.append(len(prepared))
        reds = [bool(pixels[0, 0, 0] > 127) for pixels in prepared]
        return [SeenObjects(frozenset({"zebra"} if red else ()), frozenset(), 0.9 if red else 0.3) for red in reds]


def make_captions(texts: dict[str, list[str]], language: str | None = "en") -> pl.DataFrame:
    rows = [
        {
            "batch": "batch-1",
            "caption_id": f"{image_id}{index}",
            "image_id": image_id,
            "position": position,
            "caption_index": index,
            "text": text,
            "language": language,
            "source": "vendor",
            "annotator": "ann" if index else None,
            "record_ref": f"metadata.jsonl:{position + 1}",
        }
        for position, (image_id, captions) in enumerate(texts.items())
        for index, text in enumerate(captions)
    ]
    return pl.DataFrame(rows, schema_overrides={"annotator": pl.String, "language": pl.String})


def make_boxes(rows: list[tuple[str, str | None]] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        BOXES if rows is None else rows, schema={"image_id": pl.String, "label": pl.String}, orient="row"
    )


def test_claims_of_a_batch_by_hand() -> None:
    captions = make_captions(
        {"a": ["An owl and a ball.", "An owl and a dog."], "b": ["A dog.", "No dog."], "d": ["A dog."]}
    )
    claims = claim_captions(captions, make_boxes(), None, POLICY)
    assert claims.schema == TABLES["caption_claims"].schema
    rows = {row["caption_id"]: row for row in claims.iter_rows(named=True)}
    assert rows["a0"]["verdict"] == "supported"
    assert rows["a0"]["known"] == ["cricket ball", "owl"]
    assert rows["a1"]["invented"] == ["dog"]
    assert (rows["a1"]["knowledge"], rows["a1"]["evidence_weight"], rows["a1"]["action"]) == (
        "annotated",
        1.0,
        "reject",
    )
    assert rows["b0"]["verdict"] == rows["b1"]["verdict"] == "contradicted"
    assert rows["b0"]["conflicts_with"] == ["b1"]
    assert (rows["b0"]["action"], rows["b1"]["action"]) == ("review", "review")
    assert (rows["d0"]["verdict"], rows["d0"]["knowledge"], rows["d0"]["checked"]) == ("unverified", "none", [])
    assert rows["a1"]["blindness"] == pytest.approx(1 - 0.98**2)


def test_chunks_of_pictures_give_the_rows_of_the_whole() -> None:
    captions = make_captions({name: [f"A dog and {name} owl.", "A dog.", "Two dogs."] for name in "abcd"})
    boxes = make_boxes()
    whole = claim_captions(captions, boxes, None, POLICY)
    checker = CaptionChecker(boxes["label"].drop_nulls().to_list(), POLICY)
    parts = [
        checker.claim(captions.filter(pl.col("image_id") == name), boxes.filter(pl.col("image_id") == name), None)
        for name in "dbca"
    ]
    assert pl.concat(parts).sort("position", "caption_index").equals(whole)


def test_another_language_is_not_read() -> None:
    captions = make_captions({"a": ["Ein Hund.", "A dog."], "b": ["A dog."]}, language="de")
    claims = claim_captions(captions, make_boxes(), None, POLICY)
    assert not claims["read"].any()
    assert set(claims["verdict"]) == {"unverified"}
    assert claim_captions(make_captions({"b": ["A dog."]}, language=None), make_boxes(), None, POLICY)["read"].all()


def test_no_captions_no_claims() -> None:
    captions = make_captions({"a": ["An owl."]}).clear()
    assert claim_captions(captions, make_boxes(), None, POLICY).equals(TABLES["caption_claims"].empty())


def test_a_detector_looks_only_where_it_can_tell_something() -> None:
    detector = RedDetector()
    captions = make_captions(
        {
            "a": ["A zebra and an owl."],
            "c": ["A man.", "No zebra."],
            "d": ["A toy zebra and a cat."],
            "e": ["A zebra.", "A cat."],
        }
    )
    checker = CaptionChecker(["owl", "zebra"], POLICY, detector.vocabulary)
    # Zebras are annotated in this batch, and picture a has boxes: its annotations decide.
    assert checker.wanted(captions, make_boxes([("a", "owl")])) == {
        "d": frozenset({"zebra", "cat"}),
        "e": frozenset({"zebra", "cat"}),
    }


def test_detections_decide_where_nobody_annotated() -> None:
    detector = RedDetector()
    captions = make_captions({f"p{number}": ["A zebra."] for number in range(20)})
    checker = CaptionChecker([], POLICY, detector.vocabulary)
    boxes = make_boxes([])
    wanted = checker.wanted(captions, boxes)
    red, black = np.full((4, 4, 3), (200, 0, 0), np.uint8), np.zeros((4, 4, 3), np.uint8)
    pictures = ((name, red if int(name[1:]) % 2 else black) for name in wanted)
    detections = detect_objects(pictures, wanted, detector)
    assert detector.batches == [16, 4]
    assert detections.schema == DETECTION_SCHEMA
    claims = checker.claim(captions, boxes, detections)
    verdicts = {row["image_id"]: row for row in claims.iter_rows(named=True)}
    assert {verdicts[name]["verdict"] for name in ("p1", "p3")} == {"supported"}
    missed = verdicts["p0"]
    assert (missed["verdict"], missed["knowledge"], missed["action"]) == ("invented", "detected", "review")
    assert missed["evidence_weight"] == pytest.approx(1 - 0.2 / 0.9)
    assert missed["blindness"] == pytest.approx(0.2)


def test_the_nli_model_is_asked_only_what_rules_leave_open() -> None:
    model = Contradictory()
    captions = make_captions(
        {"a": ["A purple dog.", "A dog runs."], "b": ["Two dogs.", "Three dogs."], "c": ["A purple cat.", "A tree."]}
    )
    claims = claim_captions(captions, make_boxes([]), None, POLICY, entailment=model)
    assert set(model.asked) == {("A purple dog.", "A dog runs."), ("A dog runs.", "A purple dog.")}
    found = claims.filter(pl.col("image_id") == "a")["conflicts"].to_list()
    assert found[0] == ["entailment: 'A purple dog.' against 'A dog runs.' (0.99)"]
    assert claims.filter(pl.col("image_id") == "a")["conflict_confidence"].to_list() == pytest.approx([0.99, 0.99])
    assert claims.filter(pl.col("image_id") == "a")["action"].to_list() == ["review", "review"]


def test_one_call_reads_the_open_pairs_of_many_pictures_as_far_as_the_policy_pays() -> None:
    model = Contradictory()
    captions = make_captions({name: ["A purple dog.", "A dog.", "A dog sleeps."] for name in "abc"})
    checker = CaptionChecker([], FaithfulnessPolicy(max_entailment_pairs=5), (), model)
    claims = checker.claim(captions, make_boxes([]), None)
    assert (model.calls, len(model.asked)) == (1, 10)
    assert (checker.pairs.asked, checker.pairs.unread) == (5, 4)
    # All three pairs of the first picture, two of the second: the third caption of it was not read against the second.
    assert claims["conflicts_with"].list.len().to_list() == [2, 1, 1, 2, 1, 1, 0, 0, 0]
    checker.claim(captions, make_boxes([]), None)
    assert (model.calls, checker.pairs.unread) == (1, 13)


def test_the_model_must_say_so_in_both_directions() -> None:
    class OneWay(Contradictory):
        def contradiction(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
            return np.array([0.99, 0.2] * (len(pairs) // 2), np.float32)

    captions = make_captions({"a": ["A purple dog.", "A dog runs."]})
    claims = claim_captions(captions, make_boxes([]), None, POLICY, entailment=OneWay())
    assert set(claims["verdict"]) == {"unverified"}


def test_a_metered_model_is_the_model() -> None:
    counted: list[tuple[float, float]] = []
    model = timed(Contradictory(), "contradiction", lambda pairs, seconds: counted.append((pairs, seconds)))
    assert (model.identity, model.device) == (Contradictory.identity, "cpu")
    assert model.contradiction([("purple", "a"), ("b", "a")]).tolist() == pytest.approx([0.99, 0.1])
    assert counted[0][0] == 2
    assert counted[0][1] >= 0.0


def test_a_metered_detector_sees_what_the_detector_sees_and_counts_pictures_once() -> None:
    counted: list[tuple[float, float]] = []
    detector = TimedDetector(RedDetector(), lambda pictures, seconds: counted.append((pictures, seconds)))
    pictures = {"a": np.full((4, 4, 3), 255, np.uint8), "b": np.zeros((4, 4, 3), np.uint8)}
    found = detect_objects(pictures.items(), {"a": frozenset({"cat"}), "b": frozenset({"cat"})}, detector)
    assert found["seen"].to_list() == [["zebra"], []]
    assert (detector.identity, detector.device) == (RedDetector.identity, "cpu")
    assert detector.vocabulary == RedDetector.vocabulary
    assert sum(units for units, _ in counted) == 2
    assert all(seconds >= 0.0 for _, seconds in counted)


def test_the_odd_one_of_three_is_rejected() -> None:
    captions = make_captions(
        {"a": ["Two dogs run.", "Two dogs on grass.", "Three dogs."], "b": ["A red bus.", "A green bus."]}
    )
    claims = claim_captions(captions, make_boxes([]), None, POLICY)
    assert claims["action"].to_list() == ["keep", "keep", "reject", "review", "review"]


def test_actions_by_hand() -> None:
    sure, unsure = Conflict("state", "", "", 0.9), Conflict("number", "", "", 0.6)
    assert decide_actions([1.0, 0.0], {(0, 1): sure}, POLICY) == ["reject", "keep"]
    assert decide_actions([0.8, 0.0], {}, POLICY) == ["review", "keep"]
    assert decide_actions([0.0, 0.0], {(0, 1): sure}, POLICY) == ["review", "review"]
    assert decide_actions([0.0] * 3, {(0, 2): unsure, (1, 2): unsure}, POLICY) == ["review"] * 3
    assert decide_actions([0.0] * 3, {(0, 2): sure, (1, 2): sure, (0, 1): sure}, POLICY) == ["review"] * 3
    assert decide_actions([0.0], {}, POLICY) == ["keep"]
    read = Conflict("entailment", "", "", 0.99)  # the same from a rule is rejected
    assert decide_actions([0.0] * 3, {(0, 2): sure, (1, 2): sure}, POLICY) == ["keep", "keep", "reject"]
    assert decide_actions([0.0] * 3, {(0, 2): read, (1, 2): read}, POLICY) == ["review"] * 3


def test_bad_captions_are_written_back_with_their_fix() -> None:
    captions = make_captions(
        {
            "a": ["An owl and a dog."],
            "c": ["Two dogs.", "Two dogs run.", "Three dogs."],
            "d": ["A red bus.", "A green bus."],
        }
    )
    claims = claim_captions(captions, make_boxes([("a", "owl"), ("b", "dog")]), None, POLICY)
    rejected = list_rejected(claims, captions)
    assert rejected.schema == TABLES["rejected"].schema
    told = {row["record_id"]: row for row in rejected.iter_rows(named=True)}
    assert {key: row["code"] for key, row in told.items()} == {"a0": "INVENTED_OBJECT", "c2": "CONTRADICTS_SIBLING"}
    assert told["a0"]["stage"] == "caption_claims"
    assert told["a0"]["reason"] == (
        "metadata.jsonl:1: caption 'An owl and a dog.' names dog, which nobody annotated in its picture; "
        "correct the caption, or annotate what is there"
    )
    assert "contradicts 2 of its siblings (number: 'Two dogs' against 'Three dogs' (0.90))" in told["c2"]["reason"]
    review = list_for_review(claims, captions, 9)
    assert review["record_id"].to_list() == ["d0", "d1"]
    kept = claims.filter(pl.col("action") == "keep").height
    assert kept + rejected.height + review.height == captions.height
    assert review.select(SHOWN_FOR_REVIEW).row(0, named=True) == {
        "picture": "metadata.jsonl:3",
        "caption": "A red bus.",
        "claim": "color: 'A red bus' against 'A green bus' (0.90)",
        "reason": "contradicts 1 of its siblings",
        "source": "vendor",
        "annotator": None,
        "confidence": 0.9,
    }
    assert review["annotator"][1] == "ann"
    assert list_for_review(claims, captions, 1)["record_id"].to_list() == ["d0"]


def test_a_detectors_suspicion_is_told_as_one() -> None:
    detector = RedDetector()
    captions = make_captions({"a": ["A cat and a zebra."]})
    seen = pl.DataFrame(
        [{"image_id": "a", "seen": ["zebra"], "certain": ["zebra"], "clarity": 0.9}], schema=DETECTION_SCHEMA
    )
    claims = claim_captions(captions, make_boxes([]), seen, POLICY, vocabulary=detector.vocabulary)
    row = list_for_review(claims, captions, 9).row(0, named=True)
    assert (row["claim"], row["reason"]) == ("names cat", "a detector did not find it (known: zebra)")
    assert row["confidence"] == pytest.approx(1 - 0.05 / 0.9)
