"""A landing folder of pictures, and an encoder small enough to know its answers by hand."""

import hashlib
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mm_assets.features.interfaces import ImageFeatures
from mm_assets.models import ModelIdentity
from mm_assets.schemas import SOURCE_REF
from resources.local_landing import LocalLanding


class ColourEncoder:
    """Embeds a picture as its mean colour and a caption as its length; patches are the four quarters' means."""

    identity = ModelIdentity("mean-colour", "1", "0" * 64)
    dimension = 3
    input_side_px = 8
    resize_mode = "squash"
    padding_rgb = (255, 255, 255)
    spatial_shape = (4, 3)
    device = "cpu"

    def __init__(self):
        self.calls = []

    def encode_images(self, pixels):
        self.calls.append(len(pixels))
        values = pixels.astype(np.float32) / 255
        means = values.mean((1, 2)) + 1e-3
        quarters = values.reshape(len(pixels), 2, 4, 2, 4, 3).mean((2, 4)).reshape(len(pixels), 4, 3)
        return ImageFeatures(means / np.linalg.norm(means, axis=1, keepdims=True), quarters.astype(np.float16))

    def encode_texts(self, texts):
        self.calls.append(len(texts))
        vectors = np.array([[len(text), 1, 0] for text in texts], np.float32).reshape(-1, 3)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def colour_encoder():
    return ColourEncoder()


class Delivery:
    """Pictures on disk and their rows of table ``images``."""

    def __init__(self, root: Path):
        self.landing = LocalLanding(root)
        self.folder = root / "batch-1" / "images"
        self.folder.mkdir(parents=True)
        self._rows = []

    def add(self, data: bytes, offset: int = 0, size: int | None = None, name: str | None = None) -> Path:
        number = len(self._rows)
        path = self.folder / (name or f"{number:04d}.png")
        path.write_bytes(data)
        stored = data[offset : offset + size] if size is not None else data
        self._rows.append(
            {
                "batch": "batch-1",
                "image_id": f"img_{number:04d}",
                "position": number,
                "source_ref": {
                    "uri": self.landing.uri(f"batch-1/images/{path.name}"),
                    "member": None,
                    "byte_offset": offset,
                    "byte_size": len(stored),
                    "frame_index": None,
                },
                "sha256": hashlib.sha256(stored).hexdigest(),
            }
        )
        return path

    def add_colour(self, red: int, green: int = 0, blue: int = 0) -> Path:
        stream = io.BytesIO()
        Image.new("RGB", (20, 12), (red, green, blue)).save(stream, "PNG")
        return self.add(stream.getvalue())

    @property
    def rows(self) -> pl.DataFrame:
        return pl.DataFrame(self._rows, schema_overrides={"source_ref": SOURCE_REF})


@pytest.fixture
def delivery(tmp_path):
    return Delivery(tmp_path / "landing")
