"""In which order samples are trained on: a pure function of their weights and pools, a seed and the epoch.

Every global batch holds the pools in the proportion of the whole pass, whatever their order in the release; ranks share
out each batch, so that the batches are the same for any number of them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_MIDDLE: Final = 0.5


@dataclass(frozen=True)
class EpochOrder:
    """The batches of one pass.

    Attributes:
        samples: int64, shape (M,), places of samples, batch after batch; a sample of weight 2 stands there twice.
        starts: int64, shape (batches + 1,), where each batch starts, and the end of the last.
    """

    samples: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def batch(self, number: int, rank: int = 0, ranks: int = 1) -> list[int]:
        """What a rank takes of a batch: every sample goes to exactly one, and none goes without."""
        return self.samples[self.starts[number] + rank : self.starts[number + 1] : ranks].tolist()


def order_epoch(
    weights: NDArray[np.float64],
    pools: NDArray[np.integer],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    ranks: int = 1,
    shuffle: bool = True,
) -> EpochOrder:
    """Order one pass.

    A sample of weight w is drawn w times; of a fraction, as often as a draw of its own seed says, w times on average.
    The j-th of a pool's n draws stands at (j + 0.5) / n of the pass, and batches are cut from what stands there in
    turn: so each holds its share of every pool to within a few samples, to the last one. The last batch is short if
    need be; were it too short to give every rank a sample, it would belong to the one before.

    Args:
        weights: shape (N,), not negative.
        pools: shape (N,), which pool each belongs to.
        batch_size: samples in a batch of all ranks.
        seed: any integer.
        epoch: number of the pass, from 0; each has its own order.
        ranks: how many share out a batch.
        shuffle: if not, samples keep their order within each pool, and batches theirs.

    Raises:
        ValueError: a batch cannot be shared out among the ranks, or there are fewer draws than ranks.
    """
    if not 1 <= ranks <= batch_size:
        raise ValueError(f"{ranks} ranks cannot share a batch of {batch_size}; give every rank a sample")
    random = np.random.Philox(key=np.array([seed % 2**64, epoch % 2**64], np.uint64))
    whole = np.floor(weights)
    chance = _fractions(random, len(weights))
    copies = (whole + (chance < weights - whole)).astype(np.int64)
    drawn = np.repeat(np.arange(len(weights)), copies)
    if len(drawn) < ranks:
        raise ValueError(f"{len(drawn)} draws cannot be shared out among {ranks} ranks")
    keys = random.random_raw(len(drawn)) if shuffle else np.arange(len(drawn), dtype=np.uint64)
    by_pool = np.lexsort((keys, pools[drawn]))
    drawn, own_pool, keys = drawn[by_pool], pools[drawn][by_pool], keys[by_pool]
    names, counts = np.unique(own_pool, return_counts=True)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    stands = (np.arange(len(drawn)) - first + _MIDDLE) / np.repeat(counts, counts)
    turn = np.lexsort((np.repeat(np.arange(len(names)), counts), stands))
    starts = np.append(np.arange(0, len(drawn), batch_size), len(drawn))
    if len(starts) > 2 and starts[-1] - starts[-2] < ranks:  # noqa: PLR2004 - more than one batch
        starts = np.delete(starts, -2)
    if shuffle:
        turn = turn[np.lexsort((keys[turn], np.repeat(np.arange(len(starts) - 1), np.diff(starts))))]
    return EpochOrder(drawn[turn], starts)


def _fractions(random: np.random.Philox, count: int) -> NDArray[np.float64]:
    """Uniform in [0, 1), from raw bits, whose stream NumPy keeps the same from version to version."""
    return (random.random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
