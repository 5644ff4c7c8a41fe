"""Feature and code shards of a release: written row by row, held one shard at a time."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mm_assets.errors import ReleaseError
from mm_assets.fusion.samples import VISUAL_CODES, VISUAL_FEATURES
from mm_assets.fusion.shard_index import CODES_FOLDER, FEATURES_FOLDER

_AXES: Final = 3  # samples, vectors, channels


class ShardWriter:
    """Collects features with their codes and writes both as ``part-NNNN.safetensors``.

    Args:
        folder: release folder.
        rows_per_file: samples in a shard; memory is one shard.
    """

    def __init__(self, folder: Path, rows_per_file: int) -> None:
        self._folder = folder
        self._capacity = rows_per_file
        self._features: NDArray[np.float16] | None = None
        self._codes = np.empty((0, 0), dtype=np.int32)
        self._filled = 0
        self._shards = 0

    @property
    def shape(self) -> tuple[int, int] | None:
        """Vectors and channels of a sample, None before the first."""
        return None if self._features is None else (self._features.shape[1], self._features.shape[2])

    def append(self, features: NDArray[np.float16], codes: NDArray[np.int32]) -> list[str]:
        """Add samples.

        Args:
            features: float16, shape (N, T, C); T and C the same in every call.
            codes: int32, shape (N, T).

        Returns:
            N references ``features/part-NNNN.safetensors#row``.

        Raises:
            ReleaseError: the shapes do not fit, or a feature is not finite.
        """
        if features.ndim != _AXES or features.dtype != np.float16 or codes.shape != features.shape[:2]:
            raise ReleaseError(
                f"features {features.dtype} {features.shape} and codes {codes.shape} do not fit (samples, vectors, "
                "channels) in float16; materialize the features of this batch again"
            )
        if self._features is None:
            self._features = np.empty((self._capacity, *features.shape[1:]), dtype=np.float16)
            self._codes = np.empty((self._capacity, features.shape[1]), dtype=np.int32)
        if features.shape[1:] != self._features.shape[1:]:
            raise ReleaseError(
                f"features of {features.shape[1:]} follow features of {self._features.shape[1:]}; "
                "a release holds one encoder's features: materialize all its batches with the same encoder"
            )
        references: list[str] = []
        taken = 0
        while taken < len(features):
            count = min(len(features) - taken, self._capacity - self._filled)
            rows = slice(self._filled, self._filled + count)
            self._features[rows] = features[taken : taken + count]
            self._codes[rows] = codes[taken : taken + count]
            name = _name(self._shards)
            references += [f"{FEATURES_FOLDER}/{name}#{row}" for row in range(rows.start, rows.stop)]
            self._filled += count
            taken += count
            if self._filled == self._capacity:
                self.flush()
        return references

    def flush(self) -> None:
        """Write what is held, if anything, as the next shard."""
        if self._features is None or not self._filled:
            return
        name = _name(self._shards)
        for folder, tensor, rows in (
            (FEATURES_FOLDER, VISUAL_FEATURES, self._features),
            (CODES_FOLDER, VISUAL_CODES, self._codes),
        ):
            path = self._folder / folder
            path.mkdir(exist_ok=True)
            save_file({tensor: rows[: self._filled]}, path / name)
        self._shards += 1
        self._filled = 0


def _name(shard: int) -> str:
    return f"part-{shard:04d}.safetensors"
