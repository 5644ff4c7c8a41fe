import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.objects.transforms.side_rules import Sense
from mm_assets.aligned.objects.transforms.sides import (
    SidesError,
    find_frame_words,
    find_heights,
    find_sides,
    swap_sides,
)

MIRRORED = {Sense.SCENE, Sense.BODY, Sense.DIRECTION}
KEPT = {Sense.IDIOM}

# Judged by hand, before and apart from the rules' answers.
SWAPPED = [
    ("A dog on the left and a cat on the right.", "A dog on the right and a cat on the left."),
    ("The left hand of the man on the right", "The right hand of the man on the left"),
    ("A man stands to the left of a red car.", "A man stands to the right of a red car."),
    ("A boat left of the pier", "A boat right of the pier"),
    ("The cat is left of the dog.", "The cat is right of the dog."),
    ("The leftmost bird has a worm.", "The rightmost bird has a worm."),
    ("Top left: a clock; bottom right: a vase.", "Top right: a clock; bottom left: a vase."),
    ("A lamp in the upper left corner of the picture", "A lamp in the upper right corner of the picture"),
    ("The upper-left corner shows a logo.", "The upper-right corner shows a logo."),
    ("From left to right: a cup, a plate and a bowl.", "From right to left: a cup, a plate and a bowl."),
    ("Three women, from left, sit on a bench.", "Three women, from right, sit on a bench."),
    ("Mary (left) and Tom (right) shake hands.", "Mary (right) and Tom (left) shake hands."),
    ("Mary, left, and Tom, right, shake hands.", "Mary, right, and Tom, left, shake hands."),
    ("A woman at far right holds an umbrella.", "A woman at far left holds an umbrella."),
    ("The second horse from the right is white.", "The second horse from the left is white."),
    ("On the left-hand side there is a door.", "On the right-hand side there is a door."),
    ("A tree on the right hand side", "A tree on the left hand side"),
    ("The left side of the picture is dark.", "The right side of the picture is dark."),
    ("A truck drives in the left lane.", "A truck drives in the right lane."),
    ("The left dog is larger than the other.", "The right dog is larger than the other."),
    ("The left elephant is bigger than the right elephant.", "The right elephant is bigger than the left elephant."),
    ("LEFT: a fox. RIGHT: a hare.", "RIGHT: a fox. LEFT: a hare."),
    ("To the right, two children play.", "To the left, two children play."),
    ("In the background on the left a church", "In the background on the right a church"),
    ("A girl on the right with a red balloon", "A girl on the left with a red balloon"),
    ("There is a bottle to the far left.", "There is a bottle to the far right."),
    ("A sofa along the left wall", "A sofa along the right wall"),
    ("Boats lie on both the left and right banks.", "Boats lie on both the right and left banks."),
    ("On the right behind the fence stands a cow.", "On the left behind the fence stands a cow."),
    ("A plane flies from right to left.", "A plane flies from left to right."),
    ("The man on the far right is laughing.", "The man on the far left is laughing."),
    ("A shadow falls rightwards.", "A shadow falls leftwards."),
    ("He raises his right arm.", "He raises his left arm."),
    ("She holds a phone in her left hand.", "She holds a phone in her right hand."),
    ("The dog's left ear is torn.", "The dog's right ear is torn."),
    ("A left-handed guitarist on stage", "A right-handed guitarist on stage"),
    ("The cat lifts its right front paw.", "The cat lifts its left front paw."),
    ("The car's left headlight is broken.", "The car's right headlight is broken."),
    ("A man with a tattoo on the left forearm", "A man with a tattoo on the right forearm"),
    ("A player kicks the ball with the right foot.", "A player kicks the ball with the left foot."),
    ("A bird stretches the left wing.", "A bird stretches the right wing."),
    ("A woman waving her right hand to the man at her left", "A woman waving her left hand to the man at her right"),
    ("The boys' right shoes are muddy.", "The boys' left shoes are muddy."),
    ("A goalkeeper dives to his left.", "A goalkeeper dives to his right."),
    ("A ring on the left index finger", "A ring on the right index finger"),
    ("One glove, the right glove, is missing.", "One glove, the left glove, is missing."),
    ("The bus turns left at the crossing.", "The bus turns right at the crossing."),
    ("A horse facing right", "A horse facing left"),
    ("A man looks left and smiles.", "A man looks right and smiles."),
    ("The road makes a sharp right turn.", "The road makes a sharp left turn."),
    ("A car turning right into a driveway", "A car turning left into a driveway"),
    ("The left side of the car is dented.", "The right side of the car is dented."),
    ("An arrow pointing left", "An arrow pointing right"),
    ("A bag left behind on the left of the bench", "A bag left behind on the right of the bench"),
    ("Right behind the man on the right stands a boy.", "Right behind the man on the left stands a boy."),
    ("All right, the left glove is here.", "All right, the right glove is here."),
    ("Shown left, a fox drinks.", "Shown right, a fox drinks."),
    ("Leaves on the left leaning over a wall", "Leaves on the right leaning over a wall"),
    ("An arrow-left icon", "An arrow-right icon"),
    ("A left_hand glove", "A right_hand glove"),
    ("left eye", "right eye"),
    ("He plays left field.", "He plays right field."),
    ("A woman bats left-handed.", "A woman bats right-handed."),
    ("The lung on the patient's right is clear.", "The lung on the patient's left is clear."),
    ("Opacity in the left lower lobe", "Opacity in the right lower lobe"),
]

UNCHANGED = [
    "The right to vote",
    "A bicycle left behind in the snow",
    "A slice of pizza left over from lunch",
    "A cat sitting right next to a dog",
    "The baby is all right.",
    "A house right behind the trees",
    "A man has left his umbrella in the hall.",
    "He left the house in a hurry.",
    "The train left the station.",
    "A suitcase was left on the platform.",
    "There is only one apple left.",
    "Two walls meet at right angles.",
    "A right triangle drawn in chalk",
    "Right now the shop is closed.",
    "A right whale swims.",
    "Protesters march for human rights.",
    "A dog looking right at the camera",
    "A ball right in the middle of the field",
    "A beetle lands right side up.",
    "Leftovers on a plate",
    "What is left of the castle",
    "A bright copyright sign upright on a table",
    "The dog was left alone.",
    "She chose the right size.",
    "There are no eggs left and no bread.",
    "Click with a right-click on the button.",
    "The mud left him tired.",
    "A dog left in charge of the shop",
    "What's left of the cake",
    "An all-right day",
    "Nothing is left in the bowl.",
]

REFUSED = [
    'A sign that says "keep left"',
    "A road sign reading no right turn",
    "A 'Turn Right' sign by the road",
    "A left turn only sign",
    'A shirt with the word "RIGHT" on it',
    'A poster that reads "SALE"',
    "A dog looking left at the camera",
    "The right dog for the family",
    "Turn the knob clockwise.",
    "A tower leaning left-leaning newspaper",
    "A picture of the right key",
    "Smith (L) and Jones (R)",
    "The man left",
    "A bike left in the yard",
    "Dancers spin counter-clockwise on the left.",
    "Is that right",
    "A LeFt arrow",
    "The right of the poor",
    "He walks to right the boat.",
    "A r\u0131ght arrow (R)",
    "Smith sits starboard.",
    "A whose right can be lost",
    "Lefts and jabs",
    "A right-wing wall",
    "The word left on a wall",
    "Stop reading: it says \u201cleft\u201d",
]


def mirror(caption: str) -> str:
    return swap_sides(caption, MIRRORED, KEPT).text


def test_the_oracle_is_large_enough() -> None:
    assert len({*(caption for caption, _ in SWAPPED), *UNCHANGED, *REFUSED}) >= 110


@pytest.mark.parametrize(("caption", "mirrored"), SWAPPED)
def test_sides_are_exchanged_and_exchanged_back(caption: str, mirrored: str) -> None:
    assert mirror(caption) == mirrored
    assert mirror(mirrored) == caption


@pytest.mark.parametrize("caption", UNCHANGED)
def test_words_of_no_side_stay(caption: str) -> None:
    assert mirror(caption) == caption


@pytest.mark.parametrize("caption", REFUSED)
def test_what_cannot_be_told_is_refused_and_named(caption: str) -> None:
    with pytest.raises(SidesError, match=r" at \d+ \(\w+\)") as raised:
        mirror(caption)
    assert raised.value.code == "SIDE_WORDS"


@pytest.mark.parametrize(
    ("caption", "senses"),
    [
        ("The left hand of the man on the right", "body scene"),
        ("The left side of the car on the left side of the picture", "direction scene"),
        ("A dog left of a cat turns right.", "scene direction"),
        ('A sign says "left", right next to a left shoe.', "writing idiom body"),
        ("She spins clockwise on her left foot.", "chiral body"),
        ("The right key", "ambiguous"),
        ("No side at all, upright and bright, leftovers and copyrights", ""),
    ],
)
def test_senses_are_told_apart(caption: str, senses: str) -> None:
    assert " ".join(word.sense for word in find_sides(caption)) == senses


def test_words_are_found_where_they_stand_and_against_what() -> None:
    caption = "A cup left of a bowl, on the LEFT of the picture, and a lamp to the right"
    words = find_sides(caption)
    assert (
        [caption[word.start : word.end] for word in words] == [word.text for word in words] == ["left", "LEFT", "right"]
    )
    assert [word.side for word in words] == ["left", "left", "right"]
    assert [word.relative for word in words] == [True, False, False]


def test_senses_may_be_kept_or_refused_one_by_one() -> None:
    caption = "The left hand of the man on the right"
    assert swap_sides(caption, {Sense.BODY}, {Sense.SCENE}).text == "The right hand of the man on the right"
    assert swap_sides(caption, {Sense.SCENE}, {Sense.BODY}).text == "The left hand of the man on the left"
    with pytest.raises(SidesError, match=r"'right' at 32 \(scene\)"):
        swap_sides(caption, {Sense.BODY}, KEPT)


def test_phrases_move_with_the_text() -> None:
    caption = "Left of the duck, a cup to the right of a bowl"
    swapped = swap_sides(caption, MIRRORED, KEPT)
    for phrase in ("the duck", "a cup", "a bowl", "of", "Left"):
        start = caption.index(phrase)
        moved = swapped.text[swapped.move_offset(start) : swapped.move_offset(start + len(phrase))]
        assert moved == phrase.replace("Left", "Right")


def test_heights_and_places_in_the_frame_are_found() -> None:
    assert find_heights("A cup on top of a box, upside down, under the LOWER shelf") == [
        "top",
        "upside",
        "down",
        "under",
        "LOWER",
    ]
    assert find_heights("A topmost thought of Downing Street") == ["topmost"]
    assert find_frame_words("A man on the left, a boat in the centre") == ["left", "centre"]
    assert find_frame_words("A cup left of a bowl; the top of the tower; his left hand") == []
    assert find_frame_words("The top of the picture") == ["top"]


fragments = st.sampled_from(
    [
        *("left", "right", "Left", "RIGHT", "leftmost", "right-handed", "rights", "lEft", "r\u0131ght", "left_eye"),
        *("on the", "to the", "of the", "of", "the", "a", "his", "man's", "was", "is", "and", "to", "with", "only"),
        *("man", "hand", "dog", "car", "side", "corner", "picture", "sign", "says", "next to", "behind", "over", "at"),
        *("turns", "looking", "standing", "upper", "far", "right now", "all", "what", "clockwise", "pictured"),
        *(",", ".", "(", ")", ":", "-", "/", '"', "'", "\u201c", "\u201d", "\u2019s", "é"),
    ]
)


@given(st.lists(fragments, max_size=12).map(" ".join) | st.lists(fragments, max_size=6).map("".join) | st.text())
def test_mirroring_a_caption_twice_is_identity_or_refused(caption: str) -> None:
    words = find_sides(caption)
    assert all(0 <= word.start < word.end <= len(caption) for word in words)
    for swapped, kept in ((MIRRORED, KEPT), ({Sense.BODY}, {Sense.SCENE, Sense.IDIOM}), ({Sense.SCENE}, {Sense.BODY})):
        try:
            once = swap_sides(caption, swapped, kept)
        except SidesError:
            continue
        assert swap_sides(once.text, swapped, kept).text == caption
        assert once.move_offset(len(caption)) == len(once.text)
        assert once.move_offset(0) == 0
