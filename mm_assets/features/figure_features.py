# pyright: strict
"""What an encoder sees in the figures of documents, a bounded number of them at a time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.cleaned.interfaces import SafetyModel
from mm_assets.documents.block_rows import OwnedBlock
from mm_assets.documents.blocks import Picture
from mm_assets.errors import InputError
from mm_assets.features.decode import make_square
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.schemas import TABLES

STAGE: Final = "document_figures"
UNSAFE: Final = "NSFW"
_TABLE: Final = TABLES["document_figures"]
_REJECTED: Final = TABLES["rejected"]
Row = dict[str, Any]


class FigureReader(Protocol):
    """Reads the pictures of one document."""

    def read(self, picture: Picture) -> NDArray[np.uint8]:
        """A figure as uint8 RGB (H, W, 3); raises `InputError` if it cannot be had."""
        ...


@dataclass(frozen=True)
class FigureSafety:
    """What turns pictures away.

    Attributes:
        model: scores pictures for unsafe content.
        highest: score that is kept.
    """

    model: SafetyModel
    highest: float


@dataclass(frozen=True)
class FigureChunk:
    """Figures that went through the encoder, figures in = rows + rejected.

    Attributes:
        rows: columns of ``document_figures`` but ``spatial_features``.
        spatial: float16, shape (N, T, C), of the rows; None without any.
        rejected: rows of ``rejected``.
    """

    rows: pl.DataFrame
    spatial: NDArray[np.float16] | None
    rejected: pl.DataFrame


def read_figures(
    figures: Iterable[tuple[OwnedBlock, FigureReader]],
    batch: str,
    record_of: Callable[[str], str],
    encoder: ImageTextEncoder,
    batch_size: int,
    shard_rows: int,
    safety: FigureSafety | None = None,
) -> Iterator[FigureChunk]:
    """Read and encode figures in their order.

    Args:
        figures: figures, and what reads the pictures of their document.
        batch: their batch.
        record_of: the record that declared a document.
        encoder: the model; called with ``batch_size`` pictures at once.
        batch_size: pictures per call.
        shard_rows: pictures per chunk.
        safety: turns away unsafe pictures, code `UNSAFE`; None asks no model.

    Raises:
        ModelError: a model failed.
    """
    gathered = _Gathered(batch, encoder, safety)
    for owned, reader in figures:
        picture = owned.block.picture
        try:
            pixels = None if picture is None else reader.read(picture)
        except InputError as error:
            gathered.reject(owned, record_of(owned.document_id), error.code, error.reason)
            continue
        if picture is None or pixels is None:
            gathered.reject(owned, record_of(owned.document_id), "MISSING_PICTURE", "a figure without a picture")
            continue
        gathered.add(owned, record_of(owned.document_id), picture, pixels)
        if len(gathered.waiting) >= batch_size:
            gathered.encode()
        if len(gathered.rows) >= shard_rows:
            yield gathered.take()
    if gathered.rows or gathered.rejected:
        yield gathered.take()


class _Gathered:
    """What becomes the next chunk."""

    def __init__(self, batch: str, encoder: ImageTextEncoder, safety: FigureSafety | None) -> None:
        self._batch = batch
        self._encoder = encoder
        self._safety = safety
        self._prepared: list[NDArray[np.float32]] = []
        self._owners: list[tuple[OwnedBlock, str]] = []
        self._model = str(encoder.identity)
        self.rows: list[Row] = []
        self.rejected: list[Row] = []
        self.waiting: list[NDArray[np.uint8]] = []
        self._spatial: list[NDArray[np.float16]] = []

    def add(self, owned: OwnedBlock, record_ref: str, picture: Picture, pixels: NDArray[np.uint8]) -> None:
        encoder, block = self._encoder, owned.block
        self._owners.append((owned, record_ref))
        if self._safety is not None:
            self._prepared.append(self._safety.model.prepare(pixels))
        self.waiting.append(make_square(pixels, encoder.input_side_px, encoder.resize_mode, encoder.padding_rgb))
        self.rows.append(
            {
                "batch": self._batch,
                "document_id": owned.document_id,
                "block_id": owned.block_id,
                "position": block.position,
                "page": block.page,
                "kind": picture.kind,
                "picture": name_picture(picture),
                "width_px": pixels.shape[1],
                "height_px": pixels.shape[0],
                "model": self._model,
            }
        )

    def reject(self, owned: OwnedBlock, record_ref: str, code: str, reason: str) -> None:
        self.rejected.append(
            {
                "batch": self._batch,
                "stage": STAGE,
                "record_kind": "figure",
                "record_ref": record_ref,
                "record_id": owned.block_id,
                "code": code,
                "reason": f"{record_ref}: figure at block {owned.block.position}: {reason}",
            }
        )

    def encode(self) -> None:
        """Put the waiting pictures, which belong to the last rows, through the models."""
        self._turn_away_unsafe()
        if not self.waiting:
            return
        features = self._encoder.encode_images(np.stack(self.waiting))
        for row, embedding in zip(self.rows[-len(self.waiting) :], features.embedding, strict=True):
            row["embedding"] = embedding.tolist()
        self._spatial.append(features.spatial)
        self.waiting = []

    def _turn_away_unsafe(self) -> None:
        """Drop what the safety model scores too high from what waits."""
        owners, prepared, waiting = self._owners, self._prepared, self.waiting
        self._owners, self._prepared = [], []
        if self._safety is None or not prepared:
            return
        scores = self._safety.model.score(prepared)
        rows = self.rows[-len(waiting) :]
        del self.rows[-len(waiting) :]
        self.waiting = []
        for (owned, record_ref), row, square, score in zip(owners, rows, waiting, scores.tolist(), strict=True):
            if score > self._safety.highest:
                told = f"unsafe content scored {score:.2f}, at most {self._safety.highest:g} is kept; remove it"
                self.reject(owned, record_ref, UNSAFE, told)
            else:
                self.rows.append(row)
                self.waiting.append(square)

    def take(self) -> FigureChunk:
        self.encode()
        schema = {name: dtype for name, dtype in _TABLE.schema.items() if name != "spatial_features"}
        chunk = FigureChunk(
            pl.DataFrame(self.rows, schema=schema),
            np.concatenate(self._spatial) if self._spatial else None,
            _REJECTED.conform(pl.DataFrame(self.rejected, schema=_REJECTED.schema)),
        )
        self.rows, self.rejected, self._spatial = [], [], []
        return chunk


def name_picture(picture: Picture) -> str:
    """File beside the document, or the region of a page.

    >>> name_picture(Picture("vector", None, 3, (72.0, 90.5, 300.0, 200.0)))
    'page=3&box=72.0,90.5,300.0,200.0'
    """
    if picture.file is not None:
        return picture.file
    sides = ",".join(f"{side:.1f}" for side in picture.box or ())
    return f"page={picture.page}&box={sides}"
