from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.objects.anchoring.cue_support import Placed, contradict_cues, support_cues
from mm_assets.aligned.objects.anchoring.cues import TRIGGER, Cue, find_cues
from mm_assets.policy import AnchoringPolicy

POLICY = AnchoringPolicy()


def read(english, text):
    phrases = english.extract([text])[0]
    return {
        (phrases[cue.phrase].text, cue.axis, cue.side, cue.rank, None if cue.other is None else phrases[cue.other].text)
        for cue in find_cues(text, phrases)
    }


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("A duck on the left and another duck.", {("duck", "x", -1, None, None)}),
        ("the left hand of the man on the right", {("man", "x", 1, None, None)}),
        ("A frog sitting in the bottom left corner", {("frog", "x", -1, None, None), ("frog", "y", 1, None, None)}),
        ("On the left a dog barks.", {("dog", "x", -1, None, None)}),
        ("The second duck from the right", {("second duck", "x", 1, 1, None)}),
        ("The larger owl sleeps", {("larger owl", "area", 1, None, None)}),
        ("an owl left, a fox", {("owl", "x", -1, None, None)}),
        ("A duck to the left of a chair", {("duck", "x", -1, None, "chair"), ("chair", "x", 1, None, "duck")}),
        ("Below a whale sits an owl", {("owl", "y", 1, None, "whale"), ("whale", "y", -1, None, "owl")}),
        ("a top hat", set()),
        ("an owl on the left of the road", {("owl", "x", -1, None, "road"), ("road", "x", 1, None, "owl")}),
        ("an owl on the left side of the road", set()),
        ("an owl on the left side of the picture", {("owl", "x", -1, None, None)}),
        ("A duck left the pond", set()),
        ("A duck and a mug", set()),
    ],
)
def test_what_a_caption_says_about_place(english, text, cues):
    assert read(english, text) == cues


def test_a_row_from_left_to_right_orders_all_its_phrases(english):
    found = read(english, "From left to right: a mug, a hat and a duck. A cat")
    pairs = [("mug", "hat"), ("mug", "duck"), ("hat", "duck")]
    expected = {(a, "x", -1, None, b) for a, b in pairs} | {(b, "x", 1, None, a) for a, b in pairs}
    assert found == expected


@given(st.text(max_size=80), st.lists(st.integers(0, 80), max_size=6))
def test_any_text_gives_cues_about_its_phrases(text, cuts):
    places = sorted({cut for cut in cuts if cut <= len(text)})
    phrases = [
        SimpleNamespace(start=start, end=end, head=text[start:end], modifiers=["left"])
        for start, end in zip(places[::2], places[1::2], strict=False)
    ]
    for cue in find_cues(text, phrases):
        assert 0 <= cue.phrase < len(phrases)
        assert cue.other is None or 0 <= cue.other < len(phrases)


def test_every_cue_has_its_trigger(english):
    texts = ["A duck on the left", "the biggest owl", "a cat above a dog", "the central tree", "the tiniest frog"]
    for text in texts:
        assert find_cues(text, english.extract([text])[0])
        assert any(map(bool, __import__("re").findall(TRIGGER, text)))


def placed(*centres: tuple[float, float, float]) -> Placed:
    corners = np.array([[x - s, y - s, x + s, y + s] for x, y, s in centres])
    return Placed.of(corners, 100.0, 100.0)


def test_boxes_fit_cues_by_rank_relation_and_size():
    boxes = placed((20, 50, 5), (50, 50, 10), (80, 50, 5))
    allowed = np.ones((3, 2), dtype=bool)
    singular = [False, False]

    def fit(*cues):
        return support_cues(boxes, allowed, singular, cues, POLICY)[:, 0].tolist()

    assert fit(Cue(0, "x", -1)) == [1, 0, 0]
    assert fit(Cue(0, "x", 1)) == [0, 0, 1]
    assert fit(Cue(0, "x", 0)) == [0, 1, 0]
    assert fit(Cue(0, "x", -1, rank=1)) == [0, 1, 0]
    assert fit(Cue(0, "area", 1)) == [0, 1, 0]
    assert fit(Cue(0, "area", -1)) == [1, 0, 1]
    assert fit(Cue(0, "x", -1, other=1)) == [1, 0.5, 0]
    assert fit() == [0, 0, 0]
    assert support_cues(boxes, allowed, [True, False], [Cue(0, "x", -1)], POLICY)[:, 0].tolist() == [1, 0, 0]
    alone = np.array([[True, True], [False, True], [False, True]])
    assert support_cues(boxes, alone, singular, [Cue(0, "x", 1)], POLICY)[:, 0].tolist() == [0, 0, 0]


def test_only_a_single_box_can_contradict_its_caption():
    boxes = placed((20, 50, 5), (80, 50, 5))
    one_each = np.eye(2, dtype=bool)
    assert contradict_cues(boxes, one_each, [Cue(0, "x", 1)], POLICY).tolist() == [[True, False], [False, False]]
    assert not contradict_cues(boxes, one_each, [Cue(0, "x", -1), Cue(1, "x", 1)], POLICY).any()
    assert not contradict_cues(boxes, one_each, [Cue(0, "x", 1, rank=0), Cue(0, "area", 1)], POLICY).any()
    assert not contradict_cues(boxes, np.ones((2, 2), dtype=bool), [Cue(0, "x", 1)], POLICY).any()
    relation = [Cue(0, "x", 1, other=1), Cue(1, "x", -1, other=0)]
    assert contradict_cues(boxes, one_each, relation, POLICY).tolist() == [[True, False], [False, True]]
    middle = placed((45, 50, 5), (80, 50, 5))
    assert not contradict_cues(middle, one_each, [Cue(0, "x", 1)], POLICY).any()
