"""Captions of other pictures that lie closest to a picture: mined from embeddings, for a table or inside training.

Captions change hands in pairs: each of two pictures borrows the other's caption, so that every text stands as often on
the true side as on the false one and no reader of texts alone can tell them apart.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mm_assets.errors import EmbeddingShapeError
from mm_assets.hard_negatives.interfaces import NeighbourSearch
from mm_assets.hard_negatives.negatives import EditKind, Negative, Positive, Strategy, find_edits
from mm_assets.hard_negatives.neighbours import nearest_of_many
from mm_assets.identifiers import make_id
from mm_assets.policy import HardNegativePolicy

Floats = NDArray[np.float32]


class InBatch:
    """Makes negatives of the captions nearest to a picture.

    Args:
        image_embeddings: unit vectors, float32, shape (N, D), row i of the picture of positive i.
        text_embeddings: the same of the texts.
        model: name of the encoder.
        policy: the policy.
        search: finds neighbours on a device; None for this machine's cores, by an index from the policy's size on.
    """

    strategy = Strategy.IN_BATCH

    def __init__(
        self,
        image_embeddings: Floats,
        text_embeddings: Floats,
        model: str,
        policy: HardNegativePolicy,
        search: NeighbourSearch | None = None,
    ) -> None:
        self._images, self._texts, self._model, self._policy = image_embeddings, text_embeddings, model, policy
        self._search = search or functools.partial(
            nearest_of_many,
            index_rows=policy.index_rows,
            probes=policy.index_probes,
            block_rows=policy.block_rows,
        )

    def make(self, positives: Sequence[Positive]) -> Iterator[Negative]:
        """Captions exchanged between pictures that lie near each other's text, at most ``max_per_positive`` each.

        Args:
            positives: as many as the embeddings have rows, in their order.

        Raises:
            EmbeddingShapeError: the counts differ.
        """
        if len(positives) != len(self._images) or len(positives) != len(self._texts):
            raise EmbeddingShapeError(
                f"{len(positives)} positives, {len(self._images)} pictures, {len(self._texts)} texts; give one of each"
            )
        _, rows = self._search(self._images, self._texts, self._policy.neighbours)
        pictures = _numbered([positive.image_id for positive in positives])
        texts = _numbered([positive.text.lower() for positive in positives])
        for one, other, _ in exchange(self._images, self._texts, rows, pictures, texts, self._policy.max_per_positive):
            mirror = make_id("mir", *sorted((positives[one].positive_id, positives[other].positive_id)))
            for place, lent in ((one, other), (other, one)):
                similarity = float(self._images[place] @ self._texts[lent])
                yield self._lent(positives[place], positives[lent], mirror, similarity)

    def _lent(self, positive: Positive, lender: Positive, mirror: str, similarity: float) -> Negative:
        return Negative(
            positive_id=positive.positive_id,
            image_id=positive.image_id,
            strategy=self.strategy,
            positive_text=positive.text,
            text=lender.text,
            edits=find_edits(positive.text, lender.text, EditKind.OBJECT),
            donor_id=lender.positive_id,
            mirror_id=mirror,
            provenance={"source": "whole caption", "model": self._model, "similarity": round(similarity, 4)},
        )


def _numbered(names: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(np.asarray(names, dtype=object), return_inverse=True)[1].astype(np.int64)


def exchange(
    images: Floats,
    embeddings: Floats,
    rows: NDArray[np.int64],
    pictures: NDArray[np.int64],
    texts: NDArray[np.int64],
    per_positive: int,
) -> Iterator[tuple[int, int, float]]:
    """Pairs that borrow each other's caption, the most similar first.

    Args:
        images: unit vectors of the pictures, float32, shape (N, D).
        embeddings: unit vectors of the texts, float32, shape (N, D).
        rows: nearest texts of each picture, shape (N, K); negative where there is none.
        pictures: number of the picture of each pair, shape (N,).
        texts: number of its text, shape (N,); equal texts are never exchanged.
        per_positive: most exchanges of one pair.

    Yields:
        Two pairs and the mean similarity of each one's picture to the other's text.
    """
    near = np.repeat(np.arange(len(rows)), rows.shape[1])
    pairs = np.stack([near, rows.ravel()], axis=1)
    one, other = pairs.min(axis=1), pairs.max(axis=1)
    apart = (one >= 0) & (pictures[one] != pictures[other]) & (texts[one] != texts[other])
    unique = np.unique(np.stack([one, other], axis=1)[apart], axis=0)
    one, other = unique[:, 0], unique[:, 1]
    both = np.einsum("ij,ij->i", images[one], embeddings[other]) + np.einsum("ij,ij->i", images[other], embeddings[one])
    used = np.zeros(len(rows), np.int64)
    for place in np.argsort(-both, kind="stable").tolist():
        a, b = int(one[place]), int(other[place])
        if used[a] < per_positive and used[b] < per_positive:
            used[a] += 1
            used[b] += 1
            yield a, b, float(both[place]) / 2.0


def hardest_in_batch(
    image_embeddings: ArrayLike,
    text_embeddings: ArrayLike,
    *,
    count: int,
    max_similarity: float,
    true: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """The hardest texts of one training batch for each picture; to be called per batch.

    Args:
        image_embeddings: unit vectors, shape (B, D); any array, or a tensor on any device, of any precision.
        text_embeddings: the same of the texts; row i goes with picture i.
        count: texts per picture.
        max_similarity: texts above it are taken to be true of the picture and left out.
        true: further pairs known to be true, shape (B, B); the diagonal always is.

    Returns:
        Rows of texts, int64, shape (B, count), the hardest first; -1 where there are no more.

    Raises:
        EmbeddingShapeError: the shapes do not fit, a value is no number, or ``count`` is below 1.

    >>> eye = np.eye(3, dtype=np.float16)
    >>> hardest_in_batch(eye, eye[[0, 1, 2]], count=1, max_similarity=0.75).shape
    (3, 1)
    """
    images, texts = _floats(image_embeddings), _floats(text_embeddings)
    if images.ndim != 2 or images.shape != texts.shape:  # noqa: PLR2004 - rows and dimensions
        raise EmbeddingShapeError(f"pictures {images.shape} against texts {texts.shape}; give (B, D) of both")
    if count < 1:
        raise EmbeddingShapeError(f"count is {count}; ask for at least one text per picture")
    similarity = images @ texts.T
    if not np.isfinite(similarity).all():
        raise EmbeddingShapeError("an embedding holds NaN or infinity; a loss that diverged makes such")
    barred = similarity > max_similarity
    np.fill_diagonal(barred, val=True)
    if true is not None:
        known = np.asarray(_on_host(true), np.bool_)
        if known.shape != similarity.shape:
            raise EmbeddingShapeError(f"true is {known.shape}, not {similarity.shape}; a row per picture")
        barred |= known
    similarity[barred] = -np.inf
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :count].astype(np.int64)
    order[~np.isfinite(np.take_along_axis(similarity, order, axis=1))] = -1
    return np.pad(order, ((0, 0), (0, max(0, count - order.shape[1]))), constant_values=-1)


@runtime_checkable
class _Tensor(Protocol):
    """A tensor of a training framework, which may need a gradient, lie on a device or be of a type numpy has not."""

    def detach(self) -> "_Tensor": ...
    def float(self) -> "_Tensor": ...
    def cpu(self) -> ArrayLike: ...


def _on_host(array: ArrayLike) -> ArrayLike:
    return array.detach().float().cpu() if isinstance(array, _Tensor) else array


def _floats(array: ArrayLike) -> Floats:
    return np.asarray(_on_host(array), np.float32)
