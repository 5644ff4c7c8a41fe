"""Readers who never see a picture: what each looks at in the two texts of a pair.

Every reader turns a pair into the difference of what it sees in the one and the other text, so that which comes first
says nothing. A linear classifier then learns which side is true.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from mm_assets.hard_negatives.fluency import Fluency, tokens

Pairs = Sequence[tuple[str, str]]
Matrix = csr_matrix
Places = NDArray[np.int64]
_HASHED: Final = 1 << 15
_NEGATIONS: Final = frozenset({"no", "not", "without", "never", "none", "nobody", "nothing", "neither", "nor", "isn't"})


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


def _dense(read: Callable[[str], list[float]], pairs: Pairs) -> Matrix:
    if not pairs:
        return csr_matrix((0, 0))
    return csr_matrix(np.asarray([np.subtract(read(true), read(false)) for true, false in pairs], np.float64))


def _hashed(sides: Sequence[tuple[Counter[str], Counter[str]]]) -> Matrix:
    """Differences of counted features, only the columns that any pair has."""
    from sklearn.feature_extraction import FeatureHasher  # noqa: PLC0415 - takes a second to load

    differences = []
    for true, false in sides:
        difference = Counter(true)
        difference.subtract(false)
        differences.append({feature: float(count) for feature, count in difference.items() if count})
    found = csr_matrix(FeatureHasher(_HASHED, alternate_sign=False).transform(differences))
    columns, places = np.unique(found.indices, return_inverse=True)
    return csr_matrix((found.data, places, found.indptr), shape=(len(sides), max(1, len(columns))))


READERS: Final = ("length", "negation", "ngrams", "order", "first_change", "fluency")
"""Who reads: names as they stand in verdicts."""
_LEARNS_TEXTS: Final = "fluency"


class PairFeatures:
    """What every reader sees in pairs, true less false, read once for any number of folds.

    Args:
        pairs: true and false text.
    """

    def __init__(self, pairs: Pairs) -> None:
        self._seen: dict[str, Matrix] = {
            "length": _dense(_length, pairs),
            "negation": _dense(_negation, pairs),
            "ngrams": _hashed([(_ngrams(true), _ngrams(false)) for true, false in pairs]),
            "order": _hashed([(_order(true), _order(false)) for true, false in pairs]),
            "first_change": _hashed([_first_change(true, false) for true, false in pairs]),
        }
        self._fluency = Fluency([true for true, _ in pairs], [false for _, false in pairs])

    def split(self, reader: str, learnt: Places, held: Places) -> tuple[Matrix, Matrix]:
        """What a reader sees in the pairs it learns from and in those it is tested on.

        The fluency of texts a model learnt from says nothing: that reader learns its language on the true texts of
        every other pair, and reads the rest.

        Args:
            reader: one of `READERS`.
            learnt: places of pairs to learn from.
            held: places of pairs to be tested on.

        Returns:
            One row per pair, each.
        """
        if reader != _LEARNS_TEXTS:
            found = self._seen[reader]
            return csr_matrix(found[learnt]), csr_matrix(found[held])
        read = self._fluency.read(learnt[::2])
        return csr_matrix(read[learnt[1::2]]), csr_matrix(read[held])
