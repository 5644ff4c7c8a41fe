# pyright: strict
"""Which pairs of a batch a person should look at."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from mm_assets.gates.diagnosis import Diagnosis
from mm_assets.gates.recall_input import Floats, Pairs, RecallInput
from mm_assets.gates.recall_pools import Retrieval

SHOWN_PAIRS: Final = 8
_MISMATCHED: Final = 5_000


@dataclass(frozen=True)
class EvidencePair:
    """A delivered pair and, under the best order hypothesis, the caption its image belongs to.

    Attributes:
        position: delivery position of the image.
        image_id: the image.
        caption_id: caption it was delivered with.
        text: that caption.
        similarity: of the delivered pair.
        restored_caption_id: caption the hypothesis gives it, None without one.
        restored_text: that caption.
        restored_similarity: of the restored pair.
    """

    position: int
    image_id: str
    caption_id: str
    text: str
    similarity: float
    restored_caption_id: str | None
    restored_text: str | None
    restored_similarity: float | None


def show_pairs(
    batch: RecallInput, pairs: Pairs, retrieval: Retrieval, diagnosis: Diagnosis | None
) -> tuple[EvidencePair, ...]:
    """The displaced rows that gain most from their restored captions; without any, the worst ranked pairs."""
    similarity = retrieval.image_to_text.similarity
    rows = np.arange(len(pairs))
    moved = diagnosis is not None and diagnosis.is_displacement
    partners = diagnosis.partners if diagnosis is not None and moved else rows
    own = np.diagonal(similarity).astype(np.float64)
    restored = np.where(partners >= 0, similarity[rows, partners], own)
    if diagnosis is not None and moved:
        candidates = np.flatnonzero(diagnosis.displaced & (partners != rows))
        order = candidates[np.argsort(own[candidates] - restored[candidates], kind="stable")]
    else:
        order = np.lexsort((own, retrieval.r1))
    shown: list[int] = order[:SHOWN_PAIRS].tolist()
    examples: list[EvidencePair] = []
    for row in shown:
        caption = int(pairs.caption_rows[row])
        image = int(pairs.image_rows[row])
        partner = int(pairs.caption_rows[partners[row]]) if moved else None
        examples.append(
            EvidencePair(
                position=int(pairs.positions[row]),
                image_id=batch.image_ids[image],
                caption_id=batch.caption_ids[caption],
                text=batch.texts[caption],
                similarity=round(float(own[row]), 4),
                restored_caption_id=None if partner is None else batch.caption_ids[partner],
                restored_text=None if partner is None else batch.texts[partner],
                restored_similarity=None if partner is None else round(float(restored[row]), 4),
            )
        )
    return tuple(examples)


def sample_mismatched(retrieval: Retrieval, seed: int) -> Floats:
    """Similarities of images with other images' captions, a seeded sample."""
    similarity = retrieval.image_to_text.similarity
    count = len(similarity)
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, count, size=_MISMATCHED)
    columns = (rows + generator.integers(1, count, size=_MISMATCHED)) % count
    return similarity[rows, columns].astype(np.float64)


def restored_similarities(retrieval: Retrieval, diagnosis: Diagnosis | None) -> Floats:
    """Similarities of the pairs under the best order hypothesis; empty without one."""
    if diagnosis is None or not diagnosis.is_displacement:
        return np.zeros(0)
    rows = np.flatnonzero(diagnosis.partners >= 0)
    return retrieval.image_to_text.similarity[rows, diagnosis.partners[rows]].astype(np.float64)
