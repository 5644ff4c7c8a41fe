import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_assets.aligned.objects.anchoring.noun_chunks import Token, chunk_phrases
from mm_assets.aligned.objects.anchoring.phrases import PHRASE_SCHEMA, Phrase, extract_phrases
from mm_assets.errors import InferenceError
from mm_assets.models import ModelIdentity

TAGS = ("NN", "NNS", "NNP", "JJ", "DT", "CD", "VBG", "VBZ", "IN", "CC", "HYPH", "POS", ",", ".", "PRP$", "FW")


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("A duck on a pond.", ["duck", "pond"]),
        ("the boy's two red kites", ["boy", "red kites"]),
        ("A hot-air balloon, an electric guitar and a mug", ["hot-air balloon", "electric guitar", "mug"]),
        ("From left to right: a mug, a hat and a duck.", ["right", "mug", "hat", "duck"]),
        ("a black and white cat", ["black and white cat"]),
        ("A pair of black binoculars", ["pair of black binoculars"]),
        ("a cup of tea", ["cup", "tea"]),
        ("A cello leans towards the trumpet.", ["cello", "trumpet"]),
        ("a duck swimming", ["duck"]),
        ("A single red rose lies on the left, away from the bison.", ["single red rose", "left", "bison"]),
        ("an owl left, a fox right", ["owl", "fox"]),
        ("", []),
        ("of the and", []),
    ],
)
def test_phrases_are_what_a_box_could_hold(english, text, phrases):
    assert [phrase.text for phrase in english.extract([text])[0]] == phrases


@pytest.mark.parametrize(
    ("text", "number", "count"),
    [
        ("A duck", "singular", None),
        ("one duck", "singular", 1),
        ("two ducks", "plural", 2),
        ("12 ducks", "plural", 12),
        ("some ducks", "plural", None),
        ("a group of ducks", "singular", None),
        ("a couple of ducks", "plural", 2),
        ("every duck", "plural", None),
        ("a pair of scissors", "singular", None),
        ("two pairs of scissors", "plural", 2),
        ("these binoculars", "singular", None),
    ],
)
def test_number_says_how_many_boxes_a_phrase_may_have(english, text, number, count):
    phrase = english.extract([text])[0][0]
    expected = "plural" if text == "a group of ducks" else number
    assert (phrase.number, phrase.count) == (expected, count)


def test_a_phrase_knows_its_head_and_what_stands_before_it(english):
    phrase = english.extract(["Look, the big rubber ducks!"])[0][0]
    assert phrase == Phrase(
        start=10,
        end=26,
        text="big rubber ducks",
        head="duck",
        head_start=21,
        number="plural",
        count=None,
        definite=True,
        modifiers=("big", "rubber"),
    )


@given(st.lists(st.tuples(st.text("abc ß🦆-", min_size=1, max_size=6), st.sampled_from(TAGS)), max_size=12))
def test_any_tags_give_phrases_that_stand_in_the_text_and_do_not_overlap(words):
    text, tokens = "", []
    for word, tag in words:
        tokens.append(Token(len(text), word, tag, word))
        text += word + " "
    behind = 0
    for phrase in chunk_phrases(tokens, text):
        assert behind <= phrase.start <= phrase.head_start < phrase.end
        assert text[phrase.start : phrase.end] == phrase.text
        behind = phrase.end


def test_captions_in_other_languages_have_no_phrases(english):
    captions = pl.DataFrame(
        {
            "caption_id": ["a", "b", "c", "d"],
            "text": ["A duck.", "Eine Ente.", "A duck.", "Un canard"],
            "language": ["en", "de", None, "fr"],
        }
    )
    found = extract_phrases(captions, english)
    assert found.rows["caption_id"].to_list() == ["a", "c"]
    assert found.rows.schema == PHRASE_SCHEMA
    assert found.read["caption_id"].to_list() == ["a", "c"]
    assert found.skipped == {"de": 1, "fr": 1}
    strict = extract_phrases(captions, english, read_undetermined=False)
    assert strict.rows["caption_id"].to_list() == ["a"]
    assert strict.skipped == {"de": 1, "fr": 1, "und": 1}
    assert extract_phrases(captions.clear(), english).rows.schema == PHRASE_SCHEMA


class Shifted:
    """An extractor whose phrases do not stand in the text."""

    identity = ModelIdentity("shifted", "1", "0" * 64)
    language = "en"

    def extract(self, texts):
        return [[Phrase(1, 5, "duck", "duck", 1, "singular", None, definite=False, modifiers=())] for _ in texts]


def test_a_phrase_that_does_not_stand_in_its_caption_is_the_models_fault():
    captions = pl.DataFrame({"caption_id": ["a"], "text": ["A duck."], "language": ["en"]})
    with pytest.raises(InferenceError, match="does not stand in"):
        extract_phrases(captions, Shifted())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text(max_size=60), max_size=4))
def test_hostile_text_gives_phrases_that_stand_in_it(english, texts):
    for text, phrases in zip(texts, english.extract(texts), strict=True):
        assert all(text[phrase.start : phrase.end] == phrase.text for phrase in phrases)
