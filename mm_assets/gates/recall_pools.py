# pyright: strict
"""Recall on candidate pools of fixed size, exactly and without drawing a pool.

A query whose right answer is beaten by ``b`` of ``w`` wrong candidates meets, in a random pool of the right answer and
``m`` wrong ones, a hypergeometric number of better candidates. Its expected R@k is ``P(X <= k - 1)`` and its expected
reciprocal rank ``E[1 / (1 + X)]``; both depend on ``b`` alone, so they are read from a table. A wrong candidate that
ties with the right one counts as better: an encoder that returns one vector for everything then scores nothing.
"""

from dataclasses import dataclass

import numpy as np

from mm_assets.gates.recall_input import Floats, Integers, Pairs, RecallInput, Singles

_ROWS_PER_BLOCK = 256


@dataclass(frozen=True, eq=False)
class PoolTable:
    """Expected scores by number of better candidates, each of shape (wrong + 1,)."""

    r1: Floats
    r5: Floats
    mrr: Floats


def tabulate_pools(wrong: int, pool_size: int) -> PoolTable:
    """Expected R@1, R@5 and reciprocal rank for every number of better candidates.

    Args:
        wrong: wrong candidates a pool is drawn from.
        pool_size: candidates in a pool, the right one included; at most ``wrong + 1``.

    >>> tabulate_pools(2, 2).r1.round(6).tolist()
    [1.0, 0.5, 0.0]
    >>> tabulate_pools(2, 2).mrr.round(6).tolist()
    [1.0, 0.75, 0.5]
    """
    drawn = pool_size - 1
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, wrong + 2, dtype=np.float64)))])

    def log_choose(total: Integers, chosen: int) -> Floats:
        possible = (total >= chosen) & (chosen >= 0)
        safe = np.where(possible, total, max(chosen, 0))
        value = log_factorial[safe] - log_factorial[max(chosen, 0)] - log_factorial[safe - max(chosen, 0)]
        return np.where(possible, value, -np.inf)

    better = np.arange(wrong + 1, dtype=np.int64)
    pools = log_choose(np.array([wrong], dtype=np.int64), drawn)
    chances = [
        np.exp(log_choose(better, met) + log_choose(wrong - better, drawn - met) - pools)
        for met in range(min(5, drawn + 1))
    ]
    # E[1/(1+X)] in closed form: C(b, x) / (x + 1) = C(b + 1, x + 1) / (b + 1).
    none_met = np.exp(
        log_choose(wrong - better, pool_size) - log_choose(np.array([wrong + 1], dtype=np.int64), pool_size)
    )
    mrr = (wrong + 1) / (pool_size * (better + 1.0)) * (1.0 - none_met)
    table = PoolTable(np.minimum(chances[0], 1.0), np.minimum(np.sum(chances, axis=0), 1.0), np.minimum(mrr, 1.0))
    for scores in (table.r1, table.r5, table.mrr):
        scores[0] = 1.0  # exactly: nothing is better
    return table


@dataclass(frozen=True, eq=False)
class Direction:
    """Queries of one kind against candidates of the other.

    Attributes:
        similarity: float32, shape (n, n), query by candidate; the diagonal holds the claimed pairs.
        better: shape (n,), wrong candidates that score at least as high as the right one.
        wrong: shape (n,), wrong candidates of each query.
        r1: shape (n,), expected R@1 per query.
        r5: shape (n,), expected R@5 per query.
        mrr: shape (n,), expected reciprocal rank per query.
    """

    similarity: Singles
    better: Integers
    wrong: Integers
    r1: Floats
    r5: Floats
    mrr: Floats


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Retrieval in both directions.

    Attributes:
        pool_size: candidates per query: the policy's, or fewer if the batch has fewer.
        image_to_text: images ask for their captions.
        text_to_image: captions ask for their images.
        hits: float32, shape (n, n), R@1 of both directions, averaged, if caption ``column`` were that of image ``row``.
        keys: shape (n,), equal for captions that are the same sentence.
    """

    pool_size: int
    image_to_text: Direction
    text_to_image: Direction
    hits: Singles
    keys: Integers

    @property
    def r1(self) -> Floats:
        """R@1 of each pair, averaged over both directions, shape (n,)."""
        return (self.image_to_text.r1 + self.text_to_image.r1) / 2.0

    @property
    def recall_at_1(self) -> float:
        """The gated value."""
        return float(self.r1.mean())


def measure_retrieval(batch: RecallInput, pairs: Pairs, pool_size: int) -> Retrieval:
    """Rank every pair among all others and look its expected scores up.

    A caption equal to the right one is neither wrong nor a candidate, in both directions. The pool is the policy's
    unless a query has fewer wrong candidates; then every query gets that smaller pool, so that one number describes
    the batch.

    Args:
        batch: embeddings.
        pairs: n pairs, n at least 2.
        pool_size: candidates per query, the right one included.
    """
    count = len(pairs)
    _, first, inverse = np.unique(pairs.keys, return_index=True, return_inverse=True)
    images = batch.images[pairs.image_rows]
    # One column per sentence: equal captions score equally to the last bit.
    sentences = images @ batch.captions[pairs.caption_rows[first]].T
    similarity = np.ascontiguousarray(sentences[:, inverse], dtype=np.float32)
    copies = np.bincount(inverse)[inverse].astype(np.int64)
    wrong = count - copies
    pool = int(min(pool_size, int(wrong.min()) + 1))

    caption_better = _count_at_least(similarity)
    caption_better -= copies[None, :]
    tables = {int(size): tabulate_pools(count - int(size), pool) for size in np.unique(copies)}
    # One look-up for all sentences: each repetition count has its own stretch of one long table.
    starts = np.concatenate([[0], np.cumsum([len(table.r1) for table in tables.values()])])[:-1]
    first_entry = np.array([dict(zip(tables, starts, strict=True))[int(size)] for size in copies], dtype=np.int64)
    scores = np.concatenate([table.r1 for table in tables.values()]).astype(np.float32)
    hits = scores[caption_better + first_entry[None, :]]
    transposed = np.ascontiguousarray(similarity.T)
    image_at_least = _count_at_least(transposed)
    # If captions were dealt at random, the other pictures of the same sentence would be a random part of the rest, and
    # a pool from what that part leaves is a pool from the rest: no exclusion is needed to get the expectation.
    hits += np.concatenate([[0.0], tabulate_pools(count - 1, pool).r1]).astype(np.float32)[image_at_least].T
    hits *= 0.5

    image_better = np.diagonal(image_at_least) - _count_same_sentence(transposed, inverse.astype(np.int64))
    return Retrieval(
        pool_size=pool,
        image_to_text=_score(similarity, np.diagonal(caption_better).copy(), copies, tables),
        text_to_image=_score(transposed, image_better, copies, tables),
        hits=hits,
        keys=inverse.astype(np.int64),
    )


def _score(similarity: Singles, better: Integers, copies: Integers, tables: dict[int, PoolTable]) -> Direction:
    count = len(better)
    r1, r5, mrr = np.empty(count), np.empty(count), np.empty(count)
    for size, table in tables.items():
        rows = copies == size
        r1[rows], r5[rows], mrr[rows] = table.r1[better[rows]], table.r5[better[rows]], table.mrr[better[rows]]
    return Direction(similarity, better, count - copies, r1, r5, mrr)


def _count_at_least(similarity: Singles) -> Integers:
    """For every entry, how many entries of its row are as large or larger, itself included; shape (n, n)."""
    rows, columns = similarity.shape
    counts = np.empty((rows, columns), dtype=np.int64)
    places = np.arange(columns, dtype=np.int64)
    for start in range(0, rows, _ROWS_PER_BLOCK):
        block = similarity[start : start + _ROWS_PER_BLOCK]
        order = np.argsort(block, axis=1)
        ordered = np.take_along_axis(block, order, axis=1)
        opens_run = np.ones(ordered.shape, dtype=np.bool_)
        opens_run[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        smaller = np.maximum.accumulate(np.where(opens_run, places, 0), axis=1)
        np.put_along_axis(counts[start : start + len(block)], order, columns - smaller, axis=1)
    return counts


def _count_same_sentence(similarity: Singles, keys: Integers) -> Integers:
    """For every caption, how many pictures of its sentence score as high as its own, that one included; shape (n,)."""
    counts = np.ones(len(keys), dtype=np.int64)
    for key in np.flatnonzero(np.bincount(keys) > 1):
        members = np.flatnonzero(keys == key)
        scores = similarity[np.ix_(members, members)]
        counts[members] = (scores >= np.diagonal(scores)[:, None]).sum(axis=1)
    return counts
