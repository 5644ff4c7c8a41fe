"""Scenes whose answers are known: every label is a pattern, the encoder sees patterns, and faults are written."""

import hashlib
import json

import cv2
import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.objects.boxes.boxes import convert_boxes
from mm_assets.aligned.objects.boxes.readings import Reading, write_boxes
from mm_assets.aligned.objects.gate.object_gate import evaluate_objects
from mm_assets.aligned.objects.gate.region_recall import floor_region_baseline
from mm_assets.features.interfaces import ImageFeatures
from mm_assets.models import ModelIdentity
from mm_assets.policy import Policy
from mm_assets.schemas import SOURCE_REF
from resources.local_landing import LocalLanding

WIDTH, HEIGHT = 320, 240
CELLS = 5


class PatternEncoder:
    """Sees the 5 x 5 pattern of a crop; a label is the pattern it names. A share of noise makes it forgetful."""

    identity = ModelIdentity("pattern", "1", "0" * 64)
    dimension = CELLS * CELLS
    input_side_px = 40
    resize_mode = "squash"
    padding_rgb = (255, 255, 255)
    spatial_shape = (1, 1)
    device = "cpu"

    def __init__(self, noise: float = 0.8):
        self.noise, self.crops = noise, 0

    def encode_images(self, pixels):
        self.crops += len(pixels)
        seen = [cv2.resize(picture.mean(axis=2), (CELLS, CELLS), interpolation=cv2.INTER_AREA) for picture in pixels]
        values = np.stack(seen).reshape(len(pixels), -1).astype(np.float64)
        values -= values.mean(axis=1, keepdims=True)
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
        for row, picture in enumerate(pixels):
            seed = int.from_bytes(hashlib.sha256(picture.tobytes()).digest()[:8], "big")
            values[row] += self.noise * np.random.default_rng(seed).normal(size=self.dimension) / CELLS
        return ImageFeatures(_unit(values), np.zeros((len(pixels), 1, 1), np.float16))

    def encode_texts(self, texts):
        return _unit(np.stack([pattern_of(text).ravel() for text in texts]).astype(np.float64))


def _unit(rows):
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def pattern_of(label: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "big")
    pattern = np.random.default_rng(seed).choice([-1.0, 1.0], size=(CELLS, CELLS))
    return pattern - pattern.mean()


class Scenes:
    """Pictures on disk with two boxes each, and deliveries of them."""

    def __init__(self, root, count: int, seed: int = 0, labels: int = 60):
        generator = np.random.default_rng(seed)
        self.landing = LocalLanding(root)
        folder = root / "pool"
        folder.mkdir(parents=True)
        self.corners, self.labels, self.image_of = [], [], []
        for image in range(count):
            canvas = np.full((HEIGHT, WIDTH, 3), 235, np.uint8)
            for left in (0, WIDTH // 2):
                width, height = generator.integers(50, 110, size=2)
                x = left + int(generator.integers(4, WIDTH // 2 - width - 4))
                y = int(generator.integers(4, HEIGHT - height - 4))
                label = f"thing {generator.integers(labels)}"
                painted = 120.0 + 90.0 * np.clip(pattern_of(label), -1.0, 1.0)
                size = (int(width), int(height))
                canvas[y : y + height, x : x + width] = cv2.resize(painted, size, interpolation=cv2.INTER_NEAREST)[
                    :, :, None
                ]
                self.corners.append([x, y, x + width, y + height])
                self.labels.append(label)
                self.image_of.append(image)
            cv2.imwrite(str(folder / f"{image:04d}.png"), canvas)
        self.corners = np.array(self.corners, np.float64)
        self.image_of = np.array(self.image_of)

    @property
    def sizes(self):
        return np.tile([float(WIDTH), float(HEIGHT)], (len(self.labels), 1))

    def deliver(self, *, fault=None, rows=None, labels=None, convention="xyxy_pixels", extra=None) -> pl.DataFrame:
        """Rows of ``images`` with a fault written into some boxes."""
        declared = write_boxes(self.corners, convention, self.sizes, Reading("as_given"))
        if fault is not None:
            hit = np.ones(len(declared), bool) if rows is None else rows
            declared[hit] = write_boxes(self.corners, convention, self.sizes, fault)[hit]
        told = self.labels if labels is None else labels
        images = []
        for image in range(int(self.image_of.max()) + 1):
            mine = np.flatnonzero(self.image_of == image)
            objects = {"bbox": declared[mine].tolist(), "categories": [told[row] for row in mine]}
            images.append(
                {
                    "batch": "batch-1",
                    "image_id": f"img_{image:04d}",
                    "position": image,
                    "record_ref": f"images/metadata.jsonl:{image + 1}",
                    "source": "vendor",
                    "source_ref": {
                        "uri": self.landing.uri(f"pool/{image:04d}.png"),
                        "member": None,
                        "byte_offset": None,
                        "byte_size": None,
                        "frame_index": None,
                    },
                    "sha256": f"{image:064d}",
                    "width": WIDTH,
                    "height": HEIGHT,
                    "annotations_json": json.dumps({"box_format": convention, "objects": objects} | (extra or {})),
                }
            )
        return pl.DataFrame(images, schema_overrides={"source_ref": SOURCE_REF, "width": pl.Int32, "height": pl.Int32})

    def evaluate(self, images, encoder=None, *, policy=None, corrections=None, **more):
        """Convert the boxes and ask the gate."""
        policy = policy or Policy()
        converted = convert_boxes(images, policy.objects, corrections)
        return evaluate_objects(
            converted.kept,
            images,
            self.landing,
            encoder or PatternEncoder(),
            floor_region_baseline(policy.object_gate),
            policy,
            rejected=converted.rejected,
            corrections=corrections,
            **more,
        )


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Fifty pictures, a hundred boxes."""
    return Scenes(tmp_path_factory.mktemp("scenes") / "landing", 50)


@pytest.fixture
def pattern_encoder():
    return PatternEncoder()
