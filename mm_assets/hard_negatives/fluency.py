# pyright: strict
"""How fluent texts are to a small model of language: words by the two before, characters by the three before.

Stupid back-off (Brants et al. 2007) with a floor. All n-grams of a set of texts are numbered once, so that learning
from a part of them is counting numbers.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_TOKEN: Final = re.compile(r"[^\W_]+|[^\w\s]")
_DISCOUNT: Final = 0.4
_FLOOR: Final = 1e-6
_WORDS: Final = 3
_CHARACTERS: Final = 4
_START, _END, _FIRST = 0, 1, 2


def tokens(text: str) -> list[str]:
    """Words and marks, lower case.

    >>> tokens("A duck.")
    ['a', 'duck', '.']
    """
    return _TOKEN.findall(text.lower())


class Fluency:
    """Reads the texts of pairs after learning from some of the true ones.

    Args:
        true: true text of each pair.
        false: its false text.
    """

    def __init__(self, true: Sequence[str], false: Sequence[str]) -> None:
        texts = [text.lower() for text in (*true, *false)]
        self._pairs = len(true)
        self._models = (
            _Backoff(_number_words(texts), _WORDS),
            _Backoff([_number_characters(text) for text in texts], _CHARACTERS),
        )

    def read(self, learnt: Integers) -> Floats:
        """Mean and least log score of words and of characters, true less false.

        Args:
            learnt: places of the pairs whose true texts are learnt from.

        Returns:
            Shape (B, 4), one row per pair.
        """
        scores = np.concatenate([model.score(learnt) for model in self._models], axis=1)
        return scores[: self._pairs] - scores[self._pairs :]


def _number_words(texts: Sequence[str]) -> list[Integers]:
    numbers: dict[str, int] = {}
    return [
        np.asarray([numbers.setdefault(word, len(numbers) + _FIRST) for word in tokens(text)], np.int64)
        for text in texts
    ]


def _number_characters(text: str) -> Integers:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64) + _FIRST


class _Backoff:
    """N-grams of texts by number.

    Args:
        texts: symbols of each text.
        order: longest n-gram.
    """

    def __init__(self, texts: Sequence[Integers], order: int) -> None:
        padding = np.full(order - 1, _START, np.int64)
        end = np.full(1, _END, np.int64)
        lengths = np.asarray([len(text) + order for text in texts], np.int64)
        symbols = np.concatenate([part for text in texts for part in (padding, text, end)] or [end[:0]])
        self._starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if len(texts) else lengths
        self._text_of = np.repeat(np.arange(len(texts)), lengths).astype(np.int32)
        place = np.arange(len(symbols)) - np.repeat(self._starts, lengths)
        self._scored = place >= order - 1
        self._texts = len(texts)
        # Row n holds the number of the (n + 1)-gram that ends at each symbol; -1 where the text has not begun.
        unique, first = np.unique(symbols, return_inverse=True)
        self._grams = [first.astype(np.int32)]
        for length in range(2, order + 1):
            keys = self._grams[-1][:-1].astype(np.int64) * max(1, len(unique)) + first[1:]
            numbers = np.unique(np.concatenate([[-1], keys]), return_inverse=True)[1].astype(np.int32)
            numbers[place < length - 1] = -1
            self._grams.append(numbers)

    def score(self, learnt: Integers) -> Floats:
        """Mean and least log score of the symbols of each text, shape (T, 2).

        Args:
            learnt: texts that are learnt from.
        """
        if not self._texts:
            return np.empty((0, 2))
        weight = np.bincount(learnt, minlength=self._texts)[self._text_of]
        counts = [
            np.bincount(grams[grams >= 0], weights=weight[grams >= 0], minlength=int(grams.max(initial=0)) + 1)
            for grams in self._grams
        ]
        total = max(1.0, float(counts[0].sum()))
        places = np.flatnonzero(self._scored)
        scores = np.empty(len(places))
        left = np.arange(len(places))
        discount = 1.0
        for grams, own, shorter, before in zip(
            self._grams[:0:-1], counts[:0:-1], self._grams[-2::-1], counts[-2::-1], strict=True
        ):
            ends = places[left]
            seen = own[grams[ends]]
            found = seen > 0
            at = left[found]
            scores[at] = np.log(discount * seen[found] / before[shorter[places[at] - 1]])
            left, discount = left[~found], discount * _DISCOUNT
        single = counts[0][self._grams[0][places[left]]]
        scores[left] = np.log(discount * np.maximum(single / total, _FLOOR))
        firsts = np.searchsorted(places, self._starts)
        means = np.add.reduceat(scores, firsts) / np.diff(np.append(firsts, len(scores)))
        return np.stack([means, np.minimum.reduceat(scores, firsts)], axis=1)
