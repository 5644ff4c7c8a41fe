# pyright: strict
"""Near-duplicate texts, pages and documents: candidates by MinHash bands, verdict by exact Jaccard similarity."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
import rensa  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from mm_assets.cleaned.text_overlap import Offsets, distinct_shingles, pair_similarity
from mm_assets.cleaned.text_shingles import Hashes, hash_rows, normalise_words, shingle_characters, shingle_words
from mm_assets.errors import SchemaMismatchError
from mm_assets.policy.text_quality import TextDuplicatePolicy
from mm_assets.schemas import TABLES

TextReader = Callable[[str, pl.Series], pl.DataFrame]
"""Reads texts of a batch by their ids: columns text_id and text."""

_TABLE: Final = TABLES["text_fingerprints"]
_VERDICTS: Final = pl.Schema(
    {
        "text_id": pl.String,
        "duplicate_of": pl.String,
        "duplicate_batch": pl.String,
        "kind": pl.String,
        "similarity": pl.Float64,
    }
)
_DIGESTS_AT_ONCE: Final = 1_024
Shingles = tuple[Hashes, Offsets]


def fingerprint_texts(texts: pl.DataFrame, policy: TextDuplicatePolicy) -> pl.DataFrame:
    """What near-duplicate search compares, for texts, pages or whole documents.

    Args:
        texts: columns batch, text_id, position and text.
        policy: shingles and bands.

    Returns:
        Rows of ``text_fingerprints``.
    """
    rows = texts.with_columns(normal=normalise_words(pl.col("text")))
    words = rows["normal"].str.count_matches(" ").cast(pl.Int64) + (rows["normal"] != "").cast(pl.Int64)
    bands: list[list[int]] = [[] for _ in range(rows.height)]
    for is_word, chosen in ((True, words >= policy.long_words), (False, (words < policy.short_words) & (words > 0))):
        places = np.flatnonzero(chosen.to_numpy())
        for start in range(0, len(places), _DIGESTS_AT_ONCE):
            part = places[start : start + _DIGESTS_AT_ONCE]
            keys: list[list[int]] = (
                _band_keys(rows["normal"].gather(part.tolist()), is_word, policy).view(np.int64).tolist()
            )
            for place, row in zip(part.tolist(), keys, strict=True):
                bands[place] += row
    digest = rows["normal"].map_elements(_digest, return_dtype=pl.String)
    return _TABLE.conform(
        rows.select(
            "batch", "text_id", "position", words=words, digest=digest, bands=pl.Series(bands, dtype=pl.List(pl.Int64))
        )
    )


def find_text_duplicates(
    own: pl.DataFrame, earlier: Iterable[pl.DataFrame], read: TextReader, policy: TextDuplicatePolicy
) -> pl.DataFrame:
    """Find texts of a batch that repeat an earlier one, or an earlier text of their own batch.

    As of pictures: a text is dropped if it nearly repeats one kept before it, in an earlier batch or in its own by
    position. Named is the first batch with such a text and, in it, the most alike, then the first. In memory are the
    bands (320 bytes a text) and, of ``block_rows`` texts and ``block_words`` words at a time, the texts of candidates.

    Args:
        own: rows of ``text_fingerprints`` of the batch.
        earlier: the same of the texts kept of each earlier batch, one frame a batch.
        read: reads texts of candidates.
        policy: bounds.

    Returns:
        One row per duplicate in the order of positions: text_id, duplicate_of, duplicate_batch, kind (``exact`` for
        the same words in the same order, else ``near``) and similarity.

    Raises:
        SchemaMismatchError: a text of a fingerprint cannot be read.
    """
    rows = own.sort("position", "text_id").with_row_index("row")
    found: dict[int, dict[str, Any]] = {}
    compare = _Comparison(read, policy)
    for frame in earlier:
        known = frame.sort("position", "text_id").with_row_index("row")
        left = rows.filter(~pl.col("row").is_in(list(found)))
        for part in _blocks(left, policy):
            _settle(found, compare.matches(known, part), known)
    kept = rows.clear()
    for part in _blocks(rows.filter(~pl.col("row").is_in(list(found))), policy):
        _settle(found, compare.matches(kept, part), rows)
        rest = part.filter(~pl.col("row").is_in(list(found)))
        dropped: set[int] = set()
        best: list[_Match] = []
        for match in sorted(compare.matches(rest, rest), key=lambda m: (m.second, -m.similarity, m.first)):
            if match.first < match.second and match.first not in dropped and match.second not in dropped:
                dropped.add(match.second)
                best.append(match)
        _settle(found, best, rows)
        kept = pl.concat([kept, rest.filter(~pl.col("row").is_in(list(dropped)))])
    told = [{"text_id": rows["text_id"][row], **found[row]} for row in sorted(found)]
    return pl.DataFrame(told, schema=_VERDICTS)


def find_near_pairs(rows: pl.DataFrame, read: TextReader, policy: TextDuplicatePolicy) -> pl.DataFrame:
    """All pairs of texts of a batch that are near-duplicates, whichever are kept.

    Args:
        rows: rows of ``text_fingerprints`` of one batch.
        read: reads texts of candidates.
        policy: bounds.

    Returns:
        One row per pair: first, second (ids, by position) and similarity.
    """
    numbered = rows.sort("position", "text_id").with_row_index("row")
    compare = _Comparison(read, policy)
    ids = numbered["text_id"].to_list()
    pairs = [
        (ids[match.first], ids[match.second], match.similarity)
        for part in _blocks(numbered, policy)
        for match in compare.matches(numbered[: part["row"][-1] + 1], part)
    ]
    return pl.DataFrame(pairs, schema={"first": pl.String, "second": pl.String, "similarity": pl.Float64}, orient="row")


@dataclass(frozen=True)
class _Shingled:
    """Texts of some rows, in their order: digest, words, and distinct shingles of words and of characters."""

    rows: pl.DataFrame
    by_words: Shingles
    by_characters: Shingles


@dataclass(frozen=True, slots=True)
class _Match:
    """Text of row ``second`` repeats that of row ``first``."""

    first: int
    second: int
    similarity: float
    is_exact: bool


class _Comparison:
    """Candidates and their exact similarity."""

    def __init__(self, read: TextReader, policy: TextDuplicatePolicy) -> None:
        self._read = read
        self._policy = policy

    def matches(self, known: pl.DataFrame, asked: pl.DataFrame) -> Iterator[_Match]:
        """Pairs of a known and an asked row that are duplicates."""
        if not known.height or not asked.height:
            return
        pairs = self._candidates(known, asked)
        if not pairs.height:
            return
        if known is asked:
            both = pl.concat([pairs["first"], pairs["second"]]).implode()
            first = second = self._shingled(known.filter(pl.col("row").is_in(both)))
        else:
            first = self._shingled(known.filter(pl.col("row").is_in(pairs["first"].implode())))
            second = self._shingled(asked.filter(pl.col("row").is_in(pairs["second"].implode())))
        similarity, exact = self._compare(pairs, first, second)
        places = np.flatnonzero(similarity > 0.0)
        told = (
            pairs["first"].to_numpy()[places],
            pairs["second"].to_numpy()[places],
            similarity[places],
            exact[places],
        )
        for match in zip(*(values.tolist() for values in told), strict=True):
            yield _Match(*match)

    def _candidates(self, known: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
        """Pairs that share a band, or all their words."""
        keys = [frame.select("row", key="bands").explode("key").drop_nulls("key") for frame in (known, asked)]
        by_band = keys[0].join(keys[1], on="key").select(first="row", second="row_right")
        same = known.select("row", "digest").join(asked.select("row", "digest"), on="digest")
        pairs = pl.concat([by_band, same.select(first="row", second="row_right")]).unique()
        if known["batch"][0] == asked["batch"][0]:
            pairs = pairs.filter(pl.col("first") < pl.col("second"))
        return pairs.sort("second", "first")

    def _shingled(self, rows: pl.DataFrame) -> _Shingled:
        """Texts of rows as shingles."""
        texts = self._read(rows["batch"][0], rows["text_id"])
        normal = texts.select("text_id", normal=normalise_words(pl.col("text")))
        joined = rows.select("row", "text_id", "words", "digest").join(
            normal, on="text_id", how="left", maintain_order="left"
        )
        if joined["normal"].null_count():
            missing = joined.filter(pl.col("normal").is_null())["text_id"][0]
            raise SchemaMismatchError(f"text {missing} of batch {rows['batch'][0]} is not there; fingerprint it again")
        policy = self._policy
        short = joined.select(pl.when(pl.col("words") < policy.short_words).then("normal").otherwise(pl.lit("")))
        return _Shingled(
            joined.drop("normal"),
            distinct_shingles(*shingle_words(joined["normal"], policy.shingle)),
            distinct_shingles(*shingle_characters(short.to_series(), policy.shingle)),
        )

    def _compare(
        self, pairs: pl.DataFrame, one: _Shingled, other: _Shingled
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Similarity of each pair that is near enough, else 0, and whether both have the same words."""
        first, second = (
            np.searchsorted(side.rows["row"].to_numpy(), pairs[name].to_numpy())
            for side, name in ((one, "first"), (other, "second"))
        )
        exact = (one.rows["digest"].gather(first) == other.rows["digest"].gather(second)).to_numpy()
        words = np.stack([one.rows["words"].to_numpy()[first], other.rows["words"].to_numpy()[second]])
        similarity = np.zeros(len(first))
        for bound, are, left, right in (
            (
                self._policy.short_similarity,
                (words < self._policy.short_words).all(axis=0),
                one.by_characters,
                other.by_characters,
            ),
            (self._policy.similarity, (words >= self._policy.long_words).all(axis=0), one.by_words, other.by_words),
        ):
            places = np.flatnonzero(are & ~exact)
            found = pair_similarity(left, right, first[places], second[places])
            near = found >= bound
            similarity[places[near]] = found[near]
        similarity[exact] = 1.0
        return similarity, exact


def _blocks(rows: pl.DataFrame, policy: TextDuplicatePolicy) -> Iterator[pl.DataFrame]:
    """Rows in their order, as many at a time as have ``block_words`` words, at least one and at most ``block_rows``."""
    ends = np.cumsum(rows["words"].to_numpy())
    start = 0
    while start < rows.height:
        before = int(ends[start - 1]) if start else 0
        fitting = int(np.searchsorted(ends, before + policy.block_words, side="right"))
        end = min(max(fitting, start + 1), start + policy.block_rows)
        yield rows[start:end]
        start = end


def _settle(found: dict[int, dict[str, Any]], matches: Iterable[_Match], known: pl.DataFrame) -> None:
    best: dict[int, _Match] = {}
    for match in matches:
        rival = best.get(match.second)
        if rival is None or (match.similarity, -match.first) > (rival.similarity, -rival.first):
            best[match.second] = match
    ids, batches = known["text_id"], known["batch"]
    for second, match in best.items():
        if second not in found:
            found[second] = {
                "duplicate_of": ids[match.first],
                "duplicate_batch": batches[match.first],
                "kind": "exact" if match.is_exact else "near",
                "similarity": match.similarity,
            }


def _band_keys(normalised: pl.Series, is_word: bool, policy: TextDuplicatePolicy) -> Hashes:
    """One key per text and band, uint64, shape (N, bands)."""
    shingles, offsets = (shingle_words if is_word else shingle_characters)(normalised, policy.shingle)
    rows = policy.band_rows if is_word else policy.short_band_rows
    sketch: Any = getattr(rensa, "RMinHash")  # noqa: B009 - compiled, without types
    matrix: Any = sketch.digest_matrix_from_flat_token_hashes(
        shingles, offsets.astype(np.uint64), policy.bands * rows, policy.seed
    )
    digests = np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(normalised), policy.bands, rows)
    place: NDArray[np.uint64] = np.arange(policy.bands, dtype=np.uint64) * np.uint64(2) + np.uint64(is_word)
    marked = np.concatenate([digests, np.broadcast_to(place[None, :, None], (*digests.shape[:2], 1))], axis=2)
    return hash_rows(marked)


def _digest(normal: str) -> str:
    return hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()[:24]
