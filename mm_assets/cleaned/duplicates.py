"""Exact and near-duplicate pictures: candidates by small thumbnail vectors, verdict by aligned pixels."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import faiss
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.cleaned.fingerprints import THUMBNAIL_SIDE_PX
from mm_assets.cleaned.picture_comparison import Pictures, align, compare_unmoved, prepare_pictures
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
_PAIRS_AT_ONCE: Final = 64
_SIDE: Final = THUMBNAIL_SIDE_PX
# faiss rounds differently for blocks of different sizes; the bound proper is applied to float64 products.
_ROUNDING: Final = 1e-3

# A crop must explain half of the difference, move all edges inward or all outward, and change the aspect as it zooms.
_MAX_REMAINING_SHARE: Final = 0.5
_MAX_AGAINST_CROP_PX: Final = 0.7
_MAX_ASPECT_ERROR: Final = 0.03
# A family of faint concentric figures mimics a zoom about the centre; only a shift, and equal ink, tells a crop of one.
_MIN_UNEVEN_PX: Final = 0.1
_MAX_FAINT_AGAINST_CROP_PX: Final = 0.05
_MAX_FAINT_CROP_PX: Final = 1.4
_MAX_INK_DIFFERENCE: Final = 0.03

Pairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class _Match:
    """Row ``second`` shows the picture of row ``first``."""

    first: int
    second: int
    similarity: float


class _Block:
    """Fingerprints ready for comparison.

    Attributes:
        vectors: unit 8 px thumbnails, float32, shape (N, 192).
        coarse: centred 16 px thumbnails, float32, shape (N, 768).
        log_aspect: float64, shape (N,).
        contrast: standard deviation of the thumbnail in levels of 255, float32, shape (N,).
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self.ids = rows["image_id"].to_list()
        self.batches = rows["batch"].to_list()
        raw = b"".join(rows["thumbnail"].to_list())
        if len(raw) != rows.height * _SIDE * _SIDE * 3:
            raise SchemaMismatchError(
                f"image_fingerprints: thumbnails of {rows.height} rows hold {len(raw)} bytes, expected "
                f"{_SIDE * _SIDE * 3} each; clean the images of {', '.join(sorted(set(self.batches)))} again"
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
        self.log_aspect = np.log(rows["width"].to_numpy() / rows["height"].to_numpy())

    def pictures(self, rows: NDArray[np.int64]) -> Pictures:
        """The thumbnails of some rows, ready for comparison."""
        return prepare_pictures(self.thumbnails[rows], self.log_aspect[rows])

    def __len__(self) -> int:
        return len(self.ids)


def find_duplicates(own: pl.DataFrame, earlier: Iterable[pl.DataFrame], policy: DuplicatePolicy) -> pl.DataFrame:
    """Find the images of a batch that repeat an earlier one, or an earlier image of the same batch.

    Every image is compared with kept images only, earliest first: those of the earlier batches in the order given,
    then those of its own batch by position. So of a chain of ever less alike pictures the first stays, and a picture
    too far from it stays too. The answer depends neither on the order of rows nor on the size of blocks.

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
            for block in _ordered(frame).iter_slices(policy.block_rows):
                _match_earlier(block, firsts, open_rows, found, policy)
        _match_own(firsts, open_rows, found, policy)
    return _with_repeats(rows, firsts, found)


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise SchemaMismatchError(f"image_fingerprints lacks {', '.join(missing)}; clean the images of the batch again")
    return frame.select(_COLUMNS).sort("position", "image_id")


def _match_earlier(
    block: pl.DataFrame,
    firsts: pl.DataFrame,
    open_rows: dict[str, int],
    found: dict[int, dict[str, Any]],
    policy: DuplicatePolicy,
) -> None:
    """Settle the open rows that repeat a row of an earlier batch."""
    if not block.height or not open_rows:
        return
    known = _Block(block)
    matches: dict[int, tuple[int, str, float]] = {}
    for order, digest in enumerate(block["sha256"].to_list()):
        if digest in open_rows:
            matches.setdefault(open_rows[digest], (order, "exact", 1.0))
    still_open = np.fromiter(open_rows.values(), dtype=np.int64)
    for start in range(0, len(still_open), policy.block_rows):
        part = still_open[start : start + policy.block_rows]
        for match in _near_matches(known, _Block(firsts[part]), policy):
            index = int(part[match.second])
            if index not in matches or match.first < matches[index][0]:
                matches[index] = (match.first, "near", match.similarity)
    digests = firsts["sha256"]
    for index, (order, kind, similarity) in matches.items():
        found[index] = _row(known.ids[order], known.batches[order], kind, similarity)
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
        settled = np.zeros(len(part), dtype=bool)
        for indexes in kept:
            known = _Block(firsts[indexes])
            for match in _near_matches(known, block, policy):
                if not settled[match.second]:
                    settled[match.second] = True
                    found[int(part[match.second])] = _row(
                        known.ids[match.first], known.batches[match.first], "near", match.similarity
                    )
        for match in _near_matches(block, block, policy):
            if not settled[match.first] and not settled[match.second]:
                settled[match.second] = True
                found[int(part[match.second])] = _row(
                    block.ids[match.first], block.batches[match.first], "near", match.similarity
                )
        if not settled.all():
            kept.append(part[~settled])


def _near_matches(known: _Block, asked: _Block, policy: DuplicatePolicy) -> Iterator[_Match]:
    """Pairs that show the same picture, by asked row, then by known row; within one block only earlier rows count."""
    first, second = _candidates(known, asked, policy)
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        one, other = first[start : start + _PAIRS_AT_ONCE], second[start : start + _PAIRS_AT_ONCE]
        contrast = np.minimum(known.contrast[one], asked.contrast[other])
        similarity = _verdicts(known.pictures(one), asked.pictures(other), contrast, policy)
        for index in np.flatnonzero(similarity):
            yield _Match(int(one[index]), int(other[index]), float(similarity[index]))


def _verdicts(
    first: Pictures, second: Pictures, contrast: NDArray[np.float32], policy: DuplicatePolicy
) -> NDArray[np.float32]:
    """Similarity of the pairs that show the same picture as it stands or cropped, 0 of the others; shape (P,)."""
    unmoved, detail = compare_unmoved(first, second)
    faint = contrast < policy.faint_contrast
    same = unmoved.similarity >= policy.pixel_similarity
    same &= detail >= np.where(faint, policy.faint_detail_similarity, policy.detail_similarity)
    same &= unmoved.worst_block <= policy.max_block_difference
    similarity = np.where(same, unmoved.similarity, np.float32(0.0))
    rest = np.flatnonzero(~same)
    if not len(rest):
        return similarity
    found = align(first[rest], second[rest])
    gained = 1.0 - found.likeness.similarity <= _MAX_REMAINING_SHARE * (1.0 - unmoved.similarity[rest])
    cropped = (found.likeness.similarity >= policy.pixel_similarity) & gained
    cropped &= found.likeness.worst_block <= policy.max_block_difference
    cropped &= (found.against_crop_px <= _MAX_AGAINST_CROP_PX) & (found.aspect_error <= _MAX_ASPECT_ERROR)
    convincing = (found.uneven_px >= _MIN_UNEVEN_PX) & (found.ink_difference <= _MAX_INK_DIFFERENCE)
    convincing &= (found.against_crop_px <= _MAX_FAINT_AGAINST_CROP_PX) & (found.crop_px <= _MAX_FAINT_CROP_PX)
    cropped &= convincing | ~faint[rest]
    similarity[rest[cropped]] = found.likeness.similarity[cropped]
    return similarity


def _candidates(known: _Block, asked: _Block, policy: DuplicatePolicy) -> Pairs:
    """Pairs worth a look at their pixels, by asked row, then by known row."""
    index = faiss.IndexFlatIP(known.vectors.shape[1])
    index.add(known.vectors)  # pyright: ignore[reportCallIssue]
    limits, _, labels = index.range_search(asked.vectors, policy.candidate_similarity - _ROUNDING)  # pyright: ignore[reportCallIssue]
    second = np.repeat(np.arange(len(asked)), np.diff(limits.astype(np.int64)))
    first = labels.astype(np.int64)
    alike = np.abs(known.log_aspect[first] - asked.log_aspect[second]) <= np.log1p(policy.aspect_tolerance)
    alike &= np.minimum(known.contrast[first], asked.contrast[second]) >= policy.min_contrast
    if known is asked:
        alike &= first < second
    first, second = first[alike], second[alike]
    alike = np.zeros(len(first), dtype=bool)
    for start in range(0, len(first), policy.block_rows):
        part = slice(start, start + policy.block_rows)
        alike[part] = _coarsely_alike(known, asked, first[part], second[part], policy)
    first, second = first[alike], second[alike]
    order = np.lexsort((first, second))
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


def _row(image_id: str, batch: str, kind: str, similarity: float) -> dict[str, Any]:
    return {"duplicate_of": image_id, "duplicate_batch": batch, "kind": kind, "similarity": similarity}


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
