"""Boxes anchored to phrases: how often the right one, how often without an encoder, and how fast.

Three sets, none of which the thresholds were tuned on:

- written: captions that a person wrote over the demo's scenes, in ``anchoring_captions.json`` (split ``test``);
- templates: scenes of three photo stamps composed by seed, with captions made from templates: lists, places, twins told
  apart by place, plurals, kinds of thing ("a bird"), and captions that name what is not there;
- growth: the rows of the templates repeated to 200 and to 20,000 boxes.

A box counts as right if it is anchored to exactly the characters the label says. Stamps with an even hash were used for
tuning and are left out. Times are CPU time of one thread, start-up of the models apart.

Usage: python benchmarks/anchoring.py [--packages DIR] [--scenes 240] [--seed 11] [--split test] [--json]

DIR holds the unpacked package tuxpaint-stamps-default (see demo/README.md); without it only the written set is there.
"""

import argparse
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mm_assets.aligned.objects.anchoring.anchors import anchor_boxes, find_candidates, keep_plausible
from mm_assets.aligned.objects.anchoring.phrases import extract_phrases
from mm_assets.aligned.objects.boxes.regions import crop_region
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.policy import Policy
from resources.image_text_encoder import build_encoder
from resources.phrase_extractor import SpacyPhrases

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
GROWTH = (200, 20_000)
PHRASES = SpacyPhrases()
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


def embed_crops(
    boxes: pl.DataFrame, wanted: Sequence[str], picture: Pictures, encoder: ImageTextEncoder
) -> pl.DataFrame:
    """Rows of ``region_embeddings`` for some boxes."""
    margin = Policy().object_gate.context_margin
    rows: list[tuple[str, str, list[float]]] = []
    for box_id, image, *corners in (
        boxes.filter(pl.col("box_id").is_in(list(wanted)))
        .select("box_id", "image_id", "x1", "y1", "x2", "y2")
        .iter_rows()
    ):
        crop = crop_region(picture(image), np.array(corners), margin, encoder)
        rows.append((box_id, "as_given", encoder.encode_images(crop[None]).embedding[0].tolist()))
    schema = {"box_id": pl.String, "reading": pl.String, "embedding": pl.List(pl.Float32)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def encode(encoder: ImageTextEncoder, texts: list[str]) -> NDArray[np.float32]:
    """Embeddings of texts, also of none."""
    return encoder.encode_texts(texts) if texts else np.zeros((0, encoder.dimension), np.float32)


@dataclass
class Clock:
    """CPU seconds per part."""

    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, part: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the work gives
        """Do the work and count its time."""
        start = time.process_time()
        result = work()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.process_time() - start
        return result


def anchor(found: Anchored, encoder: ImageTextEncoder, clock: Clock, crops: pl.DataFrame) -> Any:  # noqa: ANN401
    """All steps, timed; the crops given count where there are no pictures."""
    policy = Policy().anchoring
    boxes = pl.DataFrame(found.boxes).with_columns(pl.col("x1", "y1", "x2", "y2").cast(pl.Float32))
    captions = pl.DataFrame(found.captions)
    extracted = clock.time("phrases", lambda: extract_phrases(captions, PHRASES))
    first = clock.time("words", lambda: find_candidates(boxes, extracted, policy))
    words = clock.time("text encoder", lambda: encode(encoder, first.words))
    left = clock.time("words", lambda: keep_plausible(first, words, policy))
    texts = clock.time("text encoder", lambda: encode(encoder, left.phrase_texts))
    picture = found.picture
    if picture is not None:
        crops = clock.time("image encoder", lambda: embed_crops(boxes, left.box_ids, picture, encoder))
    aligned = clock.time("words", lambda: anchor_boxes(left, crops, texts, policy))
    return first, left, aligned


def score(found: Anchored, encoder: ImageTextEncoder, *, show: bool = False) -> dict[str, Any]:
    """Accuracy of a set, and what it took."""
    clock = Clock()
    first, left, aligned = anchor(found, encoder, clock, pl.DataFrame())
    text_of = {row["caption_id"]: row["text"] for row in found.captions}
    named = aligned.rows.filter(pl.col("caption_id").is_not_null())
    shifted = sum(
        text_of[caption][start:end] != phrase
        for caption, start, end, phrase in named.select(
            "caption_id", "phrase_start", "phrase_end", "phrase"
        ).iter_rows()
    )
    anchored = {
        (caption, box): (start, end)
        for caption, box, start, end, verdict in named.select(
            "caption_id", "box_id", "phrase_start", "phrase_end", "verdict"
        ).iter_rows()
        if verdict == "anchored"
    }
    right = sum(anchored.get(key) == span for key, span in found.truth.items())
    wrong = {key: span for key, span in anchored.items() if found.truth.get(key) != span}
    if show:
        label_of = {row["box_id"]: row["label"] for row in found.boxes}
        for key in sorted(found.truth.keys() | wrong.keys()):
            if anchored.get(key) != found.truth.get(key):
                text = text_of[key[0]]
                told = [text[slice(*span)] if span else None for span in (found.truth.get(key), anchored.get(key))]
                print(f"{text!r}: {label_of[key[1]]} is {told[0]!r}, anchored to {told[1]!r}", file=sys.stderr)
    twins = [key for key in anchored if key[0] in found.undecidable and key not in found.truth]
    count = len(found.boxes)
    return {
        "boxes": count,
        "captions": len(found.captions),
        "box_phrase_pairs": len(found.truth),
        "right": right,
        "recall": round(right / len(found.truth), 4),
        "anchored": len(anchored),
        "precision": round(right / len(anchored), 4),
        "twins_anchored_by_chance": len(twins),
        "undecidable_captions": len(found.undecidable),
        "offsets_that_do_not_hold_their_phrase": shifted,
        "verdicts": aligned.verdicts,
        "decided_without_crops": round(1 - aligned.crops_encoded / count, 4),
        "crops_before_text_test": len(first.box_ids),
        "crops_encoded": aligned.crops_encoded,
        "crops_saved": aligned.crops_saved,
        "texts_encoded": len(first.words) + len(left.phrase_texts),
        "cpu_ms_per_box": {part: round(1e3 * spent / count, 3) for part, spent in clock.seconds.items()},
    }


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


def measure_growth(found: Anchored, encoder: ImageTextEncoder) -> Iterator[tuple[int, dict[str, Any]]]:
    """CPU time per box without the image encoder, whose calls are counted; crops are random vectors."""
    for count in GROWTH:
        grown = repeat(found, count)
        vectors = np.random.default_rng(0).normal(size=(count, encoder.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        crops = pl.DataFrame(
            {
                "box_id": [row["box_id"] for row in grown.boxes],
                "reading": "as_given",
                "embedding": pl.Series(vectors).cast(pl.List(pl.Float32)),
            }
        )
        clock = Clock()
        first, left, aligned = anchor(grown, encoder, clock, crops)
        yield (
            count,
            {
                "cpu_ms_per_box": {part: round(1e3 * spent / count, 4) for part, spent in clock.seconds.items()},
                "crops_encoded": aligned.crops_encoded,
                "texts_encoded": len(first.words) + len(left.phrase_texts),
                "rows": aligned.rows.height,
            },
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--scenes", type=int, default=240)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--split", choices=("tune", "test"), default="test")
    parser.add_argument("--show", action="store_true", help="print what went wrong")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    encoder = build_encoder("bridge-lite0-minilm")
    encoder.encode_texts(["start"])
    PHRASES.extract(["start"])
    document: dict[str, Any] = {"written": score(read_written(options.split), encoder, show=options.show)}
    if options.packages is not None:
        stamps = read_stamps(options.packages / STAMPS, options.split)
        scenes = compose(stamps, options.scenes, options.seed)
        document["stamps"] = len(stamps)
        document["templates"] = score(scenes, encoder, show=options.show)
        document["growth"] = dict(measure_growth(scenes, encoder))
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        _tell(document)
    return 0


def _tell(document: Mapping[str, Any], indent: int = 0) -> None:
    for name, value in document.items():
        if isinstance(value, Mapping):
            print(f"{'  ' * indent}{name}")
            _tell(value, indent + 1)
        else:
            print(f"{'  ' * indent}{name:40} {value}")


if __name__ == "__main__":
    raise SystemExit(main())
