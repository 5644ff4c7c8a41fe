import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.hard_negatives.llm_synthetic import is_close, kind_of
from mm_assets.hard_negatives.negatives import Edit, EditKind, apply_edits, edited_spans, find_edits

_SAMPLES = ("a", "an", "red", "blue", "duck", "owl", "on", "the", ",", ".", "2", "no-one")
_WORDS = st.lists(st.sampled_from(_SAMPLES), max_size=9).map(" ".join)


@given(_WORDS, _WORDS)
def test_edits_lead_from_one_text_to_the_other(before: str, after: str) -> None:
    edits = find_edits(before, after, EditKind.OBJECT)
    assert apply_edits(before, edits) == after
    assert (edits == ()) == (before == after)
    for edit, (start, end) in zip(edits, edited_spans(edits), strict=True):
        assert before[edit.start : edit.end] == edit.before
        assert after[start:end] == edit.after


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_can_be_edited_into_any_other(before: str, after: str) -> None:
    assert apply_edits(before, find_edits(before, after, EditKind.OBJECT)) == after


def test_an_edit_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        apply_edits("A red car", [Edit(2, 5, "blue", "green", EditKind.COLOR)])


def test_kinds_are_read_from_the_words() -> None:
    assert kind_of(Edit(0, 3, "two", "three", EditKind.OBJECT)) is EditKind.NUMBER
    assert kind_of(Edit(0, 4, "open", "closed", EditKind.OBJECT)) is EditKind.ATTRIBUTE
    assert kind_of(Edit(0, 4, "with", "with no", EditKind.OBJECT)) is EditKind.NEGATION
    assert kind_of(Edit(0, 3, "dog", "cat", EditKind.OBJECT)) is EditKind.OBJECT


def test_another_text_altogether_is_not_close() -> None:
    before = "A brown dog lies on a rug."
    for after, close in (("A black dog lies on a rug.", True), ("Spring in the mountains, seen from afar.", False)):
        assert is_close(before, after, find_edits(before, after, EditKind.OBJECT)) is close
