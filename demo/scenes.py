"""Constructed scenes: three cut-out stamps on a plain background, with boxes that are exact because we placed them."""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pictures import Caption, read_caption, read_cutout
from PIL import Image

SCENE_SIZE_PX: Final = (480, 360)
_OBJECTS_PER_SCENE: Final = 3
_LONGEST_OBJECT_PX: Final = (160, 205)
_GAP_PX: Final = 6
_BACKGROUNDS: Final = ("#ffffff", "#f4f1e8", "#e8eef4", "#eef4e8", "#f4e8ee", "#ececec")

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """A composed picture, its captions, and per object its noun and its box as x, y, width, height in pixels."""

    picture: Image.Image
    captions: tuple[str, ...]
    nouns: tuple[str, ...]
    boxes: tuple[Box, ...]


def compose_scenes(root: Path, objects: list[str], count: int, seed: int) -> list[Scene]:
    """Compose scenes so that every object is drawn about equally often."""
    draw = random.Random(seed)  # noqa: S311 - a repeatable draw, not a secret
    cutouts = {name: _trimmed(read_cutout(root / name)) for name in objects}
    captions = {name: read_caption(root / name) for name in objects}
    deck: list[str] = []
    scenes = []
    for position in range(count):
        if len(deck) < _OBJECTS_PER_SCENE:
            left = deck
            deck = [name for name in draw.sample(objects, len(objects)) if name not in left] + left
        chosen = [deck.pop() for _ in range(_OBJECTS_PER_SCENE)]
        scenes.append(_compose([cutouts[name] for name in chosen], [captions[name] for name in chosen], position, draw))
    return scenes


def mirror_boxes(scene: Scene) -> Scene:
    """Spoil a scene as an augmentation does that flips pictures and forgets their boxes."""
    width = scene.picture.width
    return replace(scene, boxes=tuple((width - x - w, y, w, h) for x, y, w, h in scene.boxes))


def _trimmed(cutout: Image.Image) -> Image.Image:
    return cutout.crop(cutout.getchannel("A").getbbox())


def _compose(cutouts: list[Image.Image], captions: list[Caption], position: int, draw: random.Random) -> Scene:
    canvas = Image.new("RGBA", SCENE_SIZE_PX, draw.choice(_BACKGROUNDS))
    while True:
        placed = [_scaled(cutout, draw.randint(*_LONGEST_OBJECT_PX)) for cutout in cutouts]
        boxes = _place(placed, draw)
        if boxes is not None:
            break
    for cutout, (x, y, _, _) in zip(placed, boxes, strict=True):
        canvas.alpha_composite(cutout, (x, y))
    phrases = [_phrase(caption.text) for caption in captions]
    sentences = [f"{_listed(phrases).capitalize()}."]
    if position % 3 == 0:
        across = [phrase for _, phrase in sorted(zip(boxes, phrases, strict=True), key=lambda pair: _centre(pair[0]))]
        sentences.append(f"From left to right: {_listed(across)}.")
    nouns = tuple(phrase.partition(" ")[2] for phrase in phrases)
    return Scene(canvas.convert("RGB"), tuple(sentences), nouns, tuple(boxes))


def _scaled(cutout: Image.Image, longest: int) -> Image.Image:
    ratio = longest / max(cutout.size)
    size = (max(1, round(cutout.width * ratio)), max(1, round(cutout.height * ratio)))
    return _trimmed(cutout.resize(size, Image.Resampling.LANCZOS))


def _place(cutouts: list[Image.Image], draw: random.Random, tries: int = 60) -> list[Box] | None:
    boxes: list[Box] = []
    for cutout in cutouts:
        for _ in range(tries):
            x = draw.randint(0, SCENE_SIZE_PX[0] - cutout.width)
            y = draw.randint(0, SCENE_SIZE_PX[1] - cutout.height)
            box = (x, y, cutout.width, cutout.height)
            if not any(_touch(box, other) for other in boxes):
                boxes.append(box)
                break
        else:
            return None
    return boxes


def _touch(one: Box, other: Box) -> bool:
    return all(
        one[axis] < other[axis] + other[axis + 2] + _GAP_PX and other[axis] < one[axis] + one[axis + 2] + _GAP_PX
        for axis in (0, 1)
    )


def _centre(box: Box) -> float:
    return box[0] + box[2] / 2


def _phrase(caption: str) -> str:
    return caption[0].lower() + caption[1:].rstrip(".!")


def _listed(phrases: list[str]) -> str:
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
