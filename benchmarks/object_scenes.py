"""Constructed scenes for the object gate: stamps on backgrounds, boxes exact because we place them, faults on demand.

Pictures come from Debian's tuxpaint-stamps-default (GPL-2+, (c) 2002-2022 Bill Kendrick), cut out by their alpha.
"""

import hashlib
import json
import random
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from PIL import Image

from mm_assets.aligned.objects.boxes.boxes import ConvertedBoxes, convert_boxes
from mm_assets.aligned.objects.boxes.conventions import CONVENTIONS
from mm_assets.aligned.objects.boxes.readings import Reading, write_boxes
from mm_assets.features.interfaces import ImageFeatures, ImageTextEncoder
from mm_assets.policy import ObjectPolicy
from mm_assets.schemas import SOURCE_REF

PACKAGE = "tuxpaint-stamps-default"
SIZE_PX = (640, 480)
OBJECTS = 3
LONGEST_PX = (110, 230)
GAP_PX = 4
PLAIN = ("#ffffff", "#f4f1e8", "#e8eef4", "#eef4e8", "#f4e8ee", "#ececec")
ARTICLES = {"a", "an", "the", "some"}


@dataclass(frozen=True)
class Scene:
    """A picture, encoded, and what is in it."""

    data: bytes
    corners: np.ndarray
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """A delivery of scenes with a fault in some rows.

    Attributes:
        images: rows as table ``images`` holds them.
        corners: true corners of every declared box, shape (n, 4).
        labels: true label of every declared box.
        affected: which boxes the fault moved or relabelled, shape (n,).
        converted: the boxes as they arrive in the lake.
    """

    images: pl.DataFrame
    corners: np.ndarray
    labels: list[str]
    affected: np.ndarray
    converted: ConvertedBoxes


def unpack_stamps(folder: Path) -> Path:
    """Download and unpack the package into a folder, once."""
    root = folder / "usr" / "share" / "tuxpaint" / "stamps"
    if not root.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", PACKAGE], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        package = next(folder.glob(f"{PACKAGE}_*.deb"))
        subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    return root


def list_stamps(root: Path, half: str) -> dict[Path, str]:
    """Photos and drawings of things with their English caption, one of two halves that share no caption."""
    found: dict[Path, str] = {}
    for path in sorted(root.rglob("*.png")):
        caption = path.with_suffix(".txt")
        if path.relative_to(root).parts[0] == "symbols" or "_mirror" in path.stem or "_flip" in path.stem:
            continue
        lines = caption.read_text(encoding="utf-8").splitlines() if caption.exists() else []
        words = lines[0].strip().rstrip(".").split() if lines else []
        label = " ".join(words[1:] if words and words[0].lower() in ARTICLES else words).lower()
        if label and hashlib.sha256(label.encode()).digest()[0] % 2 == (half == "report"):
            found[path] = label
    return found


def compose_scenes(stamps: dict[Path, str], count: int, *, busy: bool, seed: int, loose: float = 0.0) -> list[Scene]:
    """Three stamps to a picture, apart from one another, on a plain background or on another stamp blown up.

    Args:
        stamps: captions by path.
        count: pictures.
        busy: whether the background is a stamp.
        seed: of the draw.
        loose: standard deviation of hand-drawn edges, as a share of the box's sides.
    """
    draw = random.Random(seed)  # noqa: S311 - a repeatable draw, not a secret
    generator = np.random.default_rng(seed)
    paths = list(stamps)
    scenes = []
    for _ in range(count):
        chosen = draw.sample(paths, OBJECTS)
        canvas = _blown_up(draw.choice(paths)) if busy else Image.new("RGBA", SIZE_PX, draw.choice(PLAIN))
        placed, boxes = _place([_cutout(path) for path in chosen], draw)
        for cutout, box in zip(placed, boxes, strict=True):
            canvas.alpha_composite(cutout, box[:2])
        pixels = cv2.cvtColor(np.asarray(canvas.convert("RGB")), cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
        corners = np.array(boxes, np.float64)
        sides = np.tile(corners[:, 2:] - corners[:, :2], 2)
        corners = np.clip(corners + loose * sides * generator.normal(size=corners.shape), 0, [*SIZE_PX, *SIZE_PX])
        scenes.append(Scene(data, corners, tuple(stamps[path] for path in chosen)))
    return scenes


def write_scenes(scenes: list[Scene], folder: Path) -> None:
    """Write the pictures of a pool where batches refer to them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        (folder / f"{number:05d}.jpg").write_bytes(scene.data)


def draw_batch(
    scenes: list[Scene],
    uri: str,
    boxes: int,
    generator: np.random.Generator,
    *,
    fault: Reading | int | None,
    convention: str,
    share: float = 1.0,
    spread: str = "scattered",
) -> Batch:
    """Deliver some scenes of a pool with a fault in a share of their rows.

    Args:
        scenes: the pool.
        uri: of the folder with its pictures.
        boxes: boxes of the batch; the last picture may have fewer than three.
        generator: source of the draws.
        fault: a reading to inject, a shift of labels in boxes, or None.
        convention: the convention that is declared.
        share: of the rows.
        spread: ``scattered`` over boxes, over ``images``, or one ``run`` of rows.
    """
    count = -(-boxes // OBJECTS)
    order = generator.choice(len(scenes), size=count, replace=count > len(scenes))
    chosen = [scenes[number] for number in order]
    corners = np.concatenate([scene.corners for scene in chosen])[:boxes]
    labels = [label for scene in chosen for label in scene.labels][:boxes]
    image_of = np.repeat(np.arange(count), OBJECTS)[:boxes]
    affected = _spread(image_of, share, spread, generator) if fault is not None else np.zeros(boxes, dtype=bool)
    sizes = np.tile(np.array(SIZE_PX, np.float64), (boxes, 1))
    declared = write_boxes(corners, convention, sizes, Reading("as_given"))
    told = labels
    if isinstance(fault, Reading):
        declared[affected] = write_boxes(corners, convention, sizes, fault)[affected]
    elif fault is not None:
        # The label of a box stands `fault` boxes further.
        moved = np.roll(np.array(labels, dtype=object), fault)
        told = [new if hit else old for old, new, hit in zip(labels, moved.tolist(), affected, strict=True)]
        affected &= np.array([new != old for old, new in zip(labels, told, strict=True)])
    images = pl.DataFrame(
        [
            _describe(position, int(number), uri, convention, declared[image_of == position].tolist(), rows)
            for position, number in enumerate(order)
            for rows in [[told[row] for row in np.flatnonzero(image_of == position)]]
        ],
        schema_overrides={"source_ref": SOURCE_REF, "width": pl.Int32, "height": pl.Int32},
    )
    return Batch(images, corners, labels, affected, convert_boxes(images, ObjectPolicy()))


def conventions() -> list[str]:
    """Names of all conventions."""
    return list(CONVENTIONS)


class CachingEncoder:
    """An encoder that remembers crops: batches drawn from one pool share most of them.

    Attributes:
        fresh: crops the model saw.
        model_seconds: CPU time it took for them.
        seconds: CPU time spent here on crops, the model's included.
    """

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self.fresh, self.model_seconds, self.seconds = 0, 0.0, 0.0
        self._images: dict[bytes, np.ndarray] = {}
        self._texts: dict[str, np.ndarray] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)

    def encode_images(self, pixels: np.ndarray) -> ImageFeatures:
        """Encode what is new."""
        started = time.process_time()
        keys = [hashlib.blake2b(picture[::5, ::3].tobytes(), digest_size=16).digest() for picture in pixels]
        new = {key: place for place, key in enumerate(keys) if key not in self._images}
        if new:
            chosen = np.ascontiguousarray(pixels[list(new.values())])
            called = time.process_time()
            found = self._encoder.encode_images(chosen).embedding
            self.model_seconds += time.process_time() - called
            self.fresh += len(new)
            self._images.update(zip(new, found, strict=True))
        vectors = np.stack([self._images[key] for key in keys])
        self.seconds += time.process_time() - started
        return ImageFeatures(vectors, np.zeros((len(keys), 0, 0), np.float16))

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Encode what is new."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            self._texts.update(zip(new, self._encoder.encode_texts(new), strict=True))
        return np.stack([self._texts[text] for text in texts])


def _spread(image_of: np.ndarray, share: float, spread: str, generator: np.random.Generator) -> np.ndarray:
    rows = len(image_of)
    hit = np.zeros(rows, dtype=bool)
    count = round(share * rows)
    if spread == "scattered":
        hit[generator.choice(rows, size=count, replace=False)] = True
    elif spread == "run":
        start = int(generator.integers(0, rows - count + 1))
        hit[start : start + count] = True
    else:
        images = generator.permutation(int(image_of.max()) + 1)
        hit = np.isin(image_of, images[: round(share * len(images))])
    return hit


def _describe(position: int, number: int, uri: str, convention: str, boxes: list, labels: list[str]) -> dict:
    annotations = {"box_format": convention, "objects": {"bbox": boxes, "categories": labels}}
    return {
        "batch": "bench",
        "image_id": f"img_{position:06d}",
        "position": position,
        "record_ref": f"images/metadata.jsonl:{position + 1}",
        "source": "bench",
        "source_ref": {
            "uri": f"{uri}/{number:05d}.jpg",
            "member": None,
            "byte_offset": None,
            "byte_size": None,
            "frame_index": None,
        },
        "sha256": f"{number:064d}",
        "width": SIZE_PX[0],
        "height": SIZE_PX[1],
        "annotations_json": json.dumps(annotations),
    }


@lru_cache(maxsize=1024)
def _cutout(path: Path) -> Image.Image:
    image = Image.open(path).convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox())
    image.thumbnail((600, 600))
    return image


def _blown_up(path: Path) -> Image.Image:
    cutout = _cutout(path)
    canvas = Image.new("RGBA", cutout.size, "#88a080")
    canvas.alpha_composite(cutout)
    width, height = canvas.size
    middle = canvas.crop(
        (width // 4, height // 4, max(width // 4 + 1, width * 3 // 4), max(height // 4 + 1, height * 3 // 4))
    )
    return middle.resize(SIZE_PX, Image.Resampling.BICUBIC)


def _place(
    cutouts: list[Image.Image], draw: random.Random
) -> tuple[list[Image.Image], list[tuple[int, int, int, int]]]:
    while True:
        placed, boxes = [], []
        for cutout in cutouts:
            ratio = draw.randint(*LONGEST_PX) / max(cutout.size)
            size = max(8, round(cutout.width * ratio)), max(8, round(cutout.height * ratio))
            scaled = cutout.resize(size, Image.Resampling.LANCZOS)
            scaled = scaled.crop(scaled.getchannel("A").getbbox())
            for _ in range(60):
                x, y = draw.randint(0, SIZE_PX[0] - scaled.width), draw.randint(0, SIZE_PX[1] - scaled.height)
                box = x, y, x + scaled.width, y + scaled.height
                if all(_apart(box, other) for other in boxes):
                    placed.append(scaled)
                    boxes.append(box)
                    break
        if len(boxes) == len(cutouts):
            return placed, boxes


def _apart(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    return (
        left[0] >= right[2] + GAP_PX
        or right[0] >= left[2] + GAP_PX
        or left[1] >= right[3] + GAP_PX
        or right[1] >= left[3] + GAP_PX
    )
