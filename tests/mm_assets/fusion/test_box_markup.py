import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mm_assets.errors import FormatError
from mm_assets.fusion.box_markup import check_boxes, decode_boxes, find_boxed, read_anchored_text, strip_tags
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.placeholders import inspect_content
from mm_assets.fusion.samples import Box

CORNERS = (1.0, 2.0, 30.0, 40.0)
CONTENT = "A <box>duck</box> and <box>two mugs</box>"
DUCK, MUGS = (7, 11), (27, 35)


def faults(content, *boxes, tags_required=True):
    return set(check_boxes(content, [Box(*box) for box in boxes], tags_required=tags_required))


def test_boxes_go_with_their_tags():
    assert find_boxed(CONTENT) == [DUCK, MUGS]
    assert faults(CONTENT, (DUCK, CORNERS), (MUGS, CORNERS)) == set()
    assert faults(CONTENT, (MUGS, CORNERS), (DUCK, CORNERS), (MUGS, (0, 0, 1, 1))) == set()


@pytest.mark.parametrize("boxes", [[], [(DUCK, CORNERS)], [(DUCK, CORNERS), (MUGS, CORNERS), ((2, 6), CORNERS)]])
def test_a_tag_without_box_and_a_box_without_tag_are_faults(boxes):
    assert faults(CONTENT, *boxes) == {LintCode.BOX_MISMATCH}


@pytest.mark.parametrize("phrase", [(7, 12), (8, 11), (7, 7), (11, 7), (-4, 11), (27, 99)])
def test_offsets_must_be_those_of_the_phrase(phrase):
    found = faults(CONTENT, (phrase, CORNERS), (DUCK, CORNERS), (MUGS, CORNERS))
    assert LintCode.BOX_MISMATCH in found or LintCode.INVALID_BOX in found
    outside = phrase[0] >= phrase[1] or phrase[0] < 0 or phrase[1] > len(CONTENT)
    assert (LintCode.INVALID_BOX in found) == outside


@pytest.mark.parametrize(
    "corners", [(3, 2, 1, 4), (1, 4, 3, 2), (1, 2, 1, 4), (-1, 2, 3, 4), (1, 2, math.inf, 4), (1, math.nan, 3, 4)]
)
def test_corners_must_be_ordered_and_finite(corners):
    assert faults(CONTENT, (DUCK, corners), (MUGS, CORNERS)) == {LintCode.INVALID_BOX}


def test_text_without_tags_may_have_boxes_unless_they_are_required():
    assert faults("A duck", ((2, 6), CORNERS), tags_required=False) == set()
    assert faults("A duck", ((2, 6), CORNERS)) == {LintCode.BOX_MISMATCH}
    assert faults("A duck", ((2, 7), CORNERS), tags_required=False) == {LintCode.INVALID_BOX}
    assert faults("A duck") == set()


def test_content_comes_apart_into_text_and_places():
    image = "<|image_start|><IMG_TK_3><IMG_TK_9><|image_end|> "
    moved = [Box((start + len(image), end + len(image)), CORNERS) for start, end in (MUGS, DUCK)]
    text, boxes = read_anchored_text(image + CONTENT, moved)
    assert text == "A duck and two mugs"
    assert [text[slice(*box.phrase)] for box in boxes] == ["two mugs", "duck"]
    with pytest.raises(FormatError, match="BOX_MISMATCH"):
        read_anchored_text(image + CONTENT, moved[:1])
    with pytest.raises(FormatError, match="UNPAIRED_SENTINEL"):
        read_anchored_text(image + "A <box>duck", [])


def test_boxes_of_a_row_are_decoded():
    assert decode_boxes(None) == []
    assert decode_boxes('[{"phrase":[2,6],"xyxy":[1.5,2,3e1,4]}]') == [Box((2, 6), (1.5, 2.0, 30.0, 4.0))]


FRAGMENTS = (
    "<box>", "</box>", "duck", "&lt;", "&gt;", "/box>", "<", ">", "IMG_TK_3", "<|image_start|>", "<|image_end|>",
    "<IMG_TK_3>", "|>", " ", "%3C", "box", "_start", "\\u003c", "<b", "ox>",
)  # fmt: skip


@settings(max_examples=500)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=9).map("".join))
@example("<box><b</box>ox>")
def test_stripped_content_has_the_faults_and_the_text_of_the_whole(content):
    stripped = strip_tags(content)
    if stripped is not None:
        parsed, found = inspect_content(content)
        bare, left = inspect_content(stripped)
        assert set(found) == set(left)
        assert parsed.text == bare.text
        assert parsed.codes() == bare.codes()


def test_the_usual_object_content_is_stripped():
    image = "<|image_start|><IMG_TK_3><|image_end|> "
    assert strip_tags(image + CONTENT) == image + "A duck and two mugs"
    assert strip_tags("<box>" + image + "</box>") is None
    assert strip_tags(image + "a </box> duck <box>") is None
