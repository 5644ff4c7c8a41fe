"""How similar each negative is to its picture, to its true text, and its donor's picture to its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm_assets.hard_negatives.interfaces import TextScorer
from mm_assets.hard_negatives.negatives import Negative, Positive, Strategy

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Measures:
    """Similarities of negatives, float32, shape (B,) each; NaN where there is nothing to compare.

    Attributes:
        similarity: picture and false text.
        positive_similarity: picture and true text.
        text_similarity: false and true text.
        picture_similarity: the picture and that of the donor.
    """

    similarity: Floats
    positive_similarity: Floats
    text_similarity: Floats
    picture_similarity: Floats

    @property
    def difficulty(self) -> Floats:
        """Similarity of the false text less that of the true one; higher is harder."""
        return self.similarity - self.positive_similarity


def measure(
    negatives: Sequence[Negative],
    positives: Sequence[Positive],
    image_embeddings: Floats,
    text_embeddings: Floats,
    embed: TextScorer,
) -> Measures:
    """Measure negatives with the embeddings of their positives; new texts are embedded once each.

    Args:
        negatives: of any strategy; windows and edited pictures measure NaN, their text being true.
        positives: what they were made from.
        image_embeddings: unit vectors, float32, shape (N, D), row i of the picture of positive i.
        text_embeddings: the same of its text.
        embed: gives texts unit vectors of the same space.
    """
    place = {positive.positive_id: row for row, positive in enumerate(positives)}
    known: dict[str, int] = {}
    for row, positive in enumerate(positives):
        known.setdefault(positive.text, row)
    own = np.asarray([place[negative.positive_id] for negative in negatives], np.int64)
    fresh = sorted({n.text for n in negatives if n.media is None and n.text not in known})
    vectors = np.concatenate([text_embeddings, embed(fresh)]) if fresh else text_embeddings
    rows: Mapping[str, int] = known | {text: len(positives) + i for i, text in enumerate(fresh)}
    texts = np.asarray([rows[n.text] if n.media is None else -1 for n in negatives], np.int64)
    donors = np.asarray([_donor(negative, place) for negative in negatives], np.int64)
    return Measures(
        similarity=_products(image_embeddings, own, vectors, texts),
        positive_similarity=_products(image_embeddings, own, text_embeddings, own),
        text_similarity=_products(text_embeddings, own, vectors, texts),
        picture_similarity=_products(image_embeddings, own, image_embeddings, donors),
    )


def _donor(negative: Negative, place: Mapping[str, int]) -> int:
    """Row of the donor of a whole caption; -1 where only a word was lent, or nothing."""
    whole = negative.strategy is Strategy.IN_BATCH and negative.donor_id is not None
    return place.get(negative.donor_id or "", -1) if whole else -1


def _products(left: Floats, left_rows: NDArray[np.int64], right: Floats, right_rows: NDArray[np.int64]) -> Floats:
    """Products of rows; NaN where a row is -1."""
    found = np.full(len(left_rows), np.nan, np.float32)
    there = right_rows >= 0
    found[there] = np.einsum("ij,ij->i", left[left_rows[there]], right[right_rows[there]])
    return found


def unmeasured(count: int) -> Measures:
    """Nothing measured of so many negatives."""
    nothing = np.full(count, np.nan, np.float32)
    return Measures(nothing, nothing, nothing, nothing)
