# pyright: strict
"""How much of a caption's words the name, the alternative text or the surroundings of a figure have."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_WORD: Final = re.compile(r"[^\W_]{2,}")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SUFFIX: Final = re.compile(r"\.[a-z]{2,5}$", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?<=\D)\d+$")
_MIN_PART: Final = 4  # letters; shorter beginnings of words stand in any name
_MAX_PART: Final = 24
_PART_OF_WORD: Final = 0.6
# What goes into a step, and what comes out of it; each group counts as one word more.
_words: Final = str.split
_FIRST: Final = frozenset(_words("input original source before initial src orig raw unfiltered unmodified"))
_LAST: Final = frozenset(
    _words("output result results res after final dst out filtered applied resulting resultant transformed corrected")
)
_STAGES: Final = ((_FIRST, "<in>"), (_LAST, "<out>"))
Words = Counter[str]


def words_of(text: str) -> Words:
    """Words of a text, small; numbers at their ends do not count, nor do numbers alone.

    >>> sorted(words_of("ChArUco input2, 3 views"))
    ['<in>', 'ar', 'ch', 'charuco', 'input', 'uco', 'views']
    """
    found: Words = Counter()
    for spelled in (text, _CAMEL.sub(" ", text)):
        found |= Counter(_NUMBER.sub("", word) for word in _WORD.findall(spelled.casefold()) if not word.isdigit())
    for group, stage in _STAGES:
        if not group.isdisjoint(found):
            found[stage] = 1
    return found


def stage_of(text: str) -> int:
    """-1 for a caption of what goes into a step, 1 for one of what comes out of it, 0 for another."""
    found = words_of(text)
    return int("<out>" in found) - int("<in>" in found)


def name_of(file: str) -> str:
    """Name of a file without its folder and suffix."""
    return _SUFFIX.sub("", file.rpartition("/")[2])


class CaptionWords:
    """The words of a document's captions, rare ones counting more; those that all captions have count nothing.

    Args:
        captions: texts, in the order of their figures.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        counted = [words_of(caption) for caption in captions]
        frequency = Counter(word for caption in counted for word in caption)
        self._weight = {
            word: math.log((1 + len(captions)) / count) for word, count in frequency.items() if count < len(captions)
        }
        self._index = {word: at for at, word in enumerate(self._weight)}
        self._parts: dict[str, list[str]] = defaultdict(list)
        for word in self._weight:
            shortest = max(_MIN_PART, math.ceil(_PART_OF_WORD * len(word)))
            for length in range(shortest, min(len(word), _MAX_PART) + 1):
                self._parts[word[:length]].append(word)
        self._captions = self._matrix([dict.fromkeys(caption, 1.0) for caption in counted])
        self._norms = np.maximum(np.linalg.norm(self._captions, axis=1), 1e-9)

    def shared(self, texts: Sequence[str], *, in_parts: bool) -> Floats:
        """What texts (rows) share with captions (columns), in the captions' own weight: nats, shape (N, F).

        Args:
            texts: names, alternative texts or surroundings.
            in_parts: whether a word of a text that holds the beginning of a caption's word has a part of it.
        """
        return self._products(texts, in_parts=in_parts) / self._norms

    def covered(self, texts: Sequence[str]) -> Floats:
        """The share of captions' words (columns) that texts (rows) have, shape (N, F)."""
        return self._products(texts, in_parts=False) / self._norms**2

    def _products(self, texts: Sequence[str], *, in_parts: bool) -> Floats:
        rows = [self._parts_in(text) if in_parts else {} for text in texts]
        for row, text in zip(rows, texts, strict=True):
            row.update(dict.fromkeys(words_of(text), 1.0))
        return self._matrix(rows) @ self._captions.T

    def _matrix(self, rows: Sequence[Mapping[str, float]]) -> Floats:
        filled = np.zeros((len(rows), max(len(self._index), 1)))
        for at, row in enumerate(rows):
            for word, part in row.items():
                if word in self._index:
                    filled[at, self._index[word]] = part * self._weight[word]
        return filled

    def _parts_in(self, text: str) -> dict[str, float]:
        """Words of captions that begin somewhere in a word of a text, and how much of them is there."""
        found: dict[str, float] = {}
        for run in dict.fromkeys(_WORD.findall(text.casefold())):
            if run in self._index:
                continue  # a caption has it whole
            taken = [False] * len(run)
            for start, end in sorted(self._hits(run), key=lambda hit: (hit[0] - hit[1], hit[0])):
                if any(taken[start:end]):
                    continue  # a part of a longer one: "aruco" in "charuco"
                taken[start:end] = [True] * (end - start)
                for word in self._parts[run[start:end]]:
                    found[word] = max(found.get(word, 0.0), (end - start) / len(word))
        return found

    def _hits(self, run: str) -> Iterator[tuple[int, int]]:
        for start in range(len(run) - _MIN_PART + 1):
            for end in range(start + _MIN_PART, min(len(run), start + _MAX_PART) + 1):
                if run[start:end] in self._parts:
                    yield start, end
