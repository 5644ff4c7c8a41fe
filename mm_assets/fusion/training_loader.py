"""Batches of a release for training: shuffled, shared out among ranks and workers, resumed where they stopped.

Needs torch.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from torch.utils.data import DataLoader, Sampler

from mm_assets.errors import ReleaseError
from mm_assets.fusion.training_order import EpochOrder, order_epoch
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.fusion.training_sample import TrainingSample, collate_samples

_VERSION: Final = 1
Batch = TypeVar("Batch")


class LoaderState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a loader stands: batches of the epoch that were handed out, and what the order follows from."""

    version: int
    release: str
    samples: int
    seed: int
    batch_size: int
    shuffle: bool
    epoch: int
    batches: int


class _Batches(Sampler[list[int]]):
    """What one rank takes of the batches that are left."""

    def __init__(self, order: EpochOrder, first: int, rank: int, ranks: int) -> None:
        self._order, self._first, self._rank, self._ranks = order, first, rank, ranks

    def __len__(self) -> int:
        return len(self._order) - self._first

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(self._first, len(self._order)):
            yield self._order.batch(number, self._rank, self._ranks)


class ReleaseLoader(Generic[Batch]):
    """Hands out one pass after the other, batch by batch; each ``for`` loop goes to the end of the current pass.

    The order follows from release, seed, batch size and epoch alone: not from ranks or workers. So a run may go on with
    another number of either, and each batch is the same samples. Pools keep their proportion in every batch; see
    `order_epoch`.

    Args:
        dataset: the release; its weights say how often each sample is drawn.
        batch_size: samples in a batch of all ranks together.
        seed: of the order.
        rank: which share of each batch this process takes.
        ranks: how many processes share it out.
        workers: processes that read ahead; 0 reads in this one.
        shuffle: if not, samples come in release order within their pools, in the same batches every time.
        collate: makes a batch of samples.
        options: further arguments of ``DataLoader``, such as ``pin_memory``.

    Raises:
        ValueError: the ranks cannot share out a batch.
    """

    def __init__(
        self,
        dataset: ReleaseDataset,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 0,
        shuffle: bool = True,
        collate: Callable[[Sequence[TrainingSample]], Batch] = collate_samples,
        **options: Any,  # noqa: ANN401 - DataLoader's own
    ) -> None:
        if not 0 <= rank < ranks:
            raise ValueError(f"rank {rank} of {ranks}")
        self._dataset, self._collate, self._options = dataset, collate, options
        self._rank, self._ranks, self._workers = rank, ranks, workers
        self._batch_size, self._seed, self._shuffle = batch_size, seed, shuffle
        self._facts = dataset.facts()
        self._epoch = self._done = 0
        self._order = self._order_of(0)

    @property
    def epoch(self) -> int:
        """Number of the pass that the next batch belongs to."""
        return self._epoch

    def __len__(self) -> int:
        """Batches of the current pass that are left."""
        return len(self._order) - self._done

    def __iter__(self) -> Iterator[Batch]:
        loader = DataLoader(
            self._dataset,
            batch_sampler=_Batches(self._order, self._done, self._rank, self._ranks),
            num_workers=self._workers,
            collate_fn=self._collate,
            **self._options,
        )
        for batch in loader:
            self._done += 1
            if self._done == len(self._order):
                self._epoch, self._done = self._epoch + 1, 0
                self._order = self._order_of(self._epoch)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where it stands: what was handed out is done, what workers have read ahead is not."""
        return msgspec.to_builtins(
            LoaderState(
                version=_VERSION,
                release=self._dataset.release,
                samples=len(self._dataset),
                seed=self._seed,
                batch_size=self._batch_size,
                shuffle=self._shuffle,
                epoch=self._epoch,
                batches=self._done,
            )
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader stood.

        Raises:
            ReleaseError: that loader had another release, seed or batch size: the batches would not be the same.
        """
        wanted = msgspec.convert(state, LoaderState)
        mine = msgspec.convert(self.state_dict(), LoaderState)
        if msgspec.structs.replace(mine, epoch=wanted.epoch, batches=wanted.batches) != wanted:
            raise ReleaseError(f"this loader ({mine}) cannot go on where that one stood ({wanted}); open it alike")
        order = self._order_of(wanted.epoch)
        if wanted.batches >= len(order):
            raise ReleaseError(f"batch {wanted.batches} is left, which {self._ranks} ranks cannot share out; use fewer")
        self._epoch, self._done, self._order = wanted.epoch, wanted.batches, order

    def _order_of(self, epoch: int) -> EpochOrder:
        return order_epoch(
            self._facts.weights,
            self._facts.pools,
            batch_size=self._batch_size,
            seed=self._seed,
            epoch=epoch,
            ranks=self._ranks,
            shuffle=self._shuffle,
        )
