# pyright: strict
"""Which samples a run sees, in which order, and how they lie in rows of one length."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.mixtures.ablation.corpus import Corpus, windows

IGNORED: Final = -1
_OPEN_ROWS: Final = 32


@dataclass(frozen=True)
class Rows:
    """Samples packed into rows, none of which looks into another.

    Attributes:
        tokens: int32, shape (R, L).
        targets: int32, shape (R, L): the next token of the same sample, or `IGNORED`.
        places: int32, shape (R, L): place within the sample's window.
        samples: int64, shape (R, L): which window each token is of, by its place among the windows; -1 is padding.
    """

    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    places: NDArray[np.int32]
    samples: NDArray[np.int64]

    @property
    def trained(self) -> int:
        """Tokens with a target."""
        return int((self.targets != IGNORED).sum())

    def take(self, rows: NDArray[np.int64]) -> "Rows":
        """Some of the rows."""
        return Rows(self.tokens[rows], self.targets[rows], self.places[rows], self.samples[rows])


def draw(train: Mapping[str, NDArray[np.int64]], weights: Sequence[float], seed: int) -> Iterator[tuple[int, int]]:
    """Draw samples without end: pools in proportion to their weights, each in passes over its samples.

    After n draws every pool was drawn its weight times n, to within one draw.

    Args:
        train: samples per pool.
        weights: share of each pool, in the same order; a pool of weight 0 is never drawn.
        seed: of the order within the pools.

    Yields:
        Place of the pool, and the sample.
    """
    streams = [_passes(samples, seed, pool) for pool, samples in train.items()]
    shares = np.asarray(weights, dtype=np.float64)
    owed = np.zeros(len(shares))
    while True:
        owed += shares
        pool = int(np.argmax(np.where(shares > 0, owed, -np.inf)))
        owed[pool] -= 1.0
        yield pool, next(streams[pool])


def _passes(samples: NDArray[np.int64], seed: int, pool: str) -> Iterator[int]:
    rng = random_numbers(seed, "order", pool)
    while True:
        for sample in rng.permutation(samples):
            yield int(sample)


def random_numbers(seed: int, *purpose: str) -> np.random.Generator:
    """Numbers for one purpose, the same on every machine."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def pack_rows(pieces: Sequence[NDArray[np.int32]], length: int) -> Rows:
    """Lay pieces of at most ``length`` tokens into rows, each where it first fits, in their order.

    Args:
        pieces: tokens of each window.
        length: tokens of a row.

    Returns:
        The rows; every piece lies in one of them, whole.
    """
    places: list[tuple[int, int]] = []
    open_rows: list[tuple[int, int]] = []  # row, tokens filled; at most _OPEN_ROWS, so that work stays linear
    rows = 0
    for piece in pieces:
        for slot, (row, filled) in enumerate(open_rows):
            if filled + len(piece) <= length:
                places.append((row, filled))
                open_rows[slot] = (row, filled + len(piece))
                break
        else:
            places.append((rows, 0))
            open_rows.append((rows, len(piece)))
            rows += 1
            if len(open_rows) > _OPEN_ROWS:
                open_rows.remove(max(open_rows, key=lambda entry: entry[1]))
    packed = Rows(
        tokens=np.zeros((rows, length), dtype=np.int32),
        targets=np.full((rows, length), IGNORED, dtype=np.int32),
        places=np.zeros((rows, length), dtype=np.int32),
        samples=np.full((rows, length), -1, dtype=np.int64),
    )
    for number, (piece, (row, start)) in enumerate(zip(pieces, places, strict=True)):
        span = slice(start, start + len(piece))
        packed.tokens[row, span] = piece
        packed.targets[row, start : start + len(piece) - 1] = piece[1:]
        packed.places[row, span] = np.arange(len(piece))
        packed.samples[row, span] = number
    return packed


def training_rows(
    corpus: Corpus, weights: Sequence[float], seed: int, *, tokens: int, length: int, at_once: int
) -> Iterator[tuple[Rows, list[tuple[int, int]]]]:
    """Rows to train on until a budget of tokens is drawn, in chunks that are shuffled within.

    Of a sample longer than a row one window is drawn each time, at a random place.

    Args:
        corpus: samples.
        weights: share of the drawn samples per pool.
        seed: of order, windows and shuffling.
        tokens: budget, tokens with a target; the last sample may overrun it.
        length: tokens of a row.
        at_once: samples in a chunk.

    Yields:
        Rows, and pool and sample of every draw in them.
    """
    rng = random_numbers(seed, "windows")
    stream = draw(corpus.train, weights, seed)
    left = tokens
    while left > 0:
        pieces: list[NDArray[np.int32]] = []
        draws: list[tuple[int, int]] = []
        while left > 0 and len(pieces) < at_once:
            pool, index = next(stream)
            sample = corpus.sample(index)
            start = int(rng.integers(0, max(len(sample) - length, 0) + 1))
            pieces.append(sample[start : start + length])
            draws.append((pool, index))
            left -= len(pieces[-1]) - 1
        rows = pack_rows(pieces, length)
        yield rows.take(rng.permutation(len(rows.tokens))), draws


def held_out_windows(
    corpus: Corpus, capability: str, *, tokens: int, length: int
) -> list[tuple[int, NDArray[np.int32]]]:
    """Windows to measure a capability on: the first of every sample, then the second of each, up to a budget.

    Args:
        corpus: samples.
        capability: one with held-out samples.
        tokens: budget; the last window may overrun it.
        length: longest window.

    Returns:
        Sample and tokens of each window.
    """
    spans = [[*windows(int(corpus.starts[i + 1] - corpus.starts[i]), length)] for i in corpus.held_out[capability]]
    chosen: list[tuple[int, NDArray[np.int32]]] = []
    for turn in range(max(map(len, spans))):
        for index, of_sample in zip(corpus.held_out[capability], spans, strict=True):
            if turn < len(of_sample) and tokens > 0:
                start, end = of_sample[turn]
                if end - start > 1:
                    chosen.append((int(index), corpus.sample(int(index))[start:end]))
                    tokens -= end - start
    return chosen
