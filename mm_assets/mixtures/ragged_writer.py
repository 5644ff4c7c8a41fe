"""Features of unequal length in shards of a release: samples of one length lie together, so a reference is still a row.

``path#row`` of a shard of shape (samples, vectors, channels) is the whole feature slice of a sample, as for images.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mm_assets.errors import REMEDIES, CrossModalCode, ReleaseError
from mm_assets.fusion.shard_index import CODES_FOLDER, FEATURES_FOLDER

_HELD_BYTES: Final = 67_108_864
_MATRIX: Final = 2


@dataclass
class _Open:
    """A shard being filled."""

    name: str
    features: list[NDArray[np.float16]] = field(default_factory=list[NDArray[np.float16]])
    codes: list[NDArray[np.int32]] = field(default_factory=list[NDArray[np.int32]])
    size_bytes: int = 0


class RaggedWriter:
    """Collects features with their codes and writes both as ``<prefix>-NNNN.safetensors``.

    Args:
        folder: release folder.
        prefix: of the names of its shards.
        tensors: names of the tensors of features and of codes.
        rows_per_file: samples in a shard.
        held_bytes: features held at once; the largest open shard is written when they are more.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        tensors: tuple[str, str],
        rows_per_file: int,
        held_bytes: int = _HELD_BYTES,
    ) -> None:
        self._folder = folder
        self._prefix = prefix
        self._tensors = tensors
        self._capacity = rows_per_file
        self._most = held_bytes
        self._open: dict[int, _Open] = {}
        self._held = 0
        self._shards = 0
        self.channels: int | None = None
        self.lengths = Counter[int]()

    def append(self, features: NDArray[np.float16], codes: Sequence[int], name: str) -> str:
        """Add one sample.

        Args:
            features: float16, shape (T, C); C the same in every call.
            codes: T codes.
            name: the sample, for messages.

        Returns:
            Its reference ``features/<prefix>-NNNN.safetensors#row``.

        Raises:
            ReleaseError: the shapes do not fit, or a feature is not finite.
        """
        if features.ndim != _MATRIX or features.dtype != np.float16 or len(features) != len(codes) or not len(codes):
            raise ReleaseError(
                f"{name}: features {features.dtype} {features.shape} do not fit {len(codes)} codes in float16; "
                "materialize the features and codes of its batch again"
            )
        if self.channels not in (None, features.shape[1]):
            raise ReleaseError(
                f"{name}: features of {features.shape[1]} channels follow some of {self.channels}; a release holds one "
                "model's features: materialize all its batches with the same"
            )
        if not np.isfinite(features).all():
            raise ReleaseError(
                f"{CrossModalCode.FUSION}: features of {name} are not finite; {REMEDIES[CrossModalCode.FUSION].fix}"
            )
        self.channels = features.shape[1]
        length = len(codes)
        self.lengths[length] += 1
        if length not in self._open:
            self._open[length] = _Open(f"{self._prefix}-{self._shards:04d}.safetensors")
            self._shards += 1
        shard = self._open[length]
        shard.features.append(features)
        shard.codes.append(np.asarray(codes, np.int32))
        shard.size_bytes += features.nbytes
        self._held += features.nbytes
        reference = f"{FEATURES_FOLDER}/{shard.name}#{len(shard.features) - 1}"
        if len(shard.features) == self._capacity:
            self._write(length)
        while self._held > self._most:
            self._write(max(self._open, key=lambda one: self._open[one].size_bytes))
        return reference

    def flush(self) -> None:
        """Write every shard that is held."""
        for length in sorted(self._open):
            self._write(length)

    def _write(self, length: int) -> None:
        shard = self._open.pop(length)
        self._held -= shard.size_bytes
        for folder, tensor, rows in (
            (FEATURES_FOLDER, self._tensors[0], np.stack(shard.features)),
            (CODES_FOLDER, self._tensors[1], np.stack(shard.codes)),
        ):
            path = self._folder / folder
            path.mkdir(exist_ok=True)
            save_file({tensor: rows}, path / shard.name)
