"""Readers who never see a picture: what each looks at in the two texts of a pair.

Every reader turns a pair into the difference of what it sees in the one and the other text, so that which comes first
says nothing. A linear classifier then learns which side is true.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Pairs = Sequence[tuple[str, str]]
Matrix = csr_matrix
_TOKEN: Final = re.compile(r"[^\W_]+|[^\w\s]")
_HASHED: Final = 1 << 15
_NEGATIONS: Final = frozenset({"no", "not", "without", "never", "none", "nobody", "nothing", "neither", "nor", "isn't"})
_DISCOUNT: Final = 0.4
_FLOOR: Final = 1e-6
_CHARACTERS: Final = 4


def tokens(text: str) -> list[str]:
    """Words and marks, lower case.

    >>> tokens("A duck.")
    ['a', 'duck', '.']
    """
    return _TOKEN.findall(text.lower())


def _length(text: str) -> list[float]:
    words = tokens(text)
    longest = max((len(word) for word in words), default=0)
    return [float(len(text)), float(len(words)), float(longest), len(text) / max(1, len(words))]


def _negation(text: str) -> list[float]:
    words = tokens(text)
    return [float(sum(word in _NEGATIONS or word.endswith("n't") for word in words))]


def _ngrams(text: str) -> Counter[str]:
    words = tokens(text)
    found: Counter[str] = Counter(words)
    found.update(f"{one} {two}" for one, two in pairwise(words))
    return found


def _order(text: str) -> Counter[str]:
    """Which word stands where: by place from the start, from the end, and before which other."""
    words = ["^", *tokens(text), "$"]
    found: Counter[str] = Counter(f"{place}:{word}" for place, word in enumerate(words))
    found.update(f"-{place}:{word}" for place, word in enumerate(reversed(words)))
    found.update(f"{a}<{b}" for i, a in enumerate(words) for b in words[i + 1 : i + 4])
    return found


def _first_change(true: str, false: str) -> tuple[Counter[str], Counter[str]]:
    """Where the two texts part: the words there, how far in, and what stands before."""
    ours, theirs = tokens(true), tokens(false)
    place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    before = ours[place - 1] if place else "^"
    sides: list[Counter[str]] = []
    for words in (ours, theirs):
        word = words[place] if place < len(words) else "$"
        sides.append(Counter({word: 1, f"{before} {word}": 1, f"{min(place, 9)}:{word}": 1, f"len{len(word)}": 1}))
    return sides[0], sides[1]


class Fluency:
    """A small model of language learnt from true texts: words by the two before, and characters by the three before.

    Stupid back-off (Brants et al. 2007) with a floor.

    Args:
        texts: true texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._words = _Backoff((["^", "^", *tokens(text), "$"] for text in texts), 3)
        self._characters = _Backoff((["^"] * 3 + list(text.lower()) + ["$"] for text in texts), _CHARACTERS)

    def read(self, text: str) -> list[float]:
        """Mean and least log score of words and of characters."""
        words = self._words.score(["^", "^", *tokens(text), "$"])
        characters = self._characters.score(["^"] * 3 + list(text.lower()) + ["$"])
        return [float(np.mean(words)), float(np.min(words)), float(np.mean(characters)), float(np.min(characters))]


class _Backoff:
    def __init__(self, sequences: Iterable[list[str]], order: int) -> None:
        self._order = order
        self._counts: Mapping[tuple[str, ...], int] = defaultdict(int)
        counts: dict[tuple[str, ...], int] = defaultdict(int)
        for sequence in sequences:
            for n in range(1, order + 1):
                for at in range(len(sequence) - n + 1):
                    counts[tuple(sequence[at : at + n])] += 1
        self._counts = counts
        self._total = sum(count for gram, count in counts.items() if len(gram) == 1)

    def score(self, sequence: Sequence[str]) -> list[float]:
        """Log score of each symbol after the padding."""
        return [
            self._one(tuple(sequence[at - self._order + 1 : at + 1])) for at in range(self._order - 1, len(sequence))
        ]

    def _one(self, gram: tuple[str, ...]) -> float:
        weight = 1.0
        while len(gram) > 1:
            count = self._counts.get(gram, 0)
            if count:
                return math.log(weight * count / self._counts[gram[:-1]])
            gram, weight = gram[1:], weight * _DISCOUNT
        return math.log(weight * max(self._counts.get(gram, 0) / max(1, self._total), _FLOOR))


def _dense(read: Callable[[str], list[float]], pairs: Pairs) -> NDArray[np.float64]:
    if not pairs:
        return np.empty((0, 0))
    return np.asarray([np.subtract(read(true), read(false)) for true, false in pairs], np.float64)


def _hashed(sides: Sequence[tuple[Counter[str], Counter[str]]]) -> Matrix:
    from sklearn.feature_extraction import FeatureHasher  # noqa: PLC0415 - takes a second to load

    differences = []
    for true, false in sides:
        difference = Counter(true)
        difference.subtract(false)
        differences.append({feature: float(count) for feature, count in difference.items() if count})
    return csr_matrix(FeatureHasher(_HASHED, alternate_sign=False).transform(differences))


READERS: Final = ("length", "negation", "ngrams", "order", "first_change", "fluency")
"""Who reads: names as they stand in verdicts."""


def read_pairs(reader: str, pairs: Pairs, training_texts: Sequence[str]) -> Matrix:
    """What a reader sees in pairs, true less false.

    Args:
        reader: one of `READERS`.
        pairs: true and false text.
        training_texts: true texts of the pairs it learns from; the fluency reader knows no others.

    Returns:
        One row per pair.
    """
    if reader == "length":
        return csr_matrix(_dense(_length, pairs))
    if reader == "negation":
        return csr_matrix(_dense(_negation, pairs))
    if reader == "fluency":
        return csr_matrix(_dense(Fluency(training_texts).read, pairs))
    if reader == "ngrams":
        return _hashed([(_ngrams(true), _ngrams(false)) for true, false in pairs])
    if reader == "order":
        return _hashed([(_order(true), _order(false)) for true, false in pairs])
    return _hashed([_first_change(true, false) for true, false in pairs])
