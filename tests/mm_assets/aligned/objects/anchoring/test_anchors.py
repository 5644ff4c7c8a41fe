import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_assets.aligned.objects.anchoring.anchors import anchor_boxes, find_candidates, keep_plausible
from mm_assets.aligned.objects.anchoring.lexical import Synonyms
from mm_assets.errors import EmbeddingShapeError
from mm_assets.policy import AnchoringPolicy
from mm_assets.schemas import TABLES

POLICY = AnchoringPolicy()
SYNONYMS = Synonyms()
LEFT, MIDDLE, RIGHT = (10, 100, 90, 200), (160, 100, 240, 200), (310, 100, 390, 200)
NO_CROPS = pl.DataFrame(schema={"box_id": pl.String, "reading": pl.String, "embedding": pl.List(pl.Float32)})


def vectors(texts, meanings):
    """Unit vectors: a text that holds a word of the meanings points there, others nowhere in particular."""
    rows = np.zeros((len(texts), 8), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        found = [axis for word, axis in meanings.items() if word in text]
        row[found[0] if found else 7] = 1.0
    return rows


def crops(seen):
    rows = [(box, "as_given", np.eye(8, dtype=np.float32)[axis].tolist()) for box, axis in seen.items()]
    return pl.DataFrame(rows, schema=NO_CROPS.schema, orient="row")


def align(boxes, extracted, seen=None, meanings=None, policy=POLICY):
    first = find_candidates(boxes, extracted, policy, SYNONYMS)
    left = keep_plausible(first, vectors(first.words, meanings or {}), policy)
    return anchor_boxes(left, crops(seen or {}), vectors(left.phrase_texts, meanings or {}), policy)


def told(aligned):
    columns = ("box_id", "phrase", "phrase_start", "lexical", "verdict")
    return {(row[0], row[1]): row[2:] for row in aligned.rows.select(columns).iter_rows()}


def test_boxes_go_to_the_phrases_that_name_them(make_boxes, read_captions):
    boxes = make_boxes([("i1", "duck", LEFT), ("i1", "green apple", MIDDLE), ("i1", "hot air balloon", RIGHT)])
    aligned = align(boxes, read_captions([("i1", "A duck, an apple and two clouds.")]), meanings={"cloud": 1})
    assert told(aligned) == {
        ("box_0", "duck"): (2, "exact", "anchored"),
        ("box_1", "apple"): (11, "head", "anchored"),
        ("box_2", "hot air balloon"): (None, "none", "label_only"),
    }
    assert aligned.rows.schema == TABLES["object_alignments"].schema
    assert aligned.rows["score"].null_count() == 3
    assert (aligned.boxes, aligned.crops_encoded, aligned.crops_saved) == (3, 0, 3)
    assert aligned.verdicts == {"anchored": 2, "label_only": 1}


def test_the_better_agreement_wins(make_boxes, read_captions):
    boxes = make_boxes([("i1", "duck", LEFT), ("i1", "rubber duck", RIGHT)])
    aligned = align(boxes, read_captions([("i1", "A rubber duck beside a duck")]))
    assert {key for key, row in told(aligned).items() if row[2] == "anchored"} == {
        ("box_0", "duck"),
        ("box_1", "rubber duck"),
    }


def test_several_boxes_share_a_plural_phrase_up_to_its_count(make_boxes, read_captions):
    three = [("i1", "duck", corners) for corners in (LEFT, MIDDLE, RIGHT)]
    shared = align(make_boxes(three), read_captions([("i1", "Ducks on a pond")]))
    assert shared.verdicts == {"anchored": 3}
    too_many = align(make_boxes(three), read_captions([("i1", "Two ducks on a pond")]))
    assert too_many.verdicts == {"ambiguous": 3}
    enough = align(make_boxes(three[:2]), read_captions([("i1", "Two ducks on a pond")]))
    assert enough.verdicts == {"anchored": 2}


def test_twins_are_told_apart_by_what_the_caption_says_of_their_place(make_boxes, read_captions):
    twins = make_boxes([("i1", "duck", RIGHT), ("i1", "duck", LEFT)])
    for caption in (
        "A duck on the left and another duck",
        "From left to right: a duck and a duck",
        "The left duck looks at the right duck",
    ):
        aligned = align(twins, read_captions([("i1", caption)]))
        starts = {row[0]: row[1] for row in aligned.rows.select("box_id", "phrase_start").iter_rows()}
        assert aligned.verdicts == {"anchored": 2}
        assert starts["box_1"] < starts["box_0"]


def test_twins_that_nothing_tells_apart_are_ambiguous_and_cost_no_crop(make_boxes, read_captions):
    boxes = make_boxes([("i1", "duck", RIGHT), ("i1", "duck", LEFT)])
    for caption in ("A duck and another duck", "A duck"):
        aligned = align(boxes, read_captions([("i1", caption)]))
        assert aligned.verdicts == {"ambiguous": 2}
        assert aligned.crops_encoded == 0


def test_twins_that_are_described_are_told_apart_by_their_crops(make_boxes, read_captions):
    boxes = make_boxes([("i1", "duck", RIGHT), ("i1", "duck", LEFT)])
    extracted = read_captions([("i1", "A yellow duck and a black duck")])
    first = find_candidates(boxes, extracted, POLICY, SYNONYMS)
    assert first.box_ids == ["box_0", "box_1"]
    assert first.phrase_texts == ["black duck", "yellow duck"]
    meanings = {"black": 0, "yellow": 1}
    aligned = align(boxes, extracted, {"box_0": 0, "box_1": 1}, meanings)
    assert told(aligned) == {
        ("box_0", "black duck"): (20, "head", "anchored"),
        ("box_1", "yellow duck"): (2, "head", "anchored"),
    }
    assert aligned.rows["score"].to_list() == [1.0, 1.0]
    assert (aligned.crops_encoded, aligned.crops_saved) == (2, 0)
    undecided = align(boxes, extracted, {"box_0": 5, "box_1": 5}, meanings)
    assert undecided.verdicts == {"ambiguous": 2}
    missing = align(boxes, extracted, {"box_0": 0}, meanings)
    assert missing.verdicts == {"ambiguous": 2}


def test_other_words_are_tried_only_when_they_mean_something_alike(make_boxes, read_captions):
    boxes = make_boxes([("i1", "zorple", LEFT), ("i1", "quiff", RIGHT)])
    extracted = read_captions([("i1", "A strange contraption")])
    meanings = {"zorple": 2, "contraption": 2, "quiff": 3}
    first = find_candidates(boxes, extracted, POLICY, SYNONYMS)
    assert first.words == ["contraption", "quiff", "zorple"]
    assert first.box_ids == ["box_0", "box_1"]
    left = keep_plausible(first, vectors(first.words, meanings), POLICY)
    assert left.box_ids == ["box_0"]
    assert left.saved_crops == 1
    assert align(boxes, extracted, {"box_0": 2}, meanings).verdicts == {"anchored": 1, "label_only": 1}
    unlike = align(boxes, extracted, {"box_0": 4}, meanings, POLICY.model_copy(update={"min_evidence": 1.5}))
    assert unlike.verdicts == {"label_only": 2}


def test_what_is_known_to_be_another_thing_is_not_tried(make_boxes, read_captions):
    boxes = make_boxes([("i1", "bus", LEFT)])
    first = find_candidates(boxes, read_captions([("i1", "A daffodil in the background")]), POLICY, SYNONYMS)
    assert first.box_ids == []


def test_a_box_without_a_label_is_found_by_its_crop(make_boxes, read_captions):
    boxes = make_boxes([("i1", None, LEFT), ("i1", None, RIGHT)])
    extracted = read_captions([("i1", "A duck and a mug")])
    aligned = align(boxes, extracted, {"box_0": 1, "box_1": 0}, {"duck": 0, "mug": 1})
    assert told(aligned) == {
        ("box_0", "mug"): (13, "none", "anchored"),
        ("box_1", "duck"): (2, "none", "anchored"),
    }
    bare = align(boxes, read_captions([]))
    assert bare.rows["phrase"].to_list() == ["", ""]


@pytest.mark.parametrize(
    ("label", "corners", "caption"),
    [
        ("green apple", LEFT, "A red apple"),
        ("duck", RIGHT, "A duck on the left"),
        ("duck", (160, 220, 240, 299), "A duck in the top right corner"),
    ],
)
def test_a_box_that_its_caption_contradicts_is_mismatched(make_boxes, read_captions, label, corners, caption):
    aligned = align(make_boxes([("i1", label, corners)]), read_captions([("i1", caption)]))
    assert aligned.verdicts == {"mismatched": 1}


def test_mirrored_boxes_contradict_a_row_from_left_to_right(make_boxes, read_captions):
    labels = ("duck", "mug", "owl")
    captions = read_captions([("i1", "From left to right: a duck, a mug and an owl.")])
    right = make_boxes([("i1", label, corners) for label, corners in zip(labels, (LEFT, MIDDLE, RIGHT), strict=True)])
    wrong = make_boxes([("i1", label, corners) for label, corners in zip(labels, (RIGHT, MIDDLE, LEFT), strict=True)])
    assert align(right, captions).verdicts == {"anchored": 3}
    assert align(wrong, captions).verdicts == {"mismatched": 3}


def test_a_thing_named_again_is_anchored_where_it_is_named_first(make_boxes, read_captions):
    aligned = align(make_boxes([("i1", "duck", LEFT)]), read_captions([("i1", "A duck swims. The duck is happy.")]))
    assert told(aligned) == {("box_0", "duck"): (2, "exact", "anchored")}


def test_words_the_tagger_missed_and_longer_labels_are_found(make_boxes, read_captions):
    boxes = make_boxes([("i1", "spider playing soccer", LEFT), ("i1", "string of garlic", RIGHT)])
    aligned = align(boxes, read_captions([("i1", "A spider playing soccer beside a string of garlic")]))
    assert {key[1] for key in told(aligned)} == {"spider playing soccer", "string of garlic"}
    assert aligned.verdicts == {"anchored": 2}
    lion = align(make_boxes([("i1", "lion", LEFT)]), read_captions([("i1", "A sea lion")]))
    assert lion.verdicts == {"label_only": 1}


def test_captions_in_other_languages_leave_boxes_to_their_labels(make_boxes, read_captions):
    aligned = align(make_boxes([("i1", "duck", LEFT)]), read_captions([("i1", "A duck")], language="de"))
    assert aligned.verdicts == {"label_only": 1}


def test_crowds_are_not_sorted_out(make_boxes, read_captions):
    boxes = make_boxes([("i1", "duck", (place, 0, place + 1, 1)) for place in range(10)])
    policy = POLICY.model_copy(update={"max_tied_boxes": 9})
    aligned = align(boxes, read_captions([("i1", "A yellow duck on the left")]), policy=policy)
    assert aligned.verdicts == {"ambiguous": 10}
    assert aligned.crops_encoded == 0


def test_embeddings_must_be_those_that_were_asked_for(make_boxes, read_captions):
    boxes = make_boxes([("i1", "zorple", LEFT)])
    first = find_candidates(boxes, read_captions([("i1", "A contraption")]), POLICY, SYNONYMS)
    with pytest.raises(EmbeddingShapeError, match="2 words"):
        keep_plausible(first, np.zeros((1, 8), np.float32), POLICY)
    with pytest.raises(EmbeddingShapeError, match="1 phrases"):
        anchor_boxes(first, NO_CROPS, np.zeros((2, 8), np.float32), POLICY)
    with pytest.raises(EmbeddingShapeError, match="one encoder"):
        anchor_boxes(first, crops({"box_0": 1}), np.zeros((1, 4), np.float32), POLICY)


LABELS = ("duck", "rubber duck", "mug", "green apple", "zorple", None)
WORDS = ("a duck", "two ducks", "the yellow duck", "a mug on the left", "ducks", "a red apple", "a bird", "a thing")
SCENES = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(LABELS), st.integers(0, 300), st.integers(10, 90)), max_size=4),
        st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" and ".join), max_size=2),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SCENES, st.integers(0, 99))
def test_rows_keep_their_promises(make_boxes, read_captions, scenes, seed):
    boxes = make_boxes([(f"i{n}", label, (x, 0, x + w, w)) for n, (own, _) in enumerate(scenes) for label, x, w in own])
    captions = [(f"i{n}", text) for n, (_, own) in enumerate(scenes) for text in own]
    extracted = read_captions(captions)
    draw = np.random.default_rng(seed)
    seen = {box: int(draw.integers(0, 8)) for box in boxes["box_id"]}
    meanings = {"yellow": 0, "bird": 1, "thing": 2, "zorple": 2, "duck": 3}
    aligned = align(boxes, extracted, seen, meanings)
    assert aligned.rows.equals(align(boxes.reverse(), extracted, seen, meanings).rows)
    rows = aligned.rows
    assert set(rows["box_id"]) == set(boxes["box_id"])
    assert not rows.select("box_id", "caption_id").is_duplicated().any()
    assert not rows["sample_id"].is_duplicated().any()
    texts = {f"cap_{n}": text for n, (_, text) in enumerate(captions)}
    number_of = {
        (c, s): (n, k) for c, s, n, k in extracted.rows.select("caption_id", "start", "number", "count").iter_rows()
    }
    taken = {}
    for row in rows.iter_rows(named=True):
        if row["caption_id"] is None:
            assert row["verdict"] == "label_only"
            assert rows.filter(pl.col("box_id") == row["box_id"]).height == 1
            continue
        assert texts[row["caption_id"]][row["phrase_start"] : row["phrase_end"]] == row["phrase"]
        assert row["verdict"] in {"anchored", "ambiguous", "mismatched"}
        if row["verdict"] == "anchored":
            taken.setdefault((row["caption_id"], row["phrase_start"]), []).append(row["box_id"])
    for key, sharing in taken.items():
        number, count = number_of.get(key, ("singular", None))
        assert len(sharing) <= (1 if number == "singular" else count or len(sharing))
    for (one_caption, _), (other_caption, _) in itertools.combinations(taken, 2):
        assert one_caption in texts
        assert other_caption in texts
    alone = [
        align(boxes.filter(pl.col("image_id") == image), read_captions(captions), seen, meanings).rows
        for image in boxes["image_id"].unique(maintain_order=True)
    ]
    if alone:
        assert pl.concat(alone).sort("sample_id").equals(rows.sort("sample_id"))
