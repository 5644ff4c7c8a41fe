# pyright: strict
"""Crops of boxes, and their embeddings.

A picture is decoded once per pass; all boxes and readings wanted of it are cropped from its pixels. Crops wait in one
model batch, so memory is that of the pictures of a block and the embeddings.

A box whose reading leaves its image, or is too small to show anything, is not encoded and gets no embedding: that the
reading puts it there is evidence against the reading, see `mm_assets.aligned.objects.gate.region_evidence`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import polars as pl

from mm_assets.cleaned.decoding import decode_image, quiet_decoders
from mm_assets.errors import ContractError, EmbeddingShapeError, InputError
from mm_assets.features.decode import fitted_size
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.gates.recall_input import Floats, Integers, Singles
from mm_assets.landing import Landing
from mm_assets.policy import ImagePolicy

Pixels = npt.NDArray[np.uint8]
BLOCK_BYTES: Final = 67_108_864
"""Decoded pictures held at once; one picture is held whatever its size."""


def read_pictures(
    images: pl.DataFrame, image_ids: Iterable[str], landing: Landing, policy: ImagePolicy
) -> Iterator[tuple[str, Pixels]]:
    """Decode pictures one after the other, upright, at full size.

    Args:
        images: image_id and source_ref, one row per image.
        image_ids: which, in the order to read them.
        landing: where ``source_ref`` points.
        policy: bounds of the decoder; cleaning applied the same.

    Yields:
        The id and uint8 RGB pixels, shape (H, W, 3).

    Raises:
        ContractError: a picture is gone or does not decode: cleaning let it pass.
    """
    references: dict[str, Mapping[str, Any]] = dict(images.select("image_id", "source_ref").iter_rows())
    for image_id in image_ids:
        reference = references[image_id]
        try:
            data = landing.read(landing.key(reference["uri"]), reference["byte_offset"] or 0, reference["byte_size"])
            with quiet_decoders():
                pixels = decode_image(data, image_id, policy).pixels
        except InputError as error:
            raise ContractError(
                f"image {image_id} ({reference['uri']}) passed cleaning and now: {error}; "
                "materialize raw_images and images of the batch again"
            ) from error
        yield image_id, pixels


def crop_region(pixels: Pixels, box: Floats | Singles, margin: float, encoder: ImageTextEncoder) -> Pixels:
    """Cut a box with some context out of a picture and make it the square the encoder takes.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        box: ``x1 y1 x2 y2`` in pixels, with an area inside the picture.
        margin: share of the box's sides added on each side, as far as the picture goes.
        encoder: its side, resize mode and padding.

    Returns:
        uint8 RGB, shape (side, side, 3).
    """
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in box)
    across, down = margin * (x2 - x1), margin * (y2 - y1)
    left, top = max(0, int(np.floor(x1 - across))), max(0, int(np.floor(y1 - down)))
    right, bottom = min(width, int(np.ceil(x2 + across))), min(height, int(np.ceil(y2 + down)))
    crop = pixels[top:bottom, left:right]
    side, mode = encoder.input_side_px, encoder.resize_mode
    size = fitted_size(crop.shape[1], crop.shape[0], side, mode)
    method = cv2.INTER_AREA if size[0] * size[1] < crop.shape[0] * crop.shape[1] else cv2.INTER_CUBIC
    small = cv2.resize(crop, size, interpolation=method).astype(np.uint8, copy=False)
    start_y, start_x = abs(small.shape[0] - side) // 2, abs(small.shape[1] - side) // 2
    if mode != "longest":
        return np.ascontiguousarray(small[start_y : start_y + side, start_x : start_x + side])
    below, behind = side - small.shape[0] - start_y, side - small.shape[1] - start_x
    square = cv2.copyMakeBorder(small, start_y, below, start_x, behind, cv2.BORDER_CONSTANT, value=encoder.padding_rgb)
    return square.astype(np.uint8, copy=False)


class RegionEncoder:
    """Collects crops into model batches and keeps their embeddings by row and reading.

    Args:
        encoder: the model.
        margin: context around a box.
        batch_size: crops per model call.

    Attributes:
        crops: crops encoded so far.
    """

    def __init__(self, encoder: ImageTextEncoder, margin: float, batch_size: int) -> None:
        self._encoder, self._margin, self._batch_size = encoder, margin, batch_size
        self._waiting: list[Pixels] = []
        self._keys: list[tuple[str, int]] = []
        self._found: dict[str, dict[int, Singles]] = {}
        self.crops = 0

    def knows(self, reading: str, row: int) -> bool:
        """Whether this crop is encoded or waits to be."""
        return row in self._found.get(reading, {}) or (reading, row) in self._keys

    def keep(self, reading: str, row: int, embedding: Singles) -> None:
        """Take over an embedding made earlier."""
        self._found.setdefault(reading, {})[row] = embedding

    def add(self, reading: str, row: int, pixels: Pixels, box: Floats | Singles) -> None:
        """Crop a box and encode it with the next batch, unless it is known.

        Raises:
            EmbeddingShapeError: the encoder returned another shape than it promised.
            ModelError: the encoder failed.
        """
        if self.knows(reading, row):
            return
        self._keys.append((reading, row))
        self._waiting.append(crop_region(pixels, box, self._margin, self._encoder))
        if len(self._waiting) >= self._batch_size:
            self.flush()

    def flush(self) -> None:
        """Encode what waits. Raises as `add`."""
        if not self._waiting:
            return
        embedding = self._encoder.encode_images(np.stack(self._waiting)).embedding
        wanted = (len(self._waiting), self._encoder.dimension)
        if embedding.shape != wanted:
            raise EmbeddingShapeError(
                f"the encoder returned {embedding.shape} for crops, not {wanted}; its configuration lies"
            )
        for (reading, row), vector in zip(self._keys, embedding, strict=True):
            self.keep(reading, row, vector)
        self.crops += len(self._waiting)
        self._waiting, self._keys = [], []

    def embeddings(self, reading: str, among: Integers | None = None) -> tuple[Integers, Singles]:
        """Rows that were encoded under a reading, increasing, and their embeddings, shape (m, D).

        Args:
            reading: its name.
            among: rows of interest; all by default.
        """
        self.flush()
        found = self._found.get(reading, {})
        known = found if among is None else found.keys() & set(among.tolist())
        rows = np.array(sorted(known), dtype=np.int64)
        if not len(rows):
            return rows, np.zeros((0, self._encoder.dimension), np.float32)
        return rows, np.stack([found[row] for row in rows.tolist()])

    def table(self, reading: str, boxes: pl.DataFrame) -> pl.DataFrame:
        """Rows of ``region_embeddings`` made under a reading.

        Args:
            reading: its name.
            boxes: batch, box_id, image_id, position and box_index of the rows the encoder's row numbers count.
        """
        rows, vectors = self.embeddings(reading)
        keys = ("batch", "box_id", "image_id", "position", "box_index")
        return boxes[rows].select(
            *keys,
            pl.lit(reading).alias("reading"),
            pl.Series("embedding", vectors).cast(pl.List(pl.Float32)),
            pl.lit(str(self._encoder.identity)).alias("model"),
        )
