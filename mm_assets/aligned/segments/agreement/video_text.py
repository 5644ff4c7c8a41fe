# pyright: strict
"""How well pictures show what is said of them, against pairs that do not belong together.

The sentences of a segment are laid over its key frames in order, softly; the similarity of the pair is that of each
frame to the sentences it shows. A rank among mismatched pairs of the same batch says whether that is more than chance:
the similarity itself depends on the encoder and on how general the text is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.segments.soft_association import SoftAssociation, associate_softly
from mm_assets.policy import SegmentPolicy, WarpingPolicy

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ShownText:
    """A segment's pictures and sentences.

    Attributes:
        clip_id: its clip; no segment is a mismatched partner of one of the same clip.
        frames: unit-length embeddings of its key frames, shape (T, D), T at least 1.
        bounds_us: start of each frame's stretch and end of the last, increasing, int64, shape (T + 1,).
        sentences: unit-length embeddings of its sentences, shape (S, D), 1 to T of them.
        starts_us: when each sentence starts, int64, shape (S,).
    """

    clip_id: str
    frames: Floats
    bounds_us: NDArray[np.int64]
    sentences: Floats
    starts_us: NDArray[np.int64]


@dataclass(frozen=True)
class Shown:
    """How well a segment's pictures show its text.

    Attributes:
        similarity: mean similarity of frames to the sentences they show.
        rank: share of mismatched pairs with less; None where the batch has too few.
        shift_us: how much later than they start the sentences are shown, median; None of a single one.
    """

    similarity: float
    rank: float | None
    shift_us: int | None


def group_sentences(texts: Sequence[str], starts_us: Sequence[int], most: int) -> tuple[list[str], list[int]]:
    """Join neighbouring sentences until there are no more than frames to show them.

    >>> group_sentences(["a", "b", "c"], [1, 2, 3], 2)
    (['a', 'b c'], [1, 2])
    """
    count = min(most, len(texts))
    edges = [place * len(texts) // count for place in range(count + 1)]
    joined = [" ".join(texts[start:end]) for start, end in pairwise(edges)]
    return joined, [starts_us[edge] for edge in edges[:-1]]


def rank_shown(segments: Sequence[ShownText], policy: SegmentPolicy, warping: WarpingPolicy) -> list[Shown]:
    """Compare every segment's own pair with mismatched ones.

    Args:
        segments: those of a batch that have pictures and text.
        policy: mismatched pairs and seed.
        warping: temperature of the association.
    """
    random = np.random.default_rng(policy.seed)
    numbers = {clip: number for number, clip in enumerate(dict.fromkeys(segment.clip_id for segment in segments))}
    clips = np.array([numbers[segment.clip_id] for segment in segments], np.int64)
    found: list[Shown] = []
    for place, segment in enumerate(segments):
        others = np.flatnonzero(clips != clips[place])
        own = _associate(segment.frames, segment.sentences, segment.bounds_us, warping)
        similarity = _weigh(own, segment.frames, segment.sentences)
        drawn: list[int] = random.permutation(others)[: policy.null_pairs // 2].tolist()
        partners = [segments[other] for other in drawn]
        null = [_compare(other.frames, segment.sentences, warping) for other in partners]
        null += [_compare(segment.frames, other.sentences, warping) for other in partners]
        rank = _rank(similarity, null) if len(null) >= policy.min_null_pairs else None
        shift = float(np.median(own.starts_us - segment.starts_us)) if len(segment.sentences) > 1 else None
        found.append(Shown(similarity, rank, None if shift is None else round(shift)))
    return found


def rank_texts(texts: Floats, heard: Floats, others: Floats) -> list[float]:
    """Rank of each text's similarity to its own transcript among those to other transcripts.

    Args:
        texts: unit-length embeddings, shape (N, D).
        heard: those of their transcripts, shape (N, D).
        others: those of transcripts of other segments, shape (M, D), M at least 1.
    """
    own = (texts * heard).sum(axis=1)
    return [_rank(float(value), row.tolist()) for value, row in zip(own, texts @ others.T, strict=True)]


def _rank(own: float, null: Sequence[float]) -> float:
    values = np.asarray(null)
    return float(((values < own).sum() + 0.5 * (values == own).sum()) / len(values))


def _compare(frames: Floats, sentences: Floats, warping: WarpingPolicy) -> float:
    """Similarity of a pair, its sentences joined until there are no more than frames."""
    if len(sentences) > len(frames):
        parts = np.array_split(sentences, len(frames))
        joined = np.stack([part.mean(axis=0) for part in parts])
        sentences = (joined / np.maximum(np.linalg.norm(joined, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    bounds = np.arange(len(frames) + 1, dtype=np.int64)
    return _weigh(_associate(frames, sentences, bounds, warping), frames, sentences)


def _associate(
    frames: Floats, sentences: Floats, bounds_us: NDArray[np.int64], warping: WarpingPolicy
) -> SoftAssociation:
    return associate_softly(frames @ sentences.T, bounds_us, warping)


def _weigh(association: SoftAssociation, frames: Floats, sentences: Floats) -> float:
    return float((association.posterior * (frames @ sentences.T)).sum() / len(frames))
