"""Verdicts on pairs of pictures: thumbnails for colours and crops, then the fine detail."""

import numpy as np
from numpy.typing import NDArray

from mm_assets.cleaned.fine_detail import comparable_side, detail_similarity
from mm_assets.cleaned.fingerprint_spool import FingerprintSpool
from mm_assets.cleaned.picture_comparison import Floats, Likeness, compare, cropped, find_crops, prepare_pictures
from mm_assets.policy import DuplicatePolicy


def verdicts(
    known: FingerprintSpool,
    first: NDArray[np.integer],
    asked: FingerprintSpool,
    second: NDArray[np.integer],
    policy: DuplicatePolicy,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Judge P pairs: row ``first`` of the known pictures with row ``second`` of those asked about.

    Returns:
        Similarity of the thumbnails and rank, shape (P,) each. A pair that shows the same picture, as it stands or
        cropped, ranks above 0: by the likeness of its fine detail.
    """
    one, other = prepare_pictures(known.thumbnails(first)), prepare_pictures(asked.thumbnails(second))

    def rank_of(pair: np.integer, moves: Floats | None) -> float:
        row, other_row = int(first[pair]), int(second[pair])
        side = comparable_side(int(known.shorter_px[row]), int(asked.shorter_px[other_row]))
        likeness = detail_similarity(known.detail(row, side), asked.detail(other_row, side), moves)
        return likeness if likeness >= policy.detail_similarity else 0.0

    unmoved = compare(one, other)
    similarity, rank = unmoved.similarity.copy(), np.zeros(len(first), dtype=np.float32)
    for pair in np.flatnonzero(_alike(unmoved, policy)):
        rank[pair] = rank_of(pair, None)
    rest = np.flatnonzero(rank == 0.0)
    if not len(rest):
        return similarity, rank
    possible, moves = find_crops(one[rest], other[rest])
    if not len(possible):
        return similarity, rank
    rest = rest[possible]
    moved = compare(cropped(one[rest], moves), other[rest])
    for at in np.flatnonzero(_alike(moved, policy)):
        rank[rest[at]] = rank_of(rest[at], moves[at])
    similarity[rest] = moved.similarity
    return similarity, rank


def _alike(likeness: Likeness, policy: DuplicatePolicy) -> NDArray[np.bool_]:
    pixels = likeness.similarity >= policy.pixel_similarity
    return pixels & (likeness.worst_block <= policy.max_block_difference)
