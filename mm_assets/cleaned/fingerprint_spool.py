"""Large fingerprints in a temporary file: memory does not grow with the batch whose pictures are compared."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from types import TracebackType
from typing import Final, Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.cleaned.fine_detail import Detail, prepare_detail
from mm_assets.cleaned.fingerprints import THUMBNAIL_SIDE_PX, detail_of
from mm_assets.errors import SchemaMismatchError

_THUMBNAIL_SHAPE: Final = (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX, 3)
_THUMBNAIL_BYTES: Final = THUMBNAIL_SIDE_PX * THUMBNAIL_SIDE_PX * 3
_DETAILS_KEPT: Final = 64
_COLUMNS: Final = ("image_id", "thumbnail", "detail")


class FingerprintReader(Protocol):
    """Reads the large fingerprints of some images."""

    def __call__(self, batch: str, image_ids: pl.Series, /) -> Iterator[pl.DataFrame]:
        """Rows of ``image_fingerprints`` with image_id, thumbnail and detail, in any order, a bounded number at a time.

        Args:
            batch: their batch.
            image_ids: which images.
        """
        ...


def reader_of(*frames: pl.DataFrame) -> FingerprintReader:
    """A reader of fingerprints that are in memory anyway."""

    def read(batch: str, image_ids: pl.Series) -> Iterator[pl.DataFrame]:
        for frame in frames:
            yield frame.filter(pl.col("batch") == batch, pl.col("image_id").is_in(image_ids.implode()))

    return read


def reader_of_scans(scan: Callable[[str], pl.LazyFrame], positions_together: int) -> FingerprintReader:
    """A reader of fingerprints that lie in files.

    Args:
        scan: the rows of ``image_fingerprints`` of a batch.
        positions_together: read at a time, as many as lie together in the files: the least that can be read.
    """

    def read(batch: str, image_ids: pl.Series) -> Iterator[pl.DataFrame]:
        rows = scan(batch)
        wanted = pl.col("image_id").is_in(image_ids.implode())
        positions = rows.filter(wanted).select("position").collect()["position"]
        for group in (positions // positions_together).unique().sort():
            start = group * positions_together
            together = pl.col("position").is_between(start, start + positions_together, closed="left")
            yield rows.filter(together, wanted).select(_COLUMNS).collect()

    return read


class FingerprintSpool:
    """Thumbnails and details of some images, by row.

    Args:
        images: batch, image_id, width and height of some images of one batch.

    Attributes:
        shorter_px: shorter side of each picture, shape (N,).
        detail: fine detail of a row, for comparison at a side; the last few are kept.
    """

    def __init__(self, images: pl.DataFrame) -> None:
        self.shorter_px = images.select(pl.min_horizontal("width", "height")).to_series().to_numpy()
        self.detail = lru_cache(_DETAILS_KEPT)(self._detail)
        self._images = images.select("batch", "image_id").with_row_index("row")
        self._offsets = np.full(images.height, -1, dtype=np.int64)
        self._sizes = np.zeros(images.height, dtype=np.int32)
        self._file = tempfile.TemporaryFile(prefix="mm-fingerprints-")  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def fill(self, frames: Iterable[pl.DataFrame]) -> None:
        """Write the fingerprints of all the images down.

        Args:
            frames: image_id, thumbnail and detail, in any order.

        Raises:
            SchemaMismatchError: fingerprints are missing or have another size.
        """
        end = 0
        for frame in frames:
            end = self._add(frame, end)
        self._file.flush()  # rows are read from the descriptor, past the buffer
        lost = self._images["image_id"].filter(pl.Series(self._offsets < 0))
        if len(lost):
            raise self._mismatch(f"no fingerprints of {len(lost)} images, {lost[0]} the first")

    def thumbnails(self, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Thumbnails of some rows, uint8, shape (N, 64, 64, 3)."""
        raw = b"".join(self._read(int(self._offsets[row]), _THUMBNAIL_BYTES) for row in rows)
        return np.frombuffer(raw, dtype=np.uint8).reshape(-1, *_THUMBNAIL_SHAPE)

    def _detail(self, row: int, side: int) -> Detail:
        """Fine detail of one row, for comparison at a side."""
        encoded = self._read(int(self._offsets[row]) + _THUMBNAIL_BYTES, int(self._sizes[row]))
        return prepare_detail(detail_of(encoded), side)

    def _add(self, frame: pl.DataFrame, end: int) -> int:
        missing = [name for name in _COLUMNS if name not in frame.columns]
        if missing:
            raise self._mismatch(f"no column {', '.join(missing)}")
        wanted = frame.select(_COLUMNS).join(self._images, on="image_id", how="inner")
        sizes = wanted.select(pl.col("thumbnail", "detail").bin.size().fill_null(0))
        if not (sizes["thumbnail"] == _THUMBNAIL_BYTES).all():
            raise self._mismatch(f"thumbnails of {sizes['thumbnail'].min()} bytes, expected {_THUMBNAIL_BYTES} each")
        if not (sizes["detail"] > 0).all():
            raise self._mismatch("thumbnails without detail")
        self._file.writelines(chain.from_iterable(wanted.select("thumbnail", "detail").iter_rows()))
        ends = end + sizes.sum_horizontal().cast(pl.Int64).cum_sum().to_numpy()
        places = wanted["row"].to_numpy()
        self._offsets[places] = ends - sizes.sum_horizontal().to_numpy()
        self._sizes[places] = sizes["detail"].to_numpy()
        return int(ends[-1]) if len(ends) else end

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)

    def _mismatch(self, what: str) -> SchemaMismatchError:
        batch = self._images["batch"][0]
        return SchemaMismatchError(
            f"image_fingerprints of batch {batch} hold {what}; clean the images of {batch} again"
        )
