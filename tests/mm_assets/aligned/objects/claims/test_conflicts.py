import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.objects.claims.caption_reading import read_caption
from mm_assets.aligned.objects.claims.conflicts import Conflict, ReadCaption, find_conflicts, share_things
from mm_assets.aligned.objects.claims.object_classes import ObjectWords

WORDS = ObjectWords(["light bulb", "toolbox"])
SURE = 0.6
PARTS = st.sampled_from(
    [
        *(
            "a red car",
            "a blue car",
            "two dogs",
            "three dogs",
            "no dog",
            "an open door",
            "a closed door",
            "and",
            "with",
        ),
        *("a man", "a woman", "standing", "sitting", "lying", "to the left of", "on the left", "on the right", "while"),
        *("a cat", "an empty cup", "a cup of tea", "at night", "without a hat", "a hat", ",", ".", "is", "flying"),
    ]
)


def compare(first: str, second: str) -> list[Conflict]:
    one, other = (ReadCaption(text, read_caption(text), WORDS) for text in (first, second))
    return [conflict for conflict in find_conflicts(one, other) if conflict.confidence >= SURE]


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        ("denial", "A dog on a lawn.", "There is no dog on the lawn."),
        ("denial", "A man with a hat.", "A man without a hat."),
        ("denial", "A giraffe beside a mug.", "No animals, only a mug."),
        ("denial", "A cello and a ball.", "A ball, but no musical instrument."),
        ("denial", "A goat with curved horns.", "A hornless goat."),
        ("denial", "A koala and a lightbulb.", "A koala and no light bulb at all."),
        ("denial", "A giraffe next to a zebra.", "One giraffe, no other animals."),
        ("number", "Two dogs run.", "Three dogs run."),
        ("number", "A cake with five candles.", "A cake with three candles."),
        ("number", "A hen.", "Three hens."),
        ("number", "A camel with two humps.", "The camel has a single hump."),
        ("color", "A red bus.", "A green bus."),
        ("color", "A boat with red sails.", "A ship with white sails."),
        ("state", "An open book.", "A closed book."),
        ("state", "A laptop with its lid closed.", "An open laptop."),
        ("state", "An empty cup.", "A cup of coffee."),
        ("state", "A lion lying down.", "The lion is standing."),
        ("state", "A bus parked at the curb.", "A bus drives down the street."),
        ("state", "A pelican sits on a rock.", "A flying pelican."),
        ("quality", "An old car.", "A new car."),
        ("side", "A giraffe stands to the left of an owl.", "A giraffe stands to the right of an owl."),
        ("side", "A dog above a cat.", "A cat above a dog."),
        ("place", "A mug on the left.", "A mug on the right."),
        ("person", "A man rides a bike.", "A woman rides a bike."),
        ("scene", "A street at night.", "A street at noon, sunny and hot."),
    ],
)
def test_contradictions(rule: str, first: str, second: str) -> None:
    found = compare(first, second)
    assert found
    assert found[0].rule == rule
    assert compare(second, first)[0].confidence == found[0].confidence


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("A red car and a blue car.", "A blue car."),
        ("A dog and another dog.", "Two dogs."),
        ("Two people smile.", "A man smiles."),
        ("A red car.", "Two dogs."),
        ("No red car.", "A blue car."),
        ("A dark red rose.", "A red rose."),
        ("A grey mug.", "A silver mug."),
        ("A black and white cat.", "A white cat."),
        ("A man with a hat and a woman.", "A woman without a hat beside a man."),
        ("A fire hydrant stands at the curb.", "A fire hydrant sits at the curb."),
        ("People flying kites.", "People standing on a beach."),
        ("A man opens a door.", "The door is closed behind a man."),
        ("A cat, sleeping.", "A cat lies on a mat."),
        ("A giraffe and no other animals.", "A tall giraffe."),
        ("A no parking sign.", "A sign on a pole."),
        ("A pair of scissors.", "Scissors on a table."),
        ("A stack of books.", "A book."),
        ("A brown dog chases a white dog.", "A white dog runs."),
        ("A man in a red shirt and a boy.", "A boy in a blue shirt and a man."),
        ("A bus at a bus stop.", "A bus."),
        ("One of the dogs is black.", "Two dogs."),
    ],
)
def test_no_contradiction(first: str, second: str) -> None:
    assert compare(first, second) == []
    assert compare(second, first) == []


def test_a_finding_tells_the_words() -> None:
    (found,) = compare("Two dogs run.", "Three dogs run.")
    assert found.tell() == "number: 'Two dogs' against 'Three dogs' (0.90)"


def test_near_colors_are_less_sure() -> None:
    (near,) = compare("A brown cat.", "A gray cat.")
    (far,) = compare("A white cat.", "A black cat.")
    assert near.confidence < far.confidence


def test_captions_share_things_or_not() -> None:
    one, two, other = (ReadCaption(t, read_caption(t), WORDS) for t in ("A duck.", "A mallard swims.", "A tree."))
    assert share_things(one, two)
    assert not share_things(one, other)


@given(st.lists(PARTS, max_size=8).map(" ".join), st.lists(PARTS, max_size=8).map(" ".join))
def test_it_does_not_matter_which_caption_comes_first(first: str, second: str) -> None:
    there, back = compare(first, second), compare(second, first)
    assert sorted((c.rule, c.confidence, c.first, c.second) for c in there) == sorted(
        (c.rule, c.confidence, c.second, c.first) for c in back
    )


@given(st.lists(st.sampled_from(["a red car", "two dogs", "no cat", "an open door", "a man"]), max_size=5))
def test_a_caption_does_not_contradict_itself(parts: list[str]) -> None:
    text = " and ".join(parts)
    assert compare(text, text) == []
