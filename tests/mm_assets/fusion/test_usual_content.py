import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mm_assets.fusion.placeholders import IMAGE_END, IMAGE_START, Vocabulary, parse_content
from mm_assets.fusion.shard_index import UnresolvedReferenceError, split_reference
from mm_assets.fusion.usual_content import SpelledImages

VOCABULARY = Vocabulary(text_size=10, image_offset=10, image_codes=1_200, audio_offset=2_000)
SPELLED = SpelledImages(VOCABULARY)
SHAPES = st.tuples(st.integers(0, 4), st.integers(0, 5))


@given(arrays(np.int64, SHAPES, elements=st.sampled_from([0, 9, 10, 99, 100, 999, 1_000, 1_199])))
def test_spans_are_those_that_the_syntax_reads_back(codes):
    spans, places = SPELLED.spell(codes), SPELLED.places(codes)
    assert len(spans) == len(places) == len(codes)
    for span, own, at in zip(spans, codes, places, strict=True):
        if not len(own):
            assert span == ""
            continue
        assert parse_content(span, VOCABULARY).spans[0].codes == tuple(own.tolist())
        assert [span[start:end] for start, end in at] == [f"<IMG_TK_{code}>" for code in own]


def test_an_image_with_a_code_outside_the_vocabulary_is_not_spelled():
    assert SPELLED.spell(np.array([[3, 1_200], [7, 8], [-1, 2]])) == [
        "",
        f"{IMAGE_START}<IMG_TK_7><IMG_TK_8>{IMAGE_END}",
        "",
    ]
    none = SpelledImages(Vocabulary(text_size=10, image_offset=10, image_codes=0, audio_offset=10))
    assert none.spell(np.array([[3]])) == [""]
    assert none.places(np.array([[3]])).tolist() == [[[0, 0]]]


def test_what_stands_behind_a_span_is_told_with_whether_it_has_tags():
    span = SPELLED.spell(np.array([[7, 8]]))[0]
    assert SPELLED.text_behind(f"{span} A duck.", span) == ("A duck.", False)
    assert SPELLED.text_behind(f"{span} A <box>duck</box>.", span) == ("A duck.", True)
    assert SPELLED.text_behind(f"{span} A <IMG_TK_3>.", span) is None
    assert SPELLED.text_behind(f"{IMAGE_START}<IMG_TK_7><IMG_TK_9>{IMAGE_END} A duck.", span) is None
    assert SPELLED.text_behind("A duck.", "") is None


@pytest.mark.parametrize("row", ["0", "7", "123456789"])
def test_a_reference_is_a_path_and_a_row(row):
    assert split_reference(f"features/a b.safetensors#{row}") == ("features/a b.safetensors", int(row))


@pytest.mark.parametrize(
    "wrong", ["", "#", "#1", "a", "a#", "a#01", "a#1234567890", "a#-1", "a#1#2", "a#٣", "a#1\n", "a#²"]
)
def test_what_is_no_reference_is_refused(wrong):
    with pytest.raises(UnresolvedReferenceError, match=r"is not features/NAME\.safetensors#ROW"):
        split_reference(wrong)
