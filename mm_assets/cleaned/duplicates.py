"""Exact and near-duplicate pictures: candidates by coarse thumbnails, verdict by aligned pixels."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.cleaned.duplicate_candidates import CoarseBlock, candidate_pairs, one_faiss_thread
from mm_assets.cleaned.duplicate_verdicts import verdicts
from mm_assets.cleaned.fingerprint_spool import FingerprintReader, FingerprintSpool
from mm_assets.errors import SchemaMismatchError
from mm_assets.policy import DuplicatePolicy

FEATURE_COLUMNS: Final = ("batch", "image_id", "position", "sha256", "width", "height", "coarse")
_VERDICT_SCHEMA: Final = pl.Schema(
    {"duplicate_of": pl.String, "duplicate_batch": pl.String, "kind": pl.String, "similarity": pl.Float64}
)
_PAIRS_AT_ONCE: Final = 16
_EXACT_RANK: Final = 2.0


class _Match(NamedTuple):
    """Row ``second`` shows the picture of row ``first``; among matches of a row the greatest rank is named."""

    first: int
    second: int
    similarity: float
    rank: float


def find_duplicates(
    own: pl.DataFrame,
    earlier: Iterable[pl.DataFrame],
    read: FingerprintReader,
    policy: DuplicatePolicy,
    *,
    within: bool = True,
) -> pl.DataFrame:
    """Find the images of a batch that repeat an earlier one, or an earlier image of the same batch.

    An image is dropped if it shows the picture of an image kept before it: in an earlier batch, or in its own by
    position. So of a chain of ever less alike pictures the first stays, and a picture too far from it stays too. Named
    is the first batch with such an image and, in it, the most alike, then the first. The answer depends neither on
    the order of rows nor on the size of blocks.

    In memory are the frames (about 1 KB per image) and, of ``block_rows`` images at a time, what their comparison
    needs; the large fingerprints pass through a temporary file.

    Args:
        own: rows of ``image_fingerprints`` of the batch, of which the columns `FEATURE_COLUMNS` are used.
        earlier: the same of the images kept of each earlier batch, read one frame at a time.
        read: reads the large fingerprints, of the own batch whole, of earlier ones those of candidates.
        policy: bounds.
        within: whether pictures of the batch are compared with each other too.

    Returns:
        One row per duplicate in the order of ``own``'s positions: image_id, duplicate_of, duplicate_batch, kind
        (``exact`` for equal bytes, else ``near``) and similarity (1 for equal pixels).

    Raises:
        SchemaMismatchError: a frame lacks a column, or fingerprints are missing or have another size.
    """
    rows = _ordered(own)
    with one_faiss_thread(), ExitStack() as closing:
        search = _Search(rows.unique("sha256", keep="first", maintain_order=True), read, policy, closing)
        for frame in earlier:
            search.match_earlier(_ordered(frame))
        if within:
            search.match_own()
    found = _with_repeats(rows, search.firsts, search.found)
    return found if within else found.filter(pl.col("duplicate_batch") != rows["batch"].first())


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in FEATURE_COLUMNS if name not in frame.columns]
    if missing:
        raise SchemaMismatchError(f"image_fingerprints lacks {', '.join(missing)}; clean the images of the batch again")
    return frame.select(FEATURE_COLUMNS).sort("position", "image_id")


class _Search:
    """The search for one batch.

    Attributes:
        firsts: the batch's rows, of equal bytes the first.
        found: verdicts so far, by row of ``firsts``.
    """

    def __init__(
        self, firsts: pl.DataFrame, read: FingerprintReader, policy: DuplicatePolicy, closing: ExitStack
    ) -> None:
        self.firsts = firsts
        self.found: dict[int, dict[str, Any]] = {}
        self._open = {digest: row for row, digest in enumerate(firsts["sha256"].to_list())}
        self._read = read
        self._policy = policy
        self._closing = closing

    def match_earlier(self, frame: pl.DataFrame) -> None:
        """Settle the open rows that repeat a row of an earlier batch."""
        best: dict[int, _Match] = {}
        for row, digest in enumerate(frame["sha256"].to_list()):
            if digest in self._open:
                _keep_better(best, _Match(row, self._open[digest], 1.0, _EXACT_RANK))
        for offset in range(0, frame.height if self._open else 0, self._policy.block_rows):
            for match in self._matches_with(frame[offset : offset + self._policy.block_rows]):
                _keep_better(best, match._replace(first=match.first + offset))
        self._settle(frame, best)

    def match_own(self) -> None:
        """Settle the open rows that repeat an earlier kept row of their own batch."""
        kept: list[NDArray[np.int64]] = []
        for part in self._open_parts():
            block = CoarseBlock(self.firsts[part])
            best: dict[int, _Match] = {}
            for rows in kept:
                first, second = candidate_pairs(CoarseBlock(self.firsts[rows]), block, self._policy)
                for match in self._matches(None, rows[first], part[second]):
                    _keep_better(best, match)
            first, second = candidate_pairs(block, block, self._policy)
            for match in self._matches(None, part[first], part[second], dropped=best):
                _keep_better(best, match)
            self._settle(self.firsts, best)
            stays = np.array([row for row in part.tolist() if row not in best], dtype=np.int64)
            if len(stays):
                kept.append(stays)

    def _matches_with(self, known: pl.DataFrame) -> Iterator[_Match]:
        """Open rows that show the picture of some row of an earlier batch."""
        block = CoarseBlock(known)
        pairs: list[tuple[NDArray[np.integer], NDArray[np.integer]]] = []
        for part in self._open_parts():
            first, second = candidate_pairs(block, CoarseBlock(self.firsts[part]), self._policy)
            pairs.append((first, part[second].astype(np.int32)))
        first, second = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
        if len(first):
            needed, place = np.unique(first, return_inverse=True)
            with FingerprintSpool(known[needed]) as spool:
                self._fill(spool, known[needed])
                for match in self._matches(spool, place, second):
                    yield match._replace(first=int(needed[match.first]))

    def _matches(
        self,
        known: FingerprintSpool | None,
        first: NDArray[np.integer],
        second: NDArray[np.integer],
        dropped: Collection[int] = (),
    ) -> Iterator[_Match]:
        """Pairs that show the same picture, in their order; ``known`` is None for the batch's own pictures.

        ``dropped`` holds the known rows that are duplicates themselves and may grow between matches: of many copies of
        one picture, only the first is compared with all.
        """
        for start in range(0, len(first), _PAIRS_AT_ONCE):
            pairs = [
                pair for pair in range(start, min(start + _PAIRS_AT_ONCE, len(first))) if first[pair] not in dropped
            ]
            if not pairs:
                continue
            one, other = first[pairs], second[pairs]
            similarity, rank = verdicts(known or self._own, one, self._own, other, self._policy)
            for at in np.flatnonzero(rank > 0.0):
                if one[at] not in dropped:
                    yield _Match(int(one[at]), int(other[at]), float(similarity[at]), round(float(rank[at]), 5))

    @cached_property
    def _own(self) -> FingerprintSpool:
        """The batch's own pictures: all are read, once, when the first pair is compared."""
        spool = self._closing.enter_context(FingerprintSpool(self.firsts))
        self._fill(spool, self.firsts)
        return spool

    def _fill(self, spool: FingerprintSpool, rows: pl.DataFrame) -> None:
        spool.fill(self._read(rows["batch"][0], rows["image_id"]))

    def _open_parts(self) -> Iterator[NDArray[np.int64]]:
        """Open rows, ``block_rows`` at a time."""
        rows = np.fromiter(self._open.values(), dtype=np.int64)
        for start in range(0, len(rows), self._policy.block_rows):
            yield rows[start : start + self._policy.block_rows]

    def _settle(self, known: pl.DataFrame, best: dict[int, _Match]) -> None:
        for row, match in best.items():
            self.found[row] = {
                "duplicate_of": known["image_id"][match.first],
                "duplicate_batch": known["batch"][match.first],
                "kind": "exact" if match.rank == _EXACT_RANK else "near",
                "similarity": match.similarity,
            }
            del self._open[self.firsts["sha256"][row]]


def _keep_better(best: dict[int, _Match], match: _Match) -> None:
    rival = best.get(match.second)
    if rival is None or (match.rank, -match.first) > (rival.rank, -rival.first):
        best[match.second] = match


def _with_repeats(rows: pl.DataFrame, firsts: pl.DataFrame, found: dict[int, dict[str, Any]]) -> pl.DataFrame:
    """Verdicts on all rows: a repeat of bytes shares the verdict of the first row with them, or repeats that row."""
    verdicts = pl.DataFrame(
        [found.get(row, dict.fromkeys(_VERDICT_SCHEMA)) for row in range(firsts.height)], schema=_VERDICT_SCHEMA
    )
    first = pl.concat([firsts.select("sha256", first_id="image_id", first_batch="batch"), verdicts], how="horizontal")
    kept_first = pl.col("duplicate_of").is_null()
    return (
        rows.select("image_id", "sha256")
        .join(first, on="sha256", how="left", maintain_order="left")
        .with_columns(is_first=pl.struct("sha256").is_first_distinct())
        .filter(~(kept_first & pl.col("is_first")))
        .select(
            "image_id",
            pl.coalesce("duplicate_of", "first_id").alias("duplicate_of"),
            pl.when(kept_first).then("first_batch").otherwise("duplicate_batch").alias("duplicate_batch"),
            pl.coalesce("kind", pl.lit("exact")).alias("kind"),
            pl.coalesce("similarity", pl.lit(1.0)).alias("similarity"),
        )
    )
