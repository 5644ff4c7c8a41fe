"""Ids that occur more than once, found with 8 bytes of memory per line.

Only a key of 64 bits is kept of each id; where two are equal the lines are read again and the ids themselves compared.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_assets.fusion.line_blocks import split_lines

NO_ID: Final = -1  # neither Python's hash of a string nor a fingerprint is ever -1


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive lines of a file.

    Attributes:
        file: the file.
        first_line: number of the first line, from 1.
        offset: place of the first line in the file, bytes.
        size_bytes: bytes of the lines.
    """

    file: Path
    first_line: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A line whose id stands on an earlier line."""

    id: str
    file: Path
    line: int
    first_file: Path
    first_line: int


class _OnlyId(msgspec.Struct):
    id: str


class IdLedger:
    """Collects ids in line order."""

    def __init__(self) -> None:
        self._keys = array("q")
        self._stretches: list[Stretch] = []
        self._starts: list[int] = []

    def begin(self, stretch: Stretch) -> None:
        """The lines that are added from now on stand in this stretch."""
        self._stretches.append(stretch)
        self._starts.append(len(self._keys))

    def add(self, key: int) -> None:
        """Add the key of the next line's id, or ``NO_ID``. Equal ids have equal keys, and others hardly ever."""
        self._keys.append(key)

    def extend(self, keys: NDArray[np.int64]) -> None:
        """Add the keys of the next lines."""
        self._keys.frombytes(keys.tobytes())

    def duplicates(self) -> Iterator[Duplicate]:
        """Every line whose id stands on an earlier line, in line order.

        Raises:
            OSError: a file can no longer be read.
        """
        keys = np.frombuffer(self._keys, dtype=np.int64)
        order = np.argsort(keys, kind="stable")
        equal = (keys[order[1:]] == keys[order[:-1]]) & (keys[order[1:]] != NO_ID)
        candidates = np.unique(np.concatenate([order[1:][equal], order[:-1][equal]]))
        first_places = dict[str, tuple[Path, int]]()
        decoder = msgspec.json.Decoder(_OnlyId)
        numbers: list[int] = (np.searchsorted(self._starts, candidates, side="right") - 1).tolist()
        lines_of: list[int] = candidates.tolist()
        pairs = zip(numbers, lines_of, strict=True)
        for number, group in groupby(pairs, key=_stretch_number):
            stretch = self._stretches[number]
            lines = _read_lines(stretch)
            for _, candidate in group:
                place = candidate - self._starts[number]
                identifier = decoder.decode(lines[place]).id
                here = (stretch.file, stretch.first_line + place)
                first = first_places.setdefault(identifier, here)
                if first != here:
                    yield Duplicate(identifier, *here, *first)


def _stretch_number(pair: tuple[int, int]) -> int:
    return pair[0]


def _read_lines(stretch: Stretch) -> list[bytes]:
    with stretch.file.open("rb") as file:
        file.seek(stretch.offset)
        return split_lines(file.read(stretch.size_bytes))
