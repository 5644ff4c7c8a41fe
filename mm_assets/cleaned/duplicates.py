"""Exact and near-duplicate pictures: candidates by small thumbnail vectors, verdict by aligned pixels."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeAlias

import faiss
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.cleaned.fingerprints import THUMBNAIL_SIDE_PX
from mm_assets.cleaned.picture_comparison import (
    Crop,
    Likeness,
    Pictures,
    compare,
    cropped,
    find_crops,
    prepare_pictures,
)
from mm_assets.errors import SchemaMismatchError
from mm_assets.policy import DuplicatePolicy

_SCHEMA: Final = pl.Schema(
    {
        "image_id": pl.String,
        "duplicate_of": pl.String,
        "duplicate_batch": pl.String,
        "kind": pl.String,
        "similarity": pl.Float64,
    }
)
_COLUMNS: Final = ("batch", "image_id", "position", "sha256", "width", "height", "thumbnail")
_VECTOR_SIDE_PX: Final = 8
_COARSE_SIDE_PX: Final = 16
_PAIRS_AT_ONCE: Final = 32
_SIDE: Final = THUMBNAIL_SIDE_PX
# faiss rounds differently for blocks of different sizes; the bound proper is applied to float64 products.
_ROUNDING: Final = 1e-3

# Cutting 2 % of a margin off each side raises the contrast by a few per cent, low quality of thin lines by more.
_MAX_LOG_CONTRAST_CHANGE: Final = 0.16
# A crop must explain half of the difference, move all edges inward or all outward, and change the aspect as it zooms.
_MAX_REMAINING_SHARE: Final = 0.5
_MAX_AGAINST_CROP_PX: Final = 0.7
_MAX_ASPECT_ERROR: Final = 0.03
# A family of faint concentric figures mimics a zoom about the centre. A crop of one of them shifts it, or zooms as far
# as 2 % from all sides do, and leaves the ink equal; overshoot of resampling darkens thin lines a little.
_MIN_UNEVEN_PX: Final = 0.2
_MAX_INK_DIFFERENCE: Final = 0.08
_MIN_ZOOM_PX: Final = 0.9
_MAX_INK_DIFFERENCE_OF_ZOOM: Final = 0.004
_MAX_FAINT_AGAINST_CROP_PX: Final = 0.15
_MAX_FAINT_CROP_PX: Final = 1.4
_EXACT_RANK: Final = 2.0

Pairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]


class _Match(NamedTuple):
    """Row ``second`` shows the picture of row ``first``; among matches of a row the greatest rank is named."""

    first: int
    second: int
    similarity: float
    rank: float


class _Block:
    """Fingerprints ready for comparison.

    Attributes:
        vectors: unit 8 px thumbnails, float32, shape (N, 192).
        coarse: centred 16 px thumbnails, float32, shape (N, 768).
        log_aspect: float64, shape (N,).
        contrast: standard deviation of the thumbnail in levels of 255, float32, shape (N,).
        log_contrast: its logarithm.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        raw = b"".join(rows["thumbnail"].to_list())
        if len(raw) != rows.height * _SIDE * _SIDE * 3:
            raise SchemaMismatchError(
                f"image_fingerprints: thumbnails of {rows.height} rows hold {len(raw)} bytes, expected "
                f"{_SIDE * _SIDE * 3} each; clean the images of {', '.join(rows['batch'].unique().sort())} again"
            )
        thumbnails = np.frombuffer(raw, dtype=np.uint8).reshape(-1, _SIDE, _SIDE, 3)
        self.thumbnails = thumbnails
        coarse = _pooled(thumbnails, _COARSE_SIDE_PX)
        small = _pooled(coarse, _VECTOR_SIDE_PX).reshape(rows.height, -1)
        small -= small.mean(axis=1, keepdims=True)
        self.vectors = small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6)
        self.mean = coarse.mean(axis=(1, 2))
        self.coarse = coarse.reshape(rows.height, -1) - np.tile(self.mean, (1, _COARSE_SIDE_PX**2))
        self.contrast = np.sqrt(np.square(self.coarse).mean(axis=1))
        self.log_contrast = np.log(np.maximum(self.contrast, 1e-6))
        self.log_aspect = np.log(rows["width"].to_numpy() / rows["height"].to_numpy())

    def pictures(self, rows: NDArray[np.int64]) -> Pictures:
        """The thumbnails of some rows, ready for comparison."""
        return prepare_pictures(self.thumbnails[rows], self.log_aspect[rows])

    def __len__(self) -> int:
        return len(self.vectors)


def find_duplicates(own: pl.DataFrame, earlier: Iterable[pl.DataFrame], policy: DuplicatePolicy) -> pl.DataFrame:
    """Find the images of a batch that repeat an earlier one, or an earlier image of the same batch.

    An image is dropped if it shows the picture of an image kept before it: in an earlier batch, or in its own by
    position. So of a chain of ever less alike pictures the first stays, and a picture too far from it stays too. Named
    is the first batch with such an image and, in it, the most alike, then the first. The answer depends neither on
    the order of rows nor on the size of blocks.

    Args:
        own: rows of ``image_fingerprints`` of the batch.
        earlier: rows of ``image_fingerprints`` of the images kept of each earlier batch, read one frame at a time.
        policy: bounds; memory is a few blocks of ``block_rows`` thumbnails beside ``own``.

    Returns:
        One row per duplicate in the order of ``own``'s positions: image_id, duplicate_of, duplicate_batch, kind
        (``exact`` for equal bytes, else ``near``) and similarity (1 for equal pixels).

    Raises:
        SchemaMismatchError: a frame lacks a column, or a thumbnail has another size.

    Source: IndexFlatIP range search, Johnson, Douze and Jegou 2017.
    """
    rows = _ordered(own)
    firsts = rows.unique("sha256", keep="first", maintain_order=True)
    open_rows = {digest: index for index, digest in enumerate(firsts["sha256"].to_list())}
    found: dict[int, dict[str, Any]] = {}
    with _one_faiss_thread():
        for frame in earlier:
            _match_earlier(_ordered(frame), firsts, open_rows, found, policy)
        _match_own(firsts, open_rows, found, policy)
    return _with_repeats(rows, firsts, found)


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise SchemaMismatchError(f"image_fingerprints lacks {', '.join(missing)}; clean the images of the batch again")
    return frame.select(_COLUMNS).sort("position", "image_id")


def _match_earlier(
    frame: pl.DataFrame,
    firsts: pl.DataFrame,
    open_rows: dict[str, int],
    found: dict[int, dict[str, Any]],
    policy: DuplicatePolicy,
) -> None:
    """Settle the open rows that repeat a row of an earlier batch."""
    if not open_rows:
        return
    best: dict[int, _Match] = {}
    for order, digest in enumerate(frame["sha256"].to_list()):
        if digest in open_rows:
            _keep_better(best, _Match(order, open_rows[digest], 1.0, _EXACT_RANK))
    still_open = np.fromiter(open_rows.values(), dtype=np.int64)
    for offset in range(0, frame.height, policy.block_rows):
        known = _Block(frame[offset : offset + policy.block_rows])
        for start in range(0, len(still_open), policy.block_rows):
            part = still_open[start : start + policy.block_rows]
            for match in _near_matches(known, _Block(firsts[part]), policy):
                moved = match._replace(first=match.first + offset, second=int(part[match.second]))
                _keep_better(best, moved)
    digests = firsts["sha256"]
    for index, match in best.items():
        found[index] = _row(frame, match)
        del open_rows[digests[index]]


def _match_own(
    firsts: pl.DataFrame, open_rows: dict[str, int], found: dict[int, dict[str, Any]], policy: DuplicatePolicy
) -> None:
    """Settle the open rows that repeat an earlier kept row of their own batch."""
    still_open = np.fromiter(open_rows.values(), dtype=np.int64)
    kept: list[NDArray[np.int64]] = []
    for start in range(0, len(still_open), policy.block_rows):
        part = still_open[start : start + policy.block_rows]
        block = _Block(firsts[part])
        best: dict[int, _Match] = {}
        for indexes in kept:
            for match in _near_matches(_Block(firsts[indexes]), block, policy):
                _keep_better(best, match._replace(first=int(indexes[match.first])))
        for match in _near_matches(block, block, policy, dropped=best):
            _keep_better(best, match._replace(first=int(part[match.first])))
        found |= {int(part[second]): _row(firsts, match) for second, match in best.items()}
        stays = np.array([index for at, index in enumerate(part) if at not in best], dtype=np.int64)
        if len(stays):
            kept.append(stays)


def _keep_better(best: dict[int, _Match], match: _Match) -> None:
    rival = best.get(match.second)
    if rival is None or (match.rank, -match.first) > (rival.rank, -rival.first):
        best[match.second] = match


def _near_matches(
    known: _Block, asked: _Block, policy: DuplicatePolicy, dropped: Collection[int] = ()
) -> Iterator[_Match]:
    """Pairs that show the same picture, by known row, then by asked row; within one block only earlier rows are known.

    ``dropped`` holds the known rows that are duplicates themselves and may grow between matches: of many copies of one
    picture, only the first is compared with all.
    """
    first, second = _candidates(known, asked, policy)
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        pairs = [at for at in range(start, min(start + _PAIRS_AT_ONCE, len(first))) if first[at] not in dropped]
        if not pairs:
            continue
        one, other = first[pairs], second[pairs]
        contrast = np.minimum(known.contrast[one], asked.contrast[other])
        similarity, rank = _verdicts(known.pictures(one), asked.pictures(other), contrast, policy)
        for index in np.flatnonzero(rank > 0.0):
            if one[index] not in dropped:
                yield _Match(int(one[index]), int(other[index]), float(similarity[index]), round(float(rank[index]), 5))


def _verdicts(
    first: Pictures, second: Pictures, contrast: NDArray[np.float32], policy: DuplicatePolicy
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Similarity and rank, shape (P,); a pair that shows the same picture, as it stands or cropped, ranks above 0."""
    faint = contrast < policy.faint_contrast
    unmoved = compare(first, second)
    bound = np.where(faint, policy.faint_detail_similarity, policy.detail_similarity)
    same = _alike(unmoved, policy) & (unmoved.detail_similarity >= bound)
    similarity, rank = unmoved.similarity.copy(), np.where(same, unmoved.detail_similarity, np.float32(0.0))
    rest = np.flatnonzero(~same)
    if not len(rest):
        return similarity, rank
    crops = find_crops(first[rest], second[rest])
    possible = np.flatnonzero(_possible(crops, faint[rest]))
    if not len(possible):
        return similarity, rank
    rest, crops = rest[possible], crops[possible]
    moved = compare(cropped(first[rest], crops), second[rest])
    same = _alike(moved, policy) & (moved.detail_similarity >= policy.cropped_detail_similarity)
    same &= 1.0 - moved.similarity <= _MAX_REMAINING_SHARE * (1.0 - unmoved.similarity[rest])
    ink_bound = np.where(crops.uneven_px >= _MIN_UNEVEN_PX, _MAX_INK_DIFFERENCE, _MAX_INK_DIFFERENCE_OF_ZOOM)
    same &= ~faint[rest] | (moved.ink_difference <= ink_bound)
    similarity[rest[same]] = moved.similarity[same]
    rank[rest[same]] = moved.detail_similarity[same]
    return similarity, rank


def _alike(likeness: Likeness, policy: DuplicatePolicy) -> NDArray[np.bool_]:
    pixels = likeness.similarity >= policy.pixel_similarity
    return pixels & (likeness.worst_block <= policy.max_block_difference)


def _possible(crops: Crop, faint: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the moves are those of a crop; of a faint picture, more than a likeness of concentric figures."""
    moves = (crops.against_px <= _MAX_AGAINST_CROP_PX) & (crops.aspect_error <= _MAX_ASPECT_ERROR)
    sure = (crops.against_px <= _MAX_FAINT_AGAINST_CROP_PX) & (crops.largest_px <= _MAX_FAINT_CROP_PX)
    sure &= (crops.uneven_px >= _MIN_UNEVEN_PX) | (crops.largest_px >= _MIN_ZOOM_PX)
    return moves & (~faint | sure)


def _candidates(known: _Block, asked: _Block, policy: DuplicatePolicy) -> Pairs:
    """Pairs worth a look at their pixels, by known row, then by asked row."""
    index = faiss.IndexFlatIP(known.vectors.shape[1])
    index.add(known.vectors)  # pyright: ignore[reportCallIssue]
    limits, _, labels = index.range_search(asked.vectors, policy.candidate_similarity - _ROUNDING)  # pyright: ignore[reportCallIssue]
    second = np.repeat(np.arange(len(asked)), np.diff(limits.astype(np.int64)))
    first = labels.astype(np.int64)
    alike = np.abs(known.log_aspect[first] - asked.log_aspect[second]) <= np.log1p(policy.aspect_tolerance)
    alike &= np.minimum(known.contrast[first], asked.contrast[second]) >= policy.min_contrast
    alike &= np.abs(known.log_contrast[first] - asked.log_contrast[second]) <= _MAX_LOG_CONTRAST_CHANGE
    if known is asked:
        alike &= first < second
    first, second = first[alike], second[alike]
    alike = np.zeros(len(first), dtype=bool)
    for start in range(0, len(first), policy.block_rows):
        part = slice(start, start + policy.block_rows)
        alike[part] = _coarsely_alike(known, asked, first[part], second[part], policy)
    first, second = first[alike], second[alike]
    order = np.lexsort((second, first))
    return first[order], second[order]


def _coarsely_alike(
    known: _Block, asked: _Block, first: NDArray[np.int64], second: NDArray[np.int64], policy: DuplicatePolicy
) -> NDArray[np.bool_]:
    cosine = np.einsum("ij,ij->i", known.vectors[first], asked.vectors[second], dtype=np.float64)
    difference = np.square(known.coarse[first] - asked.coarse[second]).mean(axis=1)
    difference += np.square(known.mean[first] - asked.mean[second]).mean(axis=1)
    spread = 0.5 * (np.square(known.contrast[first]) + np.square(asked.contrast[second]))
    return (cosine >= policy.candidate_similarity) & (1.0 - difference / spread >= policy.coarse_similarity)


def _pooled(pixels: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Means over squares, float32, shape (N, side, side, 3)."""
    step = pixels.shape[1] // side
    return pixels.reshape(len(pixels), side, step, side, step, 3).mean(axis=(2, 4), dtype=np.float32)


def _row(known: pl.DataFrame, match: _Match) -> dict[str, Any]:
    return {
        "duplicate_of": known["image_id"][match.first],
        "duplicate_batch": known["batch"][match.first],
        "kind": "exact" if match.rank == _EXACT_RANK else "near",
        "similarity": match.similarity,
    }


def _with_repeats(rows: pl.DataFrame, firsts: pl.DataFrame, found: dict[int, dict[str, Any]]) -> pl.DataFrame:
    """Verdicts on all rows: a repeat of bytes shares the verdict of the first row with them, or repeats that row."""
    columns = ("duplicate_of", "duplicate_batch", "kind", "similarity")
    verdicts = pl.DataFrame(
        [found.get(index, dict.fromkeys(columns)) for index in range(firsts.height)],
        schema={name: _SCHEMA[name] for name in columns},
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


@contextmanager
def _one_faiss_thread() -> Iterator[None]:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
