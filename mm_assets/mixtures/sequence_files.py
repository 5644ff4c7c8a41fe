# pyright: strict
"""Write ``sequences/``: the windows that the samples of a release share."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec

from mm_assets.aligned.documents.windows.interfaces import TokenCounter
from mm_assets.errors import REMEDIES, CrossModalCode, ReleaseError
from mm_assets.fusion.release_format import SAMPLES_FOLDER
from mm_assets.fusion.samples import TRAIN
from mm_assets.fusion.sequences import (
    SEQUENCES_FOLDER,
    TOO_LONG_NAME,
    PlacedSample,
    SequenceFormat,
    SequenceLine,
    split_for_tokens,
)
from mm_assets.identifiers import make_id
from mm_assets.mixtures.sequence_packing import Piece, pack_sequences
from mm_assets.policy import PackingPolicy

_COUNTED_AT_ONCE: Final = 512
_MOST_COPIES: Final = 255
_DIGITS: Final = 6
_Line = TypeVar("_Line")


@dataclass(frozen=True)
class SequencePacking:
    """How samples share windows, and what counts their tokens."""

    policy: PackingPolicy
    counter: TokenCounter


class _Known(msgspec.Struct):
    id: str


def write_sequences(
    folder: Path, counter: TokenCounter, policy: PackingPolicy, windows_per_file: int
) -> SequenceFormat | None:
    """Fit the samples of a release in the making into windows.

    A window holds samples of one split; a sample of weight n stands in n windows. Memory holds one buffer of samples
    and 6 bytes for each of the release.

    Args:
        folder: release folder with its samples.
        counter: counts the tokens of texts.
        policy: size of a window; 0 writes nothing.
        windows_per_file: lines of a file.

    Returns:
        What was written; None if windows are off.

    Raises:
        ReleaseError: a line cannot be read.
    """
    if not policy.window_tokens:
        return None
    files = sorted((folder / SAMPLES_FOLDER).glob("*.jsonl"))
    (folder / SEQUENCES_FOLDER).mkdir()
    stream = _Stream(files, counter, policy.separator_tokens)
    rounds = chain([(TRAIN, stream.first())], stream.further())
    windows = ((split, window) for split, pieces in rounds for window in pack_sequences(pieces, policy))
    return _write(folder / SEQUENCES_FOLDER, windows, counter.identity, policy, windows_per_file)


class _Stream:
    """Samples of a release in its order, with their tokens, split by split; again as often as their weights say."""

    def __init__(self, files: list[Path], counter: TokenCounter, separator_tokens: int) -> None:
        self._files = files
        self._counter = counter
        self._separator = separator_tokens
        self._tokens = array("i")
        self._copies = bytearray()
        self._split_of = bytearray()
        self._splits = [TRAIN]

    def first(self) -> Iterator[Piece]:
        """Every sample to train on, once; those of other splits are only counted."""
        for samples in _in_groups(_read(self._files, msgspec.json.Decoder(PlacedSample).decode), _COUNTED_AT_ONCE):
            tokens = count_tokens([sample.content for sample in samples], self._counter)
            for sample, count in zip(samples, tokens, strict=True):
                piece = Piece(len(self._tokens), sample.id, count + self._separator)
                self._tokens.append(piece.tokens)
                self._copies.append(min(max(1, int(sample.weight + 0.5)), _MOST_COPIES))
                if sample.split not in self._splits:
                    self._splits.append(sample.split)
                self._split_of.append(self._splits.index(sample.split))
                if sample.split == TRAIN:
                    yield piece

    def further(self) -> Iterator[tuple[str, Iterator[Piece]]]:
        """What is left once the first round is over: the other splits, and samples of a weight over one once more."""
        for split in [TRAIN, *sorted(self._splits[1:])]:
            number = self._splits.index(split)
            own = (copies for copies, at in zip(self._copies, self._split_of, strict=True) if at == number)
            for copy in range(2 if split == TRAIN else 1, max(own, default=1) + 1):
                yield split, self._again(number, copy)

    def _again(self, split: int, copy: int) -> Iterator[Piece]:
        for position, sample in enumerate(_read(self._files, msgspec.json.Decoder(_Known).decode)):
            if self._split_of[position] == split and self._copies[position] >= copy:
                yield Piece(position, sample.id, self._tokens[position])


def count_tokens(contents: list[str], counter: TokenCounter) -> list[int]:
    """Tokens of each content: those of its texts, and one for every code, sentinel and box tag."""
    parts = [split_for_tokens(content) for content in contents]
    counts = iter(counter.count([text for part in parts for text in part.texts]))
    return [part.placeholder_tokens + sum(next(counts) for _ in part.texts) for part in parts]


def _in_groups(samples: Iterator[PlacedSample], size: int) -> Iterator[list[PlacedSample]]:
    group: list[PlacedSample] = []
    for sample in samples:
        group.append(sample)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _read(files: list[Path], decode: Callable[[bytes], _Line]) -> Iterator[_Line]:
    for path in files:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    yield decode(raw)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    code = CrossModalCode.TOKEN_FMT
                    raise ReleaseError(f"{code}: {path.name} line {number}: {error}; {REMEDIES[code].fix}") from error


class _PartFiles:
    """Lines over files of a bounded number of lines, opened as they are needed."""

    def __init__(self, folder: Path, lines_per_file: int) -> None:
        self._folder = folder
        self._lines_per_file = lines_per_file
        self._file: BinaryIO | None = None
        self.lines = 0

    def write(self, line: bytes) -> None:
        """Add a line."""
        if self._file is None or self.lines % self._lines_per_file == 0:
            self.close()
            self._file = (self._folder / f"part-{self.lines // self._lines_per_file:05d}.jsonl").open("wb")
        self._file.write(line + b"\n")
        self.lines += 1

    def close(self) -> None:
        """Close the last file."""
        if self._file is not None:
            self._file.close()


def _write(
    folder: Path, windows: Iterable[tuple[str, list[Piece]]], counter: str, policy: PackingPolicy, windows_per_file: int
) -> SequenceFormat:
    encoder = msgspec.json.Encoder()
    samples = tokens = 0
    apart: list[bytes] = []
    with closing(_PartFiles(folder, windows_per_file)) as parts:
        for split, window in windows:
            line = _describe(window, split, parts.lines + len(apart))
            if line.tokens > policy.window_tokens:
                apart.append(encoder.encode(line))
                continue
            parts.write(encoder.encode(line))
            samples += len(window)
            tokens += line.tokens
    if apart:
        (folder / TOO_LONG_NAME).write_bytes(b"".join(line + b"\n" for line in apart))
    room = parts.lines * policy.window_tokens
    fill = round(tokens / room, _DIGITS) if room else 0.0
    return SequenceFormat(
        policy.window_tokens, policy.separator_tokens, counter, parts.lines, samples, tokens, fill, len(apart)
    )


def _describe(window: list[Piece], split: str, number: int) -> SequenceLine:
    boundaries = list(accumulate((piece.tokens for piece in window), initial=0))
    samples, positions = [piece.id for piece in window], [piece.position for piece in window]
    return SequenceLine(make_id("seq", number, *samples), split, samples, positions, boundaries, boundaries[-1])
