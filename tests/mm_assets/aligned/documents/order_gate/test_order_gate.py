import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mm_assets.aligned.documents.order_gate.document_check import (
    BoundCaption,
    FoundReference,
    ObservedDocument,
    check_document,
)
from mm_assets.aligned.documents.order_gate.order_gate import judge_order
from mm_assets.aligned.documents.order_gate.order_verdict import verdict_of_row
from mm_assets.documents.blocks import Block, Picture
from mm_assets.errors import CrossModalCode
from mm_assets.policy.order import OrderGatePolicy
from mm_assets.schemas import TABLES

POLICY = OrderGatePolicy()


def observed(blocks, bindings, name="d1", **more):
    captions = dict(bindings)
    bound = [BoundCaption(b.position, captions.get(b.position)) for b in blocks if b.type == "figure"]
    return ObservedDocument(name, f"{name}.html", blocks, bound, **more)


def shifted(blocks, bindings, step):
    captions = [blocks[caption] for _, caption in bindings]
    moved = {place: captions[(at + step) % len(captions)] for at, (_, place) in enumerate(bindings)}
    return [replace(moved[b.position], position=b.position) if b.position in moved else b for b in blocks]


def without(blocks, bindings, positions):
    kept = [block for block in blocks if block.position not in positions]
    place = {block.position: at for at, block in enumerate(kept)}
    left = [(place[f], place[c]) for f, c in bindings if f in place and c in place]
    return [replace(block, position=place[block.position]) for block in kept], left


def faults_of(document):
    return {fault.kind: fault for fault in check_document(document, POLICY).proven(POLICY)}


def test_a_sound_document_has_no_fault(captioned_blocks):
    for count in (0, 1, 2, 5, 10):
        check = check_document(observed(*captioned_blocks(count)), POLICY)
        assert check.faults == ()
        assert (check.figures, check.captioned, check.adjacent) == (count, count, count)
        assert check.pairing.recall_at_1 == (None if count < 2 else 1.0)


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("step", [1, -1])
def test_captions_shifted_by_one(captioned_blocks, count, step):
    blocks, bindings = captioned_blocks(count)
    faults = faults_of(observed(shifted(blocks, bindings, step), bindings))
    assert next(iter(faults)) == "captions_shifted"
    fault = faults["captions_shifted"]
    assert len(fault.positions) == count
    assert fault.hypothesis == f"captions_shifted({1 if count == 2 else step:+d})"


def test_embeddings_tell_a_shift_where_words_do_not(captioned_blocks):
    blocks, bindings = captioned_blocks(6)
    bare = [
        replace(b, text=f"Plate {b.position}" if b.type == "caption" else "", label=None, picture=None) for b in blocks
    ]
    likeness = np.full((6, 6), 0.2, np.float32)
    for at in range(6):
        likeness[at, at] = 0.5
    assert faults_of(observed(bare, bindings, similarity=likeness)) == {}
    moved = np.roll(likeness, 1, axis=0)
    assert set(faults_of(observed(bare, bindings, similarity=moved))) == {"captions_shifted"}


def test_lost_figures(captioned_blocks):
    blocks, bindings = captioned_blocks(8)
    assert set(faults_of(observed(*without(blocks, bindings, {bindings[3][0]})))) == {"figures_lost"}
    gone = faults_of(observed(*without(blocks, bindings, set(bindings[3]))))
    assert set(gone) == {"figures_lost"}
    assert "1 missing numbers" in gone["figures_lost"].told
    assert set(faults_of(observed(blocks, bindings, lost_pictures=[bindings[0][0]]))) == {"figures_lost"}
    last = without(blocks, bindings, set(bindings[7]))
    assert faults_of(observed(*last)) == {}, "the last of a series leaves no trace but the reference to it"
    references = [FoundReference(1, "figure", "Figure 8", None), FoundReference(1, "figure", "Figure 9", None)]
    assert set(faults_of(observed(*last, references=[*references, FoundReference(2, "figure", "Fig. 10", None)]))) == {
        "figures_lost"
    }


@pytest.mark.parametrize(("missing", "found"), [(True, {"figures_lost"}), (False, set()), (None, set())])
def test_one_caption_in_the_empty_element_of_a_figure_is_enough(missing, found):
    blocks = [
        Block(0, 1, "paragraph", "A mill, seen from the river."),
        Block(1, 1, "caption", "image", figure_missing=missing),
        Block(2, 1, "paragraph", "It grinds."),
    ]
    assert set(faults_of(observed(blocks, []))) == found


def figures_of(*pairs):
    """A document of nothing but pictures, by the names of their files, and captions."""
    blocks = []
    for file, caption in pairs:
        picture = Picture("file", f"img/{file}", None, None)
        blocks.append(Block(len(blocks), 1, "figure", "", picture=picture))
        blocks.append(Block(len(blocks), 1, "caption", caption, of=len(blocks) - 1))
    return blocks, [(at, at + 1) for at in range(0, len(blocks), 2)]


@pytest.mark.parametrize(
    "pairs",
    [
        [("singlemarkersdetected.png", "Detection of markers"), ("bitsextraction1.png", "Extracting the bits")],
        [("charucoboard.png", "ChArUco calibration views"), ("arucoboard.png", "ArUco calibration views")],
        [("walk_in.png", "Input of the filter"), ("walk_res.png", "Its output, smoothed")],
        [
            ("a1.png", "The frame"),
            ("a2.png", "The cone"),
            ("a2.png", "The cone"),
            ("a3.png", "A view"),
            ("a3.png", "A view"),
        ],
    ],
    ids=["parts of words", "longest parts", "steps", "shown twice"],
)
def test_names_of_files_tell_a_shift(pairs):
    blocks, bindings = figures_of(*pairs)
    assert faults_of(observed(blocks, bindings)) == {}
    for step in (1, -1):
        assert set(faults_of(observed(shifted(blocks, bindings, step), bindings))) == {"captions_shifted"}


def test_captions_that_say_nothing_of_their_figures_prove_nothing():
    blocks, bindings = figures_of(("morph21.gif", "Dilation"), ("morph6.gif", "Erosion"), ("x.png", "A kernel"))
    assert faults_of(observed(blocks, bindings)) == {}
    assert faults_of(observed(shifted(blocks, bindings, 1), bindings)) == {}


def test_parts_out_of_order_are_told_by_their_numbers(captioned_blocks):
    blocks, _ = captioned_blocks(8)
    moved = [*blocks[:4], *blocks[13:19], *blocks[4:13], *blocks[19:]]
    moved = [replace(block, position=at) for at, block in enumerate(moved)]
    figures = [(at, at + 1) for at, block in enumerate(moved) if block.type == "figure"]
    faults = faults_of(observed(moved, figures))
    assert set(faults) == {"blocks_out_of_order"}
    assert faults["blocks_out_of_order"].code is CrossModalCode.TEMPORAL


def test_a_batch_is_held_by_what_chance_does_not_explain(captioned_blocks):
    blocks, bindings = captioned_blocks(6)
    bad = shifted(blocks, bindings, 1)

    def batch(total, faulty):
        return judge_order(
            (observed(bad if at < faulty else blocks, bindings, f"d{at}") for at in range(total)), POLICY
        )

    assert batch(4, 0).passed
    assert not batch(4, 1).passed
    assert batch(60, 1).passed, "of sixty sound documents one is taken for faulty now and then"
    held = batch(60, 6)
    assert not held.passed
    assert held.code is CrossModalCode.FUSION
    assert [check.document_id for check, _ in held.affected] == [f"d{at}" for at in range(6)]
    assert "6 of 60 documents" in held.reason
    assert "captions_shifted(+1)" in held.reason


def test_the_verdict_is_stored_and_read_again(captioned_blocks):
    blocks, bindings = captioned_blocks(6)
    documents = [observed(shifted(blocks, bindings, 1), bindings, "d1"), observed(blocks, bindings, "d2")]
    verdict = judge_order(documents, POLICY)
    row = verdict.to_row("b1", "vendor")
    TABLES["document_order"].conform(TABLES["document_order"].empty().vstack(
        type(TABLES["document_order"].empty())([row], schema=TABLES["document_order"].schema)
    ))  # fmt: skip
    read = verdict_of_row(row)
    assert (read.gate, read.passed, read.code) == ("order", False, "ERR_CROSS_MDL_FUSION")
    assert (read.measured, read.threshold) == (0.5, verdict.allowed_share)
    assert read.diagnosis["documents_by_fault"] == {"captions_shifted(+1)": 1}
    assert read.diagnosis["document_examples"][0]["file_name"] == "d1.html"
    assert row["caption_recall_at_1"] == 0.5
    frame = verdict.to_frame("b1", POLICY)
    assert frame["faults"].to_list() == [["captions_shifted(+1)"], []]
    again = judge_order([documents[1], documents[0]], POLICY)
    assert again.evaluation_id("b1") == verdict.evaluation_id("b1"), "the order of documents does not matter"
    other = judge_order(documents[1:], POLICY)
    assert other.evaluation_id("b1") != verdict.evaluation_id("b1")
    assert json.loads(other.to_row("b1", "v")["diagnosis_json"])["hypothesis"] == "in_place"


def test_without_documents_nothing_is_judged():
    verdict = judge_order([], POLICY)
    assert verdict.passed
    assert not verdict.judged
    read = verdict_of_row(verdict.to_row("b1", "v"))
    assert read.measured is None
    assert math.isnan(verdict.affected_share)


def test_cuts_and_a_false_text_layer_hold(captioned_blocks):
    blocks, bindings = captioned_blocks(3)
    cut = judge_order([observed(blocks, bindings, f"d{at}", window_cuts=int(at == 0)) for at in range(200)], POLICY)
    assert not cut.passed
    assert cut.to_row("b", "v")["window_cuts"] == 1
    layer = faults_of(observed(blocks, bindings, ocr_disagreement={3: 0.1, 9: 0.9}))
    assert set(layer) == {"text_layer_differs"}
    assert faults_of(observed(blocks, bindings, ocr_disagreement={3: 0.1})) == {}
