# pyright: strict
"""Texts of samples that repeat an evaluation set, by the words they have in a row.

Source: Brown et al. 2020 (GPT-3), appendix C.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.cleaned.text_shingles import Hashes, normalise_words, shingle_words
from mm_assets.policy.mixtures import DecontaminationPolicy

EVALUATION_TEXT: Final = "EVALUATION_TEXT"
_SPAN: Final = r"<\|(?:image|audio|video)_start\|>[^|]*<\|(?:image|audio|video)_end\|>"
_BOX_TAG: Final = r"</?box>"
_SPEAKER: Final = r"(?m)^\s*[\p{L}\p{N} _.-]{1,32}:\s+"
_UNSPACED: Final = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_CHARACTERS_AT_ONCE: Final = 4_000_000
_FOUND: Final = pl.Schema({"row": pl.UInt32, "place": pl.Int64, "words": pl.Int64})


class EvaluationTexts:
    """Word n-grams of evaluation texts, by which set they are of.

    Texts of ``ngram_words`` words or more are found by any such n-gram, shorter ones by all their words in a row, the
    shortest only as a whole text, line or turn. Scripts without blanks are taken apart into characters.

    Args:
        texts: name of the set and a text of it.
        policy: lengths.
    """

    def __init__(self, texts: Iterable[tuple[str, str]], policy: DecontaminationPolicy) -> None:
        self._policy = policy
        self.names: list[str] = []
        self.counts: dict[str, int] = {}
        collected: dict[int, list[tuple[Hashes, NDArray[np.int16]]]] = {}
        for name, block in _blocks(texts):
            if name not in self.counts:
                self.names.append(name)
            self.counts[name] = self.counts.get(name, 0) + len(block)
            for length, hashes in self._ngrams(pl.Series(block, dtype=pl.String)):
                owner = np.full(len(hashes), self.names.index(name), dtype=np.int16)
                collected.setdefault(length, []).append((hashes, owner))
        self._index: dict[int, tuple[Hashes, NDArray[np.int16]]] = {}
        for length, parts in sorted(collected.items()):
            hashes, first = np.unique(np.concatenate([part[0] for part in parts]), return_index=True)
            self._index[length] = hashes, np.concatenate([part[1] for part in parts])[first]

    @property
    def lengths(self) -> list[int]:
        """Lengths in words by which something can be found."""
        return [*self._index]

    def find(self, contents: pl.Series) -> pl.DataFrame:
        """Contents that repeat a text.

        Args:
            contents: contents of samples, N of them.

        Returns:
            row (place in ``contents``), evaluation_set and words (of the longest match); one row per content found.
        """
        plain = plain_texts(contents)
        found = [pl.DataFrame(schema=_FOUND)]
        start = 0
        for rows in _portions(plain):
            part = plain.slice(start, rows)
            found += [frame.with_columns(pl.col("row") + start) for frame in self._find(part)]
            start += rows
        hits = pl.concat(found).sort("words", "place", descending=[True, False]).unique("row", keep="first").sort("row")
        names = pl.Series(self.names, dtype=pl.String)
        return hits.select("row", evaluation_set=names.gather(hits["place"]), words="words")

    def _find(self, plain: pl.Series) -> Iterator[pl.DataFrame]:
        whole = _words(plain)
        for length in self._index:
            if length >= self._policy.min_ngram_words:
                yield self._look_up(whole, np.arange(len(whole)), length)
        if any(length < self._policy.min_ngram_words for length in self._index):
            rows, lines = _lines(plain)
            counts = _word_counts(lines)
            for length in self._index:
                chosen = np.flatnonzero(counts == length)
                if length < self._policy.min_ngram_words and len(chosen):
                    yield self._look_up(lines.gather(chosen), rows[chosen], length)

    def _look_up(self, texts: pl.Series, rows: NDArray[np.int64], length: int) -> pl.DataFrame:
        """Rows of texts with an n-gram of this length in the index."""
        hashes, offsets = shingle_words(texts, length)
        index, owners = self._index[length]
        places = np.minimum(np.searchsorted(index, hashes), len(index) - 1)
        hits = np.flatnonzero(index[places] == hashes)
        at = np.searchsorted(offsets, hits, side="right") - 1
        return pl.DataFrame(
            {"row": rows[at], "place": owners[places[hits]], "words": np.full(len(hits), length)}, schema=_FOUND
        ).unique(maintain_order=True)

    def _ngrams(self, texts: pl.Series) -> Iterator[tuple[int, Hashes]]:
        """Hashes to look for, by length."""
        words = _words(texts)
        counts = _word_counts(words)
        longest = self._policy.ngram_words
        if (counts >= longest).any():
            yield longest, shingle_words(words.filter(pl.Series(counts >= longest)), longest)[0]
        for length in range(self._policy.min_exact_words, longest):
            if (counts == length).any():
                yield length, shingle_words(words.filter(pl.Series(counts == length)), length)[0]


def plain_texts(contents: pl.Series) -> pl.Series:
    """Contents without media and box tags."""
    return contents.str.replace_all(_SPAN, "\n").str.replace_all(_BOX_TAG, "")


def _words(texts: pl.Series) -> pl.Series:
    spaced = pl.col("text").str.replace_all(_SPEAKER, "").str.replace_all(_UNSPACED, " $1 ")
    return texts.alias("text").to_frame().select(normalise_words(spaced)).to_series()


def _word_counts(words: pl.Series) -> NDArray[np.int64]:
    return (words.str.count_matches(" ").cast(pl.Int64) + (words != "").cast(pl.Int64)).to_numpy()


def _lines(plain: pl.Series) -> tuple[NDArray[np.int64], pl.Series]:
    """Every line, and the whole where it has several, with the row it is of."""
    frame = plain.alias("text").to_frame().with_row_index("row")
    lines = frame.with_columns(pl.col("text").str.split("\n")).explode("text")
    both = pl.concat([frame.filter(pl.col("text").str.contains("\n")), lines])
    return both["row"].to_numpy().astype(np.int64), _words(both["text"])


def _blocks(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Texts of one set, some at a time."""
    name, block, size = "", list[str](), 0
    for one, text in texts:
        if block and (one != name or size > _CHARACTERS_AT_ONCE):
            yield name, block
            block, size = [], 0
        name = one
        block.append(text)
        size += len(text)
    if block:
        yield name, block


def _portions(texts: pl.Series) -> Iterator[int]:
    """How many texts to take at a time, by their length."""
    sizes = np.asarray(texts.str.len_bytes(), dtype=np.int64)
    total: NDArray[np.int64] = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    start = 0
    while start < len(texts):
        full = int(np.count_nonzero(total <= int(total[start]) + _CHARACTERS_AT_ONCE))
        end = max(full - 1, start + 1)
        yield end - start
        start = end
