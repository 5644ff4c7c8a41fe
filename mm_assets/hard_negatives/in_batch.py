"""Captions of other pictures that lie closest to a picture: mined from embeddings, for a table or inside training.

A caption is lent no more often than it is a positive, so that no text is known as a negative by being popular.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import EmbeddingShapeError
from mm_assets.hard_negatives.negatives import EditKind, Negative, Positive, Strategy, find_edits
from mm_assets.hard_negatives.neighbours import nearest
from mm_assets.policy import HardNegativePolicy

Floats = NDArray[np.float32]


class InBatch:
    """Makes negatives of the captions nearest to a picture.

    Args:
        image_embeddings: unit vectors, float32, shape (N, D), row i of the picture of positive i.
        text_embeddings: the same of the texts.
        model: name of the encoder.
        policy: the policy.
    """

    strategy = Strategy.IN_BATCH

    def __init__(
        self, image_embeddings: Floats, text_embeddings: Floats, model: str, policy: HardNegativePolicy
    ) -> None:
        self._images, self._texts, self._model, self._policy = image_embeddings, text_embeddings, model, policy

    def make(self, positives: Sequence[Positive]) -> Iterator[Negative]:
        """The nearest captions of other pictures, at most ``max_per_positive`` each.

        Args:
            positives: as many as the embeddings have rows, in their order.

        Raises:
            EmbeddingShapeError: the counts differ.
        """
        if len(positives) != len(self._images) or len(positives) != len(self._texts):
            raise EmbeddingShapeError(
                f"{len(positives)} positives, {len(self._images)} pictures, {len(self._texts)} texts; give one of each"
            )
        values, rows = nearest(self._images, self._texts, self._policy.neighbours, block_rows=self._policy.block_rows)
        pictures = _numbered([positive.image_id for positive in positives])
        texts = _numbered([positive.text.lower() for positive in positives])
        for place, lent, value, rank in assign(values, rows, pictures, texts, self._policy.max_per_positive):
            positive, lender = positives[place], positives[lent]
            yield Negative(
                positive_id=positive.positive_id,
                image_id=positive.image_id,
                strategy=self.strategy,
                positive_text=positive.text,
                text=lender.text,
                edits=find_edits(positive.text, lender.text, EditKind.OBJECT),
                donor_id=lender.positive_id,
                provenance={"model": self._model, "rank": rank, "similarity": round(value, 4)},
            )


def _numbered(names: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(np.asarray(names, dtype=object), return_inverse=True)[1].astype(np.int64)


def assign(
    values: Floats, rows: NDArray[np.int64], pictures: NDArray[np.int64], texts: NDArray[np.int64], per_positive: int
) -> Iterator[tuple[int, int, float, int]]:
    """Lend captions to pictures, the most similar first, each as often as it can borrow itself.

    Args:
        values: similarity of each neighbour, shape (N, K).
        rows: which caption it is, shape (N, K); negative where there is none.
        pictures: number of the picture of each caption, shape (N,).
        texts: number of its text; equal texts are never lent to each other.
        per_positive: most captions one picture borrows, and most times one caption is lent.

    Yields:
        Borrower, caption, similarity and rank among its neighbours.
    """
    borrowed, lent = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    order = np.argsort(-values, axis=None, kind="stable")
    for flat in order.tolist():
        place, rank = divmod(flat, rows.shape[1])
        caption = int(rows[place, rank])
        if caption < 0 or pictures[caption] == pictures[place] or texts[caption] == texts[place]:
            continue
        if borrowed[place] < per_positive and lent[caption] < per_positive:
            borrowed[place] += 1
            lent[caption] += 1
            yield place, caption, float(values[place, rank]), rank


def hardest_in_batch(
    image_embeddings: Floats,
    text_embeddings: Floats,
    *,
    count: int,
    max_similarity: float,
    true: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """The hardest texts of one training batch for each picture; to be called per batch.

    Args:
        image_embeddings: unit vectors, float32, shape (B, D).
        text_embeddings: unit vectors, float32, shape (B, D); row i goes with picture i.
        count: texts per picture.
        max_similarity: texts above it are taken to be true of the picture and left out.
        true: further pairs known to be true, shape (B, B); the diagonal always is.

    Returns:
        Rows of texts, int64, shape (B, count), the hardest first; -1 where there are no more.

    >>> eye = np.eye(3, dtype=np.float32)
    >>> hardest_in_batch(eye, eye[[0, 1, 2]], count=1, max_similarity=0.75).shape
    (3, 1)
    """
    if image_embeddings.shape != text_embeddings.shape:
        raise EmbeddingShapeError(f"{image_embeddings.shape} against {text_embeddings.shape}; give pairs")
    similarity = image_embeddings @ text_embeddings.T
    barred = similarity > max_similarity
    np.fill_diagonal(barred, val=True)
    if true is not None:
        barred |= true
    similarity[barred] = -np.inf
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :count].astype(np.int64)
    order[~np.isfinite(np.take_along_axis(similarity, order, axis=1))] = -1
    return np.pad(order, ((0, 0), (0, max(0, count - order.shape[1]))), constant_values=-1)
