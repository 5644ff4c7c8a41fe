from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.aligned.objects.boxes.geometry import (
    Crop,
    HorizontalFlip,
    Resize,
    Transform,
    Turn,
    VerticalFlip,
    invert,
)
from mm_assets.aligned.objects.transforms.transforms import (
    LabelledPicture,
    Phrase,
    PictureCaption,
    TransformRefusedError,
    transform_picture,
)
from mm_assets.errors import ContractError
from mm_assets.policy import ObjectPolicy

POLICY = ObjectPolicy()
LEFT_OF_THE_MAN = "The left hand of the man on the right"
BOUND = settings(max_examples=40, deadline=None)


def picture(
    boxes: list[list[float]] | None = None,
    labels: tuple[str | None, ...] | None = None,
    *captions: str,
    size: tuple[int, int] = (64, 48),
    **more: Any,
) -> LabelledPicture:
    """A picture of noise: every crop of it is unlike every other."""
    boxes = [[10.0, 5.0, 30.0, 45.0]] if boxes is None else boxes
    width, height = size
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return LabelledPicture(
        pixels=pixels,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        labels=labels or (None,) * len(boxes),
        captions=tuple(PictureCaption(text) for text in captions),
        **more,
    )


def texts(made: LabelledPicture) -> list[str]:
    return [caption.text for caption in made.captions]


@pytest.mark.parametrize(
    ("transform", "box", "size"),
    [
        (HorizontalFlip(), [34, 5, 54, 45], (64, 48)),
        (VerticalFlip(), [10, 3, 30, 43], (64, 48)),
        (Turn(90), [3, 10, 43, 30], (48, 64)),
        (Turn(180), [34, 3, 54, 43], (64, 48)),
        (Turn(270), [5, 34, 45, 54], (48, 64)),
        (Crop(4, 2, 40, 48), [6, 3, 26, 43], (36, 46)),
        (Crop(20, 20, 64, 48), [0, 0, 10, 25], (44, 28)),
        (Resize(128, 24), [20, 2.5, 60, 22.5], (128, 24)),
    ],
)
def test_boxes_move_with_the_picture(transform: Transform, box: list[float], size: tuple[int, int]) -> None:
    made = transform_picture(picture(), transform, POLICY)
    np.testing.assert_allclose(made.picture.boxes, [box], atol=1e-4)
    assert made.picture.pixels.shape == (size[1], size[0], 3)
    assert made.kept.tolist() == [0]


def test_given_picture_is_not_changed() -> None:
    given_picture = picture()
    pixels, boxes = given_picture.pixels.copy(), given_picture.boxes.copy()
    for transform in (HorizontalFlip(), Turn(90), Crop(0, 0, 40, 40)):
        made = transform_picture(given_picture, transform, POLICY)
        made.picture.pixels[:] = 0
    assert np.array_equal(given_picture.pixels, pixels)
    assert np.array_equal(given_picture.boxes, boxes)


sizes = st.tuples(st.integers(8, 90), st.integers(8, 90))
exact = st.sampled_from([HorizontalFlip(), VerticalFlip(), Turn(90), Turn(180), Turn(270)])


@st.composite
def boxed(draw, *, whole: bool) -> LabelledPicture:
    width, height = draw(sizes)
    boxes: list[list[float]] = []
    for _ in range(draw(st.integers(0, 5))):
        spans = [draw(st.tuples(st.integers(0, side - 1), st.integers(1, side))) for side in (width, height)]
        low = [min(span[0], span[1] - 1) for span in spans]
        high = [max(span[0] + 1, span[1]) for span in spans]
        shift = 0.0 if whole else draw(st.floats(0.0, 0.5))
        boxes.append([low[0] + shift, low[1] + shift, float(high[0]), float(high[1])])
    return picture(boxes, tuple(f"thing {row}" for row in range(len(boxes))), size=(width, height))


def cut(made: LabelledPicture, row: int) -> np.ndarray:
    x1, y1, x2, y2 = np.rint(made.boxes[row]).astype(int)
    return made.pixels[y1:y2, x1:x2]


FOLLOW = {
    HorizontalFlip(): lambda crop: crop[:, ::-1],
    VerticalFlip(): lambda crop: crop[::-1],
    Turn(90): lambda crop: np.rot90(crop, -1),
    Turn(180): lambda crop: crop[::-1, ::-1],
    Turn(270): lambda crop: np.rot90(crop, 1),
}


@BOUND
@given(boxed(whole=False), exact)
def test_inverse_restores_picture_and_boxes(given_picture: LabelledPicture, transform: Transform) -> None:
    height, width = given_picture.pixels.shape[:2]
    there = transform_picture(given_picture, transform, POLICY).picture
    back = transform_picture(there, invert(transform, width, height), POLICY)
    assert np.array_equal(back.picture.pixels, given_picture.pixels)
    np.testing.assert_allclose(back.picture.boxes, given_picture.boxes, atol=1e-3)
    assert back.picture.labels == given_picture.labels
    assert back.kept.tolist() == list(range(len(given_picture.labels)))


@BOUND
@given(boxed(whole=True), exact)
def test_pixels_of_a_box_stay_the_same_pixels(given_picture: LabelledPicture, transform: Transform) -> None:
    made = transform_picture(given_picture, transform, POLICY)
    for row in range(len(given_picture.labels)):
        assert np.array_equal(cut(made.picture, row), FOLLOW[transform](cut(given_picture, row)))


@BOUND
@given(boxed(whole=True), st.data())
def test_crop_keeps_the_pixels_that_are_left_of_a_box(given_picture: LabelledPicture, data) -> None:
    height, width = given_picture.pixels.shape[:2]
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))
    made = transform_picture(given_picture, Crop(x1, y1, x2, y2), POLICY)
    low = np.maximum(given_picture.boxes[:, :2], (x1, y1))
    high = np.minimum(given_picture.boxes[:, 2:], (x2, y2))
    visible = np.prod(np.clip(high - low, 0.0, None), axis=1) / np.prod(
        given_picture.boxes[:, 2:] - given_picture.boxes[:, :2], axis=1
    )
    far_from_bound = np.abs(visible - POLICY.min_visible_share) > 1e-3
    assert ((visible > POLICY.min_visible_share) == np.isin(np.arange(len(visible)), made.kept))[far_from_bound].all()
    for new, old in enumerate(made.kept.tolist()):
        seen = given_picture.pixels[int(low[old, 1]) : int(high[old, 1]), int(low[old, 0]) : int(high[old, 0])]
        assert np.array_equal(cut(made.picture, new), seen)
        assert made.picture.labels[new] == given_picture.labels[old]


@BOUND
@given(boxed(whole=False), st.integers(4, 200), st.integers(4, 200))
def test_resize_scales_boxes_and_its_inverse_restores_them(
    given_picture: LabelledPicture, width: int, height: int
) -> None:
    old_height, old_width = given_picture.pixels.shape[:2]
    made = transform_picture(given_picture, Resize(width, height), POLICY).picture
    scale = np.tile([width / old_width, height / old_height], 2)
    np.testing.assert_allclose(made.boxes, given_picture.boxes * scale, atol=1e-3)
    back = transform_picture(made, invert(Resize(width, height), old_width, old_height), POLICY).picture
    assert back.pixels.shape == given_picture.pixels.shape
    np.testing.assert_allclose(back.boxes, given_picture.boxes, atol=1e-2)


def test_flipped_box_holds_the_object_when_the_caption_says_the_other_side() -> None:
    scene = picture([[4.0, 4.0, 20.0, 40.0]], ("left shoe",), "A left shoe on the left of a box", "A man's right foot")
    made = transform_picture(scene, HorizontalFlip(), POLICY).picture
    assert texts(made) == ["A right shoe on the right of a box", "A man's left foot"]
    assert made.labels == ("right shoe",)
    back = transform_picture(made, HorizontalFlip(), POLICY).picture
    assert (texts(back), back.labels) == (texts(scene), scene.labels)


@pytest.mark.parametrize(
    ("transform", "caption", "expected"),
    [
        (HorizontalFlip(), LEFT_OF_THE_MAN, "The right hand of the man on the left"),
        (VerticalFlip(), LEFT_OF_THE_MAN, "The right hand of the man on the right"),
        (Turn(180), LEFT_OF_THE_MAN, "The left hand of the man on the left"),
        (Turn(90), "His left hand", "His left hand"),
        (Turn(90), 'A sign says "LEFT"', 'A sign says "LEFT"'),
        (Crop(5, 0, 60, 48), "His left hand, left of a cup", "His left hand, left of a cup"),
        (Resize(32, 24), LEFT_OF_THE_MAN, LEFT_OF_THE_MAN),
        (Resize(32, 24), 'A "sign" on top', 'A "sign" on top'),
    ],
)
def test_captions_stay_true(transform: Transform, caption: str, expected: str) -> None:
    assert texts(transform_picture(picture(None, None, caption), transform, POLICY).picture) == [expected]


@pytest.mark.parametrize(
    ("transform", "caption", "code", "word"),
    [
        (HorizontalFlip(), "The right key", "SIDE_WORDS", "'right' at 4"),
        (HorizontalFlip(), 'A sign says "STOP"', "SIDE_WORDS", "STOP"),
        (HorizontalFlip(), "A man turns a wheel clockwise", "SIDE_WORDS", "clockwise"),
        (VerticalFlip(), "The left side of the car", "SIDE_WORDS", "'left' at 4"),
        (VerticalFlip(), "A cup on top of a box", "HEIGHT_WORDS", "top"),
        (Turn(180), "A bird above a roof", "HEIGHT_WORDS", "above"),
        (Turn(90), "A man on the left", "SIDE_WORDS", "'left' at 13"),
        (Turn(270), "A car turns left", "SIDE_WORDS", "'left' at 12"),
        (Crop(5, 0, 60, 48), "A man on the left", "FRAME_WORDS", "left"),
        (Crop(5, 0, 60, 48), "A boat in the centre", "FRAME_WORDS", "centre"),
    ],
)
def test_what_would_become_false_is_refused_with_its_words(
    transform: Transform, caption: str, code: str, word: str
) -> None:
    with pytest.raises(TransformRefusedError, match=word) as raised:
        transform_picture(picture(None, None, "A duck.", caption), transform, POLICY)
    assert raised.value.code == code


def test_labels_that_cannot_follow_refuse_too() -> None:
    with pytest.raises(TransformRefusedError, match="turn right only sign"):
        transform_picture(picture(None, ("turn right only sign",)), HorizontalFlip(), POLICY)


@pytest.mark.parametrize("transform", [HorizontalFlip(), VerticalFlip(), Turn(90), Crop(0, 0, 40, 40)])
def test_other_languages_are_not_guessed(transform: Transform) -> None:
    french = replace(picture(), captions=(PictureCaption("Un homme à gauche", "fr"),))
    with pytest.raises(TransformRefusedError, match="'fr'") as raised:
        transform_picture(french, transform, POLICY)
    assert raised.value.code == "CAPTION_LANGUAGE"
    assert texts(transform_picture(french, Resize(10, 10), POLICY).picture) == ["Un homme à gauche"]


@pytest.mark.parametrize("transform", [HorizontalFlip(), VerticalFlip()])
@pytest.mark.parametrize(
    "more",
    [{"medical": True}, {"orientation": {"laterality": "R"}}, {"orientation": {"patient_orientation": ["L", "F"]}}],
)
def test_medical_pictures_are_never_mirrored(transform: Transform, more: dict[str, Any]) -> None:
    with pytest.raises(TransformRefusedError, match="never mirrored") as raised:
        transform_picture(picture(None, None, "A chest radiograph.", **more), transform, POLICY)
    assert raised.value.code == "ERR_CROSS_MDL_MIRROR"


def test_orientation_follows_turns_and_nothing_else() -> None:
    chest = picture(None, None, "The left lung", orientation={"patient_orientation": ["L", "F"], "laterality": "R"})
    turned = transform_picture(chest, Turn(90), POLICY).picture
    assert turned.orientation == {"patient_orientation": ["H", "L"], "laterality": "R"}
    assert texts(turned) == ["The left lung"]
    back = transform_picture(turned, Turn(270), POLICY).picture
    assert back.orientation == chest.orientation
    for transform in (Crop(0, 0, 40, 48), Resize(30, 30)):
        assert transform_picture(chest, transform, POLICY).picture.orientation == chest.orientation
    strange = replace(chest, orientation={"scanner": "x"})
    with pytest.raises(TransformRefusedError, match="scanner"):
        transform_picture(strange, Turn(90), POLICY)


def test_crop_never_cuts_away_what_a_caption_names() -> None:
    boxes = [[0.0, 0.0, 10.0, 10.0], [40.0, 20.0, 60.0, 44.0]]
    crop = Crop(30, 10, 64, 48)
    silent = picture(boxes, ("duck", "boat"), "A boat.")
    made = transform_picture(silent, crop, POLICY)
    assert (made.kept.tolist(), made.picture.labels) == ([1], ("boat",))
    for caption in ("Ducks and a boat.", "A DUCK"):
        with pytest.raises(TransformRefusedError, match="names duck") as raised:
            transform_picture(picture(boxes, ("duck", "boat"), caption), crop, POLICY)
        assert raised.value.code == "LOST_OBJECT"
    anchored = replace(silent, captions=(PictureCaption("A bird and a boat", phrases=(Phrase(0, 6, 0),)),))
    with pytest.raises(TransformRefusedError, match="names A bird"):
        transform_picture(anchored, crop, POLICY)


def test_phrases_follow_the_text_and_their_boxes() -> None:
    boxes = [[0.0, 0.0, 10.0, 10.0], [40.0, 20.0, 60.0, 44.0]]
    text = "To the left a duck, on the right a boat"
    start = text.index("a boat")
    scene = replace(
        picture(boxes, ("mud", "boat")), captions=(PictureCaption(text, phrases=(Phrase(start, start + 6, 1),)),)
    )
    mirrored = transform_picture(scene, HorizontalFlip(), POLICY).picture.captions[0]
    (phrase,) = mirrored.phrases
    assert mirrored.text[phrase.start : phrase.end] == "a boat"
    plain = replace(scene, captions=(PictureCaption("A boat", phrases=(Phrase(0, 6, 1),)),))
    cropped = transform_picture(plain, Crop(30, 10, 64, 48), POLICY).picture
    assert cropped.captions[0].phrases == (Phrase(0, 6, 0),)


def test_impossible_requests_are_our_fault() -> None:
    for transform in (Crop(0, 0, 65, 48), Crop(5, 5, 5, 9), Crop(-1, 0, 9, 9)):
        with pytest.raises(ContractError, match="does not lie inside"):
            transform_picture(picture(), transform, POLICY)
    with pytest.raises(ContractError, match="45 degrees"):
        Turn(45)
    with pytest.raises(ContractError, match="no inverse"):
        invert(Crop(0, 0, 1, 1), 9, 9)
    for boxes in ([[5.0, 5.0, 5.0, 9.0]], [[0.0, 0.0, 65.0, 9.0]], [[np.nan, 0.0, 5.0, 9.0]]):
        with pytest.raises(ContractError, match="no area inside"):
            transform_picture(picture(boxes), HorizontalFlip(), POLICY)
    with pytest.raises(ContractError, match="labels for boxes"):
        transform_picture(picture(None, ("a", "b")), HorizontalFlip(), POLICY)
    stray = replace(picture(), captions=(PictureCaption("A duck", phrases=(Phrase(0, 6, 3),)),))
    with pytest.raises(ContractError, match="a phrase names a box"):
        transform_picture(stray, HorizontalFlip(), POLICY)
