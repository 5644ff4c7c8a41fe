"""What decides how often and when a sample is trained on, for every sample of a release."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import ReleaseError
from mm_assets.fusion.release_files import OpenFiles, find_lines
from mm_assets.fusion.samples import POOLS, SPLITS, TRAIN, Pool, Split


class _Line(msgspec.Struct, gc=False):
    pool: Pool
    weight: Annotated[float, msgspec.Meta(ge=0.0)]
    split: Split = TRAIN


@dataclass(frozen=True)
class SampleFacts:
    """Facts of N samples.

    Attributes:
        pools: int8, shape (N,), place of each one's pool in ``POOLS``.
        weights: float64, shape (N,), how often each is drawn in a pass.
        splits: int8, shape (N,), place of each one's split in ``SPLITS``.
    """

    pools: NDArray[np.int8]
    weights: NDArray[np.float64]
    splits: NDArray[np.int8]

    def take(self, chosen: NDArray[np.int64]) -> Self:
        """Facts of some samples."""
        return type(self)(self.pools[chosen], self.weights[chosen], self.splits[chosen])


def read_facts(files: OpenFiles, names: Sequence[str]) -> SampleFacts:
    """Read them from every line.

    Args:
        files: files of the release.
        names: its samples files, in release order, none of them empty.

    Raises:
        ReleaseError: a line breaks the format.
    """
    pool_of = {name: place for place, name in enumerate(POOLS)}
    split_of = {name: place for place, name in enumerate(SPLITS)}
    decoder = msgspec.json.Decoder(_Line)
    pools, weights, splits = list[int](), list[float](), list[int]()
    for name in names:
        data = files.text(name)
        offsets = find_lines(data).tolist()
        for number, (start, end) in enumerate(itertools.pairwise(offsets), start=1):
            try:
                line = decoder.decode(data[start:end])
            except msgspec.DecodeError as error:
                raise ReleaseError(f"{name} line {number}: {error}; see mm lint, then rebuild the release") from error
            pools.append(pool_of[line.pool])
            weights.append(line.weight)
            splits.append(split_of[line.split])
    return SampleFacts(np.array(pools, np.int8), np.array(weights, np.float64), np.array(splits, np.int8))
