"""Pictures with boxes and captions of which the right anchors are known: written by hand, or composed of stamps."""

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SCENES = ROOT / "demo" / "data" / "landing" / "scenes-coco-04" / "images"
WRITTEN = ROOT / "benchmarks" / "anchoring_captions.json"
STAMPS = Path("tuxpaint-stamps-default") / "usr" / "share" / "tuxpaint" / "stamps"
KINDS = {
    "animals/birds": "bird",
    "food/fruit": "fruit",
    "plants/flowers": "flower",
    "food/vegetables": "vegetable",
    "animals/insects": "insect",
    "animals/fish": "fish",
    "animals/mammals": "animal",
    "clothes/hats": "hat",
    "household/tools": "tool",
    "hobbies/music": "instrument",
    "vehicles": "vehicle",
    "plants/trees": "tree",
    "sports": "",
    "clothes": "",
    "household": "",
}
SIZE = (480, 360)
Box = tuple[float, float, float, float]
Pictures = Callable[[str], NDArray[np.uint8]]


@dataclass
class Anchored:
    """A set: boxes, captions, and where each box stands in each caption.

    Attributes:
        boxes: columns of table ``boxes`` that anchoring reads.
        captions: caption_id, image_id, text, language.
        truth: place of the phrase by caption and box.
        undecidable: captions in which no box can be told from its twin.
        picture: pixels of an image.
    """

    boxes: list[dict[str, Any]] = field(default_factory=list)
    captions: list[dict[str, Any]] = field(default_factory=list)
    truth: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    undecidable: set[str] = field(default_factory=set)
    picture: Pictures | None = None

    def add_box(self, image: str, position: int, label: str, box: Box) -> str:
        """Add a box; gives its id."""
        index = len(self.boxes)
        x1, y1, x2, y2 = box
        self.boxes.append(
            {"batch": "b", "box_id": f"box_{index:07d}", "image_id": image, "position": position, "box_index": index,
             "label": label, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "image_width": SIZE[0], "image_height": SIZE[1]}
        )  # fmt: skip
        return self.boxes[-1]["box_id"]

    def add_caption(self, image: str, text: str) -> str:
        """Add a caption; gives its id."""
        self.captions.append(
            {"caption_id": f"cap_{len(self.captions):07d}", "image_id": image, "text": text, "language": "en"}
        )
        return self.captions[-1]["caption_id"]


def read_written(split: str) -> Anchored:
    """The captions written by hand, over the demo's scenes."""
    coco = json.loads((SCENES / "coco.json").read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in coco["categories"]}
    rows = [row for row in json.loads(WRITTEN.read_text(encoding="utf-8")) if row["split"] == split]
    file_of = {image["id"]: image["file_name"] for image in coco["images"]}
    wanted = {row["image"] for row in rows}
    found = Anchored(picture=lambda name: np.asarray(Image.open(SCENES / name).convert("RGB")))
    box_of: dict[int, str] = {}
    for row in coco["annotations"]:
        if "bbox" in row and file_of[row["image_id"]] in wanted:
            x, y, width, height = row["bbox"]
            box = (float(x), float(y), float(x + width), float(y + height))
            label = names[row["category_id"]]
            box_of[row["id"]] = found.add_box(file_of[row["image_id"]], row["image_id"], label, box)
    for row in rows:
        caption = found.add_caption(row["image"], row["caption"])
        for phrase in row["phrases"]:
            if row["caption"][slice(*phrase["span"])] != phrase["phrase"]:
                raise SystemExit(f"{WRITTEN}: {phrase} does not stand in {row['caption']!r}")
            found.truth |= {(caption, box_of[one]): tuple(phrase["span"]) for one in phrase["annotations"]}
    return found


@dataclass(frozen=True)
class Stamp:
    """A cut-out, its noun, and the word for its kind."""

    path: Path
    noun: str
    kind: str


def read_stamps(root: Path, split: str) -> list[Stamp]:
    """Stamps with a short English noun, one per noun; those with an even hash are for tuning."""
    stamps: dict[str, Stamp] = {}
    for path in sorted(root.rglob("*.png")):
        name = path.relative_to(root).as_posix()
        kinds = [kind for kind in KINDS if name.startswith(kind)]
        odd = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2 == 1
        if not kinds or not path.with_suffix(".txt").is_file() or odd != (split == "test"):
            continue
        text = path.with_suffix(".txt").read_text(encoding="utf-8", errors="replace").splitlines()[0].strip(" .!")
        article, _, noun = text.lower().partition(" ")
        if article in {"a", "an"} and noun.replace(" ", "").isalpha() and len(noun.split()) <= 3:
            stamps.setdefault(noun, Stamp(path, noun, KINDS[max(kinds, key=len)]))
    return list(stamps.values())


def compose(stamps: Sequence[Stamp], scenes: int, seed: int) -> Anchored:
    """Compose scenes and caption them by template."""
    draw = random.Random(seed)  # noqa: S311 - a repeatable draw, not a secret
    found = Anchored()
    canvases: dict[str, NDArray[np.uint8]] = {}
    for number in range(scenes):
        template = TEMPLATES[number % len(TEMPLATES)]
        kinds = [stamp for stamp in stamps if stamp.kind] if template is say_kind else list(stamps)
        chosen = draw.sample(kinds, 3)
        if template in TWINS:
            chosen[1] = chosen[0]
        canvas = Image.new("RGBA", SIZE, draw.choice(("#ffffff", "#f4f1e8", "#e8eef4", "#eef4e8")))
        image = f"scene-{number:05d}"
        columns = [0, 1, 2]
        draw.shuffle(columns)
        placed: list[tuple[Stamp, str, Box]] = []
        for stamp, column in zip(chosen, columns, strict=True):
            cutout = Image.open(stamp.path).convert("RGBA")
            side = draw.randint(100, 150)
            cutout.thumbnail((side, side))
            x = column * 160 + draw.randint(0, 159 - cutout.width)
            y = draw.randint(0, SIZE[1] - cutout.height - 1)
            canvas.alpha_composite(cutout, (x, y))
            box = (float(x), float(y), float(x + cutout.width), float(y + cutout.height))
            placed.append((stamp, found.add_box(image, number, stamp.noun, box), box))
        others = [stamp for stamp in stamps if stamp.noun not in {one.noun for one in chosen}]
        _caption(found, image, template(placed, draw.choice(others)), ambiguous=template is say_twins)
        canvases[image] = np.asarray(canvas.convert("RGB"))
    found.picture = canvases.__getitem__
    return found


def _caption(
    found: Anchored, image: str, pieces: Sequence[str | tuple[str, Sequence[str]]], *, ambiguous: bool
) -> None:
    """Pieces are text, or a phrase with the boxes it names."""
    text = "".join(piece if isinstance(piece, str) else piece[0] for piece in pieces)
    text = text[0].upper() + text[1:]
    caption = found.add_caption(image, text)
    place = 0
    for piece in pieces:
        length = len(piece if isinstance(piece, str) else piece[0])
        if not isinstance(piece, str):
            found.truth |= {(caption, box): (place, place + length) for box in piece[1]}
        place += length
    if ambiguous:
        found.undecidable.add(caption)


Placed = Sequence[tuple[Stamp, str, Box]]

Pieces = list[str | tuple[str, Sequence[str]]]


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") if noun else ""


def _one(placed: tuple[Stamp, str, Box]) -> tuple[str, Sequence[str]]:
    return placed[0].noun, [placed[1]]


def say_list(placed: Placed, _: Stamp) -> Pieces:
    """A, b and c."""
    a, b, c = placed
    return [
        _article(a[0].noun),
        _one(a),
        ", ",
        _article(b[0].noun),
        _one(b),
        " and ",
        _article(c[0].noun),
        _one(c),
        ".",
    ]


def say_row(placed: Placed, _: Stamp) -> Pieces:
    """From left to right; the first two may be twins."""
    ordered = sorted(placed, key=lambda one: one[2][0])
    pieces: Pieces = ["From left to right: "]
    for place, one in enumerate(ordered):
        pieces += [("", ", ", " and ")[place], _article(one[0].noun), _one(one)]
    return [*pieces, "."]


def say_sides(placed: Placed, _: Stamp) -> Pieces:
    """Twins told apart by place."""
    left, right = sorted(placed[:2], key=lambda one: one[2][0])
    return ["There is ", _article(left[0].noun), _one(left), " on the left and another ", _one(right), " on the right."]


def say_plural(placed: Placed, _: Stamp) -> Pieces:
    """Two of a kind share a phrase."""
    noun = placed[0][0].noun
    plural = noun[:-1] + "ies" if noun[-1] == "y" and noun[-2] not in "aeiou" else noun
    if plural == noun:
        plural += "es" if noun.endswith(("s", "x", "ch", "sh")) else "s"
    other = placed[2]
    return ["Two ", (plural, [placed[0][1], placed[1][1]]), " and ", _article(other[0].noun), _one(other)]


def say_near(placed: Placed, other: Stamp) -> Pieces:
    """One box named, and something that is not in the picture."""
    return [_article(placed[0][0].noun), _one(placed[0]), " beside ", _article(other.noun), other.noun, "."]


def say_kind(placed: Placed, _: Stamp) -> Pieces:
    """A kind instead of the noun, where no other box is of that kind."""
    first, second = placed[0], placed[1]
    if any(one[0].kind == first[0].kind for one in placed[1:]):
        return say_list(placed, first[0])
    kind = first[0].kind
    return [
        "The picture shows ",
        _article(kind),
        (kind, [first[1]]),
        " next to ",
        _article(second[0].noun),
        _one(second),
    ]


def say_twins(placed: Placed, _: Stamp) -> Pieces:
    """Twins that nothing tells apart."""
    first, other = placed[0], placed[2]
    return [
        _article(first[0].noun),
        first[0].noun,
        " and another ",
        first[0].noun,
        " with ",
        _article(other[0].noun),
        _one(other),
    ]


TEMPLATES: tuple[Callable[[Placed, Stamp], Pieces], ...] = (
    say_list, say_row, say_sides, say_plural, say_near, say_kind, say_twins, say_kind,
)  # fmt: skip

TWINS = (say_sides, say_plural, say_twins)


def repeat(found: Anchored, boxes: int) -> Anchored:
    """The same scenes under new ids until there are so many boxes."""
    grown = Anchored(picture=None)
    by_image: dict[str, list[dict[str, Any]]] = {}
    for row in found.boxes:
        by_image.setdefault(row["image_id"], []).append(row)
    captions = {row["image_id"]: row["text"] for row in found.captions}
    images = list(by_image)
    number = 0
    while len(grown.boxes) < boxes:
        image = images[number % len(images)]
        name = f"{image}-{number // len(images)}"
        for row in by_image[image][: boxes - len(grown.boxes)]:
            grown.add_box(name, number, row["label"], (row["x1"], row["y1"], row["x2"], row["y2"]))
        grown.add_caption(name, captions[image])
        number += 1
    return grown
