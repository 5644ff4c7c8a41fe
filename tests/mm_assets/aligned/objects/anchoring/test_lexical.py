import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.aligned.objects.anchoring.lexical import (
    RELATION_SCHEMA,
    Synonyms,
    relate_labels,
    split_words,
    word_forms,
)
from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon

COCO = {"bird": ["duck", "pigeon", "mallard"], "hot dog": ["hot dog"], "dog": ["puppy"], "person": ["man", "woman"]}

BUILT_IN = Synonyms()


def relate(label: str, phrase: str, classes=None) -> tuple[str, bool] | None:
    synonyms = Synonyms(classes) if classes else BUILT_IN
    rows = relate_labels([label], pl.DataFrame({"text": [phrase], "head": [phrase.rsplit(maxsplit=1)[-1]]}), synonyms)
    assert rows.schema == RELATION_SCHEMA
    return rows.select("relation", "colors_clash").row(0) if rows.height else None


@pytest.mark.parametrize(
    ("label", "phrase", "relation"),
    [
        ("rubber duck", "rubber duck", "exact"),
        ("Rubber_Duck", "rubber-duck", "exact"),
        ("mouse (animal)", "mouse", "exact"),
        ("rubber duck", "Rubber Ducks", "lemma"),
        ("person", "people", "lemma"),
        ("knife", "knives", "lemma"),
        ("lightbulb", "light bulbs", "lemma"),
        ("duck", "left duck", "lemma"),
        ("pair of binoculars", "pair of binoculars", "exact"),
        ("pair of binoculars", "binoculars", "lemma"),
        ("airplane", "plane", "synonym"),
        ("orca", "big killer whales", "synonym"),
        ("pickup truck", "blue pickup", "synonym"),
        ("rubber duck", "duck", "head"),
        ("duck", "yellow rubber duck", "head"),
        ("cup of tea", "cup", "head"),
        ("duck", "bird", "kind"),
        ("animal", "white owl", "kind"),
        ("blue fedora", "felt hat", "kind"),
        ("pickup truck", "vehicle", "kind"),
    ],
)
def test_words_that_agree(label, phrase, relation):
    assert relate(label, phrase) == (relation, False)


@pytest.mark.parametrize(
    ("label", "phrase"),
    [
        ("sea lion", "lion"),
        ("lion", "sea lion"),
        ("hot dog", "dog"),
        ("teddy bear", "brown bear"),
        ("duck", "pigeon"),
        ("man", "woman"),
        ("can", "cane"),
        ("glass", "glas"),
        ("cup of tea", "tea"),
        ("!?", "duck"),
    ],
)
def test_words_that_do_not_agree(label, phrase):
    assert relate(label, phrase) is None


def test_members_of_a_class_agree_with_it_and_not_with_each_other():
    assert relate("bird", "mallard", COCO) == ("kind", False)
    assert relate("mallard", "bird", COCO) == ("kind", False)
    assert relate("man", "person", COCO) == ("kind", False)
    assert relate("duck", "pigeon", COCO) is None
    assert relate("hot dog", "dog", COCO) is None
    assert relate("puppy", "hot dog", COCO) is None


@pytest.mark.parametrize(
    ("label", "phrase", "clash"),
    [
        ("green apple", "red apple", True),
        ("green apple", "apple", False),
        ("grey cat", "gray cat", False),
        ("black and white cat", "white cat", False),
        ("orange", "red orange", False),
    ],
)
def test_colours_clash_only_when_both_are_named(label, phrase, clash):
    found = relate(label, phrase)
    assert found is not None
    assert found[1] is clash


def test_many_labels_and_phrases_are_related_at_once():
    phrases = pl.DataFrame({"text": ["duck", "bird", "car"], "head": ["duck", "bird", "car"]})
    rows = relate_labels(["duck", "sedan", "pond"], phrases, Synonyms())
    assert rows.select("label", "phrase", "relation").rows() == [
        ("duck", "bird", "kind"),
        ("duck", "duck", "exact"),
        ("sedan", "car", "kind"),
    ]
    assert relate_labels([], phrases, Synonyms()).schema == RELATION_SCHEMA


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_agreement_in_the_same_words_is_symmetric(one, other):
    def same(label, phrase):
        found = relate_labels([label], pl.DataFrame({"text": [phrase], "head": [phrase]}), BUILT_IN)
        return found.height > 0 and found["relation"][0] == "exact"

    assert same(one, other) == same(other, one)
    assert same(one, one) == bool(split_words(one))


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12))
def test_a_word_agrees_with_itself_and_its_plural(word):
    assert word in word_forms(word)
    if len(word) > 2 and not word.endswith(("s", "x", "z", "ch", "sh", "y")):
        assert word_forms(word + "s") & word_forms(word)


def test_the_lists_hold_what_they_promise():
    lexicon = read_lexicon()
    assert lexicon.colors["grey"] == lexicon.colors["gray"] != lexicon.colors["red"]
    assert "mallard" in lexicon.kinds["animal"]
    assert all(kind not in members for kind, members in lexicon.kinds.items())
    assert all(len(terms) > 1 for terms in lexicon.synonyms)
    assert ("sea", "lion") in lexicon.closed_compounds
