import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mm_assets.aligned.objects.claims.caption_reading import NounPhrase, read_caption

WORDS = [
    *("a", "an", "the", "two", "three", "no", "not", "without", "or", "and", "but", "of", "in", "on", "with", "dog"),
    *("cat", "red", "black", "blue", "owls", "lion", "standing", "sitting", "lies", "flies", "open", "closed", "box"),
    *("lid", "man", "woman's", "hat", "pair", "group", "cup", "coffee", "is", "are", "missing", "big", "hornless"),
    *("white", "other", "nobody", "who", "that", "looks", "like", "to", "left", "right", ",", ".", ";", ":", "(", ")"),
    *('"', "7", "\u2019", "\U0001f986", "is missing", "a pair of", "to the left of", "from left to right"),
]


def heads(text: str) -> list[str]:
    return [phrase.head for phrase in read_caption(text).phrases]


def only(text: str, head: str) -> NounPhrase:
    (found,) = [phrase for phrase in read_caption(text).phrases if phrase.head == head]
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A gorilla walking on all fours beside a blue cricket ball.", ["gorilla", "ball"]),
        ("A violin and a trumpet lie next to a blue fedora.", ["violin", "trumpet", "fedora"]),
        ("A squirrel eyes a green iguana, and a tiger sleeps.", ["squirrel", "iguana", "tiger"]),
        ("A bus stops at a bus stop with telephone lines in the sky.", ["bus", "stop", "lines", "sky"]),
        ("A dog's tail.", ["dog", "tail"]),
        ("A stack of three books and a cup of tea", ["books", "cup", "tea"]),
        ("A picture of a dog and a cat.", ["dog", "cat"]),
        ("A man who is getting ready to hit the ball.", ["man", "ball"]),
        ("A plate with a slice of orange.", ["plate", "orange"]),
        ("A camel with two humps stands in its pen.", ["camel", "humps", "pen"]),
        ("", []),
    ],
)
def test_the_things_a_caption_names(text: str, expected: list[str]) -> None:
    assert heads(text) == expected


@pytest.mark.parametrize(
    ("text", "head", "count", "counted"),
    [
        ("Three hens.", "hens", 3, True),
        ("A hen.", "hen", 1, False),
        ("Some hens.", "hens", None, False),
        ("A pair of shoes.", "shoes", 2, True),
        ("Two pairs of shoes.", "shoes", 4, True),
        ("A pair of binoculars.", "binoculars", None, False),
        ("A couple of birds.", "birds", None, False),
        ("A four sided clock.", "clock", None, False),
        ("Two single beds.", "beds", 2, True),
        ("A camel with a single hump.", "hump", 1, True),
        ("A mantis.", "mantis", 1, False),
        ("12 eggs in a box.", "eggs", 12, True),
        ("Half a dozen eggs.", "eggs", 6, True),
    ],
)
def test_counts(text: str, head: str, count: int | None, counted: bool) -> None:
    phrase = only(text, head)
    assert (phrase.count, phrase.counted) == (count, counted)


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("No dogs, only a cat.", {"dogs"}),
        ("No dogs or cats here, just a bird.", {"dogs", "cats"}),
        ("A bike without a seat.", {"seat"}),
        ("There isn't any dog here.", {"dog"}),
        ("A sleepy koala hugging a log, not a bear at all.", {"bear"}),
        ("A camel and a duck, but the rose is missing.", {"rose"}),
        ("A hornless goat.", {"horn"}),
        ("Nobody is on the beach.", {"person"}),
        ("A horse instead of a donkey.", {"donkey"}),
        ("Not only a dog but a cat.", set()),
        ("A no parking sign.", set()),
        ("Without using hands, a man eats.", set()),
        ("The door isn't open.", set()),
    ],
)
def test_what_is_denied(text: str, denied: set[str]) -> None:
    assert {phrase.head for phrase in read_caption(text).phrases if phrase.denied} == denied


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        ("A mug the size of a gorilla.", {"gorilla"}),
        ("A mushroom that looks like a helmet.", {"helmet"}),
        ("A statue of a horse.", {"horse"}),
        ("A dog or a wolf.", {"dog", "wolf"}),
        ('A sign that says "bus".', {"bus"}),
        ("A rake for leaves.", {"leaves"}),
        ("A boy about to hit a ball.", {"ball"}),
        ("A drawing of a duck.", set()),
    ],
)
def test_what_is_less_than_a_claim(text: str, doubtful: set[str]) -> None:
    assert {phrase.head for phrase in read_caption(text).phrases if phrase.doubtful} == doubtful


@pytest.mark.parametrize(
    ("text", "head", "states"),
    [
        ("A pelican is sitting on the ground.", "pelican", {"sitting"}),
        ("A flying pelican.", "pelican", {"flying"}),
        ("A padlock, closed.", "padlock", {"closed"}),
        ("A laptop with its lid closed.", "lid", {"closed"}),
        ("A cup of coffee.", "cup", {"full"}),
        ("A half empty cup.", "cup", set()),
        ("People flying kites.", "People".lower(), set()),
        ("An airplane in flight.", "airplane", {"flying"}),
        ("A lion is not sleeping.", "lion", set()),
    ],
)
def test_states(text: str, head: str, states: set[str]) -> None:
    assert only(text, head).states == states


def test_qualities_and_owners() -> None:
    reading = read_caption("A black and white cat with a red collar and a bell.")
    cat, collar, bell = reading.phrases
    assert cat.qualities == {"black", "white"}
    assert (collar.owner, bell.owner) == (0, 0)
    assert cat.owner is None
    assert collar.link == "with"


def test_sides_places_and_scenes() -> None:
    reading = read_caption("At night a giraffe stands to the left of an owl, a drum on the right.")
    named = [phrase.head for phrase in reading.phrases]
    ((subject, side, place),) = reading.relations
    assert (named[subject], side, named[place]) == ("giraffe", "left", "owl")
    assert reading.phrases[named.index("drum")].places == {"right"}
    assert reading.scenes == {"night"}


def test_an_order_from_left_to_right_relates_neighbours() -> None:
    reading = read_caption("From left to right: a mug, a guitar and a balloon.")
    assert reading.relations == ((0, "left", 1), (1, "left", 2))


@given(st.lists(st.sampled_from(WORDS), max_size=16).map(" ".join))
@example("without")
@example("a pair of")
@example("no one's")
def test_any_caption_reads_and_its_phrases_stand_in_it(text: str) -> None:
    reading = read_caption(text)
    for phrase in reading.phrases:
        assert 0 <= phrase.start < phrase.end <= len(text)
        assert phrase.words
        assert phrase.owner is None or 0 <= phrase.owner < len(reading.phrases)
    for subject, _, place in reading.relations:
        assert subject < len(reading.phrases)
        assert place < len(reading.phrases)


@given(st.text(max_size=120))
def test_any_text_reads(text: str) -> None:
    assert all(phrase.end <= len(text) for phrase in read_caption(text).phrases)
