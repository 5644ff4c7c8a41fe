# pyright: strict
"""The sound of a clip's pieces as feature rows on an exact clock: token i of a piece starts i tokens after the piece.

Sound streams by once. A token holds the levels of its parts, each the mean over the frames whose centre lies in it;
where a clip has no sound a part is silent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.features.log_mel import HOP_US, SAMPLE_RATE, LogMel
from mm_assets.media.sound import JITTER_US
from mm_assets.policy import AudioFeaturePolicy

_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class PieceSound:
    """The sound of one piece.

    Attributes:
        piece: its place among the clip's pieces.
        tokens: float32, shape (T, C), row i covers ``token_us`` from the i-th token's start; the last may be shorter.
        heard_share: share of its parts in which there is sound, 0 to 1.
    """

    piece: int
    tokens: NDArray[np.float32]
    heard_share: float


class PieceSounds:
    """Collects the frames of one clip into tokens of its pieces.

    Args:
        bounds_us: start and end of each piece, in order and apart, int64, shape (P, 2).
        policy: bands, token length and parts.
    """

    def __init__(self, bounds_us: NDArray[np.int64], policy: AudioFeaturePolicy) -> None:
        self._bounds = bounds_us
        self._policy = policy
        self._part_us = policy.token_us // policy.parts_per_token
        self._mel = LogMel(policy.mel_bands)
        self._run_start_us = self._samples = self._frames = 0
        self._running = False
        self._piece = 0
        self._begin()

    def add(self, start_us: int, samples: NDArray[np.float32]) -> Iterator[PieceSound]:
        """Take the next sound, on the clock of the pieces; yields the pieces that are complete."""
        expected = self._run_start_us + self._samples * _MICROSECONDS // SAMPLE_RATE
        if not self._running or abs(start_us - expected) > JITTER_US:
            yield from self._end_run()
            self._run_start_us, self._samples, self._frames, self._running = start_us, 0, 0, True
        self._samples += len(samples)
        yield from self._place(self._mel.add(samples))

    def finish(self) -> Iterator[PieceSound]:
        """Every piece that is left, silent ones among them."""
        yield from self._end_run()
        while self._piece < len(self._bounds):
            yield self._take()

    def _end_run(self) -> Iterator[PieceSound]:
        if self._running:
            yield from self._place(self._mel.finish())
            self._running = False

    def _place(self, frames: NDArray[np.float32]) -> Iterator[PieceSound]:
        centres = self._run_start_us + (self._frames + np.arange(len(frames), dtype=np.int64)) * HOP_US
        self._frames += len(frames)
        first = 0
        while first < len(frames) and self._piece < len(self._bounds):
            start, end = self._span()
            behind = int(np.searchsorted(centres, end))
            first = max(first, int(np.searchsorted(centres, start)))
            if behind > first:
                places = (centres[first:behind] - start) // self._part_us
                np.add.at(self._sums, places, frames[first:behind])
                np.add.at(self._counts, places, 1)
                first = behind
            if behind < len(frames):
                yield self._take()

    def _begin(self) -> None:
        if self._piece >= len(self._bounds):
            return
        start, end = self._span()
        tokens = -(-(end - start) // self._policy.token_us)
        slots = tokens * self._policy.parts_per_token
        self._filled = -(-(end - start) // self._part_us)
        self._sums = np.zeros((slots, self._policy.mel_bands), np.float32)
        self._counts = np.zeros(slots, np.int32)

    def _span(self) -> tuple[int, int]:
        return int(self._bounds[self._piece, 0]), int(self._bounds[self._piece, 1])

    def _take(self) -> PieceSound:
        levels = self._sums / np.maximum(self._counts, 1)[:, None]
        heard = float((self._counts[: self._filled] > 0).mean())
        tokens = levels.reshape(-1, self._policy.parts_per_token * self._policy.mel_bands).astype(np.float32)
        taken = PieceSound(self._piece, tokens, heard)
        self._piece += 1
        self._begin()
        return taken


def summarise(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean and deviation of every feature over the tokens, shape (2 C,), unit length; of silence the first axis.

    It tells sounds apart by how they are made up, not by what they mean.
    """
    joined = np.concatenate((tokens.mean(axis=0), tokens.std(axis=0)))
    length = float(np.linalg.norm(joined))
    if length == 0.0:
        joined[0] = length = 1.0
    return (joined / length).astype(np.float32)
