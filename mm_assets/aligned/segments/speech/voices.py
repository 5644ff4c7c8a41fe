"""Which turns of a clip are one voice: agglomerative clustering of their embeddings."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from mm_assets.aligned.segments.interfaces import SpeakerTurn
from mm_assets.policy import SpeechPolicy

_MOST: Final = 2_000  # turns clustered together; their distances take 16 MB


def tell_voices_apart(turns: Sequence[SpeakerTurn], policy: SpeechPolicy) -> list[int]:
    """Number the voices of a clip by their first turn.

    Turns that are long enough are clustered by the mean cosine between groups; shorter ones, which say little of their
    voice, join the group whose mean is nearest.

    Args:
        turns: of one clip, in order.
        policy: from which similarity two groups are one voice, and which turns are long enough.
    """
    if not turns:
        return []
    vectors = np.stack([turn.embedding for turn in turns]).astype(np.float64)
    lengths = np.array([turn.end_us - turn.start_us for turn in turns])
    anchors = np.flatnonzero(lengths >= policy.min_speaker_seconds * 1e6)
    if not len(anchors):
        anchors = np.array([int(np.argmax(lengths))])
    if len(anchors) > _MOST:
        anchors = np.sort(anchors[np.argsort(-lengths[anchors], kind="stable")[:_MOST]])
    groups = _cluster(vectors[anchors], policy.min_speaker_similarity)
    centres = np.stack([vectors[anchors[groups == group]].mean(axis=0) for group in np.unique(groups)])
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    labels = np.argmax(vectors @ centres.T, axis=1)
    labels[anchors] = np.searchsorted(np.unique(groups), groups)
    order = dict.fromkeys(labels.tolist())
    numbers = {label: number for number, label in enumerate(order)}
    return [numbers[label] for label in labels.tolist()]


def _cluster(vectors: NDArray[np.float64], min_similarity: float) -> NDArray[np.int64]:
    if len(vectors) == 1:
        return np.zeros(1, np.int64)
    upper = np.triu_indices(len(vectors), 1)
    distances = np.clip(1.0 - vectors @ vectors.T, 0.0, 2.0)[upper]
    tree = linkage(distances, method="average")
    return np.asarray(fcluster(tree, 1.0 - min_similarity, criterion="distance"), np.int64)
