import pytest

from mm_assets.aligned.objects.claims.object_classes import ObjectWords, chair_classes, singular

COCO_80 = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, "
    "surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, "
    "teddy bear, hair drier, toothbrush"
)


@pytest.fixture(scope="module")
def plain() -> ObjectWords:
    return ObjectWords()


def resolve(words: ObjectWords, phrase: str) -> tuple[str, str | None]:
    term = words.resolve(tuple(phrase.split()))
    return term.name, term.coarse


def test_the_classes_are_those_of_coco_with_the_published_synonyms() -> None:
    classes = chair_classes()
    assert list(classes) == COCO_80.split(", ")
    assert sum(len(words) for words in classes.values()) == 323
    assert classes["horse"][:4] == ("colt", "pony", "racehorse", "stallion")
    assert classes["tv"] == ("monitor", "televison", "television")
    assert classes["stop sign"] == ()


@pytest.mark.parametrize(
    ("phrase", "coarse"),
    [
        ("puppies", "dog"),
        ("hot dogs", "hot dog"),
        ("dog food", None),
        ("baby elephant", "elephant"),
        ("passenger train", "train"),
        ("bow tie", "tie"),
        ("toilet seat", None),
        ("motor bike", "motorcycle"),
        ("wine glasses", "wine glass"),
        ("teddy bears", "teddy bear"),
        ("knives", "knife"),
        ("buses", "bus"),
        ("women", "person"),
        ("people", "person"),
        ("mice", "mouse"),
        ("sea lion", None),
        ("rubber duck", None),
        ("carrot cake", "cake"),
        ("train track", None),
        ("fire hydrant", "fire hydrant"),
    ],
)
def test_the_longest_known_ending_decides(plain: ObjectWords, phrase: str, coarse: str | None) -> None:
    assert resolve(plain, phrase)[1] == coarse


def test_a_hot_dog_is_no_dog_and_no_animal(plain: ObjectWords) -> None:
    term = plain.resolve(("hot", "dog"))
    assert "dog" not in term.broader
    assert "animal" not in term.kinds
    assert "food" in term.kinds


def test_synonyms_share_a_name(plain: ObjectWords) -> None:
    names = {plain.resolve(tuple(phrase.split())).name for phrase in ("lightbulb", "light bulbs", "bulb")}
    assert len(names) == 1
    assert resolve(plain, "killer whale")[0] == "orca"
    assert resolve(plain, "bicycles") == ("bicycle", "bicycle")


def test_labels_of_the_batch_extend_the_vocabulary() -> None:
    words = ObjectWords(["electric guitar", "Green Apple", "pair of binoculars", "pelicans", "sea lion"])
    guitar = words.label("electric guitar")
    assert guitar is not None
    assert guitar.name == "electric guitar"
    assert guitar.broader == {"guitar"}
    assert words.is_label("electric guitar")
    assert words.covers_labels("guitar")
    assert words.is_label("apple")  # colours are no part of a name
    assert words.is_label("binoculars")
    assert words.is_label("pelican")
    assert not words.is_label("lion")
    assert words.knows(words.resolve(("guitar",)))
    assert not words.knows(words.resolve(("sky",)))


def test_a_narrower_word_knows_the_broader_one(plain: ObjectWords) -> None:
    assert "duck" in plain.resolve(("mallard",)).broader
    assert "truck" in plain.resolve(("pickup", "truck")).broader
    assert "musical instrument" in plain.resolve(("cello",)).kinds


def test_words_with_another_meaning_are_marked(plain: ObjectWords) -> None:
    assert plain.resolve(("mouse",)).homonym
    assert not plain.resolve(("computer", "mouse")).homonym
    assert plain.resolve(("pitcher",)).homonym
    assert not plain.resolve(("cat",)).homonym


@pytest.mark.parametrize(
    ("plural", "one"), [("foxes", "fox"), ("wolves", "wolf"), ("bus", "bus"), ("ties", "tie"), ("shoes", "shoe")]
)
def test_number_is_taken_off(plural: str, one: str) -> None:
    assert singular(plural) == one


def test_an_empty_label_names_nothing() -> None:
    assert ObjectWords(["  ", "-"]).labels == {}
